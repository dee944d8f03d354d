// One stage as the browser holds it: typed arrays and sizes, with what is costly to make made when first asked for.
//
// Axes as in engine/stage.py: n heads, d channels a head, m sources, k categories, Q queries (h·w of the query grid, pooled
// or not), s source cells (y·x).

import { affinityRow } from "./affinity.js";
import { decodeHalf, single } from "./tensors.js";

const TABLE_BYTES = 48 * 2 ** 20; // above this a stage's whole affinity is not kept in the browser

/** Parsed tensors (engine/wire.py, `stage_tensors`) → stage. */
export function prepareStage({ about, tensors, size }) {
  const [h, w] = about.query_grid;
  const [y, x] = about.source_grid;
  const { heads: n, count: m } = about;
  const data = (name) => (tensors[name] ? single(tensors[name]) : null);
  const stage = {
    name: about.name,
    sources: about.sources,
    pooled: about.pooled,
    mu: about.memory_share,
    grid: about.grid, // the engine's own (h, w)
    h, w, Q: h * w,
    y, x, s: y * x,
    n, m,
    d: tensors.key ? tensors.key.shape[2] : 0,
    query: tensors.query?.data ?? null, // half-precision bits, decoded row by row
    key: data("key"),
    bias: data("bias"),
    gram: data("gram"),
    pixelGram: data("pixel_gram"),
    mean: data("mean"), // (n, m): of prototypes at once, of pixels with the extras
    normaliser: null, // (n, Q), with the extras
    updateShare: data("update_share"),
    assignment: null, // (k, s)
    table: null, // (n, Q, m) square roots of the affinity
  };
  stage.bilinear = stage.sources === "bilinear";
  stage.prototypes = Boolean(tensors.assignment);
  if (stage.prototypes) stage.assignment = assignments(tensors, m, stage.s);
  stage.light = !stage.bilinear && 4 * n * stage.Q * m <= TABLE_BYTES;
  stage.scratch = { query: new Float32Array(stage.d), row: new Float32Array(n * m), pixels: new Float32Array(n * stage.s) };
  // What is not half stays a view of the file, which is kept whole; what is half is held a second time, decoded.
  const decoded = [stage.key, stage.updateShare, stage.assignment];
  stage.bytes = size + decoded.reduce((sum, array) => sum + (array?.byteLength ?? 0), 0);
  return stage;
}

function assignments(tensors, k, s) {
  const out = decodeHalf(tensors.assignment.data);
  const scale = tensors.assignment_scale.data;
  for (let j = 0; j < k; j++) for (let i = j * s; i < (j + 1) * s; i++) out[i] *= scale[j];
  return out;
}

/** The extras (engine/wire.py, `extra_tensors`) into the stage. */
export function addExtras(stage, { tensors }) {
  stage.normaliser = single(tensors.normaliser);
  stage.mean ??= single(tensors.mean);
}

/** √affinity of every query to every source, (n, Q, m); null for stages that are too large for it. */
export function rootTable(stage) {
  if (stage.table || !stage.light) return stage.table;
  const { n, m, Q } = stage;
  const table = new Float32Array(n * Q * m);
  const row = new Float32Array(n * m);
  const mean = stage.mean ? null : new Float64Array(n * m);
  for (let q = 0; q < Q; q++) {
    affinityRow(stage, q, row);
    for (let head = 0; head < n; head++) {
      const to = (head * Q + q) * m;
      for (let j = 0; j < m; j++) {
        const value = row[head * m + j];
        table[to + j] = Math.sqrt(value);
        if (mean) mean[head * m + j] += value;
      }
    }
  }
  if (mean) stage.mean = Float32Array.from(mean, (sum) => sum / Q);
  stage.table = table;
  stage.bytes += table.byteLength;
  return table;
}

/** Does a reading of the whole grid have to wait for the extras? */
export const needsExtras = (stage) => !stage.bilinear && !stage.light && !stage.normaliser;
