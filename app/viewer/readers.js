// Readings of the whole query grid: who reads a source, and who reads alike.

import { contributionNorms } from "./affinity.js";
import { bilinearAlike, bilinearReaders } from "./bilinear.js";
import { rootTable } from "./stage.js";
import { decodeHalf } from "./tensors.js";

/** Affinity of every query to source j, per head: out (n, Q). Needs the extras where the stage is not light. */
function columns(stage, j, out) {
  const { n, m, d, Q, key, bias, query, normaliser } = stage;
  const table = rootTable(stage);
  if (table) {
    for (let at = j, i = 0; i < n * Q; i++, at += m) out[i] = table[at] * table[at];
    return out;
  }
  const vector = stage.scratch.query;
  for (let head = 0; head < n; head++) {
    const source = (head * m + j) * d;
    for (let q = 0; q < Q; q++) {
      decodeHalf(query, (head * Q + q) * d, d, vector);
      let score = bias[head * m + j];
      for (let c = 0; c < d; c++) score += vector[c] * key[source + c];
      out[head * Q + q] = Math.exp(score - normaliser[head * Q + q]);
    }
  }
  return out;
}

/** Per-head affinity of every query to the source cell i, followed through the assignment: out (n, Q), without (1 − μ). */
function cellColumns(stage, i, out) {
  const { n, m, s, Q, assignment } = stage;
  const table = rootTable(stage);
  if (!table) {
    // Too many categories × queries for a table: add the columns of the prototypes up.
    const one = new Float32Array(n * Q);
    out.fill(0);
    for (let j = 0; j < m; j++) {
      columns(stage, j, one);
      const weight = assignment[j * s + i];
      for (let at = 0; at < n * Q; at++) out[at] += weight * one[at];
    }
    return out;
  }
  const weights = Float32Array.from({ length: m }, (_, j) => assignment[j * s + i]);
  for (let at = 0, row = 0; row < n * Q; row++) {
    let sum = 0;
    for (let j = 0; j < m; j++, at++) sum += table[at] * table[at] * weights[j];
    out[row] = sum;
  }
  return out;
}

function reduce(stage, rows, gram, { head, measure }, factor, out) {
  const { n, Q } = stage;
  if (measure === "contribution") {
    // One source, many queries: the same Gram matrix everywhere.
    const row = new Float32Array(n);
    const norm = new Float32Array(1);
    for (let q = 0; q < Q; q++) {
      for (let one = 0; one < n; one++) row[one] = rows[one * Q + q];
      out[q] = contributionNorms(gram, row, n, 1, head, norm)[0];
    }
    return out;
  }
  for (let q = 0; q < Q; q++) {
    if (head !== "mean") out[q] = factor * rows[head * Q + q];
    else {
      let sum = 0;
      for (let at = q; at < n * Q; at += Q) sum += rows[at];
      out[q] = (factor * sum) / n;
    }
  }
  return out;
}

const buffers = new WeakMap();

function buffer(stage) {
  if (!buffers.has(stage)) buffers.set(stage, new Float32Array(stage.n * stage.Q));
  return buffers.get(stage);
}

/** How much every query reads source j (`stage.readers`): out (Q). */
export function readers(stage, j, options, out) {
  const rows = stage.bilinear ? bilinearReaders(stage, j, buffer(stage)) : columns(stage, j, buffer(stage));
  const size = stage.n * stage.n;
  return reduce(stage, rows, stage.gram.subarray(j * size, (j + 1) * size), options, 1, out);
}

/** How much every query reads the source cell i (`stage.pixel_readers`): out (Q). */
export function cellReaders(stage, i, options, out) {
  if (!stage.prototypes) return readers(stage, i, options, out);
  const rows = cellColumns(stage, i, buffer(stage));
  const size = stage.n * stage.n;
  return reduce(stage, rows, stage.pixelGram.subarray(i * size, (i + 1) * size), options, 1 - stage.mu, out);
}

/** Can `alike` be computed here? Otherwise the engine is asked. */
export const alikeHere = (stage) => stage.bilinear || stage.light;

/** Bhattacharyya coefficient of every query's affinity profile with that of query q, mean over heads or one head: out (Q). */
export function alike(stage, q, head, out) {
  if (stage.bilinear) return bilinearAlike(stage, q, out);
  const { n, m, Q } = stage;
  const table = rootTable(stage);
  const heads = head === "mean" ? [...Array(n).keys()] : [head];
  out.fill(0);
  for (const one of heads) {
    const own = table.subarray((one * Q + q) * m, (one * Q + q + 1) * m);
    for (let r = 0, at = one * Q * m; r < Q; r++) {
      let sum = 0;
      for (let j = 0; j < m; j++) sum += own[j] * table[at++];
      out[r] += sum / heads.length;
    }
  }
  return out;
}
