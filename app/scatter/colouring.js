// What a point's colour and shape say, and the legend's entries: category, image, right or wrong, confidence, a value, mode.

import { table as lut } from "../colour.js";
import { groups } from "./selection.js";

const NONE = 255; // of modes
const STEPS = 256;
const CYCLE = 24;
const SHAPES = ["disc", "square", "plus", "down", "cross", "ring"]; // of the first six modes
const QUALITATIVE = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"]; // Okabe and Ito's, safe for the colour-blind
const LEAST_CONTRAST = 1.75;
const MOST_ENTRIES = 40; // of category and mode together

// ------------------------------------------------------------------ colours

export const rgbOf = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
export const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;

const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
const luminance = (rgb) => rgb.reduce((sum, part, i) => sum + [0.2126, 0.7152, 0.0722][i] * linear(part / 255), 0);
const mix = (a, b, share) => a.map((part, i) => Math.round(part + (b[i] - part) * share));

/** The colour, drawn towards the text's until it can be told from the paper: near-white points stay visible on white. */
export function visible(rgb, { paper, ink }) {
  for (let share = 0; share < 1; share += 0.06) {
    const mixed = mix(rgb, ink, share);
    const [a, b] = [luminance(mixed), luminance(paper)].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) >= LEAST_CONTRAST) return mixed;
  }
  return ink;
}

/** OKLCH → sRGB, clipped: hues that look equally strong. */
function oklch(L, C, hue) {
  const a = C * Math.cos(hue), b = C * Math.sin(hue);
  const [l, m, s] = [L + 0.3963377774 * a + 0.2158037573 * b, L - 0.1055613458 * a - 0.0638541728 * b, L - 0.0894841775 * a - 1.291485548 * b].map((v) => v ** 3);
  return [4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s, -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s, -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s].map((v) =>
    Math.round(255 * Math.min(1, Math.max(0, v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055))),
  );
}

function hashed(text) {
  let hash = 0x811c9dc5;
  for (const letter of text) hash = Math.imul(hash ^ letter.codePointAt(0), 0x01000193) >>> 0;
  return ((hash ^ (hash >>> 15)) >>> 0) % CYCLE;
}

// ------------------------------------------------------------------ looks

/**
 * {looks: Uint16Array (r), table: [{rgb, shape, wide}], entries: [{code, label, rgb, shape, counts}], by: grouping or null,
 *  ramp: {name, unit, low, high, beyond} | null, missing: count, note}
 * for one panel. `given`: Python's data; `theme`: {paper, ink, muted}. Entries without points are left out.
 */
export function look(given, table, panel, theme) {
  const kind = given.colour;
  if (kind === "image") return byImage(table, theme);
  if (kind === "right") return byRight(table, panel, theme);
  if (kind === "mode") return byMode(table, panel, theme);
  if (kind === "confidence") return byValue(panel.confidence, { name: "confidence", unit: "of the predicted category", low: 0, high: 1 }, given, theme);
  if (kind === "value") return byValue(panel.value, panel.about.value, given, theme);
  return byCategory(table, theme);
}

const grey = (theme) => [{ rgb: theme.muted, shape: "disc" }];
const nothing = (table, theme, note) => ({
  looks: new Uint16Array(table.count), table: grey(theme), entries: [], by: null, ramp: null, missing: 0, note,
});

function counted(looks, size) {
  const counts = new Uint32Array(size);
  for (let i = 0; i < looks.length; i++) counts[looks[i]]++;
  return counts;
}

const known = (table, theme, category) => visible(rgbOf(table.classes[category]?.colour ?? "#888888"), theme);
const nameOf = (table, category) => table.classes[category]?.name ?? `category ${category}`;

function byCategory(table, theme) {
  const size = Math.max(table.classes.length, 1);
  const looks = Uint16Array.from(table.category, (one) => (one >= 0 && one < size ? one : 0));
  const styles = Array.from({ length: size }, (_, category) => ({ rgb: known(table, theme, category), shape: "disc" }));
  const counts = counted(looks, size);
  const entries = styles.map((style, code) => ({ ...style, code, label: nameOf(table, code), count: counts[code] }));
  return {
    looks, table: styles, entries: entries.filter((entry) => entry.count), by: "category", ramp: null, missing: 0,
    note: table.labels === "truth" ? "" : "Categories are predictions: the images carry no labels.",
  };
}

