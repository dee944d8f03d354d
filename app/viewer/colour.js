// Values → colours: perceptual maps, and an opacity that follows the value so that the photo stays visible.

import { DIVERGING, TABLES } from "./luts.js";

export const MAPS = Object.keys(TABLES);
export const DIFFERENCES = Object.keys(DIVERGING)[0]; // the map of differences, with a scale that is symmetric about 0
const ALL = { ...TABLES, ...DIVERGING };

const raw = {};

/** 256 × RGB of a colour map. */
export function table(name) {
  const key = ALL[name] ? name : MAPS[0];
  raw[key] ??= Uint8Array.from(atob(ALL[key]), (letter) => letter.charCodeAt(0));
  return raw[key];
}

const LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/** Opacity at t in 0 … 1: nothing at 0, then quickly enough to be read as a colour. */
export const follow = (t) => (t <= 0 ? 0 : Math.min(1, 0.35 * Math.min(1, t / 0.12) + 0.65 * t ** 0.7));

/** A packed pixel for each category's "#rrggbb", at one opacity. */
export function categoryTable(classes, opacity) {
  const a = Math.round(255 * opacity);
  return Uint32Array.from(classes, ({ colour }) => {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    return pack(r, g, b, a);
  });
}

const pack = (r, g, b, a) => (LITTLE_ENDIAN ? (a << 24) | (b << 16) | (g << 8) | r : (r << 24) | (g << 16) | (b << 8) | a) >>> 0;

const ramps = new Map();

/** 256 packed RGBA pixels (for a Uint32Array over ImageData) of a map at an opacity that follows t or, where given, its distance from `middle`. */
export function ramp(name, opacity, middle = null) {
  const key = `${name} ${opacity.toFixed(3)} ${middle}`;
  if (ramps.has(key)) return ramps.get(key);
  if (ramps.size > 64) ramps.clear();
  const colours = table(name);
  const out = new Uint32Array(256);
  for (let i = 0; i < 256; i++) {
    const [r, g, b] = colours.subarray(3 * i, 3 * i + 3);
    const t = middle === null ? i / 255 : Math.min(1, Math.abs(i / 255 - middle) / Math.max(middle, 1 - middle));
    const a = Math.round(255 * opacity * follow(t));
    out[i] = pack(r, g, b, a);
  }
  ramps.set(key, out);
  return out;
}

/** Colours `values` into `pixels` (Uint32Array of the same length) by a scale from scale.js. */
export function paint(values, scale, colours, pixels) {
  const { low, span } = scale;
  const factor = 255 / span;
  if (scale.log) {
    for (let i = 0; i < values.length; i++) {
      const t = (Math.log2(values[i]) - low) * factor;
      pixels[i] = colours[t > 0 ? (t < 255 ? (t + 0.5) | 0 : 255) : 0];
    }
  } else {
    for (let i = 0; i < values.length; i++) {
      const t = (values[i] - low) * factor;
      pixels[i] = colours[t > 0 ? (t < 255 ? (t + 0.5) | 0 : 255) : 0];
    }
  }
}

/** A CSS gradient of the map without opacity, for legends. */
export function gradient(name) {
  const colours = table(name);
  const stops = [];
  for (let i = 0; i <= 16; i++) {
    const at = 3 * Math.round((i * 255) / 16);
    stops.push(`rgb(${colours[at]} ${colours[at + 1]} ${colours[at + 2]})`);
  }
  return `linear-gradient(90deg, ${stops.join(", ")})`;
}
