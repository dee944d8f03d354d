// The legend: an entry for each group with its shape, colour and count; a click isolates it. Or the colour bar of a value.

import { gradient } from "../colour.js";
import { el, setHidden, setText } from "../dom.js";
import { format, linearTicks } from "../scale.js";
import { css } from "./colouring.js";
import { MARKERS, glyph } from "./shapes.js";

export const grouped = (n) => String(n).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");

export class Legend {
  /** `isolate(by, code, more)`: an entry was clicked, with Shift where `more`. */
  constructor(isolate) {
    this.isolate = isolate;
    this.entries = el("div.entries", { role: "group", "aria-label": "Groups of points: click one to see it alone" });
    this.unit = el("div.unit");
    this.ramp = el("div.ramp");
    this.ticks = el("div.ramp-ticks");
    this.bar = el("div.ramp-box", { hidden: true }, this.unit, this.ramp, this.ticks);
    this.markers = el("div.marker-names");
    this.note = el("p.legend-note");
    this.node = el("div.scatter-legend", {}, this.bar, this.entries, this.markers, this.note);
  }

  /** looks: one of each panel; isolated: {by, codes} or null; kinds: the kinds of markers that are drawn. */
  set(looks, isolated, kinds, colours, known) {
    const key = JSON.stringify([looks.map(({ entries, ramp, note, missing, by }) => [entries, ramp, note, missing, by]), isolated, kinds, colours]);
    if (key === this.key) return;
    this.key = key;
    const first = looks[0];
    this.setEntries(looks, isolated);
    const ramp = looks.find((one) => one.ramp)?.ramp ?? null;
    setHidden(this.bar, !ramp);
    if (ramp) this.setRamp(ramp, looks, colours);
    const missing = Math.max(...looks.map((one) => one.missing));
    const notes = [first.note, missing ? `${grouped(missing)} points without a value are grey rings.` : "", known].filter(Boolean);
    setText(this.note, notes.join(" "));
    setHidden(this.note, !notes.length);
    this.markers.replaceChildren(...kinds.map((kind) => el("span.marker-name", {}, el("span.marker-sign", { text: MARKERS[kind].sign }), MARKERS[kind].words)));
    setHidden(this.markers, !kinds.length);
  }

  setEntries(looks, isolated) {
    const focused = this.entries.getRootNode().activeElement?.dataset?.code;
    const all = new Map();
    looks.forEach((one, at) => {
      for (const entry of one.entries) {
        const held = all.get(entry.code) ?? { ...entry, counts: looks.map(() => 0) };
        held.counts[at] = entry.count;
        all.set(entry.code, held);
      }
    });
    const { by } = looks[0];
    const nodes = [...all.values()].map((entry) => {
      const alone = isolated?.by === by && isolated.codes.includes(entry.code);
      const counts = [...new Set(entry.counts)].length === 1 ? [entry.counts[0]] : entry.counts;
      const button = el(
        "button.entry",
        {
          type: "button", "aria-pressed": String(alone), "data-code": entry.code,
          title: alone ? "Show all again" : "Show this group alone (Shift: as well)",
          on: { click: (event) => this.isolate(by, entry.code, event.shiftKey) },
        },
        el("span.entry-name", { text: entry.label }),
        el("span.entry-count", { text: counts.map(grouped).join(" · ") }),
      );
      button.insertAdjacentHTML("afterbegin", glyph(entry.shape, css(entry.rgb)));
      if (isolated?.by === by && !alone) button.classList.add("aside");
      return button;
    });
    this.entries.replaceChildren(...nodes);
    setHidden(this.entries, !nodes.length);
    if (focused !== undefined) this.entries.querySelector(`[data-code="${focused}"]`)?.focus();
  }

  setRamp({ name, unit, low, high }, looks, colours) {
    setText(this.unit, unit ? `${name}, ${unit}` : name);
    this.ramp.style.backgroundImage = gradient(colours);
    const beyond = [0, 1].map((side) => Math.max(...looks.map((one) => one.ramp?.beyond[side] ?? 0)));
    const ticks = linearTicks(low, high).filter((tick) => tick.at > 0.14 && tick.at < 0.84);
    const ends = [
      { at: 0, text: `${beyond[0] ? "≤ " : ""}${format(low)}` },
      { at: 1, text: `${beyond[1] ? "≥ " : ""}${format(high)}` },
    ];
    this.ticks.replaceChildren(
      ...[...ticks, ...ends].map(({ at, text }) =>
        el("span.ramp-tick", { style: `left:${100 * at}%; --shift:${at === 0 ? 0 : at === 1 ? -100 : -50}%`, text }),
      ),
    );
  }
}
