// Compare: two to four models on one image, their affinity or influence on one common scale, locked together.
//
// Python's data: {image, marks: [colour of each model], panes: [{title, error} or {key, model, classes, tensors, maps, stages, sites, context}], view, pins, active,
// revision}; view: stage, shows (one of "auto", "affinity", "influence" for each pane), site, marks, smooth, opacity, colours, hold.

import { mounting } from "./board.js";
import { CompareTools, PaneTools } from "./compare_tools.js";
import { RINGS, arrived, el, setText } from "./dom.js";
import { Legend } from "./legend.js";
import { Panes } from "./panes.js";
import { UNIFORM, format, largestOf } from "./scale.js";
import { Source, timesUniform } from "./sources.js";
import { debug } from "./timing.js";

const DEFAULTS = {
  stage: null, shows: [], site: "f3", marks: "prediction", smooth: false, opacity: 0.85, colours: "cividis", hold: false,
};
const UNIT = "× uniform: weight or share × number of cells, one scale for all";

export const mount = mounting((parent, base) => new Compare(parent, base));

class Compare extends Panes {
  constructor(parent, base) {
    super(parent, base, { defaults: DEFAULTS, label: "What is shown", testid: "loupe-compare" });
    this.sources = [];
    this.paneTools = [];
    this.tools = new CompareTools(this.above, this.below, {
      change: (part, delay) => this.change(part, delay),
      showAll: (what) => this.change({ shows: this.sources.map(() => what) }),
    });
    const box = el("div.legend");
    this.legend = new Legend(box);
    this.under.append(box);
  }

  // ------------------------------------------------------------------ data

  content({ image, panes }) {
    return [image, panes];
  }

  open(given) {
    const before = this.sources;
    this.setPanes(given.panes.length);
    this.setImage(given.image);
    this.sources = given.panes.map((one, index) => {
      const pane = this.panes[index];
      pane.waiting(null);
      pane.clear();
      pane.drawn = null;
      pane.hatched = null;
      this.paneTools[index] ??= new PaneTools(pane, (what) => this.show(index, what));
      if (one.error) {
        pane.setTitle(one.title);
        pane.head.title = "";
        this.paneTools[index].mark(given.marks[index]);
        this.paneTools[index].refuse(one.error);
        return null;
      }
      pane.setTitle(one.model.id, one.model.hash.slice(0, 8));
      pane.head.title = one.model.title;
      this.paneTools[index].mark(given.marks[index]);
      const source = new Source({ ...one, image: given.image }, this.base, (text, part, button) => {
        if (this.sources[index] === source || !this.sources.includes(source)) pane.waiting(text, part, button);
      });
      this.paneTools[index].offer(source);
      return source;
    });
    this.paneTools.length = given.panes.length;
    for (const source of before) source?.close();
    this.fetchAll();
  }

  /** What the state asks for and has not arrived. */
  fetchAll() {
    this.sources.forEach((source, index) => source && this.fetch(source, index));
  }

  async fetch(source, index) {
    const mode = source.mode(this.asked(index));
    const lacks = !source.data.maps || (mode !== "influence" && !source.live(mode, this.state.view.stage));
    const key = `${mode} ${this.state.view.stage}`;
    if (!lacks || source.fetching === key || source.failed === key) return;
    source.fetching = key;
    try {
      await source.fetch(this.asked(index), this.state.view.stage);
      if (this.sources[index] !== source) return;
      if (this.panes[index].labels !== source) {
        const plain = (name) => source.data.maps.tensors[name]?.data ?? null;
        this.panes[index].labels = source;
        this.panes[index].setLabels({ prediction: plain("labels"), truth: plain("truth") });
      }
    } catch (error) {
      source.failed = key; // not again by itself
      if (this.sources[index] === source) {
        this.failed(error, this.panes[index], () => {
          source.failed = null;
          this.fetchAll();
        });
      }
      return;
    } finally {
      if (source.fetching === key) source.fetching = null;
    }
    if (this.sources.every((one) => !one || one.data.maps)) this.root.dataset.loaded = "1";
    this.refresh();
  }

  // ------------------------------------------------------------------ state

  /** "auto", "affinity" or "influence": what was asked for in a pane. */
  asked(index) {
    return this.state.view.shows[index] ?? "auto";
  }

  show(index, what) {
    this.change({ shows: this.sources.map((_, at) => (at === index ? what : this.asked(at))) });
  }

  stages() {
    return [...new Set(this.sources.flatMap((source) => source?.given.stages.map((stage) => stage.name) ?? []))];
  }

  grid() {
    const view = this.state.view;
    for (const [index, source] of this.sources.entries()) {
      const stage = source?.live(source.mode(this.asked(index)), view.stage);
      if (stage) return stage.grid;
    }
    return [64, 64];
  }

  explain(sentence) {
    this.tools.explain(sentence);
  }

  pinLabel(pane, pixel) {
    const data = this.sources[pane.index]?.data;
    return data?.maps ? (data.category(data.labelAt(pixel))?.name ?? "") : "";
  }

