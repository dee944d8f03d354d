// What is known of the point that is looked at: category, prediction, image and place, confidence, mode, value, cut-out.

import { el, setHidden, setText } from "../dom.js";
import { format } from "../scale.js";
import { css } from "./colouring.js";
import { MARKERS } from "./shapes.js";

export class Tooltip {
  constructor(root) {
    this.cut = el("div.tip-cut", { hidden: true });
    this.title = el("div.tip-title");
    this.lines = el("div.tip-lines");
    this.hint = el("div.tip-hint");
    this.node = el("div.tip", { hidden: true, role: "status" }, this.cut, el("div.tip-text", {}, this.title, this.lines, this.hint));
    this.root = root;
    root.append(this.node);
  }

  hide() {
    setHidden(this.node, true);
  }

  /** x, y: CSS pixels within the root. sprite: see payload.py, with `source`, an address. */
  point(i, table, panel, { x, y, sprite, colour, photos, others }) {
    const category = table.category[i];
    const predicted = panel.data.predicted?.[i];
    const truth = table.labels === "truth";
    const lines = [];
    if (truth && predicted !== undefined) {
      lines.push(predicted === category ? "● predicted right" : `✕ predicted ${table.name(predicted)}`);
    }
    const mode = table.modeName(i);
    if (mode) lines.push(`planted mode: ${mode}`);
    const confidence = panel.data.confidence?.[i];
    if (Number.isFinite(confidence)) lines.push(`confidence ${format(confidence)}`);
    const value = panel.data.value?.[i];
    if (value !== undefined) lines.push(`${panel.about.value.name} ${format(value)} ${panel.about.value.unit}`.trim());
    lines.push(`${table.images[table.image[i]]} · row ${table.pixel[2 * i]} · col ${table.pixel[2 * i + 1]}`);
    this.show(table.name(category), colour, truth ? "" : "predicted", lines);
    setText(this.hint, [panel.about.href ? "click: open in Inspect" : "", photos ? "Alt-click: its photo" : ""].filter(Boolean).join(" · "));
    this.setCut(i, sprite);
    this.moveTo(x, y, others);
  }

  marker({ kind, category }, table, { x, y }) {
    const { sign, words } = MARKERS[kind];
    this.show(`${sign} ${table.name(category)}`, null, words, []);
    setText(this.hint, "");
    this.setCut(-1, null);
    this.moveTo(x, y);
  }

  show(name, colour, word, lines) {
    const dot = colour ? [el("span.dot", { style: `background:${css(colour)}` })] : [];
    this.title.replaceChildren(...dot, el("b", { text: name }), ...(word ? [el("span.word", { text: word })] : []));
    this.lines.replaceChildren(...lines.map((text) => el("div", { text })));
    setHidden(this.node, false);
  }

  setCut(i, sprite) {
    const place = !sprite || i < 0 ? -1 : sprite.places ? (sprite.at.get(i) ?? -1) : i;
    setHidden(this.cut, place < 0);
    if (place < 0) return;
    const { tile, columns, source } = sprite;
    this.cut.style.cssText =
      `width:${tile}px;height:${tile}px;background:url("${source}") ${-tile * (place % columns)}px ${-tile * Math.floor(place / columns)}px`;
  }

  /** Beside the point, on the side where there is room and where no ring of another map (`others`) is covered. */
  moveTo(x, y, others = []) {
    const { clientWidth } = this.root;
    const { offsetWidth: wide, offsetHeight: high } = this.node;
    const top = Math.max(0, y - high / 2);
    const covers = (left) => others.some(([a, b]) => a > left - 12 && a < left + wide + 12 && b > top - 12 && b < top + high + 12);
    const fits = (left) => left >= 0 && left + wide <= clientWidth;
    const sides = [x + 16, x - 16 - wide];
    const left = sides.find((one) => fits(one) && !covers(one)) ?? sides.find(fits) ?? 0;
    this.node.style.transform = `translate(${left.toFixed(0)}px, ${top.toFixed(0)}px)`;
  }
}
