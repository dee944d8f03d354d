// What the browser holds of a run before and after edits, and the mathematics on both: pure functions over typed arrays.
//
//   logits         minus their mean over categories (engine/wire.py, logit_tensors); softmax does not change by it
//   maps           of one category, its probability or relative logit: before, after, after − before on one grid
//   changed        pixels whose category is another one afterwards

import { largestOf, smallestOf } from "./scale.js";
import { decodeHalf } from "./tensors.js";

const KEPT = 12; // maps that are kept decoded

/** Parsed tensors → logits. They stay half: a category or a cell is decoded when asked for. */
export function prepareLogits({ about, tensors, size }) {
  const [rows, cols] = about.sent_grid;
  return {
    k: about.classes, rows, cols, size: rows * cols, pooled: about.pooled, full: about.grid,
    bits: tensors.logits.data, normaliser: null, maps: new Map(), bytes: size,
  };
}

/** log Σ exp over categories of every cell, computed once: (rows · cols). */
function normaliser(logits) {
  if (logits.normaliser) return logits.normaliser;
  const { k, size, bits } = logits;
  const max = new Float32Array(size).fill(-Infinity);
  const sum = new Float32Array(size);
  const plane = new Float32Array(size);
  for (let c = 0; c < k; c++) {
    decodeHalf(bits, c * size, size, plane);
    for (let i = 0; i < size; i++) {
      if (plane[i] > max[i]) {
        sum[i] = sum[i] * Math.exp(max[i] - plane[i]) + 1;
        max[i] = plane[i];
      } else sum[i] += Math.exp(plane[i] - max[i]);
    }
  }
  logits.normaliser = sum.map((value, i) => max[i] + Math.log(value));
  logits.bytes += logits.normaliser.byteLength;
  return logits.normaliser;
}

/** A category's map: "probability" or "logit". */
function categoryMap(logits, category, what) {
  const key = `${what} ${category}`;
  const known = logits.maps.get(key);
  if (known) return known;
  if (logits.maps.size >= KEPT) logits.maps.delete(logits.maps.keys().next().value);
  const out = decodeHalf(logits.bits, category * logits.size, logits.size);
  if (what === "probability") {
    const over = normaliser(logits);
    for (let i = 0; i < out.length; i++) out[i] = Math.exp(out[i] - over[i]);
  }
  logits.maps.set(key, out);
  return out;
}

/** Both maps of a category, their difference, and the ends of their scales. */
export function categoryMaps(before, after, category, what) {
  const maps = [before, after].map((logits) => categoryMap(logits, category, what));
  const difference = minus(maps[1], maps[0]);
  return {
    maps, difference,
    low: what === "probability" ? 0 : Math.min(...maps.map(smallestOf)),
    high: what === "probability" ? 1 : Math.max(...maps.map(largestOf)),
    reach: reachOf(difference),
  };
}

/** a − b, into `out` where given. */
export function minus(a, b, out = new Float32Array(a.length)) {
  for (let i = 0; i < a.length; i++) out[i] = a[i] - b[i];
  return out;
}

export const reachOf = (values) => Math.max(largestOf(values), -smallestOf(values));

/** Softmax over the categories at one cell: out (k). */
export function probabilitiesAt(logits, cell, out) {
  const over = normaliser(logits)[cell];
  const one = new Float32Array(1);
  for (let c = 0; c < logits.k; c++) out[c] = Math.exp(decodeHalf(logits.bits, c * logits.size + cell, 1, one)[0] - over);
  return out;
}

/** Pixels whose category differs: {mask, share}. */
export function changed(before, after) {
  const mask = new Uint8Array(before.length);
  let count = 0;
  for (let i = 0; i < mask.length; i++) if (before[i] !== after[i]) count += mask[i] = 1;
  return { mask, share: count / mask.length };
}

/** Categories of either map, the largest first: [{category, before, after}] as shares of the image. */
export function areas(before, after, k) {
  const counts = [before, after].map((labels) => {
    const found = new Float64Array(k);
    for (let i = 0; i < labels.length; i++) found[labels[i]]++;
    return found.map((value) => value / labels.length);
  });
  return Array.from({ length: k }, (_, category) => ({ category, before: counts[0][category], after: counts[1][category] }))
    .filter((one) => one.before || one.after)
    .sort((a, b) => Math.max(b.before, b.after) - Math.max(a.before, a.after));
}
