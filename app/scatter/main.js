// The linked scatter: one to four maps of the same pixels. What is lassoed in one lights up in all, here, without Python.
//
// Python's data: see payload.py. State: {pins: [], active: null, view: {parts, isolated}}, agreed with Python as the viewer's is
// (state.js). Which points a part takes is computed here and there by the same arithmetic (selection.js, strokes.py).

import { Board, mounting } from "../board.js";
import { arrived, el, show } from "../dom.js";
import { given as read } from "../state.js";
import { Expired, load, release } from "../tensors.js";
import { debug, time } from "../timing.js";
import { Acts } from "./acts.js";
import { Attention } from "./attention.js";
import { Camera } from "./camera.js";
import { lacking, look } from "./colouring.js";
import { group } from "./hub.js";
import { Legend } from "./legend.js";
import { Panel } from "./panel.js";
import { listen } from "./pointer.js";
import { shuffled } from "./raster.js";
import { groups, joined, select } from "./selection.js";
import { fetchPlot, fetchTable, joined as around } from "./table.js";
import { readTheme } from "./theme.js";
import { Tools } from "./tools.js";

const DEFAULTS = { parts: [], isolated: null };
const BUDGET = 11; // milliseconds of drawing in a frame while things move: beyond it only some points are drawn until they rest
const REST = 140;

export const mount = mounting((parent, base) => new Scatter(parent, base));

class Scatter extends Board {
  constructor(parent, base) {
    super(parent, base, (data, before) => read(data, before, DEFAULTS));
    this.panels = [];
    this.table = null;
    this.tool = "lasso";
    this.cursor = null; // {panel, x, y}: moved by keys, in the map's coordinates
    this.lit = { mask: null, count: 0, lost: 0 };
    this.preview = null; // a stroke that is being painted in a photo
    this.linkedCamera = new Camera();
    this.cost = 0; // of drawing a point, milliseconds
    this.acting = new Acts(this);
    this.tools = new Tools({ choose: (tool) => this.setTool(tool), clear: () => this.clear(), fit: () => this.fit() });
    this.legend = new Legend((by, code, more) => this.isolate(by, code, more));
    this.row = el("div.panes");
    this.root = el("div.loupe.scatter", { "data-testid": "loupe-scatter" }, this.tools.node, this.row, this.legend.node);
    this.attention = new Attention(this);
    parent.append(this.root);
  }

  // ------------------------------------------------------------------ data from Python

  update(component) {
    this.component = component;
    const given = (this.given = component.data);
    this.state = this.link.adopt(given, this.state);
    if (this.hub?.scatter === this) this.hub.scatter = null;
    this.hub = group(given.group ?? component.key ?? "scatter");
    this.hub.scatter = this;
    this.setPanels(given.panels);
    this.fetch(given);
    this.refresh();
  }

  setPanels(about) {
    while (this.panels.length > about.length) this.panels.pop().close();
    while (this.panels.length < about.length) {
      const panel = new Panel(this, this.panels.length);
      panel.ownCamera = new Camera();
      listen(panel.plot, this.acting.of(panel), this.stopping.signal);
      this.panels.push(panel);
      this.row.append(panel.node);
    }
    this.row.dataset.count = about.length;
    // Words change with the map that they are of, not before it has arrived.
    about.forEach((one, index) => {
      const panel = this.panels[index];
      if (panel.data && panel.data.about.url !== one.url) return;
      panel.setAbout(one);
      if (panel.data) Object.assign(panel.data, { about: one, map: one.map });
    });
  }

