// The four readings: what is drawn, in which unit, with which bars beside it.
//
//   reads        where the probe's query gets its information      on the source grid
//   read by      which queries read a source                       on the query grid
//   made of      which source cells a prototype averages           on the source grid
//   reads alike  whose affinity profile is like the probe's        on the query grid
//
// A reading is {values, rows, cols, scale, unit, title, bars, caption}. Values are reused buffers: copy what is to be kept.

import { affinityRow, contributionNorms, largest, meanPixels, pickHead, pixelContributions, toPixels } from "./affinity.js";
import { bilinearMean } from "./bilinear.js";
import { queryAt, sourceAt } from "./geometry.js";
import { UNKNOWN } from "./labels.js";
import { alike, cellReaders, readers } from "./readers.js";
import { UNIFORM, format, largestOf, linear, relative, smallestOf } from "./scale.js";
import { rootTable } from "./stage.js";

export const READINGS = [
  { name: "reads", icon: "→", hint: "where this pixel gets its information" },
  { name: "read by", icon: "←", hint: "which pixels read this source" },
  { name: "made of", icon: "∴", hint: "which pixels a prototype averages" },
  { name: "reads alike", icon: "≈", hint: "which pixels read the same things" },
];

/** What this stage cannot show under these settings: setting → reason. */
export function refusals(stage, view) {
  const out = {};
  if (!stage.prototypes) out["made of"] = `needs prototypes; the sources of ${stage.name} are ${stage.sources}`;
  const { reading } = view;
  if (reading === "made of" || reading === "reads alike") {
    out.contribution = `“${reading}” is not about one pixel's update`;
    out.relative = `“${reading}” has no average over the image`;
  } else if (reading === "reads" && view.measure === "contribution") {
    out.relative = "the average contribution is not at hand; choose weight";
  }
  if (reading === "reads alike") out.uniform = "a similarity lies between 0 and 1";
  if (view.relative === "relative" && !out.relative) out.linear = out.uniform = "a ratio has its own logarithmic scale";
  return out;
}

/** The settings that are in force: refused ones fall back. */
export function inForce(stage, view) {
  const seen = { ...view };
  if (seen.reading === "made of" && !stage.prototypes) seen.reading = "reads";
  const no = refusals(stage, seen);
  if (no.contribution) seen.measure = "weight";
  const still = refusals(stage, seen);
  if (still.relative) seen.relative = "raw";
  if (still.uniform && seen.relative === "raw") seen.scale = "linear";
  if (seen.head !== "mean" && !(seen.head < stage.n)) seen.head = "mean";
  if (seen.source !== null && !(stage.prototypes && seen.source < stage.m)) seen.source = null;
  return seen;
}

const buffers = new WeakMap();

function buffersOf(stage) {
  if (!buffers.has(stage)) {
    const { n, m, s, Q } = stage;
    buffers.set(stage, {
      rows: new Float32Array(n * m), weights: new Float32Array(m), bars: new Float32Array(m), pixels: new Float32Array(s),
      drawn: new Float32Array(s), queries: new Float32Array(Q), average: new Map(),
    });
  }
  return buffers.get(stage);
}

/** Affinities of the probe's own query, per head and reduced: what the numbers beside the picture are made from. */
export function ownRow(stage, view, pixel, context) {
  const own = buffersOf(stage);
  const query = queryAt(stage, pixel, context.original);
  affinityRow(stage, query, own.rows);
  pickHead(own.rows, stage.n, stage.m, view.head, own.weights);
  return { query, rows: own.rows, weights: own.weights };
}

/** Which source a reading is about: {index, name, cell} — a prototype, or a cell under the probe. */
export function sourceOf(stage, view, pixel, context) {
  if (stage.prototypes && view.source !== null) {
    return { index: view.source, name: context.classes[view.source]?.name ?? `source ${view.source}`, cell: false };
  }
  if (view.reading === "made of") {
    const index = Math.min(context.labelAt(pixel), stage.m - 1);
    return { index, name: context.classes[index]?.name ?? `source ${index}`, cell: false };
  }
  const index = sourceAt(stage, pixel, context.original);
  return { index, name: cellName(stage, index), cell: true };
}

export const cellName = (stage, index) => `cell (${Math.floor(index / stage.x)}, ${index % stage.x})`;

