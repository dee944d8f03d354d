// The Guidance viewer's controls: which category, what the third pane shows, the CAE's affinity; below, how it is drawn.

import { MAPS, gradient } from "./colour.js";
import { el, setHidden, setText } from "./dom.js";
import { choice, segments } from "./toolbar.js";

export const UNDER_PIN = "*"; // as app/selection.py spells it

export class GuidanceToolbar {
  /** `change(part, delay)`: part of the view that changes. */
  constructor(above, below, change) {
    this.act = change;
    this.shown = [];
    this.refused = {};
    this.chips = el("div.chips", { role: "group", "aria-label": "Category" });
    this.more = choice("all", (value) => change({ category: value || UNDER_PIN }));
    const pick = (name) => (value) => (this.refused[value] ? this.explain(this.refused[value]) : change({ [name]: value }));
    this.third = segments(
      "Third pane",
      [
        { value: "difference", text: "difference", hint: "upsampler − guide, of this category's relative logit" },
        { value: "outcomes", text: "who is right", hint: "Where one branch is right and the other wrong, by hatching" },
      ],
      pick("third"),
    );
    this.context = toggle("CAE affinity", "On the guide's pane: what the context encoder reads from the cell under the pointer", () =>
      this.refused.context ? this.explain(this.refused.context) : change({ context: this.context.getAttribute("aria-pressed") !== "true" }));
    this.hold = toggle("hold", "Stay with the pin while the pointer moves (key h)", () =>
      this.hold.getAttribute("aria-disabled") === "true"
        ? this.explain("pin a pixel first")
        : change({ hold: this.hold.getAttribute("aria-pressed") !== "true" }));
    this.note = el("span.note", { role: "status" });
    above.append(
      el("div.tools-row", {}, this.chips, this.more.node),
      el("div.tools-row", {}, this.third.node, this.context, this.hold, this.note),
    );
    above.classList.add("tools-rows");

    this.cells = segments(
      "Cells",
      [
        { value: false, text: "cells", hint: "True cells of each grid" },
        { value: true, text: "smooth", hint: "Interpolated between cells" },
      ],
      (value) => change({ smooth: value }),
    );
    this.outline = choice("outlines", (value) => change({ outline: value }));
    this.colours = choice("colours", (value) => change({ colours: value }));
    this.colours.fill(MAPS.map((name) => [name, name]));
    this.opacity = el("input", {
      type: "range", min: 0, max: 1, step: 0.01, "aria-label": "Opacity of the overlay",
      on: { input: () => change({ opacity: Number(this.opacity.value) }, 150) },
    });
    this.dashed = el("span.note", { text: "white: prediction, the guide’s dashed · black: truth" });
    below.append(
      this.cells.node, this.outline.node, this.colours.node,
      el("label.choice", {}, el("span", { text: "opacity" }), this.opacity), this.dashed,
    );
  }

  /** classes {name, colour}; present: indices of those that the image or a prediction holds: a chip for each. */
  setCategories(classes, present) {
    this.classes = classes;
    this.shown = present;
    const chip = (value, text, colour, hint) => {
      const dot = el("i.dot", { style: colour ? `background-color:${colour}` : "" });
      const node = el("button.chip", { type: "button", "aria-pressed": "false", title: hint, on: { click: () => this.act({ category: value }) } }, dot, text);
      return { node, dot, value };
    };
    this.buttons = [
      chip(UNDER_PIN, "at the pin", null, "Follow the pin: the category that is predicted there"),
      ...present.map((c) => chip(classes[c].name, classes[c].name, classes[c].colour, `Maps of ${classes[c].name} (keys [ and ])`)),
    ];
    this.chips.replaceChildren(...this.buttons.map((one) => one.node));
    this.more.fill([["", "…"], ...classes.map(({ name }) => [name, name])]);
  }

  /** What this model and image have. */
  setKnown({ truth, context }) {
    this.known = { truth };
    this.refused = {};
    if (!truth) this.refused.outcomes = "who is right needs ground truth, and this image has none";
    if (!context) this.refused.context = "this model has no context encoder";
    const outlines = truth ? ["none", "prediction", "truth", "both"] : ["none", "prediction"];
    this.outline.fill(outlines.map((name) => [name, name]));
  }

  /** Settings in force, and the index of the category on show. */
  set(view, category, { pinned }) {
    const known = this.classes.some(({ name }) => name === view.category);
    const value = known ? view.category : UNDER_PIN;
    for (const one of this.buttons) one.node.setAttribute("aria-pressed", String(one.value === value));
    this.buttons[0].dot.style.backgroundColor = this.classes[category].colour;
    // A category without a chip stands in the list.
    this.more.select.value = known && !this.shown.includes(category) ? view.category : "";
    this.third.set(view.third, this.refused);
    press(this.context, view.context, this.refused.context);
    press(this.hold, view.hold && pinned, pinned ? null : "pin a pixel first");
    this.cells.set(view.smooth);
    this.outline.select.value = view.outline;
    if (this.outline.select.selectedIndex < 0) this.outline.select.value = "none";
    this.colours.select.value = view.colours;
    if (document.activeElement !== this.opacity) this.opacity.value = view.opacity;
    this.opacity.style.setProperty("--fill", gradient(view.colours));
    setHidden(this.dashed, view.outline === "none");
  }

  explain(reason) {
    setText(this.note, `Not here: ${reason}.`);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => setText(this.note, ""), 4000);
  }
}

function toggle(text, hint, act) {
  const node = el("button.toggle", { type: "button", text, "aria-pressed": "false", title: hint, on: { click: act } });
  node.hint = hint;
  return node;
}

function press(node, pressed, reason) {
  node.setAttribute("aria-pressed", String(pressed));
  node.setAttribute("aria-disabled", String(Boolean(reason)));
  node.title = reason ? `Not here: ${reason}` : node.hint;
}
