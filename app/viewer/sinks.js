// Sinks: sources that the image as a whole reads more than three times as much as if all were read alike, as engine.affinity
// has it. A pixel that reads a sink says little about itself.

import { largest, pickHead } from "./affinity.js";
import { cellName } from "./readings.js";
import { rootTable } from "./stage.js";

const OVER = 3; // × uniform
const MOST = 4;
const AT_ONCE = 1.2e8; // multiplications; more would be felt, and wait until a reading needs the table anyway

/** [{name, colour, source, cell, times, readBy, present}], most read first; null where it is not known (yet). */
export function sinks(stage, context, over = OVER) {
  if (stage.bilinear) return [];
  const { n, m, d, Q } = stage;
  const counted = stage.table || (stage.light && n * m * d * Q <= AT_ONCE);
  if (!counted && !stage.mean) return null;
  if (!stage.sinks) {
    const favourites = counted ? count(stage, context) : { readBy: new Uint32Array(m), present: 0 };
    stage.sinks = find(stage, context, over, favourites);
  }
  return stage.sinks;
}

/** How many of the predicted categories read each source most. */
function count(stage, context) {
  const { n, m, Q } = stage;
  const table = rootTable(stage);
  const labels = context.centreLabels(stage);
  const k = context.classes.length;
  const sums = new Float64Array(k * m);
  const counts = new Uint32Array(k);
  for (let q = 0; q < Q; q++) {
    const label = labels[q];
    if (!(label < k)) continue;
    counts[label]++;
    for (let head = 0; head < n; head++) {
      const from = (head * Q + q) * m;
      for (let j = 0; j < m; j++) sums[label * m + j] += table[from + j] * table[from + j];
    }
  }
  const readBy = new Uint32Array(m);
  let present = 0;
  for (let label = 0; label < k; label++) {
    if (!counts[label]) continue;
    present++;
    let best = 0;
    for (let j = 1; j < m; j++) if (sums[label * m + j] > sums[label * m + best]) best = j;
    readBy[best]++;
  }
  return { readBy, present };
}

function find(stage, context, over, { readBy, present }) {
  const { n, m } = stage;
  const mean = pickHead(stage.mean, n, m, "mean", new Float32Array(m));
  const labels = stage.prototypes ? null : context.cellLabels(stage);
  return Array.from(largest(mean, Math.min(MOST, m)))
    .filter((j) => mean[j] * m > over)
    .map((j) => ({
      name: stage.prototypes ? (context.classes[j]?.name ?? `source ${j}`) : cellName(stage, j),
      colour: context.classes[labels ? labels[j] : j]?.colour,
      source: j, times: mean[j] * m, readBy: readBy[j], present,
    }));
}
