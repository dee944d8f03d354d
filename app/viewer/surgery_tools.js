// The Surgery viewer's controls: what is shown of both runs, the brush; below, how it is drawn.

import { MAPS, gradient } from "./colour.js";
import { el, setHidden, setText } from "./dom.js";
import { choice, segments } from "./toolbar.js";

export const UNDER_PIN = "*"; // as app/selection spells it

export class SurgeryTools {
  /** acts: change(part, delay), brush(on), size(index), wipe(). */
  constructor(above, below, acts) {
    this.refused = {};
    const pick = (name) => (value) => (this.refused[value] ? this.explain(this.refused[value]) : acts.change({ [name]: value }));
    this.what = segments(
      "Shown of both runs",
      [
        { value: "mask", text: "mask", hint: "The predicted category of every pixel" },
        { value: "affinity", text: "affinity", hint: "What the pixel under the pointer reads at the stage, live" },
        { value: "probability", text: "probability", hint: "Softmax of one category, on the decoder's own grid" },
        { value: "logit", text: "logit", hint: "Logit of one category minus the mean over categories" },
      ],
      pick("what"),
    );
    this.stageBox = el("span.choice", {}, el("span", { text: "stage" }));
    this.stageNames = "";
    this.pickStage = pick("stage");
    this.category = choice("category", (value) => acts.change({ category: value }));
    this.hold = el("button.toggle", {
      type: "button", text: "hold", "aria-pressed": "false", title: "Stay with the pin while the pointer moves (key h)",
      on: {
        click: () =>
          this.hold.getAttribute("aria-disabled") === "true"
            ? this.explain("pin a pixel first")
            : acts.change({ hold: this.hold.getAttribute("aria-pressed") !== "true" }),
      },
    });
    this.brush = el("button.toggle", {
      type: "button", text: "paint", "aria-pressed": "false",
      title: "Paint a region of the image whose sources shall not be read; Shift wipes",
      on: {
        click: () =>
          this.refused.brush ? this.explain(this.refused.brush) : acts.brush(this.brush.getAttribute("aria-pressed") !== "true"),
      },
    });
    this.size = el("input", {
      type: "range", min: 0, max: 3, step: 1, value: 1, "aria-label": "Size of the brush", on: { input: () => acts.size(Number(this.size.value)) },
    });
    this.wipe = el("button.toggle", { type: "button", text: "wipe all", on: { click: () => acts.wipe() } });
    this.painted = el("span.note");
    this.brushBox = el("span.choice", { hidden: true }, el("span", { text: "brush" }), this.size, this.wipe, this.painted);
    this.note = el("span.note", { role: "status" });
    above.append(this.what.node, this.stageBox, this.category.node, this.hold, this.brush, this.brushBox, this.note);

    this.cells = segments(
      "Cells",
      [
        { value: false, text: "cells", hint: "True cells of each grid" },
        { value: true, text: "smooth", hint: "Interpolated between cells" },
      ],
      (value) => acts.change({ smooth: value }),
    );
    this.outline = choice("outlines", (value) => acts.change({ outline: value }));
    this.colours = choice("colours", (value) => acts.change({ colours: value }));
    this.colours.fill(MAPS.map((name) => [name, name]));
    this.opacity = el("input", {
      type: "range", min: 0, max: 1, step: 0.01, "aria-label": "Opacity of the overlay",
      on: { input: () => acts.change({ opacity: Number(this.opacity.value) }, 150) },
    });
    below.append(
      this.cells.node, this.outline.node, this.colours.node,
      el("label.choice", {}, el("span", { text: "opacity" }), this.opacity),
    );
  }

  /** Of this model and image: names of stages, classes, {truth, brush: why nothing can be hidden or null}. */
  setKnown(stages, classes, { truth, brush }) {
    this.refused = {};
    if (!stages.length) this.refused.affinity = "this model has no query update";
    if (brush) this.refused.brush = brush;
    this.brush.setAttribute("aria-disabled", String(Boolean(brush)));
    if (this.stageNames !== stages.join()) {
      this.stageNames = stages.join();
      this.stage?.node.remove();
      this.stage = segments("Stage", stages.map((name) => ({ value: name, text: name })), this.pickStage);
      this.stageBox.append(this.stage.node);
    }
    this.category.fill([[UNDER_PIN, "at the pin"], ...classes.map(({ name }) => [name, name])]);
    this.outline.fill((truth ? ["none", "prediction", "truth", "both"] : ["none", "prediction"]).map((name) => [name, name]));
  }

  /** Settings in force. brush: is it on; painted: share of the image, 0 for nothing. */
  set(view, { pinned, brush, painted, percent }) {
    this.what.set(view.what, this.refused);
    setHidden(this.stageBox, !this.stageNames);
    this.stage?.set(view.stage);
    setHidden(this.category.node, view.what !== "probability" && view.what !== "logit");
    this.category.select.value = view.category;
    this.hold.setAttribute("aria-pressed", String(view.hold && pinned));
    this.hold.setAttribute("aria-disabled", String(!pinned));
    this.brush.setAttribute("aria-pressed", String(brush));
    setHidden(this.brushBox, !brush);
    setText(this.painted, painted ? `${percent(painted)} painted; “Hide the painted region” adds it` : "drag over the picture");
    setHidden(this.wipe, !painted);
    this.cells.set(view.smooth);
    this.outline.select.value = view.outline;
    if (this.outline.select.selectedIndex < 0) this.outline.select.value = "none";
    this.colours.select.value = view.colours;
    if (document.activeElement !== this.opacity) this.opacity.value = view.opacity;
    this.opacity.style.setProperty("--fill", gradient(view.colours));
  }

  explain(reason) {
    setText(this.note, `Not here: ${reason}.`);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => setText(this.note, ""), 4000);
  }
}