  /** Brings what is not here yet; what is on screen stays until its successor has arrived. */
  async fetch(given) {
    const key = JSON.stringify([given.points.url, given.panels.map(({ url }) => url), given.select?.url, given.sprite?.url]);
    if (key === this.key) return;
    this.key = key;
    delete this.root.dataset.ready;
    const current = () => this.key === key;
    const arriving = (panel) => (part) => current() && panel.waiting("fetching the points", part);
    try {
      const [table, mask, plots] = await Promise.all([
        fetchTable(given.points, this.url(given.points.url), this, arriving(this.panels[0])),
        given.select ? this.mask(given.select.url) : null,
        Promise.all(given.panels.map((about, index) => fetchPlot(this.url(about.url), this, arriving(this.panels[index])))),
      ]);
      if (!current()) return;
      const same = this.table && given.points.url === this.pointsUrl;
      this.table = same ? this.table : table;
      this.pointsUrl = given.points.url;
      if (!same) this.order = shuffled(this.table.count);
      this.outside = mask;
      plots.forEach((plot, index) => {
        const panel = this.panels[index];
        panel.waiting(null);
        const about = this.given.panels[index];
        panel.data = Object.assign(plot, { about, map: about.map });
        panel.setAbout(about);
        panel.ownCamera.setExtent(plot.extent);
      });
      this.linkedCamera.setExtent(around(plots.map((plot) => plot.extent)));
      this.sprite = given.sprite && { ...given.sprite, source: this.url(given.sprite.url), at: new Map((given.sprite.places ?? []).map((i, at) => [i, at])) };
      release(this, new Set([given.points, ...given.panels, given.select].filter(Boolean).map(({ url }) => this.url(url))));
      this.attention.look(null, -1);
      this.refresh();
      arrived(this.root);
    } catch (error) {
      if (current()) this.failed(error);
    }
  }

  async mask(url) {
    return (await load(this.url(url), this)).tensors.mask.data;
  }

  failed(error) {
    show(this.root);
    const panel = this.panels[0];
    const again = () => {
      this.key = null;
      panel.waiting(null);
      this.fetch(this.given);
    };
    this.key = null;
    if (error instanceof Expired) {
      panel.waiting("the server let these points go; they are being asked for again");
      this.component.setTriggerValue("expired", true);
    } else {
      panel.waiting(error.message, null, { text: "Try again", act: again });
    }
  }

  cameraOf(panel) {
    return this.given.linked ? this.linkedCamera : panel.ownCamera;
  }

  // ------------------------------------------------------------------ selection

  get parts() {
    return this.state.view.parts;
  }

  /** Colours, selection and legend after a change of state or data; then a repaint. */
  refresh() {
    if (!this.table || this.panels.some((panel) => !panel.data || panel.data.xy.length !== 2 * this.table.count)) return;
    this.theme = readTheme(this.panels[0].plot);
    const plots = this.panels.map((panel) => panel.data);
    for (const panel of this.panels) {
      const key = `${this.given.colour} ${this.given.colours} ${this.theme.key} ${JSON.stringify(panel.data.about.value)}`;
      if (panel.looks?.key === key && panel.looks.of === panel.data && panel.looks.table_ === this.table) continue;
      panel.looks = look(this.given, this.table, panel.data, this.theme) ?? lacking(this.table, this.theme);
      Object.assign(panel.looks, { key, of: panel.data, table_: this.table });
    }
    const parts = this.preview ? joined(this.parts, this.preview) ?? this.parts : this.parts;
    this.lit = select(parts, this.outside, this.table, plots);
    for (const panel of this.panels) panel.strength = this.strength(panel);
    const kinds = [0, 1, 2].filter((kind) => plots.some((plot) => plot.markers.some((one) => one.kind === kind)));
    const axes = this.given.panels.some((about) => !about.axes) ? "Axes have no units." : "";
    this.legend.set(this.panels.map((panel) => panel.looks), this.state.view.isolated, kinds, this.given.colours, axes);
    this.setTools();
    this.hub.tell();
    this.repaint();
  }

  setTools(sentence = null) {
    const zoomed = this.panels.some((panel) => panel.data && this.cameraOf(panel).zoom !== 1);
    const { count, lost, mask } = this.lit;
    this.tools.set({ tool: this.tool, count, lost, lit: mask !== null, total: this.table?.count ?? 0, zoomed, sentence });
  }

  /** 2 lit, 1 not selected, 0 not of the isolated groups; null: all are alike. */
  strength(panel) {
    const { isolated } = this.state.view;
    const { mask } = this.lit;
    const alone = isolated && isolated.by === panel.looks.by ? groups(this.table, panel.data, isolated.by) : null;
    if (!mask && !alone) return null;
    const codes = alone && new Set(isolated.codes);
    const strength = new Uint8Array(this.table.count);
    for (let i = 0; i < strength.length; i++) strength[i] = codes && !codes.has(alone[i]) ? 0 : !mask || mask[i] ? 2 : 1;
    return strength;
  }

