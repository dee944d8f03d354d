// What was drawn → which points it takes: the same arithmetic as strokes.py.

import { inside } from "./polygon.js";

export const MOST_PARTS = 8;

/** Codes of the groups that a legend isolates, (r): as `Points.groups` in payload.py; null where they are not known. */
export function groups(table, panel, by) {
  const { category, mode } = table;
  if (by === "category") return category;
  if (by === "mode") return (table.modeCodes ??= Int32Array.from(category, (one, i) => 256 * one + mode[i]));
  if (by === "right" && panel?.predicted) {
    return (panel.rightCodes ??= Uint8Array.from(panel.predicted, (one, i) => (one === category[i] ? 1 : 0)));
  }
  return null;
}

const known = new WeakMap(); // part → {of, mask}: while a stroke is painted, the parts before it stay

/** The points that one part takes, a byte each, not to be written to; null when its map or photo is not at hand. */
export function taken(part, table, panels) {
  const of = part.polygon ? panels.find((one) => one.map === part.map) : table;
  if (!of) return null;
  const held = known.get(part);
  if (held?.of === of) return held.mask;
  const mask = fresh(part, table, of);
  known.set(part, { of, mask });
  return mask;
}

function fresh(part, table, panel) {
  if (part.polygon) {
    const found = inside(panel.xy, part.polygon);
    const codes = part.only && groups(table, panel, part.only.by);
    if (codes) {
      const only = new Set(part.only.codes);
      for (let i = 0; i < found.length; i++) if (found[i] && !only.has(codes[i])) found[i] = 0;
    }
    return found;
  }
  const image = table.images.indexOf(part.image);
  return image < 0 ? null : brushed(part, table, image);
}

/** Points of the image whose distance to the stroke is at most its radius. */
function brushed({ path, radius }, table, image) {
  const found = new Uint8Array(table.count);
  const reach = radius * radius;
  const ends = path.length > 1 ? path.slice(1) : path;
  for (const i of table.of(image)) {
    const row = table.pixel[2 * i], col = table.pixel[2 * i + 1];
    for (let k = 0; k < ends.length; k++) {
      const [ar, ac] = path[k];
      const dr = ends[k][0] - ar, dc = ends[k][1] - ac;
      const length = dr * dr + dc * dc;
      const along = length > 0 ? Math.min(1, Math.max(0, ((row - ar) * dr + (col - ac) * dc) / length)) : 0;
      const offRow = ar + along * dr - row, offCol = ac + along * dc - col;
      if (offRow * offRow + offCol * offCol <= reach) {
        found[i] = 1;
        break;
      }
    }
  }
  return found;
}

/** {mask, count, lost}: the points that the parts take, one after the other, from `base` (a byte each, or null); null: nothing is lit. */
export function select(parts, base, table, panels) {
  let mask = base ? base.slice() : null;
  let lost = 0;
  for (const part of parts) {
    const found = taken(part, table, panels);
    if (!found) {
      lost++;
      continue;
    }
    if (part.mode === "set" || !mask) mask = part.mode === "remove" ? new Uint8Array(table.count) : found.slice();
    else if (part.mode === "add") for (let i = 0; i < mask.length; i++) mask[i] |= found[i];
    else for (let i = 0; i < mask.length; i++) mask[i] &= ~found[i] & 1;
  }
  let count = 0;
  if (mask) for (let i = 0; i < mask.length; i++) count += mask[i];
  return { mask, count, lost };
}

/** The parts after one more: a new selection drops those before it; null when there would be too many. */
export function joined(parts, part) {
  if (part.mode === "set") return [part];
  return parts.length < MOST_PARTS ? [...parts, part] : null;
}
