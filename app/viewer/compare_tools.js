// Compare's controls: above the panes what is shown, below them how it is drawn; and in each pane its own switch and numbers.

import { MAPS, gradient } from "./colour.js";
import { el, setHidden, setStyle, setText } from "./dom.js";
import { swatch } from "./hatch.js";
import { format, steady } from "./scale.js";
import { choice, segments } from "./toolbar.js";

const SITE_HINTS = {
  f3: "stride 32: all decoders read it", f2: "stride 16", f1: "stride 8", f0: "stride 4", image: "the pixels themselves, through backbone and decoder",
};

export class CompareTools {
  /** acts: change(part, delay), showAll("affinity" | "influence"). */
  constructor(above, below, acts) {
    this.refused = {};
    const pick = (name) => (value) => {
      if (this.refused[value]) return this.explain(this.refused[value]);
      return acts.change({ [name]: value });
    };
    this.all = segments(
      "All viewers show",
      [
        { value: "affinity", text: "affinity", hint: "What the pixel under the pointer reads, live, where a decoder has an affinity; influence where it has none" },
        { value: "influence", text: "influence", hint: "What the decision at the pinned pixel depends on, the one question that every decoder answers" },
      ],
      (value) => acts.showAll(value),
    );
    this.stageBox = el("span.choice", {}, el("span", { text: "stage" }));
    this.stageNames = "";
    this.pickStage = pick("stage");
    this.siteBox = el("span.choice", {}, el("span", { text: "site" }));
    this.site = segments("Site", Object.keys(SITE_HINTS).map((value) => ({ value, text: value, hint: SITE_HINTS[value] })), pick("site"));
    this.siteBox.append(this.site.node);
    this.hold = el("button.toggle", {
      type: "button", text: "hold", "aria-pressed": "false", title: "Keep what the pin reads; the pointer then reads values (key h)",
      on: {
        click: () => {
          if (this.hold.getAttribute("aria-disabled") === "true") this.explain("pin a pixel first");
          else acts.change({ hold: this.hold.getAttribute("aria-pressed") !== "true" });
        },
      },
    });
    this.place = el("span.place-note");
    this.note = el("span.note", { role: "status" });
    above.append(this.all.node, this.stageBox, this.siteBox, this.hold, this.note, this.place);

    this.marks = segments(
      "Drawn over the picture",
      [
        { value: "none", text: "none", hint: "The map alone" },
        { value: "prediction", text: "prediction", hint: "Outlines of each model's prediction" },
        { value: "error", text: "error", hint: "Hatched: the prediction differs from the ground truth" },
        { value: "truth", text: "truth", hint: "Outlines of the ground truth" },
      ],
      pick("marks"),
    );
    this.errors = el("span.choice", { hidden: true }, el("i.hatch-swatch"), el("span", { text: "wrong" }));
    this.errors.firstChild.style.background = swatch("slash");
    this.cells = segments(
      "Cells",
      [
        { value: false, text: "cells", hint: "True cells of each grid" },
        { value: true, text: "smooth", hint: "Interpolated between cells" },
      ],
      (value) => acts.change({ smooth: value }),
    );
    this.colours = choice("colours", (value) => acts.change({ colours: value }));
    this.colours.fill(MAPS.map((name) => [name, name]));
    this.opacity = el("input", {
      type: "range", min: 0, max: 1, step: 0.01, "aria-label": "Opacity of the overlay",
      on: { input: () => acts.change({ opacity: Number(this.opacity.value) }, 150) },
    });
    below.append(
      this.marks.node, this.errors, this.cells.node, this.colours.node,
      el("label.choice", {}, el("span", { text: "opacity" }), this.opacity),
    );
  }

