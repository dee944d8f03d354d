// The photo of one image with the scatter's points in it: painting or clicking lights them up in the maps of its group at once.
//
// Python's data: {group, image, url, size: [rows, columns] of the original, caption}. What is painted belongs to the scatter's
// selection, which reports it; this pane reports only that its picture has gone.

import { Board, mounting, waiting } from "../board.js";
import { el, setText, show } from "../dom.js";
import { css, visible } from "./colouring.js";
import { group } from "./hub.js";
import { grouped } from "./legend.js";
import { modeOf } from "./pointer.js";
import { simplify } from "./polygon.js";
import { outline } from "./shapes.js";
import { readTheme } from "./theme.js";

const RADII = [1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128];
const DOT = 3.2;
const NEAR = 8; // CSS pixels

export const mount = mounting((parent, base) => new Photo(parent, base));

class Photo {
  constructor(parent, base) {
    this.base = base;
    this.calls = 0;
    this.stopping = new AbortController();
    this.hover = -1;
    this.cursor = null; // [row, col] moved by keys
    this.line = null; // what is being painted, [row, col] of the original
    this.picture = el("img.photo-picture", { alt: "", draggable: "false" });
    this.canvas = el("canvas.photo-dots", { "aria-hidden": "true" });
    this.brush = el("div.photo-brush", { hidden: true });
    this.frame = el("div.photo-frame", { tabindex: 0, role: "application", "aria-roledescription": "photo with pixels" }, this.picture, this.canvas, this.brush);
    this.wait = el("div.wait", { hidden: true, role: "status" });
    this.size = el("input", { type: "range", min: 0, max: RADII.length - 1, step: 1, "aria-label": "Radius of the brush", on: { input: () => this.resized() } });
    this.radius = el("span.photo-radius");
    this.count = el("span.photo-count", { role: "status" });
    this.caption = el("p.pane-caption");
    const tools = el("div.photo-tools", {}, el("label.choice", {}, "brush", this.size, this.radius), this.count);
    this.root = el("div.loupe.scatter-photo", { "data-testid": "loupe-photo" }, tools, el("div.picture", {}, this.frame, this.wait), this.caption);
    parent.append(this.root);
    show(this.root); // at once: its size is known, and nothing of it moves
    Board.prototype.unfade.call(this, parent);
    this.watcher = new ResizeObserver(() => this.repaint());
    this.watcher.observe(this.frame);
    this.picture.addEventListener("load", () => {
      waiting(this.wait, null);
      this.root.dataset.ready = "1";
      this.repaint();
    });
    this.picture.addEventListener("error", () => this.lost());
    this.listen();
  }

