// Hatching: marks pixels by shape and not by colour. Lines keep their width on the screen whatever the zoom.

import { el } from "./dom.js";

const TILE = 7; // CSS pixels between two lines

// Each draws its lines onto a tile of t × t; lines run over its corners, so that tiles join.
const STROKES = {
  slash: (line, t) => [-1, 0, 1].forEach((i) => line(i * t, t, i * t + t, 0)),
  backslash: (line, t) => [-1, 0, 1].forEach((i) => line(i * t, 0, i * t + t, t)),
  cross: (line, t) => {
    STROKES.slash(line, t);
    STROKES.backslash(line, t);
  },
  dots: (line, t) => line(t / 2 - 0.01, t / 2, t / 2 + 0.01, t / 2),
};
export const PATTERNS = Object.keys(STROKES);

const tiles = new Map();

function tile(name, ratio) {
  const key = `${name} ${ratio}`;
  if (tiles.has(key)) return tiles.get(key);
  const size = Math.round(TILE * ratio);
  const canvas = el("canvas", { width: size, height: size });
  const context = canvas.getContext("2d");
  context.lineCap = "round";
  for (const [width, colour] of [[2.4, "rgb(0 0 0 / 0.75)"], [1.1, "#fff"]]) {
    context.lineWidth = width * ratio * (name === "dots" ? 1.7 : 1);
    context.strokeStyle = colour;
    STROKES[name]((x0, y0, x1, y1) => {
      context.beginPath();
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
      context.stroke();
    }, size);
  }
  tiles.set(key, canvas);
  return canvas;
}

/** A small swatch of a pattern for legends, as a CSS background. */
export const swatch = (name) => `#77797c url(${tile(name, 1).toDataURL()})`;

export class Hatch {
  constructor() {
    this.node = el("canvas.hatch", { hidden: true });
    this.areas = [];
  }

  /** areas: [{mask: Uint8Array (height · width), not 0 where marked; pattern: see PATTERNS}]. */
  set(areas, height, width) {
    this.areas = areas.map(({ mask, pattern }) => {
      const canvas = el("canvas", { width, height });
      const context = canvas.getContext("2d");
      const image = context.createImageData(width, height);
      for (let i = 0; i < mask.length; i++) if (mask[i]) image.data[4 * i + 3] = 255;
      context.putImageData(image, 0, 0);
      return { canvas, pattern };
    });
  }

  /** Onto a frame of width × height CSS pixels under `view` = {zoom, left, top}. */
  draw(width, height, { zoom, left, top }) {
    this.node.hidden = !this.areas.length || !width;
    if (this.node.hidden) return;
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    const W = (this.node.width = Math.round(width * ratio));
    const H = (this.node.height = Math.round(height * ratio));
    const context = this.node.getContext("2d");
    this.areas.forEach(({ canvas, pattern }, index) => {
      const to = index ? el("canvas", { width: W, height: H }) : this.node;
      const here = index ? to.getContext("2d") : context;
      here.imageSmoothingEnabled = false;
      here.drawImage(canvas, left * W, top * H, zoom * W, zoom * H);
      here.globalCompositeOperation = "source-in";
      here.fillStyle = here.createPattern(tile(pattern, ratio), "repeat");
      here.fillRect(0, 0, W, H);
      here.globalCompositeOperation = "source-over";
      if (index) context.drawImage(to, 0, 0);
    });
  }
}
