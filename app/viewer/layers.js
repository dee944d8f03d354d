// The picture: photo, overlay, outlines, cell boxes, cross-hair and pins, one above the other, zoomed together.
//
// The overlay is a canvas of as many pixels as the grid has cells; the browser's compositor scales it, hard-edged for true
// cells, bilinear for smooth. So a hover repaints a few thousand pixels whatever the size on screen.

import { paint, ramp } from "./colour.js";
import { RINGS, el, setHidden, setStyle } from "./dom.js";
import { toFrame } from "./geometry.js";
import { Hatch } from "./hatch.js";
import { outline } from "./labels.js";

// Truth is black with a thin white edge, the prediction white with a thin dark one, narrow enough to leave a truth below it
// visible on both sides: [width in CSS pixels, colour], lowest first.
const STROKES = {
  truth: [[4.2, "rgb(255 255 255 / 0.85)"], [3, "#000"]],
  prediction: [[2, "rgb(0 0 0 / 0.45)"], [1.2, "#fff"]],
  guide: [[2.6, "rgb(0 0 0 / 0.6)"], [1.6, "#fff"]],
};
const DASHED = { guide: [5, 4] }; // CSS pixels

export class Layers {
  constructor(frame, { onPin }) {
    this.frame = frame;
    this.onPin = onPin;
    this.view = { zoom: 1, left: 0, top: 0 };
    this.photo = el("canvas.photo", { role: "img" });
    this.overlay = el("canvas.overlay", { width: 1, height: 1 });
    this.scene = el("div.scene", {}, this.photo, this.overlay);
    this.lines = el("canvas.lines");
    this.hatch = new Hatch();
    this.queryBox = el("div.box.query", { hidden: true });
    this.sourceBox = el("div.box.source", { hidden: true });
    this.cross = el("div.cross", { hidden: true });
    this.rings = el("div.rings");
    frame.append(this.scene, this.hatch.node, this.lines, this.sourceBox, this.queryBox, this.cross, this.rings);
    this.context = this.overlay.getContext("2d");
    this.outlines = {};
    this.width = this.height = 0;
    this.pins = [];
  }

  setImage(image, url) {
    this.image = image;
    this.labels = null;
    this.outlines = {};
    this.hatch.set([]);
    this.photo.setAttribute("aria-label", image.name);
    this.url = url;
    this.showPhoto(url);
    this.frame.closest(".loupe").style.setProperty("--ratio", image.width / image.height);
    this.resetZoom();
  }

  /** The photo, with most of its colour taken out once: colour on the picture is then the map's. */
  async showPhoto(url) {
    const loaded = new Image();
    loaded.src = url;
    await loaded.decode().catch(() => {});
    if (!loaded.naturalWidth || url !== this.url) return;
    this.photo.width = loaded.naturalWidth;
    this.photo.height = loaded.naturalHeight;
    const context = this.photo.getContext("2d");
    context.drawImage(loaded, 0, 0);
    context.globalCompositeOperation = "saturation";
    context.globalAlpha = 0.6;
    context.fillStyle = "#808080";
    context.fillRect(0, 0, this.photo.width, this.photo.height);
  }

  /** Label maps for outlines: {prediction, truth}, each Uint8Array of the traced size or null. */
  setLabels(labels) {
    this.labels = labels;
    this.outlines = {};
    this.drawLines();
  }

  /** A reading onto the overlay. */
  draw(reading, { colours, opacity, smooth }) {
    const { values, rows, cols, scale } = reading;
    this.sized(rows, cols);
    paint(values, scale, ramp(colours, opacity, scale.middle), this.pixels);
    this.shown(smooth ? "auto" : "pixelated");
  }

  /** The overlay as a canvas of that many pixels. */
  sized(rows, cols) {
    if (this.overlay.width !== cols || this.overlay.height !== rows) {
      this.overlay.width = cols;
      this.overlay.height = rows;
      this.pixels = null;
    }
    if (this.pixels) return;
    this.data = this.context.createImageData(cols, rows);
    this.pixels = new Uint32Array(this.data.data.buffer);
  }

  shown(rendering) {
    this.context.putImageData(this.data, 0, 0);
    setStyle(this.overlay, "image-rendering", rendering);
    setHidden(this.overlay, false);
  }

  /** A map of categories (rows · cols) onto the overlay: `table` has a packed colour for each; only where `mask`, if given. */
  drawLabels(labels, rows, cols, table, mask = null) {
    this.sized(rows, cols);
    for (let i = 0; i < labels.length; i++) this.pixels[i] = mask && !mask[i] ? 0 : (table[labels[i]] ?? 0);
    this.shown("pixelated");
  }

  clear() {
    setHidden(this.overlay, true);
  }

  /** The frame's size on screen in CSS pixels. */
  resize(width, height) {
    this.width = width;
    this.height = height;
    this.place();
  }

  resetZoom() {
    this.zoomTo({ zoom: 1, left: 0, top: 0 });
  }

  zoomTo(view) {
    this.view = view;
    this.frame.classList.toggle("zoomed", view.zoom > 1);
    this.place();
  }

  place() {
    const { zoom, left, top } = this.view;
    // Size and place, not a transform: the layers inside are then drawn anew at the size they have.
    this.scene.style.cssText = `left:${100 * left}%;top:${100 * top}%;width:${100 * zoom}%;height:${100 * zoom}%`;
    setStyle(this.photo, "image-rendering", this.image && zoom * this.width > 3 * this.image.width ? "pixelated" : "auto");
    this.drawLines();
    this.drawHatch();
    this.placePins();
    this.box(this.queryBox, this.queryCell);
    this.box(this.sourceBox, this.sourceCell);
  }