  /** One more lasso or stroke. `event`: what ended it, for the benchmark. */
  add(part, event = null) {
    const parts = joined(this.parts, part);
    this.preview = null;
    if (!parts) {
      this.refresh();
      return this.setTools(`${this.parts.length} strokes make this selection, which is the most: begin a new one`);
    }
    const handled = performance.now();
    this.change({ parts });
    // Drawn at once, so that the very next frame shows it.
    const began = performance.now();
    this.frame();
    const timing = { kind: "lasso", event: event?.timeStamp, handled, began, drawn: performance.now() };
    return requestAnimationFrame(() => time(timing));
  }

  /** What is isolated now, as a lasso carries it. */
  only(panel) {
    const { isolated } = this.state.view;
    return isolated && isolated.by === panel.looks.by ? isolated : null;
  }

  clear() {
    this.acting.drawing.drop();
    this.preview = null;
    const told = this.parts.length > 0 || this.outside;
    this.outside = null; // Python hears of it too, and no longer lights what it lit
    if (told) this.change({ parts: [] });
    else this.refresh();
  }

  isolate(by, code, more) {
    const { isolated } = this.state.view;
    const held = isolated?.by === by ? isolated.codes : [];
    const codes = more ? (held.includes(code) ? held.filter((one) => one !== code) : [...held, code]) : held.length === 1 && held[0] === code ? [] : [code];
    this.change({ isolated: codes.length ? { by, codes } : null });
  }

  setTool(tool) {
    this.tool = tool;
    this.root.dataset.using = tool;
    this.setTools();
  }

  fit() {
    for (const panel of this.panels) this.cameraOf(panel).fit();
    this.setTools();
    this.repaint();
  }

  // ------------------------------------------------------------------ drawing

  outlines(panel) {
    const { drawing } = this.acting;
    const held = drawing.going && drawing.mode === "set" ? [] : this.parts.filter((part) => part.polygon && part.map === panel.data.map);
    const now = drawing.going && drawing.panel === panel ? [{ polygon: drawing.outline(), mode: drawing.mode, live: true, open: drawing.outline().length < 3 }] : [];
    return [...held, ...now];
  }

  themed() {
    if (this.theme && readTheme(this.panels[0].plot).key !== this.theme.key) this.refresh();
  }

  /** Only outlines and cursor changed. */
  redrawStrokes() {
    this.strokesRequest ||= requestAnimationFrame(() => {
      this.strokesRequest = 0;
      for (const panel of this.panels) if (panel.data) panel.drawStrokes();
    });
  }

  /** All panels in the next frame. moving: quickly, the rest follows. */
  repaint(moving = false) {
    this.moving = moving === true;
    this.request ||= requestAnimationFrame(() => {
      this.request = 0;
      if (this.table && this.order) this.frame();
    });
  }

  frame() {
    cancelAnimationFrame(this.request);
    this.request = 0;
    const began = performance.now();
    const drawn = this.panels.filter((panel) => panel.data && panel.looks && panel.looks.looks.length === this.order.length);
    if (!drawn.length) return;
    const room = Math.floor(BUDGET / Math.max(1e-6, this.cost) / drawn.length);
    const count = this.moving ? Math.max(2000, room) : this.order.length;
    const opacity = Math.min(0.95, Math.max(0.7, 0.95 - this.order.length / 200000));
    for (const panel of drawn) panel.draw({ looks: panel.looks, strength: panel.strength, order: this.order, theme: this.theme, count, opacity });
    const spent = performance.now() - began;
    this.cost = spent / drawn.length / Math.min(count, this.order.length);
    clearTimeout(this.resting);
    if (count < this.order.length) this.resting = setTimeout(() => this.repaint(), REST);
    this.attention.mark();
    debug.frames++;
    debug.board = this;
    debug.scatter = { count: this.lit.count, mask: this.lit.mask, parts: this.parts, spent, drawn: Math.min(count, this.order.length), state: this.state };
  }

  close() {
    super.close();
    cancelAnimationFrame(this.request);
    cancelAnimationFrame(this.strokesRequest);
    clearTimeout(this.resting);
    for (const panel of this.panels) panel.close();
    this.panels = [];
    this.key = null;
    if (this.hub?.scatter === this) this.hub.scatter = null;
    this.hub?.tell();
    release(this);
  }
}
