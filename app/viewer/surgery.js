// The Surgery page's viewer: before · after · difference of one image, locked together, with a brush.
//
// Python's data: {model, image, classes, stages, before, after: {tensors, maps, logits}, hidden: [regions of the edits], unhidden:
// why nothing can be hidden or null, pins, active, view, revision}. Everything under the pointer comes from tensors that are
// fetched once; settings act at once and are reported to Python.

import { mounting } from "./board.js";
import { Brush } from "./brush.js";
import { DIFFERENCES, categoryTable } from "./colour.js";
import { arrived, el } from "./dom.js";
import { cellOf } from "./geometry.js";
import { swatch } from "./hatch.js";
import { Panes } from "./panes.js";
import { decode, maskOf, shareOf } from "./region.js";
import { UNIFORM, diverging, format, largestOf, linear } from "./scale.js";
import { timesUniform } from "./sources.js";
import { areas, categoryMaps, changed, minus, probabilitiesAt, reachOf } from "./surgery_data.js";
import { SurgeryPanel } from "./surgery_panel.js";
import { fetchRun, fetchStage, forgetOthers } from "./surgery_runs.js";
import { SurgeryTools, UNDER_PIN } from "./surgery_tools.js";
import { release } from "./tensors.js";
import { debug } from "./timing.js";

const DEFAULTS = {
  what: "mask", stage: null, category: UNDER_PIN, region: "", outline: "none", smooth: false, opacity: 0.85, colours: "cividis", hold: false,
};
const [BEFORE, AFTER, DIFFERENCE] = [0, 1, 2];
const LABELS = 0.72; // of the opacity: categories leave the photo in sight
const UNITS = { probability: "probability; one scale for both", logit: "relative logit; one scale for both" };
const percent = (share) => `${format(100 * share)} %`;

export const mount = mounting((parent, base) => new Surgery(parent, base));

class Surgery extends Panes {
  constructor(parent, base) {
    super(parent, base, { defaults: DEFAULTS, label: "What is shown", testid: "loupe-surgery" });
    this.tools = new SurgeryTools(this.above, this.below, {
      change: (part, delay) => this.change(part, delay),
      brush: (on) => this.switchBrush(on),
      size: (index) => this.brush.resize(index),
      wipe: () => this.change({ region: "" }),
    });
    this.brush = new Brush({
      view: () => this.zoomed,
      changed: (region) => this.showRegion(region),
      done: (region) => this.change({ region }),
    });
    this.under.className = "surgery-panel";
    this.panel = new SurgeryPanel(this.under);
    this.sides = null;
    this.drawn = [];
    this.hatchSwatch = el("div.hatches", {});
  }

  // ------------------------------------------------------------------ data

  async open(given) {
    this.setPanes(3);
    if (given.image.url !== this.image?.url) {
      this.setImage(given.image);
      this.sides = null;
      for (const pane of this.panes) pane.clear();
    }
    this.brush.attach([this.panes[BEFORE].frame, this.panes[AFTER].frame], given.image.height, given.image.width);
    const now = (this.opening = {}); // what arrives for earlier edits is dropped
    const place = this.panes[this.sides ? AFTER : BEFORE];
    try {
      const progress = (part) => now === this.opening && place.waiting("fetching both runs", part);
      const sides = await Promise.all([given.before, given.after].map((one) => fetchRun(one, this, progress)));
      if (now !== this.opening) return;
      place.waiting(null);
      this.sides = sides;
      this.fetched(given);
    } catch (error) {
      if (now === this.opening) this.failed(error, place, () => this.open(this.given));
    }
  }

  fetched(given) {
    const [before, after] = this.sides;
    forgetOthers(this.sides, this);
    this.failedStage = null;
    this.changed = changed(before.labels, after.labels);
    this.truth = before.maps.truth?.data ?? null;
    this.panes[BEFORE].setLabels({ prediction: before.labels, truth: this.truth });
    this.panes[AFTER].setLabels({ prediction: after.labels, truth: this.truth });
    this.panes[DIFFERENCE].setLabels({ prediction: after.labels, guide: before.labels, truth: this.truth });
    this.hidden = given.hidden.map(decode).filter(Boolean);
    this.drawn = [];
    for (const pane of this.panes) pane.hatched = null;
    this.panel.setAreas(areas(before.labels, after.labels, given.classes.length), given.classes, percent);
    this.rows = [before, after].map(({ logits }) => new Float32Array(logits.k));
    this.loaded();
  }

  /** The stages that the state asks for; both runs' at once. */
  async fetchStage(name) {
    const { sides } = this;
    if (!name || this.fetching === name || this.failedStage === name) return;
    this.fetching = name;
    const place = this.panes[BEFORE];
    try {
      const progress = (part) => place.waiting(`fetching the affinities of ${name}`, part);
      await Promise.all(sides.map((side) => fetchStage(side, name, this, progress)));
      place.waiting(null);
    } catch (error) {
      this.failedStage = name; // not again by itself
      this.failed(error, place, () => {
        this.failedStage = null;
        this.refresh();
      });
    } finally {
      this.fetching = null;
      this.refresh();
    }
  }

