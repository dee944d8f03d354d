// Points onto a canvas, through a typed array: a few nanoseconds a screen pixel, so that tens of thousands follow the pointer.

import { SHAPE_NAMES, coverage, phaseOf } from "./shapes.js";

const LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
const PAD = 64; // screen pixels around the canvas; points in the inner half of them still reach into it

/** A colour [r, g, b] as one pixel of a Uint32Array over ImageData. */
export const packed = ([r, g, b]) =>
  (LITTLE_ENDIAN ? (255 << 24) | (b << 16) | (g << 8) | r : (r << 24) | (g << 16) | (b << 8) | 255) >>> 0;

/** A seeded order of 0 … n − 1 (Fisher and Yates), so that no category lies on top of all others. */
export function shuffled(n) {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  let state = 0x9e3779b9;
  for (let i = n - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

export class Raster {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.masks = new Map();
  }

  resize(width, height) {
    if (this.canvas.width === width && this.canvas.height === height) return;
    this.canvas.width = width;
    this.canvas.height = height;
    this.image = new ImageData(width + 2 * PAD, height + 2 * PAD);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.masks.clear();
  }

  /** Coverage of a shape with offsets into the buffer. */
  mask(shape, radius) {
    const key = `${shape} ${radius}`;
    if (!this.masks.has(key)) {
      if (this.masks.size > 60) this.masks.clear();
      const wide = this.image.width;
      const phases = coverage(shape, radius).map(({ dx, dy, share }) => ({
        at: Int32Array.from(dx, (x, i) => dy[i] * wide + x),
        share,
      }));
      this.masks.set(key, phases);
    }
    return this.masks.get(key);
  }

  /**
   * `points`: {xy, order, looks: Uint16Array, table: [{rgb, shape}], strength: Uint8Array | null (2 full, 1 dim, 0 faint)}.
   * x ↦ scale · x + left, y ↦ top − scale · y, in screen pixels. `count`: only so many of the order, while things move.
   */
  draw({ xy, order, looks, table, strength }, { scale, left, top, radius, opacity, paper, count }) {
    this.pixels.fill(packed(paper));
    const colours = Uint32Array.from(table, (look) => packed(look.rgb));
    const shapes = table.map((look) => this.mask(look.shape ?? SHAPE_NAMES[0], radius * (look.wide ?? 1)));
    const n = Math.min(count ?? order.length, order.length);
    const job = { xy, order, looks, colours, shapes, scale, left, top, n };
    if (strength) {
      this.pass(job, strength, 0, Math.round(opacity * 20));
      this.pass(job, strength, 1, Math.round(opacity * 62));
      this.pass(job, strength, 2, Math.round(256 * Math.min(1, opacity * 1.15)));
    } else {
      this.pass(job, null, 0, Math.round(256 * opacity));
    }
    this.context.putImageData(this.image, -PAD, -PAD);
  }

  /** All points of one strength, blended at `alpha` of 256. */
  pass({ xy, order, looks, colours, shapes, scale, left, top, n }, strength, wanted, alpha) {
    const { pixels } = this;
    const { width, height } = this.image;
    const low = PAD / 2, right = width - PAD / 2, bottom = height - PAD / 2;
    for (let k = 0; k < n; k++) {
      const i = order[k];
      if (strength !== null && strength[i] !== wanted) continue;
      const x = scale * xy[2 * i] + left + PAD, y = top - scale * xy[2 * i + 1] + PAD;
      if (!(x >= low && y >= low && x < right && y < bottom)) continue; // also where x or y is not a number
      const px = x | 0, py = y | 0;
      const code = looks[i];
      const mask = shapes[code][phaseOf(x - px, y - py)];
      const at = mask.at, share = mask.share;
      const colour = colours[code];
      const even = colour & 0xff00ff, odd = (colour >>> 8) & 0xff00ff;
      const start = py * width + px;
      for (let j = 0; j < at.length; j++) {
        const a = (share[j] * alpha) >> 8;
        const below = pixels[start + at[j]];
        const keep = 256 - a;
        const first = ((Math.imul(below & 0xff00ff, keep) + Math.imul(even, a)) >>> 8) & 0xff00ff;
        pixels[start + at[j]] = first | ((Math.imul((below >>> 8) & 0xff00ff, keep) + Math.imul(odd, a)) & 0xff00ff00);
      }
    }
  }
}
