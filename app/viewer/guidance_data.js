// What the browser holds of a guided decoder's two branches, and the mathematics on it: pure functions over typed arrays.
//
//   maps of a category   guide (y, x) · upsampler (h, w) · difference (h, w) = upsampler − guide resized bilinearly
//   probabilities        softmax over categories at one cell of one branch's own grid: nothing is interpolated
//   context              the CAE's global affinity of one guide cell, × uniform: softmax(q·kᵀ + bias) · s
// The wire (engine/wire.py, guidance_tensors) sends logits minus their mean over categories. Agrees with engine/branches.py and
// engine/guidance.py; tests hold the pairs together.

import { taps } from "./bilinear.js";
import { largestOf, smallestOf } from "./scale.js";
import { decodeHalf, single } from "./tensors.js";

const KEPT = 12; // categories whose maps are kept decoded

/** Parsed tensors → branches. Logits stay half: a category or a cell is decoded when asked for. */
export function prepareGuidance({ about, tensors, size }) {
  const [y, x] = about.guide_grid;
  const [h, w] = about.sent_grid;
  const context = about.context
    ? { query: single(tensors.context_query), key: single(tensors.context_key), bias: single(tensors.context_bias) }
    : null;
  return {
    k: about.classes, pooled: about.pooled,
    guide: { bits: tensors.guide.data, grid: [y, x], size: y * x },
    upsampler: { bits: tensors.upsampler.data, grid: [h, w], size: h * w, full: about.upsampler_grid },
    labels: tensors.guide_labels.data,
    context,
    d: context ? tensors.context_query.shape[1] : 0,
    maps: new Map(),
    bytes: size + (context ? 2 * context.query.byteLength : 0),
  };
}

/** The three maps of a category, and the ends of their scales. */
export function categoryMaps(branches, category) {
  const { maps, guide, upsampler } = branches;
  if (maps.has(category)) return maps.get(category);
  if (maps.size >= KEPT) maps.delete(maps.keys().next().value);
  const coarse = decodeHalf(guide.bits, category * guide.size, guide.size);
  const fine = decodeHalf(upsampler.bits, category * upsampler.size, upsampler.size);
  const difference = resized(coarse, guide.grid, upsampler.grid);
  for (let i = 0; i < fine.length; i++) difference[i] = fine[i] - difference[i];
  const found = {
    guide: coarse, upsampler: fine, difference,
    low: Math.min(smallestOf(coarse), smallestOf(fine)),
    high: Math.max(largestOf(coarse), largestOf(fine)),
    reach: Math.max(largestOf(difference), -smallestOf(difference)),
  };
  maps.set(category, found);
  return found;
}

/** A map on another grid, as torch's bilinear (align_corners=False). */
export function resized(values, [y, x], [h, w]) {
  const out = new Float32Array(h * w);
  const cols = Array.from({ length: w }, (_, c) => taps(c, w, x));
  for (let r = 0, at = 0; r < h; r++) {
    const row = taps(r, h, y);
    const a = row.i0 * x;
    const b = row.i1 * x;
    for (let c = 0; c < w; c++) {
      const { i0, i1, t } = cols[c];
      const top = values[a + i0] + t * (values[a + i1] - values[a + i0]);
      const bottom = values[b + i0] + t * (values[b + i1] - values[b + i0]);
      out[at++] = top + row.t * (bottom - top);
    }
  }
  return out;
}

/** Softmax over the k categories at one cell of a branch: out (k). */
export function probabilities(branches, which, cell, out) {
  const { bits, size } = branches[which];
  const { k } = branches;
  const one = new Float32Array(1);
  let max = -Infinity;
  for (let c = 0; c < k; c++) {
    out[c] = decodeHalf(bits, c * size + cell, 1, one)[0];
    if (out[c] > max) max = out[c];
  }
  let sum = 0;
  for (let c = 0; c < k; c++) sum += out[c] = Math.exp(out[c] - max);
  for (let c = 0; c < k; c++) out[c] /= sum;
  return out;
}

/** What the guide's cell reads of every cell, times uniform: out (s), mean 1. */
export function contextRow({ context, d, guide }, cell, out) {
  const s = guide.size;
  const { query, key, bias } = context;
  let max = -Infinity;
  for (let j = 0; j < s; j++) {
    let score = bias[j];
    for (let c = 0; c < d; c++) score += query[cell * d + c] * key[j * d + c];
    out[j] = score;
    if (score > max) max = score;
  }
  let sum = 0;
  for (let j = 0; j < s; j++) sum += out[j] = Math.exp(out[j] - max);
  for (let j = 0; j < s; j++) out[j] *= s / sum;
  return out;
}

/** Entropy of a row of `contextRow` over ln s: 0 one cell, 1 all alike. */
export function contextEntropy(row) {
  const s = row.length;
  let sum = 0;
  for (let j = 0; j < s; j++) if (row[j] > 0) sum -= (row[j] / s) * Math.log(row[j] / s);
  return sum / Math.log(s);
}

export const OUTCOMES = [
  { name: "guide alone right", pattern: "slash" },
  { name: "upsampler alone right", pattern: "backslash" },
  { name: "both wrong", pattern: "cross" },
];

/** Masks of OUTCOMES over label maps of one size, and how many pixels have a known truth. */
export function outcomes(guide, upsampler, truth, unknown = 255) {
  const found = OUTCOMES.map((one) => ({ ...one, mask: new Uint8Array(truth.length), count: 0 }));
  let known = 0;
  for (let i = 0; i < truth.length; i++) {
    if (truth[i] === unknown) continue;
    known++;
    const g = guide[i] === truth[i];
    const u = upsampler[i] === truth[i];
    if (g && u) continue;
    const one = found[g ? 0 : u ? 1 : 2];
    one.mask[i] = 1;
    one.count++;
  }
  return { found, known };
}
