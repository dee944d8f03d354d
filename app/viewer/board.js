// What every viewer does with pointer, keys, pins and settings, whether it shows one picture or several locked together.
//
// A board owns `state` = {pins, active, view}: it acts on it at once, and tells Python once per act. A subclass gives:
//   original     [rows, columns] of the oriented original image        (getter)
//   grid()       the grid that arrow keys walk on, or null
//   stages()     names that the bracket keys walk through
//   refresh()    draw what follows state;  repaint(event)  draw what follows the pointer, in the next frame
//   showZoom(view), explain(sentence)

import { el } from "./dom.js";
import { cellOf, fit, pixelOf } from "./geometry.js";
import { Link, MOST_PINS } from "./state.js";

/** The function that the bootstrap calls: makes a board under component.parentElement once, and gives it every new data. */
export function mounting(make) {
  const boards = new WeakMap();
  return function mount(component, base) {
    const parent = component.parentElement;
    let board = boards.get(parent);
    if (!board) boards.set(parent, (board = make(parent, base)));
    board.update(component);
    const call = ++board.calls;
    return () =>
      // Streamlit may run the cleanup of a call that a later one has overtaken: only the last call's counts.
      setTimeout(() => {
        const host = parent.host ?? parent;
        if (board.calls !== call || host.isConnected) return;
        board.close();
        boards.delete(parent);
      }, 0);
  };
}

export class Board {
  /** `read(data, before)`: Python's data → state (see state.js). */
  constructor(parent, base, read) {
    this.base = base;
    this.calls = 0;
    this.state = null;
    this.hover = null; // [row, col] under the pointer, pixels of the original
    this.cursor = null; // the same, moved by keys while nothing is pinned
    this.zoomed = { zoom: 1, left: 0, top: 0 };
    this.stopping = new AbortController();
    this.link = new Link((state) => this.component.setStateValue("state", state), read);
    this.unfade(parent);
  }

  // Streamlit fades what a running script has not reached yet. A viewer is never out of date: it does not wait for Python.
  unfade(parent) {
    this.container = (parent.host ?? parent.getRootNode().host ?? parent).closest?.('[data-testid="stElementContainer"]');
    this.container?.style.setProperty("opacity", "1", "important");
  }

  url(path) {
    return new URL(path.replace(/^\//, ""), this.base).href;
  }

  acts() {
    return {
      hover: (u, v, event) => {
        this.hover = this.pixel(u, v);
        this.repaint(event);
      },
      leave: () => {
        this.hover = null;
        this.repaint();
      },
      pin: (u, v) => this.pin(this.pixel(u, v)),
      step: (rows, cols) => this.step(rows, cols),
      stage: (by) => this.switchStage(by),
      remove: () => this.state.active !== null && this.remove(this.state.active),
      escape: () => {
        this.hover = this.cursor = null;
        this.repaint();
      },
      confirm: () => this.probe() && this.pin(this.probe()),
      choose: (index) => this.choose(index),
      hold: () => this.change({ hold: !this.state.view.hold }),
      zoom: (view) => this.zoom(view),
      double: () => this.double(),
      view: () => this.zoomed,
    };
  }

  // ------------------------------------------------------------------ where the person points

  /** The pixel of the original at a point of the image. */
  pixel(u, v) {
    const [H, W] = this.original;
    return [Math.min(H - 1, Math.floor(v * H)), Math.min(W - 1, Math.floor(u * W))];
  }

  pinned() {
    const { pins, active } = this.state;
    return active === null ? null : pins[active];
  }

  /** The pixel whose reading is shown. */
  probe() {
    if (this.state.view.hold && this.pinned()) return this.pinned();
    return this.hover ?? this.cursor ?? this.pinned();
  }

  // ------------------------------------------------------------------ settings

  change(part, delay = 0) {
    this.state = { ...this.state, view: { ...this.state.view, ...part } };
    this.report(delay);
  }

  report(delay) {
    this.refresh();
    this.link.report(this.state, delay);
  }

  switchStage(by) {
    const names = this.stages();
    const at = names.indexOf(this.state.view.stage) + by;
    if (at >= 0 && at < names.length) this.change({ stage: names[at] });
  }

  // ------------------------------------------------------------------ zoom

  zoom(view) {
    this.zoomed = fit(view);
    this.showZoom(this.zoomed);
    this.repaint();
  }

  /** A double click brings the whole picture back, and takes back the pin that its first half set. */
  double() {
    if (this.zoomed.zoom === 1) return;
    this.zoom({ zoom: 1, left: 0, top: 0 });
    if (performance.now() - this.pinnedAt < 700) this.remove(this.state.pins.length - 1);
  }

  // ------------------------------------------------------------------ pins

  setPins(pins, active, delay = 0) {
    this.state = { ...this.state, pins, active: pins.length ? Math.min(active, pins.length - 1) : null };
    this.report(delay);
  }

  pin(pixel) {
    const { pins } = this.state;
    const known = pins.findIndex((pin) => pin[0] === pixel[0] && pin[1] === pixel[1]);
    if (known >= 0) return this.choose(known);
    if (pins.length >= MOST_PINS) return this.explain(`${MOST_PINS} pixels are pinned; remove one first`);
    this.cursor = null;
    this.pinnedAt = performance.now();
    this.setPins([...pins, pixel], pins.length);
  }

  ring(index) {
    if (index === this.state.active) this.remove(index);
    else this.choose(index);
  }

  choose(index) {
    if (index < this.state.pins.length) this.setPins(this.state.pins, index);
  }

  remove(index) {
    const { pins, active } = this.state;
    const next = active > index || active === pins.length - 1 ? active - 1 : active;
    this.setPins(pins.filter((_, at) => at !== index), Math.max(0, next));
  }

  step(rows, cols) {
    const grid = this.grid();
    if (!grid) return;
    const [H, W] = this.original;
    const from = this.pinned() ?? this.cursor ?? [Math.floor(H / 2), Math.floor(W / 2)];
    const move = (at, size, cells, by) =>
      pixelOf(Math.min(cells - 1, Math.max(0, cellOf(at, size, cells) + by)), size, cells);
    const to = [move(from[0], H, grid[0], rows), move(from[1], W, grid[1], cols)];
    this.hover = null;
    if (this.pinned()) {
      this.setPins(this.state.pins.map((pin, index) => (index === this.state.active ? to : pin)), this.state.active, 150);
    } else {
      this.cursor = to;
      this.repaint();
    }
  }

  close() {
    this.link.flush();
    this.stopping.abort();
    this.container?.style.removeProperty("opacity");
    this.root.remove();
  }
}

/** What is being waited for, over a picture: text or null, how far (0 … 1 or null), a button {text, act}. */
export function waiting(node, text, part = null, button = null) {
  node.hidden = text === null || part === 1;
  if (text === null) return;
  const percent = part === null || part === undefined ? "" : ` · ${Math.round(100 * part)} %`;
  node.style.setProperty("--part", part ?? 0);
  node.replaceChildren(`${text}${percent}`);
  if (button) node.append(el("button.stop", { type: "button", text: button.text, on: { click: button.act } }));
}
