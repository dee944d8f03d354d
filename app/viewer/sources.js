// What one pane of Compare can show of its model, in one unit: × uniform, over as many positions as its own grid has.
//
//   affinity   of the query update at a stage: pixel affinity · s          live, from tensors fetched once
//   context    the context encoder's affinity (HFGD): affinity · s          live
//   influence  on the decision at the pinned pixel: share · positions      by the engine, on request
//
// A reading is {values, rows, cols, scale, grid: of the queries or null, …}; values are reused buffers.

import { affinityRow, entropy, pickHead, toPixels } from "./affinity.js";
import { Data } from "./data.js";
import { cellOf, queryAt } from "./geometry.js";
import { UNIFORM, largestOf } from "./scale.js";
import { load, single } from "./tensors.js";

/** Tensors of a guided model (engine/wire.py, `guidance_tensors`) → its context encoder as a stage, null without one. */
export function prepareContext({ about, tensors, size }) {
  if (!about.context) return { bytes: size, stage: null };
  const [y, x] = about.guide_grid;
  const s = y * x;
  const d = tensors.context_query.shape[1];
  const stage = {
    name: "context encoder", sources: "pixels", bilinear: false, prototypes: false, mu: 0, grid: [y, x],
    h: y, w: x, Q: s, y, x, s, n: 1, m: s, d,
    query: tensors.context_query.data, key: single(tensors.context_key), bias: single(tensors.context_bias),
    scratch: { query: new Float32Array(d) },
  };
  return { bytes: size + stage.key.byteLength, stage };
}

const buffers = new WeakMap();

function buffersOf(stage) {
  if (!buffers.has(stage)) {
    buffers.set(stage, { rows: new Float32Array(stage.n * stage.m), weights: new Float32Array(stage.m), pixels: new Float32Array(stage.s) });
  }
  return buffers.get(stage);
}

/** What a pixel of the original reads at a stage: times uniform over the source cells, mean over heads. */
export function timesUniform(stage, pixel, original) {
  const { rows, weights, pixels } = buffersOf(stage);
  affinityRow(stage, queryAt(stage, pixel, original), rows);
  pickHead(rows, stage.n, stage.m, "mean", weights);
  toPixels(stage, weights, pixels);
  for (let i = 0; i < pixels.length; i++) pixels[i] *= stage.s;
  return { values: pixels, rows: stage.y, cols: stage.x, scale: UNIFORM, grid: [stage.h, stage.w], weights, entropy: entropy(weights) };
}

export class Source {
  /** given: one entry of data.panes; `progress(text, part, button)`: over its pane. */
  constructor(given, base, progress) {
    this.given = given;
    this.data = new Data(given, base, progress);
    this.context = null;
    this.found = new Map(); // "site row,col" → influence
    this.asked = null;
    this.stopped = null;
    this.name = Math.random().toString(36).slice(2, 10); // by it the server knows which request ends which
  }

  /** What it shows when `asked` ("auto", "affinity" or "influence") is asked for. */
  mode(asked) {
    const live = this.given.stages.length ? "affinity" : this.given.context ? "context" : null;
    if (asked === "influence" || !live) return "influence";
    return asked === "auto" && live === "context" ? "influence" : live;
  }

  /** The stage of that name, else the finest; null while it has not arrived. */
  stageName(name) {
    const names = this.given.stages.map((stage) => stage.name);
    return names.includes(name) ? name : names[names.length - 1];
  }

  async fetch(asked, name) {
    const wanted = [this.data.maps ?? this.data.labels()];
    const mode = this.mode(asked);
    const stage = this.stageName(name);
    if (mode === "affinity" && !this.data.stages[stage]) wanted.push(this.data.stage(stage));
    if (mode === "context" && !this.context) wanted.push(this.fetchContext());
    await Promise.all(wanted);
  }

  async fetchContext() {
    this.data.waiting("context", "fetching the context encoder's affinities", 0);
    const url = this.data.url(`tensors/${this.given.key}/guidance`);
    this.context = (await load(url, this.data, prepareContext)).stage;
    this.data.waiting("context", null);
  }

  /** The live stage in this mode, null while it has not arrived or where there is none. */
  live(mode, name) {
    if (mode === "context") return this.context;
    return mode === "affinity" ? (this.data.stages[this.stageName(name)] ?? null) : null;
  }

  reads(site) {
    return this.given.sites.includes(site);
  }

  influence(site, pixel) {
    return this.found.get(`${site} ${pixel}`) ?? null;
  }

  /** Asks the engine once for each site and pixel; a newer request ends the older one. `done()` is called when it is there. */
  ask(site, pixel, words, { done, failed }) {
    const key = `${site} ${pixel}`;
    if (this.asked === key || this.stopped === key || this.found.has(key)) return;
    this.control?.abort();
    this.asked = key;
    this.data.waiting("stopped", null);
    const control = (this.control = new AbortController());
    const path = `tensors/${this.given.key}/influence`;
    const stop = () => {
      this.stopped = key;
      control.abort();
      fetch(this.data.url(`${path}?viewer=${this.name}&stop=1`)).catch(() => {});
    };
    const address = `${path}?row=${pixel[0]}&col=${pixel[1]}&site=${site}&viewer=${this.name}`;
    this.data
      .slowly(words, address, { signal: control.signal, stop, prepare: prepareInfluence })
      .then((found) => this.found.set(key, found))
      .catch((error) => {
        const byPerson = this.stopped === key;
        if (error.name === "AbortError" && !byPerson) return null; // something else is shown by now
        this.stopped = key; // not again by itself
        const again = () => {
          this.stopped = null;
          this.data.waiting("stopped", null);
          done();
        };
        return byPerson ? this.data.waiting("stopped", "stopped", null, { text: "Go on", act: again }) : failed(error, again);
      })
      .finally(() => {
        if (this.asked === key) this.asked = null;
        done();
      });
  }

  /** Nothing is waited for any more: another pixel, site or mode is shown. */
  forget() {
    if (this.data.waits.has("stopped")) this.data.waiting("stopped", null);
    if (!this.asked) return;
    this.control.abort();
    this.asked = null;
  }

  /** The value of a reading in the cell that a pixel of the original falls into. */
  at(reading, pixel) {
    const [H, W] = this.data.original;
    return reading.values[cellOf(pixel[0], H, reading.rows) * reading.cols + cellOf(pixel[1], W, reading.cols)];
  }

  /** (H, W): where the prediction is not the known truth; null without truth. */
  errors() {
    const { labels, truth } = this.data.maps?.tensors ?? {};
    if (!truth) return null;
    this.wrong ??= Uint8Array.from(truth.data, (label, i) => (label !== 255 && label !== labels.data[i] ? 1 : 0));
    return this.wrong;
  }

  close() {
    this.control?.abort();
    this.data.close();
  }
}

/** Parsed tensors of an influence → reading. */
export function prepareInfluence({ about, tensors, size }) {
  const [rows, cols] = tensors.shares.shape;
  const values = Float32Array.from(single(tensors.shares), (share) => share * rows * cols);
  return { ...about, values, rows, cols, scale: UNIFORM, grid: null, largest: largestOf(values), bytes: 2 * size };
}
