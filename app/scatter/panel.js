// One map: its canvas, axes and markers, the outlines of lassos, and the ring around the point that is looked at.

import { waiting } from "../board.js";
import { el, setHidden, setStyle, setText } from "../dom.js";
import { format } from "../scale.js";
import { css, rgbOf, visible } from "./colouring.js";
import { Raster } from "./raster.js";
import { marker } from "./shapes.js";

const SVG = "http://www.w3.org/2000/svg";
const AXES = { left: 46, right: 10, top: 10, bottom: 38 };
const BARE = { left: 10, right: 10, top: 10, bottom: 10 };
const ROOM = 14; // CSS pixels between the outermost points and the edge
const MARKER = 7.5;

export class Panel {
  constructor(board, index) {
    this.board = board;
    this.index = index;
    this.name = el("b.pane-name");
    this.note = el("span.pane-note");
    this.canvas = el("canvas.points", { "aria-hidden": "true" });
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("class", "strokes");
    this.ring = el("a.point-ring", { draggable: "false", tabindex: -1, hidden: true });
    this.wait = el("div.wait", { hidden: true, role: "status" });
    this.plot = el("div.panel-plot", { tabindex: 0, role: "application", "aria-roledescription": "scatter" }, this.canvas, this.svg, this.ring);
    this.foot = el("p.pane-caption");
    this.node = el("section.pane", {}, el("div.pane-head", {}, this.name, this.note), el("div.picture", {}, this.plot, this.wait), this.foot);
    this.raster = new Raster(this.canvas);
    this.data = null;
    this.watcher = new ResizeObserver(() => board.repaint());
    this.watcher.observe(this.plot);
    this.plot.addEventListener("transitionend", () => board.themed());
  }

  setAbout(about) {
    this.about = about;
    setText(this.name, about.title);
    setText(this.note, about.note ?? "");
    this.note.title = about.note ?? "";
    this.plot.classList.toggle("bare", !about.axes);
    this.plot.setAttribute("aria-label", `${about.title}. Arrow keys move a cursor, Space sets a corner, Enter closes the outline or opens the point.`);
  }

  waiting(text, part = null, button = null) {
    waiting(this.wait, text, part, button);
  }

  get margins() {
    return this.about.axes ? AXES : BARE;
  }

  /** The part of the frame that points are drawn in, CSS pixels. */
  get box() {
    const { left, right, top, bottom } = this.margins;
    return { x: left, y: top, width: Math.max(1, this.plot.clientWidth - left - right), height: Math.max(1, this.plot.clientHeight - top - bottom) };
  }

  get camera() {
    return this.board.cameraOf(this);
  }

  place() {
    return this.camera.place(this.box, ROOM);
  }

  /** CSS pixels of the frame → the map, and back. */
  toMap(px, py) {
    const { scale, left, top } = this.place();
    return [(px - left) / scale, (top - py) / scale];
  }

  toFrame(x, y) {
    const { scale, left, top } = this.place();
    return [scale * x + left, top - scale * y];
  }

  /** CSS pixels: smaller where there are more points, larger when they come apart. */
  radius() {
    const { width, height } = this.box;
    const plain = 0.35 * Math.sqrt((width * height) / Math.max(1, this.data.placed));
    return Math.min(4.2, Math.max(1.25, plain)) * Math.min(2, Math.max(1, this.camera.zoom) ** 0.3);
  }

  // ------------------------------------------------------------------ drawing

  draw({ looks, strength, order, theme, count, opacity }) {
    const ratio = globalThis.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.plot;
    if (!width || !this.data) return;
    this.raster.resize(Math.round(width * ratio), Math.round(height * ratio));
    const { scale, left, top } = this.place();
    const look = { scale: scale * ratio, left: left * ratio, top: top * ratio, paper: theme.paper, opacity, count };
    look.radius = Math.round(4 * this.radius() * ratio) / 4;
    this.raster.draw({ xy: this.data.xy, order, looks: looks.looks, table: looks.table, strength }, look);
    const { context } = this.raster;
    context.save();
    context.scale(ratio, ratio);
    this.drawMarkers(context, theme);
    this.drawAxes(context, theme, width, height);
    context.restore();
    this.drawStrokes();
  }

