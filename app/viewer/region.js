// A painted region: which cells of a small grid laid over the whole image are marked; and its spelling in links.
//
//   "48x64-1a.5.59…": rows, columns, then how many cells in a row (row-major, from the top left) are unmarked, marked, unmarked …,
//   in base 36. engine.edits.Region is the same thing; app/surgery_links.py reads and writes the same text.

import { cellOf } from "./geometry.js";

const LONGEST = 64; // cells along the longer side of the image

/** [rows, columns] of the grid that is painted on. */
export function gridOf(height, width) {
  const scale = LONGEST / Math.max(height, width);
  return [height, width].map((size) => Math.max(1, Math.min(size, Math.round(size * scale))));
}

export const empty = (rows, cols) => ({ rows, cols, bits: new Uint8Array(rows * cols) });

/** The region as text; "" where nothing is marked. */
export function encode({ rows, cols, bits }) {
  if (!bits.some(Boolean)) return "";
  const runs = [];
  let value = 0;
  let length = 0;
  for (const bit of bits) {
    if (bit === value) length++;
    else {
      runs.push(length);
      value = bit;
      length = 1;
    }
  }
  runs.push(length);
  return `${rows}x${cols}-${runs.map((run) => run.toString(36)).join(".")}`;
}

/** The inverse; null for what is no region. */
export function decode(text) {
  const found = /^(\d{1,4})x(\d{1,4})-([0-9a-z.]+)$/.exec(text ?? "");
  if (!found) return null;
  const region = empty(Number(found[1]), Number(found[2]));
  let at = 0;
  for (const [index, run] of found[3].split(".").entries()) {
    const length = parseInt(run, 36);
    if (!(length >= 0)) return null;
    if (index % 2) region.bits.fill(1, at, at + length);
    at += length;
  }
  return at === region.bits.length ? region : null;
}

/** Marks (or unmarks) the cells within `reach` cells of a point of the image, u and v in 0 … 1. */
export function dab({ rows, cols, bits }, u, v, reach, value) {
  const row = v * rows;
  const col = u * cols;
  for (let r = Math.max(0, Math.floor(row - reach)); r < Math.min(rows, row + reach + 1); r++) {
    for (let c = Math.max(0, Math.floor(col - reach)); c < Math.min(cols, col + reach + 1); c++) {
      const inside = (r + 0.5 - row) ** 2 + (c + 0.5 - col) ** 2 <= reach ** 2;
      if (inside || (r === Math.floor(row) && c === Math.floor(col))) bits[r * cols + c] = value;
    }
  }
}

/** Several regions as one mask of height × width pixels. */
export function maskOf(regions, height, width) {
  const mask = new Uint8Array(height * width);
  for (const { rows, cols, bits } of regions) {
    const across = Uint32Array.from({ length: width }, (_, c) => cellOf(c, width, cols));
    for (let r = 0, at = 0; r < height; r++) {
      const from = cellOf(r, height, rows) * cols;
      for (let c = 0; c < width; c++, at++) if (bits[from + across[c]]) mask[at] = 1;
    }
  }
  return mask;
}

export const shareOf = ({ bits }) => bits.reduce((sum, bit) => sum + bit, 0) / bits.length;
