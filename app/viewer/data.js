// What the viewer holds of one trace: stages, labels, extras; fetched once, prepared once, shared through the page's cache.

import { cellOf } from "./geometry.js";
import { centres, majority } from "./labels.js";
import { addExtras, prepareStage } from "./stage.js";
import { load, release, single } from "./tensors.js";

export class Data {
  /** `given`: Python's data. `base`: the server's base address. `progress(text | null, fraction, button)`: what is waited for. */
  constructor(given, base, progress) {
    this.given = given;
    this.base = base;
    this.progress = progress;
    this.waits = new Map(); // what is being waited for, by name: several things may be at once
    this.stages = {};
    this.maps = null;
    this.grids = new Map();
    this.remote = null; // the last similarity that the engine computed
    this.name = Math.random().toString(36).slice(2, 10); // by it the engine knows which request ends which
  }

  url(path) {
    return new URL(path.replace(/^\//, ""), this.base).href;
  }

  get original() {
    return this.given.image.original;
  }

  get classes() {
    return this.given.classes;
  }

  /** Says what is waited for under this name (null: no more). The newest that is still waited for is shown. */
  waiting(name, text, part = null, button = null) {
    if (text === null || part === 1) this.waits.delete(name);
    else this.waits.set(name, [text, part, button]);
    this.progress(...([...this.waits.values()].at(-1) ?? [null]));
  }

  /** The engine's answer to something that may take long: it says for how long already, and how to stop it. */
  async slowly(words, address, { signal, stop, prepare }) {
    const wait = Symbol(words); // one that was ended must not hide the one that took its place
    const began = performance.now();
    const say = () => {
      const seconds = Math.floor((performance.now() - began) / 1000);
      this.waiting(wait, `${words}${seconds ? ` · ${seconds} s` : ""}`, null, { text: "Stop", act: stop });
    };
    const first = setTimeout(say, 60); // most answers come before anybody has read that they are waited for
    const clock = setInterval(say, 1000);
    try {
      return await load(this.url(address), this, prepare, { signal });
    } finally {
      clearTimeout(first);
      clearInterval(clock);
      this.waiting(wait, null);
    }
  }

  async stage(name) {
    const url = this.url(this.given.tensors[name]);
    const about = this.given.stages.find((stage) => stage.name === name);
    const words = `fetching the ${about.sources === "bilinear" ? "weights" : "affinities"} of ${name}`;
    const stage = await load(url, this, prepareStage, { progress: (part) => this.waiting(name, words, part) });
    this.waiting(name, null);
    return (this.stages[name] = stage);
  }

  async labels() {
    this.maps = await load(this.url(this.given.maps), this);
    return this.maps;
  }

  /** Normalisers and average affinity of a stage, from the engine. `stop` is offered as a button, `signal` ends the wait. */
  async extras(name, options) {
    const { Q, m } = this.stages[name];
    const words = `the engine sums up ${Q} × ${m} affinities at ${name}`;
    addExtras(this.stages[name], await this.slowly(words, `${this.given.tensors[name]}/extras`, options));
  }

  /** Similarity of affinity profiles, of one head or "mean", from the engine: kept for the last pixel asked for. */
  async alike(name, pixel, head, options) {
    const [h, w] = this.stages[name].grid;
    const cell = [cellOf(pixel[0], this.original[0], h), cellOf(pixel[1], this.original[1], w)];
    const key = `${name} ${cell} ${head}`;
    if (this.remote?.key === key) return this.remote;
    const path = `${this.given.tensors[name]}/alike?row=${cell[0]}&col=${cell[1]}&head=${head}&viewer=${this.name}`;
    const { tensors } = await this.slowly(`the engine compares ${h * w} affinity profiles at ${name}`, path, options);
    this.remote = { key, values: single(tensors.alike) };
    return this.remote;
  }

  /** The similarity at hand for this pixel and head, or null. */
  alikeNow(stage, pixel, head) {
    const cell = [cellOf(pixel[0], this.original[0], stage.grid[0]), cellOf(pixel[1], this.original[1], stage.grid[1])];
    return this.remote?.key === `${stage.name} ${cell} ${head}` ? this.remote : null;
  }

  close() {
    release(this);
  }

  // ------------------------------------------------------------------ labels, as readings ask for them

  /** Index of the category at a pixel of the original: predicted, or true (null where unknown). */
  labelAt(pixel, which = "labels") {
    const map = this.maps?.tensors[which];
    if (!map) return which === "labels" ? 0 : null;
    const [H, W] = map.shape;
    return map.data[cellOf(pixel[0], this.original[0], H) * W + cellOf(pixel[1], this.original[1], W)];
  }

  category(index) {
    const one = index === null ? null : this.classes[index];
    return one ? { name: one.name, colour: one.colour } : null;
  }

  grid(rows, cols) {
    const key = `${rows} ${cols}`;
    if (!this.grids.has(key)) {
      const map = this.maps?.tensors.labels;
      if (!map) return new Int16Array(rows * cols).fill(255);
      this.grids.set(key, majority(map.data, ...map.shape, rows, cols, this.classes.length));
    }
    return this.grids.get(key);
  }

  /** What readings.js needs to know beside the stage. */
  context(stage, pixel, head = "mean") {
    return {
      original: this.original,
      classes: this.classes,
      labelAt: (at) => this.labelAt(at),
      cellLabels: (one) => this.grid(one.y, one.x),
      queryLabels: (one) => this.grid(one.h, one.w),
      centreLabels: (one) => centres(this.maps.tensors.labels.data, ...this.maps.tensors.labels.shape, one.h, one.w),
      absent: (category) => this.isAbsent(category),
      alike: pixel ? this.alikeNow(stage, pixel, head) : null,
    };
  }

  /** No pixel of the image truly is of this category or, where the truth is not known, is predicted as it. */
  isAbsent(category) {
    if (!this.maps) return false;
    this.seen ??= new Set((this.maps.tensors.truth ?? this.maps.tensors.labels).data);
    return !this.seen.has(category);
  }
}