/** The reading of a stage at a pixel (of the original). `view` must be in force; `own` comes from ownRow. */
export function read(stage, view, pixel, own, context) {
  if (view.reading === "reads") return reads(stage, view, own, context);
  if (view.reading === "read by") return readBy(stage, view, pixel, context);
  if (view.reading === "made of") return madeOf(stage, view, pixel, context);
  return readsAlike(stage, view, own, context);
}

function reads(stage, view, own, context) {
  const { pixels, drawn, bars } = buffersOf(stage);
  const contribution = view.measure === "contribution";
  toPixels(stage, own.weights, pixels);
  let values = pixels;
  if (contribution) values = pixelContributions(stage, own.rows, view.head, drawn);
  const perSource = contribution ? contributionNorms(stage.gram, own.rows, stage.n, stage.m, view.head, bars) : own.weights;
  const list = stage.prototypes ? prototypeBars(stage, perSource, view, context) : cellBars(stage, values, view, context);
  const sum = format(1 - stage.mu);
  const on = `${stage.y}×${stage.x} source cells`;
  let scale = linear(0, largestOf(values));
  // No cell of the image adds the memory's part; the bars, over prototypes, have it.
  const norm = `‖contribution‖${part(stage)}`;
  let unit = contribution ? `${norm} of each of ${on}` : `weight; ${on} sum to ${sum}`;
  if (view.relative === "relative") {
    values = ratio(values, average(stage, view.head), drawn);
    scale = relative(largestOf(values));
    unit = `weight ÷ its average over the image, ${on}`;
  } else if (view.scale === "uniform") {
    values = times(values, contribution ? stage.s / total(values) : stage.s, drawn);
    scale = UNIFORM;
    unit = contribution ? `${norm} ÷ its mean over ${on}` : `weight × ${stage.s}: times uniform over ${on}`;
  }
  const title = `reads most · ${contribution ? "‖contribution‖" : "weight"}${barUnit(view, stage.m)}`;
  return { values, rows: stage.y, cols: stage.x, scale, unit, title, bars: list, mass: mass(stage, pixels, context) };
}

const part = (stage) => (stage.prototypes && stage.mu ? " (image part)" : "");

const barUnit = (view, m) =>
  view.relative === "relative" ? " ÷ average" : view.scale === "uniform" && view.measure === "weight" ? ` × ${m}` : "";

function readBy(stage, view, pixel, context) {
  const { queries } = buffersOf(stage);
  const source = sourceOf(stage, view, pixel, context);
  const options = { head: view.head, measure: view.measure };
  let values = (source.cell ? cellReaders : readers)(stage, source.index, options, queries);
  const contribution = view.measure === "contribution";
  const count = source.cell ? stage.s : stage.m;
  let scale = linear(0, largestOf(values));
  let unit = contribution ? `‖contribution‖${source.cell ? part(stage) : ""} of ${source.name} to each pixel` : `weight that each pixel gives to ${source.name}`;
  if (view.relative === "relative") {
    values = times(values, values.length / total(values), values);
    scale = relative(largestOf(values));
    unit = `${unit} ÷ its average over the image`;
  } else if (view.scale === "uniform") {
    values = times(values, contribution ? values.length / total(values) : count, values);
    scale = UNIFORM;
    unit = contribution ? `${unit} ÷ its mean` : `weight × ${count} that each pixel gives to ${source.name}`;
  }
  const bars = categoryBars(values, context.queryLabels(stage), context, "mean", scale);
  const title = `${source.name} is read by · mean over each category`;
  return { values, rows: stage.h, cols: stage.w, scale, unit, title, bars, source };
}

function madeOf(stage, view, pixel, context) {
  const { drawn } = buffersOf(stage);
  const source = sourceOf(stage, view, pixel, context);
  let values = stage.assignment.subarray(source.index * stage.s, (source.index + 1) * stage.s);
  const bars = categoryBars(values, context.cellLabels(stage), context, "sum", null);
  let scale = linear(0, largestOf(values));
  let unit = `assignment of the prototype ${source.name}; ${stage.y}×${stage.x} source cells sum to 1`;
  if (view.scale === "uniform") {
    values = times(values, stage.s, drawn);
    scale = UNIFORM;
    unit = `assignment × ${stage.s}: times uniform over ${stage.y}×${stage.x} source cells`;
  }
  const title = `the prototype ${source.name} is made of · share`;
  return { values, rows: stage.y, cols: stage.x, scale, unit, title, bars, source };
}