function byImage(table, theme) {
  const styles = Array.from({ length: CYCLE }, (_, i) => ({ rgb: visible(oklch(0.68, 0.14, (2 * Math.PI * i) / CYCLE), theme), shape: "disc" }));
  const code = table.images.map(hashed);
  const images = new Set(table.image).size;
  const shared = images > 1 ? `: ${CYCLE} colours by a hash of the image's name, so different images may share one` : "";
  return {
    looks: Uint16Array.from(table.image, (one) => code[one]), table: styles, entries: [], by: null, ramp: null, missing: 0,
    note: `${images} ${images === 1 ? "image" : "images"}${shared}. Hover a point for its image.`,
  };
}

function byRight(table, panel, theme) {
  const codes = table.labels === "truth" ? groups(table, panel, "right") : null;
  if (!codes) return nothing(table, theme, "Whether a pixel is right is not known: the images carry no labels.");
  const looks = Uint16Array.from(codes);
  const styles = [{ rgb: theme.ink, shape: "cross" }, { rgb: theme.muted, shape: "disc" }];
  const counts = counted(looks, 2);
  const entries = [1, 0].map((code) => ({ ...styles[code], code, label: code ? "right" : "wrong", count: counts[code] }));
  return { looks, table: styles, entries, by: "right", ramp: null, missing: 0, note: "" };
}

function byMode(table, panel, theme) {
  const codes = groups(table, panel, "mode");
  const present = [...new Set(codes)].sort((a, b) => a - b);
  if (present.every((code) => code % 256 === NONE)) return nothing(table, theme, "These pixels carry no planted modes.");
  const categories = new Set(present.filter((code) => code % 256 !== NONE).map((code) => code >> 8));
  const single = categories.size === 1;
  const place = new Map(present.map((code, index) => [code, index]));
  const styles = present.map((code) => {
    const mode = code % 256, category = code >> 8;
    if (mode === NONE) return { rgb: theme.muted, shape: "disc", wide: 0.7 };
    const rgb = single ? visible(rgbOf(QUALITATIVE[mode % QUALITATIVE.length]), theme) : known(table, theme, category);
    return { rgb, shape: SHAPES[mode] ?? "disc" };
  });
  const looks = Uint16Array.from(codes, (code) => place.get(code));
  const counts = counted(looks, present.length);
  const unplanted = present.reduce((sum, code, index) => sum + (code % 256 === NONE ? counts[index] : 0), 0);
  const entries = present.map((code, index) => {
    const mode = code % 256, category = code >> 8;
    const name = mode === NONE ? "no mode" : (table.modes[category]?.[mode] ?? `mode ${mode + 1}`);
    return { ...styles[index], code, label: single ? name : `${nameOf(table, category)} · ${name}`, count: counts[index], planted: mode !== NONE };
  });
  const named = entries.filter((entry) => entry.planted);
  const note = [
    single ? "" : "Colour is the category, shape the mode within it.",
    unplanted ? `${unplanted} points without a planted mode are small and grey.` : "",
    present.some((code) => code % 256 !== NONE && code % 256 >= SHAPES.length) ? "From the seventh mode on shapes are ●." : "",
    named.length > MOST_ENTRIES ? `The first ${MOST_ENTRIES} of ${named.length} modes are named here.` : "",
  ];
  return { looks, table: styles, entries: named.slice(0, MOST_ENTRIES), by: "mode", ramp: null, missing: 0, note: note.filter(Boolean).join(" ") };
}

function byValue(values, about, given, theme) {
  if (!values || !about) return null;
  const colours = lut(given.colours);
  const styles = Array.from({ length: STEPS }, (_, i) => ({ rgb: [...colours.subarray(3 * i, 3 * i + 3)], shape: "disc" }));
  styles.push({ rgb: theme.muted, shape: "ring" });
  const { low, high } = about;
  const looks = new Uint16Array(values.length);
  let below = 0, above = 0, missing = 0;
  for (let i = 0; i < values.length; i++) {
    const v = values[i];
    if (!Number.isFinite(v)) {
      looks[i] = STEPS;
      missing++;
      continue;
    }
    if (v < low) below++;
    if (v > high) above++;
    looks[i] = Math.min(STEPS - 1, Math.max(0, Math.round(((v - low) / (high - low)) * (STEPS - 1))));
  }
  return { looks, table: styles, entries: [], by: null, ramp: { ...about, beyond: [below, above] }, missing, note: "" };
}

/** As `look`, for a panel that lacks what is to be shown: grey, with a sentence. */
export const lacking = (table, theme) => nothing(table, theme, "This panel has no such numbers.");
