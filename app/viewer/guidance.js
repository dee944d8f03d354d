// The Guidance page's viewer: guide · upsampler · their difference (or who is right) for one category, locked together.
//
// Everything under the pointer comes from tensors that are fetched once; settings act at once and are reported to Python.

import { mounting } from "./board.js";
import { DIFFERENCES } from "./colour.js";
import { arrived, setHidden, setText, el } from "./dom.js";
import { cellOf } from "./geometry.js";
import { categoryMaps, contextEntropy, contextRow, outcomes, prepareGuidance, probabilities } from "./guidance_data.js";
import { GuidancePanel } from "./guidance_panel.js";
import { GuidanceToolbar, UNDER_PIN } from "./guidance_toolbar.js";
import { swatch } from "./hatch.js";
import { Panes } from "./panes.js";
import { UNIFORM, diverging, largestOf, linear } from "./scale.js";
import { load } from "./tensors.js";
import { debug } from "./timing.js";

const DEFAULTS = {
  category: UNDER_PIN, third: "difference", context: false, outline: "none", smooth: false, opacity: 0.85, colours: "cividis",
  hold: false,
};
const [GUIDE, UPSAMPLER, THIRD] = [0, 1, 2];

class Guidance extends Panes {
  constructor(parent, base) {
    super(parent, base, { defaults: DEFAULTS, label: "What is shown", testid: "loupe-guidance" });
    this.toolbar = new GuidanceToolbar(this.above, this.below, (part, delay) => this.change(part, delay));
    this.under.className = "guidance-panel";
    this.panel = new GuidancePanel(this.under, (index) => index !== null && this.change({ category: this.given.classes[index].name }));
    this.branches = this.maps = this.outcome = null;
    this.drawn = [];
  }

  // ------------------------------------------------------------------ data

  async open(given) {
    this.setPanes(3);
    this.setImage(given.image);
    this.branches = this.maps = this.outcome = null;
    this.drawn = [];
    for (const pane of this.panes) pane.clear();
    const now = (this.opening = {}); // what arrives for an earlier picture is dropped
    const first = this.panes[GUIDE];
    try {
      const progress = (part) => now === this.opening && first.waiting("fetching the logits of both branches", part);
      const [maps, branches] = await Promise.all([
        load(this.url(given.maps), this),
        load(this.url(given.guidance), this, prepareGuidance, { progress }),
      ]);
      if (now !== this.opening) return;
      first.waiting(null);
      this.maps = maps.tensors;
      this.branches = branches;
      this.fetched();
    } catch (error) {
      if (now === this.opening) this.failed(error, first, () => this.open(this.given));
    }
  }

  fetched() {
    const { guide, upsampler, k } = this.branches;
    const [prediction, truth] = ["labels", "truth"].map((name) => this.maps[name]?.data ?? null);
    this.panes[GUIDE].setLabels({ guide: this.branches.labels, truth });
    this.panes[UPSAMPLER].setLabels({ prediction, truth });
    this.panes[THIRD].setLabels({ prediction, guide: this.branches.labels, truth });
    const there = new Set([...new Set(prediction), ...new Set(this.branches.labels), ...new Set(truth ?? [])]);
    this.toolbar.setCategories(this.given.classes, [...there].filter((c) => c < k).sort((a, b) => a - b));
    this.toolbar.setKnown({ truth: Boolean(truth), context: Boolean(this.branches.context) });
    this.panel.setPooled(this.branches.pooled);
    this.rows = { guide: new Float32Array(k), upsampler: new Float32Array(k), context: new Float32Array(guide.size) };
    this.sizes = { guide: guide.grid.join("×"), upsampler: upsampler.full.join("×") };
    this.loaded();
  }

  /** Index of the category at a pixel of the original in a map of labels, null where there is none. */
  labelAt(labels, pixel) {
    if (!labels) return null;
    const { height, width } = this.given.image;
    const [H, W] = this.original;
    const found = labels[cellOf(pixel[0], H, height) * width + cellOf(pixel[1], W, width)];
    return found < this.given.classes.length ? found : null;
  }

