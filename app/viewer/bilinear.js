// Bilinear upsampling read as an affinity: four neighbours, weights from geometry alone (align_corners=False, as torch).

/** Output i of `size` reads inputs i0 and i1 of `inputs` with weights 1 − t and t. Single precision, as the engine's. */
export function taps(i, size, inputs) {
  const scale = Math.fround(inputs / size);
  const position = Math.max(Math.fround(Math.fround((i + 0.5) * scale) - 0.5), 0);
  const i0 = Math.min(Math.floor(position), inputs - 1);
  return { i0, i1: Math.min(i0 + 1, inputs - 1), t: position - i0 };
}

/** One axis as weights over inputs. */
export function axisWeights(i, size, inputs) {
  const weights = new Float32Array(inputs);
  const { i0, i1, t } = taps(i, size, inputs);
  weights[i0] += 1 - t;
  weights[i1] += t;
  return weights;
}

/** The affinity of query q: out (1, m), zero but for at most four. */
export function bilinearRow(stage, q, out) {
  const { h, w, y, x } = stage;
  const r = taps(Math.floor(q / w), h, y);
  const c = taps(q % w, w, x);
  out.fill(0);
  out[r.i0 * x + c.i0] += (1 - r.t) * (1 - c.t);
  out[r.i0 * x + c.i1] += (1 - r.t) * c.t;
  out[r.i1 * x + c.i0] += r.t * (1 - c.t);
  out[r.i1 * x + c.i1] += r.t * c.t;
  return out;
}

/** Every query's weight on the source cell j: out (Q). */
export function bilinearReaders(stage, j, out) {
  const { h, w, y, x } = stage;
  const rows = Float32Array.from({ length: h }, (_, i) => axisWeights(i, h, y)[Math.floor(j / x)]);
  const cols = Float32Array.from({ length: w }, (_, i) => axisWeights(i, w, x)[j % x]);
  return outer(rows, cols, out);
}

/** Similarity of every query's four neighbours to those of query q (Bhattacharyya, which is a product of the axes): out (Q). */
export function bilinearAlike(stage, q, out) {
  const { h, w, y, x } = stage;
  return outer(axisAlike(Math.floor(q / w), h, y), axisAlike(q % w, w, x), out);
}

function axisAlike(at, size, inputs) {
  const own = axisWeights(at, size, inputs);
  return Float32Array.from({ length: size }, (_, i) => {
    const other = axisWeights(i, size, inputs);
    let sum = 0;
    for (let j = 0; j < inputs; j++) sum += Math.sqrt(own[j] * other[j]);
    return sum;
  });
}

/** The image's average over all queries: out (m). */
export function bilinearMean(stage, out) {
  const { h, w, y, x } = stage;
  return outer(axisMean(h, y), axisMean(w, x), out);
}

function axisMean(size, inputs) {
  const mean = new Float32Array(inputs);
  for (let i = 0; i < size; i++) axisWeights(i, size, inputs).forEach((weight, j) => (mean[j] += weight / size));
  return mean;
}

function outer(rows, cols, out) {
  for (let r = 0, at = 0; r < rows.length; r++) for (let c = 0; c < cols.length; c++) out[at++] = rows[r] * cols[c];
  return out;
}