  explain(reason) {
    setText(this.note, `Not here: ${reason}.`);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => setText(this.note, ""), 4000);
  }

  /** modes: what each pane shows (undefined where its model cannot be shown). */
  set(view, modes, { stages, truth, pinned, sources }) {
    const known = modes.filter(Boolean);
    const all = known.every((mode) => mode === "influence") ? "influence" : known.every((mode) => mode !== "influence") ? "affinity" : null;
    this.all.set(all);
    if (this.stageNames !== stages.join()) {
      this.stageNames = stages.join();
      this.stage = segments("Stage", stages.map((name) => ({ value: name, text: name })), this.pickStage);
      this.stageBox.replaceChildren(el("span", { text: "stage" }), this.stage.node);
    }
    setHidden(this.stageBox, !known.includes("affinity"));
    this.stage?.set(view.stage);
    setHidden(this.siteBox, !known.includes("influence"));
    this.refused = truth ? {} : { error: "no ground truth is known for this image", truth: "no ground truth is known for this image" };
    for (const site of Object.keys(SITE_HINTS)) {
      if (!sources.some((source) => source?.reads(site))) this.refused[site] = `none of these decoders reads ${site}`;
    }
    this.site.set(view.site, this.refused);
    this.marks.set(view.marks, this.refused);
    this.cells.set(view.smooth);
    this.hold.setAttribute("aria-pressed", String(view.hold && pinned));
    this.hold.setAttribute("aria-disabled", String(!pinned));
    this.colours.select.value = view.colours;
    if (document.activeElement !== this.opacity) this.opacity.value = view.opacity;
    this.opacity.style.setProperty("--fill", gradient(view.colours));
  }

  setErrors(drawn) {
    setHidden(this.errors, !drawn);
  }
}

const LIVE = { affinity: "affinity", context: "CAE" };
const HINTS = {
  affinity: "What the pixel under the pointer reads at the chosen stage",
  context: "Affinity: what the context encoder (CAE) reads at this pixel's cell of stride 32",
  influence: "What the decision at the pinned pixel depends on",
};

/** The switch in a pane's head and the numbers in its foot. */
export class PaneTools {
  constructor(pane, choose) {
    this.pane = pane;
    this.choose = choose;
    this.switch = el("span.pane-switch");
    pane.head.append(this.switch);
    this.predicted = { dot: el("i.dot"), name: el("b") };
    this.truth = { dot: el("i.dot"), name: el("span") };
    this.relation = el("span.word");
    this.truthBox = el("span.pane-truth", {}, this.relation, this.truth.dot, this.truth.name);
    this.values = el("span.pane-values", { title: "The value in the cell under the pointer; the largest; the entropy of the weights ÷ log of the number of sources" });
    this.swatch = el("i.dot");
    pane.head.prepend(this.swatch);
    pane.foot.append(
      el("div.pane-line", {}, this.predicted.dot, this.predicted.name, this.truthBox),
      this.values,
    );
  }

  /** What the pane can be switched between. */
  offer(source) {
    this.pane.foot.hidden = false;
    const live = source.given.stages.length ? "affinity" : source.given.context ? "context" : null;
    const options = [live, "influence"].filter(Boolean);
    this.options = segments(
      "This viewer shows",
      options.map((mode) => ({ value: mode, text: LIVE[mode] ?? mode, hint: HINTS[mode] })),
      (mode) => this.choose(mode === "influence" ? "influence" : "affinity"),
    );
    this.switch.replaceChildren(this.options.node);
  }

  /** The model's colour in the page's charts. */
  mark(colour) {
    setStyle(this.swatch, "background-color", colour);
  }

  /** The model cannot be shown: why. */
  refuse(reason) {
    this.switch.replaceChildren();
    this.options = null;
    this.pane.foot.hidden = true;
    this.pane.setCaption("");
    this.pane.waiting(reason);
  }

  set(mode) {
    this.options?.set(mode);
  }

  numbers(source, pixel, reading, largest) {
    const { data } = source;
    const predicted = pixel ? data.category(data.labelAt(pixel)) : null;
    const truth = pixel ? data.category(data.labelAt(pixel, "truth")) : null;
    setText(this.predicted.name, predicted?.name ?? "–");
    setStyle(this.predicted.dot, "background-color", predicted?.colour ?? "transparent");
    setHidden(this.truthBox, !truth);
    if (truth) {
      const right = truth.name === predicted?.name;
      setText(this.relation, right ? "= truth" : "≠ truth");
      setHidden(this.truth.dot, right);
      setText(this.truth.name, right ? "" : truth.name);
      setStyle(this.truth.dot, "background-color", truth.colour);
    }
    if (!reading || !pixel) return setText(this.values, "");
    const spread = reading.entropy === undefined ? "" : ` · entropy ${steady(reading.entropy)}`;
    return setText(this.values, `here ×${format(source.at(reading, pixel))} · max ×${format(largest)}${spread}`);
  }
}