  /** The category whose maps are shown: the chosen one, or what is predicted at the pin. */
  category() {
    const { classes } = this.given;
    const chosen = classes.findIndex((one) => one.name === this.state.view.category);
    if (chosen >= 0) return chosen;
    const [H, W] = this.original;
    return this.labelAt(this.maps.labels.data, this.pinned() ?? [Math.floor(H / 2), Math.floor(W / 2)]) ?? 0;
  }

  pinLabel(pane, pixel) {
    if (!this.branches) return "";
    const labels = pane.index === GUIDE ? this.branches.labels : this.maps[pane.index === THIRD ? "truth" : "labels"]?.data;
    const found = this.labelAt(labels, pixel);
    return found === null ? "" : this.given.classes[found].name;
  }

  grid() {
    return this.branches?.upsampler.grid ?? null;
  }

  /** The bracket keys walk through the categories. */
  switchStage(by) {
    if (!this.branches) return;
    const names = this.toolbar.shown.map((c) => this.given.classes[c].name);
    const at = names.indexOf(this.given.classes[this.category()].name) + by;
    if (at >= 0 && at < names.length) this.change({ category: names[at] });
  }

  explain(reason) {
    this.toolbar.explain(reason);
  }

  // ------------------------------------------------------------------ drawing

  /** Settings that this model and image allow. */
  inForce() {
    const { view } = this.state;
    return {
      ...view,
      third: this.maps?.truth ? view.third : "difference",
      context: view.context && Boolean(this.branches?.context),
    };
  }

  refreshed() {
    if (!this.branches) return;
    const view = this.inForce();
    const { classes } = this.given;
    const category = this.category();
    this.toolbar.set(view, category, { pinned: this.state.active !== null });
    const wanted = { none: [], prediction: ["guide", "prediction"], truth: ["truth"], both: ["truth", "guide", "prediction"] }[view.outline];
    for (const pane of this.panes) pane.setOutline(wanted);
    const name = classes[category].name;
    const [, upsampler, third] = this.panes;
    upsampler.setTitle("upsampler", `${name}, ${this.sizes.upsampler} cells`);
    const who = view.third === "outcomes";
    third.setTitle(who ? "who is right" : "upsampler − guide", who ? "hatching says who; bare: both are" : name);
    this.showOutcomes(who);
  }

  showOutcomes(shown) {
    const pane = this.panes[THIRD];
    if (shown) this.outcome ??= outcomes(this.branches.labels, this.maps.labels.data, this.maps.truth.data);
    const key = shown ? this.outcome : null;
    if (pane.hatched !== key) {
      pane.hatched = key;
      pane.setHatch(shown ? this.outcome.found : []);
      pane.foot.replaceChildren(...(shown ? [legend(this.outcome)] : []));
    }
    setHidden(pane.foot, !shown);
  }

