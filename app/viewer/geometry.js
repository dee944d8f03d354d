// Pixels of the oriented original ↔ cells of a grid ↔ points of the frame.

/** Cell of a grid of `cells` that the pixel `at` of `size` falls into: floor((at + ½) · cells / size). */
export const cellOf = (at, size, cells) => Math.min(cells - 1, Math.floor(((2 * at + 1) * cells) / (2 * size)));

/** The pixel of `size` at the centre of a cell. */
export const pixelOf = (cell, size, cells) => Math.min(size - 1, Math.floor(((2 * cell + 1) * size) / (2 * cells)));

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** Index of the query (in the pooled grid) that a pixel of the original asks with. */
export function queryAt(stage, pixel, original) {
  return cellOf(pixel[0], original[0], stage.h) * stage.w + cellOf(pixel[1], original[1], stage.w);
}

/** Index of the source cell that a pixel of the original lies in. */
export function sourceAt(stage, pixel, original) {
  return cellOf(pixel[0], original[0], stage.y) * stage.x + cellOf(pixel[1], original[1], stage.x);
}

/** Zoom about a point: `view` = {zoom, left, top} places a frame of 1 × 1 in itself; nothing outside ever shows. */
export function zoomAbout(view, factor, u, v, most = 32) {
  const zoom = clamp(view.zoom * factor, 1, most);
  return fit({ zoom, left: u - ((u - view.left) * zoom) / view.zoom, top: v - ((v - view.top) * zoom) / view.zoom });
}

export function fit({ zoom, left, top }) {
  return { zoom, left: clamp(left, 1 - zoom, 0), top: clamp(top, 1 - zoom, 0) };
}

/** Point of the frame (0 … 1) → point of the image (0 … 1), and back. */
export const toImage = (view, u, v) => [(u - view.left) / view.zoom, (v - view.top) / view.zoom];
export const toFrame = (view, u, v) => [u * view.zoom + view.left, v * view.zoom + view.top];
