// The mathematics of a stage in the browser: pure functions over typed arrays; callers pass the buffers.
//
//   affinity        A_n = softmax over m of (query_n · key_nj + bias_nj)      max-subtracted
//   pixel affinity  weights (pixels, bilinear) or (1 − μ) · weights · assignment (prototypes)
//   contribution    ‖Σ_n A_nj W_oⁿ v_nj‖ = √(A_jᵀ G_j A_j)                     G from engine/wire.py
//   entropy         −Σ A ln A / ln m;   disagreement  [H(mean of heads) − mean of H] / ln n
// All of them agree with engine/stage.py and engine/affinity.py; tests hold the pairs together.

import { bilinearRow } from "./bilinear.js";
import { decodeHalf } from "./tensors.js";

/** Affinity of query q to every source, per head: out (n, m), rows sum to 1. */
export function affinityRow(stage, q, out) {
  if (stage.bilinear) return bilinearRow(stage, q, out);
  const { n, m, d, Q, key, bias, query } = stage;
  const vector = stage.scratch.query;
  const whole = d - (d % 4);
  for (let head = 0; head < n; head++) {
    decodeHalf(query, (head * Q + q) * d, d, vector);
    const first = head * m;
    let max = -Infinity;
    for (let j = 0, at = first * d; j < m; j++, at += d) {
      let score = bias[first + j];
      let c = 0;
      for (; c < whole; c += 4) {
        score +=
          vector[c] * key[at + c] + vector[c + 1] * key[at + c + 1] +
          vector[c + 2] * key[at + c + 2] + vector[c + 3] * key[at + c + 3];
      }
      for (; c < d; c++) score += vector[c] * key[at + c];
      out[first + j] = score;
      if (score > max) max = score;
    }
    let sum = 0;
    for (let j = first; j < first + m; j++) sum += out[j] = Math.exp(out[j] - max);
    for (let j = first; j < first + m; j++) out[j] /= sum;
  }
  return out;
}

/** Mean over heads, or one head, of per-head rows (n, size) → out (size). */
export function pickHead(rows, n, size, head, out) {
  if (head !== "mean") {
    out.set(rows.subarray(head * size, (head + 1) * size));
    return out;
  }
  for (let i = 0; i < size; i++) {
    let sum = 0;
    for (let r = i; r < n * size; r += size) sum += rows[r];
    out[i] = sum / n;
  }
  return out;
}

/** Weights over sources (m) → over source cells (s): followed back through the assignment where there is one. */
export function toPixels(stage, weights, out, start = 0) {
  if (!stage.prototypes) {
    out.set(weights, start);
    return out;
  }
  const { m, s, assignment, mu } = stage;
  for (let j = 0; j < m; j++) {
    const weight = (1 - mu) * weights[j];
    const from = j * s;
    if (j === 0) for (let i = 0; i < s; i++) out[start + i] = weight * assignment[i];
    else for (let i = 0; i < s; i++) out[start + i] += weight * assignment[from + i];
  }
  return out;
}

/** Norm of what each of `count` sources adds: rows (n, count) of affinities, gram (count, n, n) → out (count). */
export function contributionNorms(gram, rows, n, count, head, out) {
  if (head !== "mean") {
    for (let j = 0; j < count; j++) {
      out[j] = rows[head * count + j] * Math.sqrt(Math.max(0, gram[j * n * n + head * n + head]));
    }
    return out;
  }
  for (let j = 0; j < count; j++) {
    let square = 0;
    for (let a = 0, at = j * n * n; a < n; a++, at += n) {
      let inner = 0;
      for (let b = 0; b < n; b++) inner += gram[at + b] * rows[b * count + j];
      square += rows[a * count + j] * inner;
    }
    out[j] = Math.sqrt(Math.max(0, square));
  }
  return out;
}

/** Norm of what each source cell adds at a query whose affinities are `rows` (n, m): out (s). The image's part only. */
export function pixelContributions(stage, rows, head, out) {
  const { n, m, s } = stage;
  if (!stage.prototypes) return contributionNorms(stage.gram, rows, n, m, head, out);
  const spread = stage.scratch.pixels;
  for (let one = 0; one < n; one++) toPixels(stage, rows.subarray(one * m, (one + 1) * m), spread, one * s);
  contributionNorms(stage.pixelGram, spread, n, s, head, out);
  // toPixels has (1 − μ) in it, and so has the Gram matrix.
  // At μ = 1 nothing comes from the image, and out is zero already.
  if (stage.mu < 1) for (let i = 0; i < s; i++) out[i] /= 1 - stage.mu;
  return out;
}

const nats = (rows, from, to) => {
  let sum = 0;
  for (let i = from; i < to; i++) if (rows[i] > 0) sum -= rows[i] * Math.log(rows[i]);
  return sum;
};

/** Entropy of a distribution over its ln m: 0 one source, 1 all alike. */
export const entropy = (weights) => nats(weights, 0, weights.length) / Math.log(weights.length);

/** Jensen–Shannon divergence of the heads over ln n: 0 alike, 1 disjoint; null for one head. */
export function disagreement(rows, mean, n) {
  if (n < 2) return null;
  let heads = 0;
  for (let head = 0; head < n; head++) heads += nats(rows, head * mean.length, (head + 1) * mean.length);
  return Math.max(0, (nats(mean, 0, mean.length) - heads / n) / Math.log(n));
}

/** The image's average affinity, mean over heads or one head, followed back to source cells: out (s). */
export function meanPixels(stage, head, out) {
  const weights = pickHead(stage.mean, stage.n, stage.m, head, new Float32Array(stage.m));
  return toPixels(stage, weights, out);
}

/** The `count` largest of `values`, as indices, largest first. `chosen` is reused. */
export function largest(values, count, chosen = new Int32Array(count)) {
  let held = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (held === count && !(value > values[chosen[held - 1]])) continue;
    let at = held < count ? held++ : held - 1;
    while (at > 0 && values[chosen[at - 1]] < value) {
      chosen[at] = chosen[at - 1];
      at--;
    }
    chosen[at] = i;
  }
  return chosen.subarray(0, held);
}