  // ------------------------------------------------------------------ state

  stages() {
    return this.given.stages.map((stage) => stage.name);
  }

  /** Settings that this model allows. */
  inForce() {
    const { view } = this.state;
    const names = this.stages();
    const stage = names.includes(view.stage) ? view.stage : (names[names.length - 1] ?? null);
    return { ...view, stage, what: view.what === "affinity" && !stage ? "mask" : view.what };
  }

  grid() {
    const view = this.inForce();
    const stage = this.sides?.[BEFORE].stages[view.stage];
    if (view.what === "affinity" && stage) return [stage.h, stage.w];
    const { logits } = this.sides?.[BEFORE] ?? {};
    return logits ? [logits.rows, logits.cols] : null;
  }

  labelAt(labels, pixel) {
    if (!labels || !pixel) return null;
    const { height, width } = this.given.image;
    const [H, W] = this.original;
    return this.given.classes[labels[cellOf(pixel[0], H, height) * width + cellOf(pixel[1], W, width)]] ?? null;
  }

  /** The category whose maps are shown: the chosen one, or what was predicted at the pin before. */
  category() {
    const { classes } = this.given;
    const chosen = classes.findIndex((one) => one.name === this.state.view.category);
    if (chosen >= 0) return chosen;
    const [H, W] = this.original;
    const at = this.labelAt(this.sides[BEFORE].labels, this.pinned() ?? [Math.floor(H / 2), Math.floor(W / 2)]);
    return Math.max(0, classes.indexOf(at));
  }

  pinLabel(pane, pixel) {
    return this.labelAt(this.sides?.[pane.index === BEFORE ? BEFORE : AFTER].labels, pixel)?.name ?? "";
  }

  explain(reason) {
    this.tools.explain(reason);
  }

  switchBrush(on) {
    this.brush.toggle(on);
    this.refresh();
  }

  // ------------------------------------------------------------------ drawing

  refreshed() {
    const view = this.inForce();
    this.tools.setKnown(this.stages(), this.given.classes, { truth: this.truth, brush: this.given.unhidden });
    const region = decode(this.state.view.region);
    this.brush.set(region);
    if (this.given.unhidden && this.brush.on) this.brush.toggle(false);
    const painted = region ? shareOf(region) : 0;
    this.tools.set(view, { pinned: this.state.active !== null, brush: this.brush.on, painted, percent });
    if (!this.sides) return;
    if (!this.sides[BEFORE].stages[view.stage] || !this.sides[AFTER].stages[view.stage]) this.fetchStage(view.stage);
    const wanted = { none: [], prediction: ["guide", "prediction"], truth: ["truth"], both: ["truth", "guide", "prediction"] }[view.outline];
    for (const pane of this.panes) pane.setOutline(wanted);
    this.titles(view);
    this.showRegion(region);
    this.hatch(AFTER, this.hidden, this.hidden, "dots");
    this.hatch(DIFFERENCE, this.changed, this.changed.mask, "slash");
    const share = this.changed.share;
    this.hatchSwatch.replaceChildren(
      el("span.hatch-name", {}, el("i.hatch-swatch", { style: `background:${swatch("slash")}` }),
        share ? `another category: ${percent(share)} of the pixels` : "no pixel has another category"),
    );
    this.panes[DIFFERENCE].foot.replaceChildren(this.hatchSwatch);
  }

  titles(view) {
    const name = this.given.classes[this.category()].name;
    const note = {
      mask: "category", affinity: `at ${view.stage}, × uniform`, probability: `of ${name}`, logit: `of ${name}`,
    }[view.what];
    this.panes[BEFORE].setTitle("before", note);
    this.panes[AFTER].setTitle("after", note);
    this.panes[DIFFERENCE].setTitle("difference", view.what === "mask" ? "what it became" : "after − before");
  }

  /** Marks by shape on a pane; `key` says which, so that nothing is drawn twice. */
  hatch(index, key, marked, pattern) {
    const pane = this.panes[index];
    if (pane.hatched === key) return;
    pane.hatched = key;
    const { height, width } = this.given.image;
    const mask = marked instanceof Uint8Array ? marked : marked.length ? maskOf(marked, height, width) : null;
    pane.setHatch(mask ? [{ mask, pattern }] : []);
  }

  /** What is painted and not yet an edit, dotted on the first pane. */
  showRegion(region) {
    const text = region ? region.bits.join("") : "";
    this.hatch(BEFORE, text, region ? [region] : [], "dots");
  }

  paint(pixel, where) {
    if (!this.sides) return;
    const view = this.inForce();
    debug.surgery = { what: view.what, share: this.changed.share };
    const shown = view.what === "mask" ? this.paintMasks(view) : view.what === "affinity" ? this.paintAffinity(view, pixel) : this.paintMaps(view);
    for (const pane of this.panes) pane.point(pixel, shown.grid);
    this.numbers(pixel, where, view, shown);
    if (!shown.waits) arrived(this.root);
  }

