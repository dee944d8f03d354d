// Painting a region onto the pictures of locked panes: a sheet over every frame takes the pointer while it is switched on.

import { el, setHidden, setStyle } from "./dom.js";
import { toImage } from "./geometry.js";
import { dab, empty, encode, gridOf } from "./region.js";

const REACHES = [0.5, 1.5, 3, 5]; // cells of the grid

export class Brush {
  /** acts: view() the zoom · changed(region) while painting · done(text) after a stroke. */
  constructor(acts) {
    this.acts = acts;
    this.on = false;
    this.size = 1;
    this.sheets = new WeakMap(); // frame → its sheet
    this.frames = [];
    this.line = null;
  }

  get reach() {
    return REACHES[this.size];
  }

  /** Frames that can be painted on, and the image's [height, width]. */
  attach(frames, height, width) {
    this.frames = frames;
    this.grid = gridOf(height, width);
    for (const frame of frames) if (!this.sheets.has(frame)) this.sheets.set(frame, this.sheet(frame));
    this.show();
  }

  toggle(on = !this.on) {
    this.on = on;
    this.show();
  }

  resize(size) {
    this.size = Math.min(REACHES.length - 1, Math.max(0, size));
  }

  /** region: what is painted by now, null for nothing. */
  set(region) {
    if (this.line) return;
    this.region = region && region.rows === this.grid?.[0] && region.cols === this.grid?.[1] ? region : null;
  }

  show() {
    for (const frame of this.frames) setHidden(this.sheets.get(frame).node, !this.on);
  }

  sheet(frame) {
    const ring = el("div.brush-ring", { hidden: true });
    const node = el("div.brush", { hidden: true, title: "Paint: drag. Wipe: drag with Shift." }, ring);
    frame.append(node);
    const at = (event) => {
      const box = frame.getBoundingClientRect();
      const point = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      const { zoom } = this.acts.view();
      const across = (2 * this.reach * zoom * box.width) / this.grid[1];
      setHidden(ring, false);
      setStyle(ring, "width", `${across.toFixed(1)}px`);
      setStyle(ring, "transform", `translate(${(point[0] * box.width - across / 2).toFixed(1)}px, ${(point[1] * box.height - across / 2).toFixed(1)}px)`);
      return toImage(this.acts.view(), ...point).map((share) => Math.min(1 - 1e-9, Math.max(0, share)));
    };
    // Nothing of this reaches the frame below: it would pin a pixel or move the cross-hair.
    const on = (name, act) =>
      node.addEventListener(name, (event) => {
        event.stopPropagation();
        act(event);
      });
    on("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      node.setPointerCapture(event.pointerId);
      const { region } = this;
      this.region = region ? { ...region, bits: region.bits.slice() } : empty(...this.grid);
      this.line = { value: event.shiftKey ? 0 : 1, last: at(event) };
      this.stroke(this.line.last);
    });
    on("pointermove", (event) => {
      const to = at(event);
      if (this.line) this.stroke(to);
    });
    on("pointerup", () => this.end());
    on("pointercancel", () => this.end());
    on("pointerleave", () => setHidden(ring, true));
    on("dblclick", () => {});
    return { node };
  }

  /** From the last point to this one, without gaps. */
  stroke(to) {
    const { last, value } = this.line;
    const [rows, cols] = this.grid;
    const steps = Math.max(1, Math.ceil(2 * Math.hypot((to[0] - last[0]) * cols, (to[1] - last[1]) * rows)));
    for (let i = 1; i <= steps; i++) {
      const t = i / steps;
      dab(this.region, last[0] + t * (to[0] - last[0]), last[1] + t * (to[1] - last[1]), this.reach, value);
    }
    this.line.last = to;
    this.acts.changed(this.region);
  }

  end() {
    if (!this.line) return;
    this.line = null;
    this.acts.done(encode(this.region));
  }
}