  refreshed() {
    const { view } = this.state;
    const modes = this.sources.map((source, index) => source?.mode(this.asked(index)));
    const truth = this.sources.some((source) => source?.data.maps?.tensors.truth);
    this.tools.set(view, modes, { stages: this.stages(), truth, pinned: this.state.active !== null, sources: this.sources });
    const drawn = new Set();
    this.sources.forEach((source, index) => {
      const pane = this.panes[index];
      if (!source) return;
      this.paneTools[index].set(modes[index]);
      if (modes[index] !== "influence") source.forget();
      if (!source.data.maps) return;
      for (const name of pane.setOutline(view.marks)) drawn.add(name);
      const wanted = view.marks === "error" ? source.errors() : null;
      if (pane.hatched !== wanted) {
        pane.hatched = wanted;
        pane.setHatch(wanted ? [{ mask: wanted, pattern: "slash" }] : []);
      }
    });
    this.fetchAll();
    this.legend.setOutlines([...drawn]);
    this.tools.setErrors(view.marks === "error" && truth);
  }

  // ------------------------------------------------------------------ drawing

  paint(pixel, where) {
    const { view } = this.state;
    const shown = (debug.panes = []);
    let largest = 0;
    let waits = false;
    this.sources.forEach((source, index) => {
      const pane = this.panes[index];
      if (!source?.data.maps) {
        waits ||= Boolean(source);
        return;
      }
      const mode = source.mode(this.asked(index));
      const reading = mode === "influence" ? this.influence(source, index) : this.live(source, mode, pixel);
      waits ||= !reading && Boolean(pixel) && mode !== "influence";
      this.draw(pane, reading, mode, view);
      pane.point(pixel, reading?.grid ?? null);
      const most = reading ? (reading.largest ?? largestOf(reading.values)) : null;
      largest = Math.max(largest, most ?? 0);
      this.paneTools[index].numbers(source, pixel, reading, most);
      shown.push({ mode, values: reading?.values ?? null, rows: reading?.rows, cols: reading?.cols });
    });
    setText(this.tools.place, pixel ? `${where} · row ${pixel[0]} · col ${pixel[1]}` : where);
    if (shown.length) this.legend.set({ scale: UNIFORM, unit: UNIT }, largest, view.colours);
    if (!waits) arrived(this.root);
  }

  live(source, mode, pixel) {
    const stage = source.live(mode, this.state.view.stage);
    return stage && pixel ? timesUniform(stage, pixel, this.original) : null;
  }

  /** Of the pinned pixel, whatever the pointer does: it takes the engine a backward pass. */
  influence(source, index) {
    const { site } = this.state.view;
    const pixel = this.pinned();
    if (!pixel || !source.reads(site)) {
      source.forget();
      return null;
    }
    const known = source.influence(site, pixel);
    if (known) return known;
    source.ask(site, pixel, `the engine computes the influence at ${site} of ${RINGS[this.state.active]}`, {
      done: () => this.refresh(),
      failed: (error, again) => this.sources[index] === source && this.failed(error, this.panes[index], again),
    });
    return null;
  }

  draw(pane, reading, mode, view) {
    const { given } = this.sources[pane.index];
    const ring = this.state.active === null ? "" : RINGS[this.state.active];
    pane.setCaption(caption(given, mode, view, reading, ring, this.sources[pane.index]));
    if (!reading) {
      pane.drawn = null;
      return pane.clear();
    }
    // An influence does not follow the pointer: it is painted once.
    const key = `${view.colours} ${view.opacity} ${view.smooth}`;
    if (mode === "influence" && pane.drawn === reading && pane.look === key) return null;
    pane.drawn = reading;
    pane.look = key;
    return pane.draw(reading, view);
  }

  close() {
    super.close();
    for (const source of this.sources) source?.close();
    this.sources = [];
  }
}

/** Which reading, at which site and grid; and why there is none. */
function caption(given, mode, view, reading, ring, source) {
  if (mode === "affinity") {
    const name = source.stageName(view.stage);
    const stage = given.stages.find((one) => one.name === name);
    const heads = stage.heads > 1 ? `, mean over ${stage.heads} heads` : "";
    const other = name === view.stage ? "" : ` (it has no ${view.stage})`;
    return `Affinity at ${name}${other}: ${stage.grid.join("×")} queries read ${stage.source_grid.join("×")} cells (${stage.sources})${heads}.`;
  }
  if (mode === "context") {
    const grid = source.context ? `: ${source.context.grid.join("×")} cells read each other, one head` : "";
    return `Affinity of the context encoder at stride 32${grid}. It makes the guide; the prediction is the upsampler's.`;
  }
  const { site } = view;
  if (!source.reads(site)) {
    return `This decoder does not read ${site}: choose ${given.sites.join(", ")}.`;
  }
  if (!ring) return "Influence is computed for a pinned pixel: click one.";
  if (!reading) return `Influence at ${site} of ${ring}.`;
  const name = (index) => given.classes[index]?.name ?? `category ${index}`;
  const of = `${name(reading.category)} over ${name(reading.rival)}`;
  return (
    `Influence at ${site} (${reading.rows}×${reading.cols}) of ${ring}: on its margin, ${of}, ${format(reading.margin)} logits; ` +
    `total |gradient × feature| ${format(reading.total)} logits.`
  );
}
