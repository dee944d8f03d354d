// Several viewers locked together in one component: pan, zoom, hover, keys and pins move in all of them.
//
// A page's component is a subclass of Panes in a module of its own, which ends in
//     export const mount = mounting((parent, base) => new Mine(parent, base));
// and is registered in component.py. Python's data: {image (as in payload.py), pins, active, view, revision, …its own}.
//
//   constructor(parent, base, {defaults, label, testid})   defaults: every setting of `view`; what is not here is not reported
//   open(given)      new content: setPanes(n), setImage(…), fetch tensors (see `load`), titles; then `loaded()`
//   content(given)   what must change for `open` to be called again; by default everything but state
//   refreshed()      what follows state (toolbars, outlines, captions); called before every repaint that state caused
//   paint(pixel, where)   once a frame: draw all panes for the pixel [row, col] of the original; null: nothing is pointed at.
//                    `where`: "under the pointer", "keyboard" or "pin ①"
//   pinLabel(pane, pixel)   what a ring in this pane is called
//   grid()           the grid that arrow keys walk on;  stages() names for the bracket keys ([] for none)
//
// state = {pins, active, view}, change(part, delay), pinned(), probe(), hover: see board.js. A Pane:
//   pane.draw({values, rows, cols, scale}, {colours, opacity, smooth})   values: any typed array of rows · cols
//   pane.clear() · pane.point(pixel, grid | null) · pane.setTitle(text, note) · pane.setCaption(text)
//   pane.setLabels({prediction, truth, guide}) · pane.setOutline(name | [names]) → those drawn · pane.setHatch([{mask, pattern}])
//   pane.waiting(text, part, {text, act}) · pane.setLegend(reading, largest, colours) · pane.head, pane.foot: room for one's own

import { Board, waiting } from "./board.js";
import { RINGS, el, setHidden, setText, show } from "./dom.js";
import { cellOf } from "./geometry.js";
import { listen } from "./input.js";
import { Layers } from "./layers.js";
import { Legend } from "./legend.js";
import { format } from "./scale.js";
import { given as read } from "./state.js";
import { Expired } from "./tensors.js";
import { debug, time } from "./timing.js";

const WHOLE = { zoom: 1, left: 0, top: 0 };

export class Pane {
  constructor(board, index) {
    this.board = board;
    this.index = index;
    this.name = el("b.pane-name");
    this.note = el("span.pane-note");
    this.head = el("div.pane-head", {}, this.name, this.note);
    this.frame = el("div.frame", { tabindex: 0, role: "application", "aria-roledescription": "pixel viewer" });
    this.wait = el("div.wait", { hidden: true, role: "status" });
    this.unzoom = el("button.unzoom", {
      type: "button", hidden: true, title: "Show the whole picture (double click, or key 0)",
      on: { click: () => board.zoom(WHOLE) },
    });
    this.foot = el("div.pane-foot");
    this.caption = el("p.pane-caption");
    const picture = el("div.picture", {}, this.frame, this.unzoom, this.wait);
    this.node = el("section.pane", {}, this.head, picture, this.foot, this.caption);
    this.layers = new Layers(this.frame, { onPin: (at) => board.ring(at) });
    this.ending = new AbortController();
    listen(this.frame, board.acts(), this.ending.signal);
    this.watcher = new ResizeObserver(() => {
      this.layers.resize(this.frame.clientWidth, this.frame.clientHeight);
      board.repaint();
    });
    this.watcher.observe(this.frame);
  }

  setTitle(text, note = "") {
    setText(this.name, text);
    setText(this.note, note);
    this.node.setAttribute("aria-label", text);
    this.frame.setAttribute("aria-label", `${text}. Arrow keys move the pixel in all viewers, Enter pins, Delete removes.`);
  }

  setCaption(text) {
    setText(this.caption, text);
  }

  setImage(image, url) {
    this.layers.setImage(image, url);
    this.layers.zoomTo(this.board.zoomed);
  }

  setLabels(labels) {
    this.layers.setLabels(labels);
  }

  setOutline(which) {
    return this.layers.setOutline(which);
  }

  setHatch(areas) {
    this.layers.setHatch(areas);
  }

  draw(reading, look) {
    this.layers.draw(reading, look);
  }

  clear() {
    this.layers.clear();
  }

  /** The cross-hair at a pixel of the original, and its cell of a grid [rows, columns] where given; null hides both. */
  point(pixel, grid = null) {
    if (!pixel) return this.layers.mark(null);
    const [H, W] = this.board.original;
    const at = [(pixel[1] + 0.5) / W, (pixel[0] + 0.5) / H];
    const ringed = pixel === this.board.pinned(); // the ring already marks it
    if (!grid) return this.layers.mark(at, ringed);
    return this.layers.mark(at, ringed, cellOf(pixel[0], H, grid[0]), cellOf(pixel[1], W, grid[1]), grid[0], grid[1]);
  }