function readsAlike(stage, view, own, context) {
  const remote = context.alike;
  const { queries } = buffersOf(stage);
  const values = remote ? remote.values : alike(stage, own.query, view.head, queries);
  const [rows, cols] = remote ? stage.grid : [stage.h, stage.w];
  const scale = linear(Math.max(0, smallestOf(values)), 1);
  const labels = remote && stage.pooled > 1 ? null : context.queryLabels(stage);
  const bars = labels ? categoryBars(values, labels, context, "mean", scale) : [];
  return {
    values, rows, cols, scale, bars,
    unit: "similarity of affinity profiles (Bhattacharyya), 0 to 1",
    title: "reads alike · mean over each category",
  };
}

function prototypeBars(stage, values, view, context) {
  const best = largest(values, Math.min(8, stage.m));
  const compared = view.relative === "relative";
  const mean = compared ? pickHead(stage.mean, stage.n, stage.m, view.head, new Float32Array(stage.m)) : null;
  const uniform = !compared && view.scale === "uniform" && view.measure === "weight";
  const order = compared ? largest(Float32Array.from(values, (value, j) => value / mean[j]), best.length) : best;
  const shown = Array.from(order, (j) => (compared ? values[j] / mean[j] : uniform ? values[j] * stage.m : values[j]));
  return shown.map((value, i) => ({
    label: context.classes[order[i]]?.name ?? `source ${order[i]}`,
    colour: context.classes[order[i]]?.colour,
    absent: context.absent(order[i]),
    value, fraction: value / (shown[0] || 1), times: compared || uniform, source: order[i],
  }));
}

function cellBars(stage, values, view, context) {
  const compared = view.relative === "relative";
  const mean = compared ? average(stage, view.head) : null;
  const order = largest(values, stage.bilinear ? 4 : 8);
  const labels = context.cellLabels(stage);
  const uniform = !compared && view.scale === "uniform" && view.measure === "weight";
  const shown = Array.from(order, (j) => (compared ? values[j] / mean[j] : uniform ? values[j] * stage.s : values[j]));
  const top = shown.reduce((a, b) => Math.max(a, b), 0) || 1;
  return shown.map((value, i) => ({
    label: `${cellName(stage, order[i])} · ${labels[order[i]] === UNKNOWN ? "mixed" : context.classes[labels[order[i]]]?.name}`,
    colour: context.classes[labels[order[i]]]?.colour,
    value, fraction: value / top, times: compared || uniform, cell: order[i],
  }));
}

function categoryBars(values, labels, context, how, scale) {
  const k = context.classes.length;
  const sums = new Float64Array(k + 1);
  const counts = new Uint32Array(k + 1);
  for (let i = 0; i < values.length; i++) {
    const at = labels[i] < k ? labels[i] : k;
    sums[at] += values[i];
    counts[at]++;
  }
  const found = how === "mean" ? sums.map((sum, j) => (counts[j] ? sum / counts[j] : 0)) : sums;
  const order = largest(found, Math.min(8, k + 1)).filter((j) => counts[j] > 0);
  const bottom = scale && !scale.log ? scale.bottom : 0;
  const top = found[order[0]] - bottom || 1;
  return Array.from(order, (j) => ({
    label: j === k ? "mixed cells" : context.classes[j].name,
    colour: context.classes[j]?.colour,
    value: found[j], fraction: (found[j] - bottom) / top, times: Boolean(scale?.log), source: j < k ? j : undefined,
  }));
}

/** Weight on the cells of each category (majority of the prediction): Float64Array (k + 1), the last for mixed cells. */
function mass(stage, pixels, context) {
  const labels = context.cellLabels(stage);
  const k = context.classes.length;
  const sums = new Float64Array(k + 1);
  for (let i = 0; i < pixels.length; i++) sums[labels[i] < k ? labels[i] : k] += pixels[i];
  return sums;
}

function average(stage, head) {
  const { average: kept } = buffersOf(stage);
  if (!kept.has(head)) {
    const out = new Float32Array(stage.s);
    if (stage.bilinear) bilinearMean(stage, out);
    else {
      if (!stage.mean) rootTable(stage);
      meanPixels(stage, head, out);
    }
    kept.set(head, out);
  }
  return kept.get(head);
}

function ratio(values, below, out) {
  for (let i = 0; i < values.length; i++) out[i] = below[i] > 0 ? values[i] / below[i] : 0;
  return out;
}

function times(values, factor, out) {
  for (let i = 0; i < values.length; i++) out[i] = values[i] * factor;
  return out;
}

function total(values) {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum || 1;
}