  paintMasks(view) {
    const key = `mask ${view.opacity}`;
    const { height, width } = this.given.image;
    if (this.drawn[BEFORE] !== key) {
      const [table, strong] = [LABELS, 1].map((part) => categoryTable(this.given.classes, part * view.opacity));
      const maps = [this.sides[BEFORE].labels, this.sides[AFTER].labels, this.sides[AFTER].labels];
      maps.forEach((labels, index) => {
        this.panes[index].layers.drawLabels(labels, height, width, ...(index === DIFFERENCE ? [strong, this.changed.mask] : [table]));
        this.panes[index].setLegend(null);
        this.drawn[index] = key;
      });
    }
    return { grid: null, unit: "", values: null };
  }

  paintMaps(view) {
    const category = this.category();
    const [before, after] = this.sides.map((side) => side.logits);
    const found = categoryMaps(before, after, category, view.what);
    const { rows, cols } = before;
    const scale = linear(found.low, found.high);
    const key = `${view.what} ${category}`;
    [BEFORE, AFTER].forEach((index) =>
      this.show(index, { values: found.maps[index], rows, cols, scale, unit: UNITS[view.what] }, view, key));
    this.show(DIFFERENCE, { values: found.difference, rows, cols, scale: diverging(found.reach), unit: `difference of ${view.what === "logit" ? "relative logits" : "probabilities"}` }, { ...view, colours: DIFFERENCES }, key);
    debug.surgery = { ...debug.surgery, category, before: found.maps[0], after: found.maps[1], difference: found.difference };
    return {
      grid: [rows, cols], unit: `${view.what} of ${this.given.classes[category].name}`, values: [...found.maps, found.difference], rows, cols,
    };
  }

  paintAffinity(view, pixel) {
    const stages = this.sides.map((side) => side.stages[view.stage]);
    if (!stages.every(Boolean) || !pixel) {
      for (const pane of this.panes) {
        pane.clear();
        pane.setLegend(null);
      }
      this.drawn = [];
      return { grid: null, unit: "", values: null, waits: Boolean(pixel) };
    }
    const readings = stages.map((stage) => timesUniform(stage, pixel, this.original));
    const { rows, cols, grid } = readings[0];
    if (this.room?.length !== rows * cols) this.room = new Float32Array(rows * cols);
    const difference = minus(readings[1].values, readings[0].values, this.room);
    const unit = "× uniform; one scale for both";
    readings.forEach((one, index) => this.show(index, { values: one.values, rows, cols, scale: UNIFORM, unit }, view, null));
    this.show(DIFFERENCE, { values: difference, rows, cols, scale: diverging(reachOf(difference)), unit: "difference of × uniform" }, { ...view, colours: DIFFERENCES }, null);
    debug.surgery = { ...debug.surgery, before: readings[0].values, after: readings[1].values, difference };
    return { grid, unit: `× uniform of the cell itself, at ${view.stage}`, values: [readings[0].values, readings[1].values, difference], rows, cols };
  }

  /** A map onto a pane; `key` says what it is, so that a hover repaints only what follows the pointer. */
  show(index, { values, rows, cols, scale, unit }, view, key) {
    const look = `${key} ${view.colours} ${view.opacity} ${view.smooth}`;
    if (key !== null && this.drawn[index] === look) return;
    this.drawn[index] = look;
    this.panes[index].draw({ values, rows, cols, scale }, view);
    this.panes[index].setLegend({ scale, unit }, index === DIFFERENCE ? reachOf(values) : largestOf(values), view.colours);
  }

  numbers(pixel, where, view, { unit, values, rows, cols }) {
    const { panel } = this;
    const { classes } = this.given;
    const [before, after] = this.sides;
    panel.setPlace(where, pixel);
    const said = [before.labels, after.labels, this.truth].map((labels) => this.labelAt(labels, pixel));
    panel.setSaid(...said);
    const [H, W] = this.original;
    const at = (r, c) => cellOf(pixel[0], H, r) * c + cellOf(pixel[1], W, c);
    panel.setNumbers(values && pixel ? unit : "", values && pixel ? values.map((one) => one[at(rows, cols)]) : null);
    if (!pixel) {
      panel.setLikely(null);
      return panel.setReads(null);
    }
    this.sides.forEach(({ logits }, index) => probabilitiesAt(logits, at(logits.rows, logits.cols), this.rows[index]));
    panel.setLikely(...this.rows, classes);
    const stages = this.sides.map((side) => side.stages[view.stage]);
    const read = stages.every((stage) => stage?.prototypes) ? stages.map((stage) => timesUniform(stage, pixel, this.original).weights) : null;
    panel.setReads(read?.[0] ?? null, read?.[1] ?? null, classes, view.stage);
    const pooled = before.logits.pooled;
    panel.setNote(pooled > 1 ? `cells are means of blocks of ${pooled}×${pooled}, so that the logits can be sent` : "");
    panel.say(`${where}: row ${pixel[0]}, column ${pixel[1]}. Before ${said[0]?.name}, after ${said[1]?.name}.`);
    debug.surgery = { ...debug.surgery, likely: this.rows, reads: read, said: said.map((one) => one?.name ?? null) };
  }

  close() {
    super.close();
    release(this);
  }
}
