// The viewer: puts the parts together. `mount` is called by the bootstrap for every change of Python's data.

import { Data } from "./data.js";
import { el, setText } from "./dom.js";
import { cellOf, fit, pixelOf } from "./geometry.js";
import { listen } from "./input.js";
import { Layers } from "./layers.js";
import { Legend } from "./legend.js";
import { Panel } from "./panel.js";
import { Painter } from "./painter.js";
import { format } from "./scale.js";
import { Link, MOST_PINS } from "./state.js";
import { PinList, Strip } from "./strip.js";
import { Expired } from "./tensors.js";
import { Toolbar } from "./toolbar.js";

const viewers = new WeakMap();

/** Creates the viewer under component.parentElement, or gives new data to the one that is there; returns the unmount. */
export function mount(component, base) {
  const parent = component.parentElement;
  let viewer = viewers.get(parent);
  if (!viewer) {
    viewer = new Viewer(parent, base);
    viewers.set(parent, viewer);
  }
  viewer.update(component);
  const call = ++viewer.calls;
  return () =>
    // Streamlit may run the cleanup of a call that a later one has overtaken: only the last call's counts.
    setTimeout(() => {
      const host = parent.host ?? parent;
      if (viewer.calls !== call || host.isConnected) return;
      viewer.close();
      viewers.delete(parent);
    }, 0);
}

class Viewer {
  constructor(parent, base) {
    this.base = base;
    this.calls = 0;
    this.state = null;
    this.data = null;
    this.hover = null; // [row, col] under the pointer, pixels of the original
    this.cursor = null; // the same, moved by keys while nothing is pinned
    this.preview = null; // a bar under the pointer
    this.stopping = new AbortController();
    this.link = new Link((state) => this.component.setStateValue("state", state));
    this.build(parent);
  }

  build(parent) {
    const above = el("div.tools", { role: "toolbar", "aria-label": "What is read" });
    const beside = el("div.beside");
    const below = el("div.tools.look", { role: "toolbar", "aria-label": "How it is drawn" });
    this.frame = el("div.frame", {
      tabindex: 0, role: "application", "aria-roledescription": "pixel viewer",
      "aria-label": "Image. Arrow keys move the pixel, brackets change the stage, Enter pins, Delete removes.",
    });
    this.wait = el("div.wait", { hidden: true, role: "status" });
    this.unzoom = el("button.unzoom", {
      type: "button", hidden: true, title: "Show the whole picture (double click, or key 0)",
      on: { click: () => this.zoom({ zoom: 1, left: 0, top: 0 }) },
    });
    const stage = el("div.picture", {}, this.frame, this.unzoom, this.wait);
    const panel = el("div.panel");
    const legend = el("div.legend");
    const strip = el("div.strip", { role: "group", "aria-label": "Stages" });
    const pins = el("div.pins", { role: "group", "aria-label": "Pins" });
    const left = el("div.left", {}, stage, el("div.under", {}, legend, beside), below);
    const right = el("div.right", {}, panel, strip, pins);
    this.root = el("div.loupe", { "data-testid": "loupe-viewer" }, above, el("div.body", {}, left, right));
    parent.append(this.root);
    // Streamlit fades what a running script has not reached yet. The viewer is never out of date: it does not wait for Python.
    this.container = (parent.host ?? parent.getRootNode().host ?? parent).closest?.('[data-testid="stElementContainer"]');
    this.container?.style.setProperty("opacity", "1", "important");

    this.layers = new Layers(this.frame, { onPin: (index) => this.ring(index) });
    this.toolbar = new Toolbar(above, beside, below, (part, delay) => this.change(part, delay));
    this.panel = new Panel(panel, { preview: (bar) => this.look(bar), choose: (bar) => this.chooseBar(bar) });
    this.legend = new Legend(legend);
    this.strip = new Strip(strip, (name) => this.change({ stage: name }));
    this.pinList = new PinList(pins, { choose: (index) => this.choose(index), remove: (index) => this.remove(index) });
    this.painter = new Painter(this);

    const { signal } = this.stopping;
    listen(this.frame, this.acts(), signal);
    const watcher = new ResizeObserver(() => {
      this.layers.resize(this.frame.clientWidth, this.frame.clientHeight);
      this.painter.ask();
    });
    watcher.observe(this.frame);
    signal.addEventListener("abort", () => watcher.disconnect());
  }

  acts() {
    return {
      hover: (u, v, event) => {
        this.hover = this.pixel(u, v);
        this.painter.ask(event);
      },
      leave: () => {
        this.hover = null;
        this.painter.ask();
      },
      pin: (u, v) => this.pin(this.pixel(u, v)),
      step: (rows, cols) => this.step(rows, cols),
      stage: (by) => this.switchStage(by),
      remove: () => this.state.active !== null && this.remove(this.state.active),
      escape: () => {
        this.hover = this.cursor = null;
        this.painter.ask();
      },
      confirm: () => this.probe() && this.pin(this.probe()),
      choose: (index) => this.choose(index),
      hold: () => this.change({ hold: !this.state.view.hold }),
      zoom: (view) => this.zoom(view),
      double: () => this.double(),
      view: () => this.layers.view,
    };
  }

  // ------------------------------------------------------------------ data from Python

  update(component) {
    this.component = component;
    const given = component.data;
    this.state = this.link.adopt(given, this.state);
    const key = JSON.stringify([given.image, given.tensors, given.maps, given.classes]);
    if (key !== this.key) {
      this.key = key;
      this.open(given);
    }
    this.refresh();
  }