  update(component) {
    this.component = component;
    const { group: name, image, url, size, caption } = (this.given = component.data);
    this.leave?.();
    this.hub = group(name);
    this.leave = this.hub.listen(() => this.repaint());
    this.frame.style.aspectRatio = `${size[1]} / ${size[0]}`;
    this.root.style.setProperty("--ratio", size[1] / size[0]);
    const address = new URL(url.replace(/^\//, ""), this.base).href;
    if (this.picture.src !== address) {
      delete this.root.dataset.ready;
      this.asked = false;
      this.line = this.cursor = null;
      this.picture.src = address;
    }
    if (!this.started) this.size.value = Math.max(0, RADII.findIndex((r) => r >= Math.max(...size) / 40));
    this.started = true;
    this.resized();
    setText(this.caption, caption ?? "");
    this.frame.setAttribute("aria-label", `${image}. Paint or click: its pixels light up in the maps. Arrow keys move the brush, Enter paints.`);
    this.repaint();
  }

  // The picture's key has gone, or the server is away: Python is asked once.
  lost() {
    waiting(this.wait, "the server let this photo go; it is being asked for again");
    if (this.asked) return;
    this.asked = true;
    this.component.setTriggerValue("expired", true);
  }

  get board() {
    const board = this.hub?.scatter;
    return board?.table && board.theme ? board : null;
  }

  /** Points of this image. */
  points() {
    const { table } = this.board;
    const image = table.images.indexOf(this.given.image);
    return image < 0 ? [] : table.of(image);
  }

  get reach() {
    return RADII[this.size.value];
  }

  resized() {
    setText(this.radius, `${this.reach} px`);
    this.showBrush();
  }

  /** CSS pixels of the frame for one pixel of the original. */
  get unit() {
    return this.frame.clientWidth / this.given.size[1];
  }

  // ------------------------------------------------------------------ pointer and keys

  listen() {
    const { signal } = this.stopping;
    const on = (name, listener) => this.frame.addEventListener(name, listener, { signal });
    const place = (event) => {
      const box = this.frame.getBoundingClientRect();
      const [rows, cols] = this.given.size;
      const at = (share, size) => Math.min(size - 1, Math.max(0, Math.floor(share * size)));
      return [at((event.clientY - box.top) / box.height, rows), at((event.clientX - box.left) / box.width, cols)];
    };
    on("pointermove", (event) => {
      this.cursor = place(event);
      this.showBrush();
      if (!this.line) return this.look(this.nearest(event));
      const last = this.line[this.line.length - 1];
      if (last[0] !== this.cursor[0] || last[1] !== this.cursor[1]) this.line.push(this.cursor);
      return this.paint();
    });
    on("pointerdown", (event) => {
      if (event.button !== 0 || !this.board) return;
      this.frame.setPointerCapture(event.pointerId);
      this.line = [(this.cursor = place(event))];
      this.mode = modeOf(event);
      this.look(-1);
      this.paint();
    });
    on("pointerup", (event) => this.done(event));
    on("pointercancel", () => this.drop());
    on("pointerleave", () => {
      if (this.line) return;
      this.cursor = null;
      this.showBrush();
      this.look(-1);
    });
    on("keydown", (event) => {
      const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      const [rows, cols] = this.given.size;
      if (by) {
        const step = (event.shiftKey ? 4 : 1) * Math.max(1, Math.round(this.reach / 2));
        const from = this.cursor ?? [rows >> 1, cols >> 1];
        this.cursor = [0, 1].map((axis) => Math.min((axis ? cols : rows) - 1, Math.max(0, from[axis] + by[axis] * step)));
        this.showBrush();
      } else if (event.key === "Enter" && this.cursor && this.board) {
        this.line = [this.cursor];
        this.mode = modeOf(event);
        this.done(event);
      } else if (event.key === "Escape") {
        if (this.line) this.drop();
        else this.board?.clear();
      } else return;
      event.preventDefault();
    });
  }

  stroke() {
    // Corners at most a quarter of the brush away from the drawn line: whole pixels, as they are sent.
    const path = simplify(this.line, Math.max(0.5, this.reach / 4));
    return { image: this.given.image, path, radius: this.reach, mode: this.mode };
  }

  /** Lights up what the stroke takes so far, in this frame. */
  paint() {
    this.painting ||= requestAnimationFrame(() => {
      this.painting = 0;
      if (!this.line || !this.board) return;
      this.board.preview = this.stroke();
      this.board.refresh();
    });
  }

  done(event) {
    if (!this.line) return;
    const part = this.stroke();
    this.line = null;
    this.board?.add(part, event);
  }

  drop() {
    this.line = null;
    const { board } = this;
    if (!board) return;
    board.preview = null;
    board.refresh();
  }

  nearest(event) {
    const { board } = this;
    if (!board) return -1;
    const box = this.frame.getBoundingClientRect();
    const { pixel } = board.table;
    let best = -1, least = NEAR ** 2;
    for (const i of this.points()) {
      const dx = (pixel[2 * i + 1] + 0.5) * this.unit - (event.clientX - box.left);
      const dy = (pixel[2 * i] + 0.5) * this.unit - (event.clientY - box.top);
      if (dx * dx + dy * dy < least) [best, least] = [i, dx * dx + dy * dy];
    }
    return best;
  }

  look(i) {
    if (i === this.hover) return;
    this.hover = i;
    this.board?.attention.look(null, i);
  }

  // ------------------------------------------------------------------ drawing

  showBrush() {
    this.brush.hidden = !this.cursor;
    if (!this.cursor) return;
    const size = Math.max(4, 2 * (this.reach + 0.5) * this.unit);
    const [y, x] = this.cursor.map((at) => (at + 0.5) * this.unit);
    this.brush.style.cssText = `width:${size}px;height:${size}px;transform:translate(${x - size / 2}px, ${y - size / 2}px)`;
  }

  repaint() {
    this.request ||= requestAnimationFrame(() => {
      this.request = 0;
      this.draw();
    });
  }

  draw() {
    const { board, frame, canvas } = this;
    const ratio = globalThis.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = frame;
    if (!width || !this.given) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    if (!board) return setText(this.count, "");
    const panel = board.panels[0];
    const theme = readTheme(frame);
    const { table, lit } = board;
    const here = this.points();
    const any = lit.mask !== null;
    let count = 0;
    for (const pass of [0, 1]) {
      for (const i of here) {
        const strong = !any || lit.mask[i] === 1;
        if (strong !== (pass === 1)) continue;
        count += any && strong ? 1 : 0;
        const style = panel.looks.table[panel.looks.looks[i]];
        const x = (table.pixel[2 * i + 1] + 0.5) * this.unit, y = (table.pixel[2 * i] + 0.5) * this.unit;
        context.globalAlpha = strong ? 1 : 0.55;
        const path = outline(style.shape, x, y, strong ? (any ? DOT + 1 : DOT) : DOT - 1);
        context.fillStyle = css(visible(style.rgb, theme));
        context.strokeStyle = strong ? "#fff" : "rgb(255 255 255 / 0.6)";
        context.lineWidth = 3;
        context.stroke(path);
        context.strokeStyle = "rgb(0 0 0 / 0.75)";
        context.lineWidth = 1;
        context.stroke(path);
        context.fill(path);
      }
    }
    context.globalAlpha = 1;
    const { i } = board.attention;
    if (i >= 0 && table.images[table.image[i]] === this.given.image) {
      context.beginPath();
      context.arc((table.pixel[2 * i + 1] + 0.5) * this.unit, (table.pixel[2 * i] + 0.5) * this.unit, 9, 0, 2 * Math.PI);
      context.strokeStyle = "#000";
      context.lineWidth = 4;
      context.stroke();
      context.strokeStyle = "#fff";
      context.lineWidth = 2;
      context.stroke();
    }
    const words = here.length ? `${grouped(here.length)} of the pixels lie in this image` : "none of the pixels lies in this image";
    setText(this.count, any && here.length ? `${grouped(count)} of the ${grouped(here.length)} pixels in this image are selected` : words);
  }

  close() {
    this.stopping.abort();
    this.watcher.disconnect();
    this.leave?.();
    cancelAnimationFrame(this.request);
    cancelAnimationFrame(this.painting);
    this.drop();
    this.container?.style.removeProperty("opacity");
    this.root.remove();
  }
}