  /** A legend of this pane's own, below its picture; null takes it away. */
  setLegend(reading, largest, colours) {
    if (!this.legend) {
      const box = el("div.legend");
      this.foot.before(box);
      this.legend = new Legend(box);
      this.legendBox = box;
    }
    setHidden(this.legendBox, !reading);
    if (reading) this.legend.set(reading, largest, colours);
  }

  waiting(text, part = null, button = null) {
    waiting(this.wait, text, part, button);
  }

  close() {
    this.ending.abort();
    this.watcher.disconnect();
    this.node.remove();
  }
}

export class Panes extends Board {
  constructor(parent, base, { defaults, label, testid = "loupe-panes" }) {
    super(parent, base, (data, before) => read(data, before, defaults));
    this.panes = [];
    this.image = null;
    this.request = 0;
    this.event = null;
    this.above = el("div.tools", { role: "toolbar", "aria-label": label });
    this.row = el("div.panes");
    this.under = el("div.under");
    this.below = el("div.tools.look", { role: "toolbar", "aria-label": "How it is drawn" });
    this.root = el("div.loupe", { "data-testid": testid }, this.above, this.row, this.under, this.below);
    parent.append(this.root);
  }

  // ------------------------------------------------------------------ data from Python

  update(component) {
    this.component = component;
    const given = component.data;
    this.state = this.link.adopt(given, this.state);
    const key = JSON.stringify(this.content(given));
    this.given = given;
    if (key !== this.key) {
      this.key = key;
      this.hover = this.cursor = null;
      delete this.root.dataset.ready;
      delete this.root.dataset.loaded;
      this.open(given);
    }
    this.refresh();
  }

  content({ pins, active, view, revision, ...rest }) {
    return rest;
  }

  get original() {
    return this.given.image.original;
  }

  stages() {
    return [];
  }

  setPanes(count) {
    while (this.panes.length > count) this.panes.pop().close();
    while (this.panes.length < count) {
      const pane = new Pane(this, this.panes.length);
      this.panes.push(pane);
      this.row.append(pane.node);
    }
    this.row.dataset.count = count;
  }

  /** The picture of all panes; another picture is shown whole. */
  setImage(image) {
    if (image.hash !== this.image?.hash) this.zoom(WHOLE);
    this.image = image;
    for (const pane of this.panes) pane.setImage(image, this.url(image.url));
  }

  /** Everything was fetched. */
  loaded() {
    this.root.dataset.loaded = "1";
    this.refresh();
  }

  /** A fetch failed: the page makes a new trace, or the pane says why and offers `retry`. */
  failed(error, pane, retry) {
    if (error.name === "AbortError") return;
    show(this.root);
    if (error instanceof Expired) {
      pane.waiting("the server let these tensors go; a new trace is being made");
      this.key = null; // the next data opens anew even if the addresses are the same
      this.component.setTriggerValue("expired", true);
      return;
    }
    const act = () => {
      pane.waiting(null);
      retry();
    };
    pane.waiting(error.message, null, retry ? { text: "Try again", act } : null);
  }

  // ------------------------------------------------------------------ drawing

  showZoom(view) {
    for (const pane of this.panes) {
      pane.layers.zoomTo(view);
      setHidden(pane.unzoom, view.zoom === 1);
      setText(pane.unzoom, `${format(view.zoom, 2)}× ✕`);
    }
  }

  refreshed() {}

  pinLabel() {
    return "";
  }

  /** After a change of state or data: what does not follow the pointer, then a repaint. */
  refresh() {
    if (!this.given || this.stopping.signal.aborted) return; // what was fetched may arrive after the page was left
    const [H, W] = this.original;
    for (const pane of this.panes) {
      pane.layers.setPins(
        this.state.pins.map((pixel, index) => ({
          u: (pixel[1] + 0.5) / W, v: (pixel[0] + 0.5) / H,
          active: index === this.state.active, label: this.pinLabel(pane, pixel),
        })),
      );
    }
    this.refreshed();
    this.repaint();
  }

  /** All panes anew in the next animation frame. */
  repaint(event = null) {
    if (event) {
      this.event = event;
      this.handled = performance.now();
    }
    this.request ||= requestAnimationFrame(() => {
      this.request = 0;
      if (this.given && this.panes.length) this.frame();
    });
  }

  frame() {
    const began = performance.now();
    const { event } = this;
    this.event = null;
    const probe = this.probe();
    this.paint(probe, probe ? this.where(probe) : "point at an image, or press an arrow key");
    debug.frames++;
    debug.state = this.state;
    if (event) time({ event: event.timeStamp, handled: this.handled, began, drawn: performance.now() });
  }

  where(pixel) {
    if (pixel === this.pinned()) return `pin ${RINGS[this.state.active]}`;
    return pixel === this.cursor ? "keyboard" : "under the pointer";
  }

  close() {
    super.close();
    this.opening = null; // what arrives from now on is for nobody
    cancelAnimationFrame(this.request);
    this.setPanes(0);
  }
}