  /** Marks the probe: its query cell where there is one, and a cross at the pixel. `at` in 0 … 1 of the image; null hides. */
  mark(at, ringed, row, col, rows, cols) {
    this.queryCell = at && rows ? [row, col, rows, cols] : null;
    this.box(this.queryBox, this.queryCell);
    setHidden(this.cross, !at || ringed);
    if (!at || ringed) return;
    const [u, v] = toFrame(this.view, at[0], at[1]);
    setStyle(this.cross, "transform", `translate(${(u * this.width).toFixed(1)}px, ${(v * this.height).toFixed(1)}px)`);
  }

  /** Marks a source cell, or nothing. */
  markSource(row, col, rows, cols) {
    this.sourceCell = row === undefined ? null : [row, col, rows, cols];
    this.box(this.sourceBox, this.sourceCell);
  }

  box(node, cell) {
    setHidden(node, !cell);
    if (!cell) return;
    const [row, col, rows, cols] = cell;
    const [u, v] = toFrame(this.view, col / cols, row / rows);
    const width = (this.view.zoom * this.width) / cols;
    const height = (this.view.zoom * this.height) / rows;
    setStyle(node, "width", `${width.toFixed(2)}px`);
    setStyle(node, "height", `${height.toFixed(2)}px`);
    setStyle(node, "transform", `translate(${(u * this.width).toFixed(2)}px, ${(v * this.height).toFixed(2)}px)`);
  }

  // ------------------------------------------------------------------ outlines

  /** "none", a name of the labels, "both" (truth and prediction) or a list of names → names of those that can be drawn, lowest first. */
  setOutline(which) {
    if (String(this.which) !== String(which)) {
      this.which = which;
      this.drawLines();
    }
    return this.drawn();
  }

  drawn() {
    const shown = Array.isArray(this.which) ? this.which : this.which === "both" ? ["truth", "prediction"] : [this.which];
    return this.labels ? shown.filter((name) => this.labels[name]) : [];
  }

  drawLines() {
    const wanted = this.width ? this.drawn() : [];
    setHidden(this.lines, wanted.length === 0);
    if (!wanted.length) return;
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    this.lines.width = Math.round(this.width * ratio);
    this.lines.height = Math.round(this.height * ratio);
    const context = this.lines.getContext("2d");
    const { zoom, left, top } = this.view;
    const sx = (zoom * this.lines.width) / this.image.width;
    const sy = (zoom * this.lines.height) / this.image.height;
    for (const name of wanted) {
      this.outlines[name] ??= outline(this.labels[name], this.image.height, this.image.width);
      const runs = this.outlines[name];
      context.beginPath();
      for (let i = 0; i < runs.length; i += 4) {
        context.moveTo(runs[i] * sx + left * this.lines.width, runs[i + 1] * sy + top * this.lines.height);
        context.lineTo(runs[i + 2] * sx + left * this.lines.width, runs[i + 3] * sy + top * this.lines.height);
      }
      context.setLineDash((DASHED[name] ?? []).map((length) => length * ratio));
      for (const [width, colour] of STROKES[name]) {
        context.lineWidth = width * ratio;
        context.strokeStyle = colour;
        context.stroke();
      }
    }
  }

  /** Areas marked by shape: [{mask, pattern}], see hatch.js; [] for none. */
  setHatch(areas) {
    this.hatch.set(areas, this.image.height, this.image.width);
    this.drawHatch();
  }

  drawHatch() {
    this.hatch.draw(this.width, this.height, this.view);
  }

  // ------------------------------------------------------------------ pins

  /** Pins as numbered rings: {u, v (0 … 1 of the image), label, active}. */
  setPins(pins) {
    this.pins = pins;
    while (this.rings.children.length > pins.length) this.rings.lastChild.remove();
    while (this.rings.children.length < pins.length) {
      const index = this.rings.children.length;
      const ring = el("button.ring", { type: "button", text: RINGS[index] });
      let pressed = false;
      ring.addEventListener("pointerdown", (event) => {
        pressed = true;
        event.stopPropagation();
      });
      // Only what was pressed itself: a tap's click lands on the ring that the tap has just made.
      ring.addEventListener("click", (event) => {
        if (event.detail === 0 || (pressed && event.detail === 1)) this.onPin(index);
        pressed = false;
      });
      this.rings.append(ring);
    }
    pins.forEach((pin, index) => {
      const ring = this.rings.children[index];
      ring.classList.toggle("active", pin.active);
      ring.dataset.number = RINGS[index];
      ring.dataset.name = pin.label;
      ring.title = pin.active ? `Remove pin ${index + 1}` : `Show pin ${index + 1}`;
      ring.setAttribute("aria-label", `Pin ${index + 1}, ${pin.label}. ${pin.active ? "Shown. Press to remove" : "Press to show"}`);
    });
    this.placePins();
  }

  placePins() {
    this.pins.forEach((pin, index) => {
      const ring = this.rings.children[index];
      const [u, v] = toFrame(this.view, pin.u, pin.v);
      ring.hidden = u < 0 || u > 1 || v < 0 || v > 1;
      ring.classList.toggle("left", u * this.width > this.width - 105); // its name would not fit
      ring.style.transform = `translate(${u * this.width}px, ${v * this.height}px)`;
    });
  }
}
