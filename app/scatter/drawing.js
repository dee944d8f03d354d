// A lasso or rectangle while it is drawn, by pointer or by keys, and what becomes of it.

import { decimals, rounded, simplify } from "./polygon.js";

const TOLERANCE = 1.2; // CSS pixels by which the sent outline may differ from the drawn one

export class Drawing {
  constructor() {
    this.panel = null;
    this.line = []; // points of the map
    this.kind = "lasso";
    this.mode = "set";
    this.keys = false; // by keys: corner for corner
  }

  get going() {
    return this.panel !== null;
  }

  begin(panel, kind, mode, at, keys = false) {
    Object.assign(this, { panel, kind, mode, keys, line: [at] });
  }

  extend(at) {
    if (this.kind === "rectangle") this.line = [this.line[0], at];
    else this.line.push(at);
  }

  drop() {
    this.panel = null;
    this.line = [];
  }

  /** The outline so far; two corners make a rectangle. */
  outline() {
    const { line } = this;
    if (line.length === 2 && (this.kind === "rectangle" || this.keys)) {
      const [[a, b], [c, d]] = line;
      return [[a, b], [c, b], [c, d], [a, d]];
    }
    return line;
  }

  /** The polygon as it is sent and used: few corners, short decimals; null where it encloses nothing. */
  polygon() {
    const { panel } = this;
    const { scale } = panel.place();
    const outline = this.outline();
    const few = outline.length > 4 ? simplify(outline, TOLERANCE / scale) : outline;
    const places = decimals(Math.max(panel.box.width, panel.box.height) / scale);
    const polygon = rounded(few, places);
    return polygon.length >= 3 ? polygon : null;
  }
}
