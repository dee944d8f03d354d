// Category maps on the grids that readings live on, and their outlines.

export const UNKNOWN = 255;
const PURE = 0.75; // of a cell's pixels must share a category for the cell to count as that category's

/** Majority category of each cell of a (rows × cols) grid, 255 where fewer than three quarters of its pixels share one. */
export function majority(labels, height, width, rows, cols, classes) {
  const counts = new Uint32Array(rows * cols * classes);
  const sizes = new Uint32Array(rows * cols);
  const columns = Uint32Array.from({ length: width }, (_, c) => Math.floor(((2 * c + 1) * cols) / (2 * width)));
  for (let r = 0, at = 0; r < height; r++) {
    const first = Math.floor(((2 * r + 1) * rows) / (2 * height)) * cols;
    for (let c = 0; c < width; c++, at++) {
      const cell = first + columns[c];
      sizes[cell]++;
      if (labels[at] < classes) counts[cell * classes + labels[at]]++;
    }
  }
  const out = new Int16Array(rows * cols).fill(UNKNOWN);
  for (let cell = 0; cell < out.length; cell++) {
    let best = 0;
    for (let k = 1; k < classes; k++) if (counts[cell * classes + k] > counts[cell * classes + best]) best = k;
    const count = counts[cell * classes + best];
    if (count > 0 && count >= PURE * sizes[cell]) out[cell] = best;
  }
  return out;
}

/** Category at the centre pixel of each cell of a (rows × cols) grid. */
export function centres(labels, height, width, rows, cols) {
  const out = new Int16Array(rows * cols);
  for (let r = 0, at = 0; r < rows; r++) {
    const first = Math.floor(((2 * r + 1) * height) / (2 * rows)) * width;
    for (let c = 0; c < cols; c++) out[at++] = labels[first + Math.floor(((2 * c + 1) * width) / (2 * cols))];
  }
  return out;
}

/** Edges between categories as straight runs along pixel borders: [x0, y0, x1, y1, …] in pixels. */
export function outline(labels, height, width) {
  const runs = [];
  for (let r = 1; r < height; r++) {
    for (let c = 0, start = -1; c <= width; c++) {
      const edge = c < width && labels[(r - 1) * width + c] !== labels[r * width + c];
      if (edge && start < 0) start = c;
      if (!edge && start >= 0) {
        runs.push(start, r, c, r);
        start = -1;
      }
    }
  }
  for (let c = 1; c < width; c++) {
    for (let r = 0, start = -1; r <= height; r++) {
      const edge = r < height && labels[r * width + c - 1] !== labels[r * width + c];
      if (edge && start < 0) start = r;
      if (!edge && start >= 0) {
        runs.push(c, start, c, r);
        start = -1;
      }
    }
  }
  return Float32Array.from(runs);
}
