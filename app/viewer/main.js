// The viewer: puts the parts together. `mount` is called by the bootstrap for every change of Python's data.

import { Board, mounting, waiting } from "./board.js";
import { Data } from "./data.js";
import { el, setText, show } from "./dom.js";
import { listen } from "./input.js";
import { Layers } from "./layers.js";
import { Legend } from "./legend.js";
import { Panel } from "./panel.js";
import { Painter } from "./painter.js";
import { format } from "./scale.js";
import { incoming } from "./state.js";
import { PinList, Strip } from "./strip.js";
import { Expired } from "./tensors.js";
import { Toolbar } from "./toolbar.js";

export const mount = mounting((parent, base) => new Viewer(parent, base));

class Viewer extends Board {
  constructor(parent, base) {
    super(parent, base, incoming);
    this.data = null;
    this.preview = null; // a bar under the pointer
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
    const data = new Data(given, this.base, (...said) => data === this.data && this.waiting(...said));
    this.data = data;
    this.hover = this.cursor = this.preview = null;
    delete this.root.dataset.ready;
    delete this.root.dataset.loaded;
    this.layers.clear();
    this.zoomed = { zoom: 1, left: 0, top: 0 };
    this.showZoom(this.zoomed);
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
    show(this.root);
    if (error instanceof Expired) {
      data.waiting("failed", "the server let these tensors go; a new trace is being made", null);
      this.component.setTriggerValue("expired", this.data.given.tensors[this.state.view.stage] ?? true);
      this.key = null; // the next data opens anew even if the addresses are the same
      return;
    }
    data.waiting("failed", `The affinities could not be fetched: ${error.message}`, null, {
      text: "Try again",
      act: () => {
        data.waiting("failed", null);
        retry();
      },
    });
  }

  /** What is being waited for, over the picture. */
  waiting(text, part = null, button = null) {
    waiting(this.wait, text, part, button);
  }

  // ------------------------------------------------------------------ what the person does (the rest: board.js)

  get original() {
    return this.data.original;
  }

  grid() {
    return this.data.stages[this.state.view.stage]?.grid ?? null;
  }

  stages() {
    return this.data.given.stages.map((stage) => stage.name);
  }

  repaint(event) {
    this.painter.ask(event);
  }

  explain(sentence) {
    this.toolbar.explain(sentence);
  }

  showZoom(view) {
    this.layers.zoomTo(view);
    this.unzoom.hidden = view.zoom === 1;
    setText(this.unzoom, `${format(view.zoom, 2)}× ✕`);
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
    super.close();
    this.painter.close();
    this.data?.close();
    this.data = null;
  }
}
