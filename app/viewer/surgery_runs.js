// A run as the Surgery viewer holds it: labels and logits at once, a stage's tensors when they are first asked for.
//
// `board` is who holds the tensors in the page's cache, and knows their addresses.

import { prepareStage } from "./stage.js";
import { prepareLogits } from "./surgery_data.js";
import { load, release } from "./tensors.js";

/** given {tensors: stage → address, maps, logits} → {given, maps, labels, logits, stages: {} so far}. */
export async function fetchRun(given, board, progress) {
  const [maps, logits] = await Promise.all([
    load(board.url(given.maps), board),
    load(board.url(given.logits), board, prepareLogits, { progress }),
  ]);
  return { given, maps: maps.tensors, labels: maps.tensors.labels.data, logits, stages: {} };
}

export async function fetchStage(run, name, board, progress) {
  run.stages[name] = await load(board.url(run.given.tensors[name]), board, prepareStage, { progress });
}

/** Tensors of runs that are no longer shown may go. */
export function forgetOthers(runs, board) {
  const paths = runs.flatMap(({ given }) => [given.maps, given.logits, ...Object.values(given.tensors)]);
  release(board, new Set(paths.map((path) => board.url(path))));
}