  drawMarkers(context, theme) {
    context.lineJoin = "round";
    for (const { x, y, kind, category } of this.data.markers) {
      const path = marker(kind, ...this.toFrame(x, y), kind === 0 ? MARKER + 1 : MARKER);
      context.lineWidth = 5;
      context.strokeStyle = css(theme.paper);
      context.stroke(path);
      context.lineWidth = 1.6;
      context.strokeStyle = css(theme.ink);
      context.stroke(path);
      context.fillStyle = css(visible(rgbOf(this.board.table.classes[category]?.colour ?? "#888888"), theme));
      context.fill(path);
    }
  }

  drawAxes(context, theme, width, height) {
    const { axes } = this.about;
    if (!axes) return;
    const { x, y, width: wide, height: high } = this.box;
    context.fillStyle = css(theme.paper);
    context.fillRect(0, 0, x, height);
    context.fillRect(0, y + high, width, height - y - high);
    context.fillStyle = context.strokeStyle = css(theme.muted);
    context.lineWidth = 1;
    context.font = `11px ${theme.font}`;
    context.globalAlpha = 0.45;
    context.strokeRect(x - 0.5, y + 0.5, wide, high);
    context.globalAlpha = 1;
    const [low, bottom] = this.toMap(x, y + high);
    const [right, top] = this.toMap(x + wide, y);
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const tick of ticks(low, right)) {
      const at = x + tick.at * wide;
      context.fillRect(Math.round(at), y + high, 1, 4);
      context.fillText(tick.text, at, y + high + 6);
    }
    context.fillText(axes[0], x + wide / 2, y + high + 22, wide);
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const tick of ticks(bottom, top)) {
      const at = y + high - tick.at * high;
      context.fillRect(x - 4, Math.round(at), 4, 1);
      context.fillText(tick.text, x - 7, at);
    }
    context.save();
    context.translate(8, y + high / 2);
    context.rotate(-Math.PI / 2);
    context.textAlign = "center";
    context.fillText(axes[1], 0, 0, high);
    context.restore();
  }

  /** Outlines of the lassos of this map, and what is being drawn. */
  drawStrokes() {
    const lines = this.board.outlines(this).map(({ polygon, mode, live, open }) => {
      const node = document.createElementNS(SVG, open ? "polyline" : "polygon");
      node.setAttribute("class", `lasso ${live ? "live" : ""} ${mode}`);
      node.setAttribute("points", polygon.map(([x, y]) => this.toFrame(x, y).map((at) => at.toFixed(1)).join(",")).join(" "));
      return node;
    });
    const { cursor } = this.board;
    if (cursor?.panel === this) {
      const [x, y] = this.toFrame(cursor.x, cursor.y);
      const cross = document.createElementNS(SVG, "path");
      cross.setAttribute("class", "cursor");
      cross.setAttribute("d", `M${x - 9} ${y}h18M${x} ${y - 9}v18`);
      lines.push(cross);
    }
    this.svg.replaceChildren(...lines);
  }

  /** The ring around point `i`, −1: none. Where the pointer is, it is a link. */
  mark(i, href, here) {
    const [x, y] = i >= 0 && this.data ? this.toFrame(this.data.xy[2 * i], this.data.xy[2 * i + 1]) : [NaN, NaN];
    const { clientWidth, clientHeight } = this.plot;
    const shown = x >= 0 && y >= 0 && x <= clientWidth && y <= clientHeight;
    setHidden(this.ring, !shown);
    if (!shown) return;
    setStyle(this.ring, "transform", `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`);
    setStyle(this.ring, "pointer-events", here ? "auto" : "none");
    if (href) this.ring.href = href;
    else this.ring.removeAttribute("href");
  }

  close() {
    this.watcher.disconnect();
    this.node.remove();
  }
}

/** {at: 0 … 1, text} at multiples of 1, 2 or 5 · 10^i: the largest such step that leaves at least four. */
function ticks(low, high) {
  const most = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(most));
  const step = power * ([5, 2, 1].find((nice) => nice * power <= most) ?? 1);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) found.push({ at: (i * step - low) / (high - low), text: format(i * step) });
  return found;
}
