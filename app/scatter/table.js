// What is known of the points, fetched once and shared by all panels, the photo and the tooltip.

import { load } from "../tensors.js";
import { Nearest } from "./nearest.js";

/** The points: category, image, mode (r), pixel (row, column, …), and Python's names. */
export class Table {
  constructor(about, tensors) {
    Object.assign(this, { classes: about.classes, images: about.images, links: about.links, labels: about.labels, modes: about.modes });
    for (const name of ["category", "image", "pixel", "mode"]) this[name] = tensors[name].data;
    this.count = this.category.length;
  }

  /** Indices of the points of one image. */
  of(image) {
    if (!this.byImage) {
      this.byImage = new Map();
      for (let i = 0; i < this.count; i++) {
        const list = this.byImage.get(this.image[i]);
        if (list) list.push(i);
        else this.byImage.set(this.image[i], [i]);
      }
    }
    return this.byImage.get(image) ?? [];
  }

  name(category) {
    return this.classes[category]?.name ?? `category ${category}`;
  }

  /** The planted mode of a point: its name, or its number from 1; null where there is none. */
  modeName(i) {
    const mode = this.mode[i];
    return mode === 255 ? null : (this.modes[this.category[i]]?.[mode] ?? String(mode + 1));
  }
}

/** One map: coordinates, what its model says of the points, markers, extent and the index of nearest points. */
function prepare({ tensors, size }) {
  const xy = tensors.xy.data;
  const at = tensors.markers?.data ?? [];
  const markers = Array.from({ length: at.length / 2 }, (_, i) => ({
    x: at[2 * i], y: at[2 * i + 1], kind: tensors.marker_kind.data[i], category: tensors.marker_category.data[i],
  }));
  const own = extentOf(xy);
  return {
    xy,
    markers,
    predicted: tensors.predicted?.data ?? null,
    confidence: tensors.confidence?.data ?? null,
    value: tensors.value?.data ?? null,
    nearest: new Nearest(xy, own),
    extent: joined([own, ...markers.map(({ x, y }) => [x, y, x, y])]),
    placed: placed(xy),
    size: 2 * size, // with the index
  };
}

export async function fetchTable(about, url, holder, progress) {
  return new Table(about, (await load(url, holder, undefined, { progress })).tensors);
}

/** A map as `prepare` makes it, once for all that show it; Python's words on it are each scatter's own. */
export async function fetchPlot(url, holder, progress) {
  return { ...(await load(url, holder, prepare, { progress })) };
}

/** [left, bottom, right, top] of the points that have a place. */
function extentOf(xy) {
  let left = Infinity, bottom = Infinity, right = -Infinity, top = -Infinity;
  for (let k = 0; k < xy.length; k += 2) {
    const x = xy[k], y = xy[k + 1];
    if (!Number.isFinite(x + y)) continue;
    if (x < left) left = x;
    if (x > right) right = x;
    if (y < bottom) bottom = y;
    if (y > top) top = y;
  }
  return left <= right ? [left, bottom, right, top] : [0, 0, 1, 1];
}

const placed = (xy) => {
  let count = 0;
  for (let k = 0; k < xy.length; k += 2) if (Number.isFinite(xy[k] + xy[k + 1])) count++;
  return count;
};

/** The smallest extent around several, never empty. */
export function joined(extents) {
  const [left, bottom, right, top] = [0, 1, 2, 3].map((side) => Math[side < 2 ? "min" : "max"](...extents.map((one) => one[side])));
  const least = 1e-9 * Math.max(1, Math.abs(left), Math.abs(top));
  return [left, bottom, Math.max(right, left + least), Math.max(top, bottom + least)];
}
