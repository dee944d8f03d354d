// The controls: what is read (above the picture), its scale (beside the legend), how it is drawn (below). They act at once and never wait for Python.

import { MAPS, gradient } from "./colour.js";
import { el, setHidden, setText } from "./dom.js";
import { READINGS } from "./readings.js";

/** A segmented control: options [{value, text, icon, hint}]. */
export function segments(label, options, choose) {
  const buttons = options.map((option) => {
    const button = el(
      "button.segment",
      { type: "button", "aria-pressed": "false", title: option.hint, on: { click: () => choose(option.value) } },
      option.icon ? el("span.icon", { text: option.icon, "aria-hidden": "true" }) : null,
      option.text,
    );
    button.hint = option.hint ?? "";
    return button;
  });
  return {
    node: el("div.segments", { role: "group", "aria-label": label }, ...buttons),
    set(value, refusals = {}) {
      options.forEach((option, index) => {
        const button = buttons[index];
        const reason = refusals[option.value];
        button.setAttribute("aria-pressed", String(option.value === value));
        // Refused, but still reachable and explained: not `disabled`, which hides the reason.
        button.setAttribute("aria-disabled", String(Boolean(reason)));
        button.title = reason ? `Not here: ${reason}` : button.hint;
      });
    },
  };
}

export function choice(label, choose) {
  const select = el("select", { "aria-label": label, on: { change: () => choose(select.value) } });
  return {
    node: el("label.choice", {}, el("span", { text: label }), select),
    select,
    fill(options) {
      const key = JSON.stringify(options);
      if (select.key === key) return;
      select.key = key;
      select.replaceChildren(...options.map(([value, text]) => el("option", { value, text })));
    },
  };
}

export class Toolbar {
  /** `change(part, delay)`: part of the view that changes. */
  constructor(above, beside, below, change) {
    this.refused = {};
    const pick = (name) => (value) => {
      if (this.refused[value]) return this.explain(this.refused[value]);
      change({ [name]: value });
    };
    this.reading = segments(
      "Reading",
      READINGS.map(({ name, icon, hint }) => ({ value: name, text: name, icon, hint })),
      pick("reading"),
    );
    this.source = choice("source", (value) => change({ source: value === "" ? null : Number(value) }));
    this.measure = segments(
      "Measure",
      [
        { value: "weight", text: "weight", hint: "The affinity itself" },
        { value: "contribution", text: "contribution", hint: "Norm of what the source adds: ‖Σₙ Aₙ Wₒⁿ vₙ‖" },
      ],
      pick("measure"),
    );
    this.relative = segments(
      "Compared with",
      [
        { value: "raw", text: "raw", hint: "As it is" },
        { value: "relative", text: "÷ average", hint: "Relative to the image's average: what this pixel reads more than others do" },
      ],
      pick("relative"),
    );
    this.scale = segments(
      "Scale",
      [
        { value: "linear", text: "linear", hint: "From 0 to this picture's maximum" },
        { value: "uniform", text: "× uniform", hint: "Times what equal weights would give, on one logarithmic scale for all stages and models" },
      ],
      pick("scale"),
    );
    this.head = choice("head", (value) => change({ head: value === "mean" ? "mean" : Number(value) }));
    this.hold = el("button.toggle", {
      type: "button", text: "hold", "aria-pressed": "false",
      title: "Keep the overlay of the pin; the pointer then reads values (key h)",
      on: {
        click: () => {
          if (this.hold.getAttribute("aria-disabled") === "true") this.explain("pin a pixel first");
          else change({ hold: this.hold.getAttribute("aria-pressed") !== "true" });
        },
      },
    });
    this.note = el("span.note", { role: "status" });
    above.append(
      this.reading.node, this.source.node, this.measure.node, this.relative.node, this.head.node, this.hold, this.note,
    );

    this.cells = segments(
      "Cells",
      [
        { value: false, text: "cells", hint: "True cells of the grid" },
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
    beside.append(this.scale.node);
    below.append(
      this.cells.node, this.outline.node, this.colours.node,
      el("label.choice", {}, el("span", { text: "opacity" }), this.opacity),
    );
  }

  explain(reason) {
    setText(this.note, `Not here: ${reason}.`);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => setText(this.note, ""), 4000);
  }

  /** stage {n, m, prototypes}, settings in force, refusals, classes, {truth: known?, pinned?}. */
  set(stage, view, refusals, classes, { truth, pinned }) {
    this.refused = refusals;
    this.reading.set(view.reading, refusals);
    this.measure.set(view.measure, refusals);
    this.relative.set(view.relative, refusals);
    this.scale.set(view.relative === "relative" ? null : view.scale, refusals);
    this.cells.set(view.smooth);
    const asks = stage.prototypes && (view.reading === "read by" || view.reading === "made of");
    setHidden(this.source.node, !asks);
    if (asks) {
      const follow = view.reading === "made of" ? "category here" : "cell here";
      this.source.fill([["", follow], ...Array.from({ length: stage.m }, (_, j) => [String(j), classes[j]?.name ?? `source ${j}`])]);
      this.source.select.value = view.source === null ? "" : String(view.source);
    }
    this.head.fill([["mean", "mean"], ...Array.from({ length: stage.n }, (_, i) => [String(i), String(i + 1)])]);
    this.head.select.value = String(view.head);
    setHidden(this.head.node, stage.n < 2);
    this.hold.setAttribute("aria-pressed", String(view.hold && pinned));
    this.hold.setAttribute("aria-disabled", String(!pinned));
    const outlines = truth ? ["none", "prediction", "truth", "both"] : ["none", "prediction"];
    this.outline.fill(outlines.map((name) => [name, name]));
    this.outline.select.value = outlines.includes(view.outline) ? view.outline : "none";
    this.colours.select.value = view.colours;
    if (document.activeElement !== this.opacity) this.opacity.value = view.opacity;
    this.opacity.style.setProperty("--fill", gradient(view.colours));
  }
}