  paint(pixel, where) {
    if (!this.branches) return;
    const view = this.inForce();
    const category = this.category();
    const maps = categoryMaps(this.branches, category);
    const { guide, upsampler } = this.branches;
    const cells = pixel && { guide: this.cell(pixel, guide.grid), upsampler: this.cell(pixel, upsampler.grid) };
    const shared = { scale: linear(maps.low, maps.high), unit: "relative logit; one scale for both" };
    const context = view.context && cells ? contextRow(this.branches, cells.guide.index, this.rows.context) : null;
    if (context) {
      const [row, col] = cells.guide.at;
      this.panes[GUIDE].setTitle("CAE affinity", `of the guide's cell ${row},${col}, ${this.sizes.guide} cells`);
      const unit = `weight × ${guide.size}: times uniform over ${this.sizes.guide} cells`;
      this.show(GUIDE, { values: context, grid: guide.grid, scale: UNIFORM, unit }, view, null);
    } else {
      this.panes[GUIDE].setTitle("guide", `${this.given.classes[category].name}, ${this.sizes.guide} cells`);
      this.show(GUIDE, { values: maps.guide, grid: guide.grid, ...shared }, view, `guide ${category}`);
    }
    this.show(UPSAMPLER, { values: maps.upsampler, grid: upsampler.grid, ...shared }, view, `upsampler ${category}`);
    if (view.third === "difference") {
      const scale = diverging(maps.reach);
      const unit = "difference of relative logits";
      this.show(THIRD, { values: maps.difference, grid: upsampler.grid, scale, unit }, { ...view, colours: DIFFERENCES }, `difference ${category}`);
    } else {
      this.panes[THIRD].clear();
      this.panes[THIRD].setLegend(null);
      this.drawn[THIRD] = "";
    }
    this.panes[GUIDE].point(pixel, guide.grid);
    this.panes[UPSAMPLER].point(pixel, upsampler.grid);
    this.panes[THIRD].point(pixel);
    this.numbers(pixel, where, cells, category, maps, context);
    arrived(this.root);
  }

  /** A map onto a pane; `key` says what it is, so that a hover repaints only what follows the pointer. */
  show(index, { values, grid, scale, unit }, view, key) {
    const look = `${key} ${view.colours} ${view.opacity} ${view.smooth}`;
    if (key !== null && this.drawn[index] === look) return;
    this.drawn[index] = look;
    const pane = this.panes[index];
    pane.draw({ values, rows: grid[0], cols: grid[1], scale }, view);
    pane.setLegend({ scale, unit }, largestOf(values), view.colours);
  }

  cell(pixel, [rows, cols]) {
    const [H, W] = this.original;
    const at = [cellOf(pixel[0], H, rows), cellOf(pixel[1], W, cols)];
    return { at, index: at[0] * cols + at[1] };
  }

  numbers(pixel, where, cells, category, maps, context) {
    const { panel, rows } = this;
    const { classes } = this.given;
    panel.setPlace(where, pixel);
    debug.guidance = null;
    if (!pixel) {
      panel.setSaid(null, null, null);
      panel.setCells(null, null);
      panel.setNumbers("", { guide: null, upsampler: null, difference: null, entropy: null });
      return panel.setBars(null);
    }
    for (const which of ["guide", "upsampler"]) probabilities(this.branches, which, cells[which].index, rows[which]);
    const at = (labels) => {
      const found = this.labelAt(labels, pixel);
      return found === null ? null : classes[found];
    };
    const [prediction, guided] = [at(this.maps.labels.data), at(this.branches.labels)];
    panel.setSaid(prediction, guided, at(this.maps.truth?.data));
    panel.setCells(cells.guide.at, cells.upsampler.at);
    const read = this.branches.context ? context ?? contextRow(this.branches, cells.guide.index, rows.context) : null;
    panel.setNumbers(classes[category].name, {
      guide: maps.guide[cells.guide.index],
      upsampler: maps.upsampler[cells.upsampler.index],
      difference: maps.difference[cells.upsampler.index],
      entropy: read ? contextEntropy(read) : null,
    });
    panel.setBars(rows.guide, rows.upsampler, classes, category);
    panel.say(`${where}: row ${pixel[0]}, column ${pixel[1]}. The guide says ${guided?.name}, the upsampler ${prediction?.name}.`);
    debug.guidance = { category, cells, maps, guide: rows.guide, upsampler: rows.upsampler, context: read };
  }
}

/** What the hatching means, with the share of the pixels. */
function legend({ found, known }) {
  return el("div.hatches", {}, ...found.map(({ name, pattern, count }) =>
    el("span.hatch-name", {}, el("i.hatch-swatch", { style: `background:${swatch(pattern)}` }), `${name} ${((100 * count) / known).toFixed(1)} %`)));
}

export const mount = mounting((parent, base) => new Guidance(parent, base));