  open(given) {
    const before = this.data;
    this.data = new Data(given, this.base, (text, part, stop) => this.waiting(text, part, stop));
    this.hover = this.cursor = this.preview = null;
    delete this.root.dataset.ready;
    delete this.root.dataset.loaded;
    this.layers.clear();
    this.layers.setImage(given.image, this.data.url(given.image.url));
    this.strip.setStages(given.stages, this.data.url(given.image.url));
    this.fetchAll(this.data).finally(() => before?.close());
  }

  async fetchAll(data) {
    try {
      const first = this.state.view.stage;
      await Promise.all([data.stage(first), data.labels()]);
      if (data !== this.data) return data.close();
      const plain = (name) => data.maps.tensors[name]?.data ?? null;
      this.layers.setLabels({ prediction: plain("labels"), truth: plain("truth") });
      this.refresh();
      for (const { name } of data.given.stages) {
        if (data !== this.data) return;
        if (!data.stages[name]) await data.stage(name);
        this.refresh();
      }
      this.root.dataset.loaded = "1";
    } catch (error) {
      this.failed(error, data);
    }
  }

  failed(error, data, retry = () => this.fetchAll(data)) {
    if (data !== this.data || error.name === "AbortError") return;
    if (error instanceof Expired) {
      this.waiting("the server let these tensors go; a new trace is being made", null);
      this.component.setTriggerValue("expired", this.data.given.tensors[this.state.view.stage] ?? true);
      this.key = null; // the next data opens anew even if the addresses are the same
      return;
    }
    this.waiting(`The affinities could not be fetched: ${error.message}`, null, {
      text: "Try again",
      act: () => {
        this.waiting(null);
        retry();
      },
    });
  }

  /** What is being waited for, over the picture: text or null, how far (0 … 1 or null), a button {text, act}. */
  waiting(text, part = null, button = null) {
    this.wait.hidden = text === null || part === 1;
    if (text === null) return;
    const percent = part === null || part === undefined ? "" : ` · ${Math.round(100 * part)} %`;
    this.wait.style.setProperty("--part", part ?? 0);
    this.wait.replaceChildren(`${text}${percent}`);
    if (button) this.wait.append(el("button.stop", { type: "button", text: button.text, on: { click: button.act } }));
  }

  // ------------------------------------------------------------------ what the person does

  /** The pixel of the original at a point of the image. */
  pixel(u, v) {
    const [H, W] = this.data.original;
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

  change(part, delay = 0) {
    this.state = { ...this.state, view: { ...this.state.view, ...part } };
    this.report(delay);
  }

  setPins(pins, active, delay = 0) {
    this.state = { ...this.state, pins, active: pins.length ? Math.min(active, pins.length - 1) : null };
    this.report(delay);
  }

  report(delay) {
    this.refresh();
    this.link.report(this.state, delay);
  }

  pin(pixel) {
    const { pins } = this.state;
    const known = pins.findIndex((pin) => pin[0] === pixel[0] && pin[1] === pixel[1]);
    if (known >= 0) return this.choose(known);
    if (pins.length >= MOST_PINS) return this.toolbar.explain(`${MOST_PINS} pixels are pinned; remove one first`);
    this.cursor = null;
    this.pinnedAt = performance.now();
    this.setPins([...pins, pixel], pins.length);
  }

  zoom(view) {
    this.layers.zoomTo(fit(view));
    this.unzoom.hidden = this.layers.view.zoom === 1;
    setText(this.unzoom, `${format(this.layers.view.zoom, 2)}× ✕`);
    this.painter.ask();
  }

  /** A double click brings the whole picture back, and takes back the pin that its first half set. */
  double() {
    if (this.layers.view.zoom === 1) return;
    this.zoom({ zoom: 1, left: 0, top: 0 });
    if (performance.now() - this.pinnedAt < 700) this.remove(this.state.pins.length - 1);
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
    const stage = this.data.stages[this.state.view.stage];
    if (!stage) return;
    const [H, W] = this.data.original;
    const from = this.pinned() ?? this.cursor ?? [Math.floor(H / 2), Math.floor(W / 2)];
    const move = (at, size, cells, by) =>
      pixelOf(Math.min(cells - 1, Math.max(0, cellOf(at, size, cells) + by)), size, cells);
    const to = [move(from[0], H, stage.grid[0], rows), move(from[1], W, stage.grid[1], cols)];
    this.hover = null;
    if (this.pinned()) {
      this.setPins(this.state.pins.map((pin, index) => (index === this.state.active ? to : pin)), this.state.active, 150);
    } else {
      this.cursor = to;
      this.painter.ask();
    }
  }

  switchStage(by) {
    const names = this.data.given.stages.map((stage) => stage.name);
    const at = names.indexOf(this.state.view.stage) + by;
    if (at >= 0 && at < names.length) this.change({ stage: names[at] });
  }

  /** The pointer is over a bar, or no longer. */
  look(bar) {
    this.preview = bar;
    this.painter.ask();
  }

  /** A bar was pressed: its source becomes the one that "read by" and "made of" are about. */
  chooseBar(bar) {
    const stage = this.data.stages[this.state.view.stage];
    if (!bar || bar.source === undefined || !stage?.prototypes) return;
    const { reading, source } = this.state.view;
    const keep = reading === "read by" || reading === "made of";
    this.change({ reading: keep ? reading : "made of", source: source === bar.source && keep ? null : bar.source });
  }

  // ------------------------------------------------------------------ drawing

  /** Everything that follows state rather than the pointer. */
  refresh() {
    this.painter.refresh();
  }

  close() {
    this.link.flush();
    this.stopping.abort();
    this.painter.close();
    this.data?.close();
    this.data = null;
    this.container?.style.removeProperty("opacity");
    this.root.remove();
  }
}
