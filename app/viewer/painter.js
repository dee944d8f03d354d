// One frame, one repaint: from the state and the probe to picture, bars, numbers, legend, strip.
//
// `ask` is cheap and may be called for every pointer event; the work happens once in the next animation frame.

import { disagreement, entropy } from "./affinity.js";
import { RINGS, arrived } from "./dom.js";
import { cellOf } from "./geometry.js";
import { inForce, ownRow, read, refusals } from "./readings.js";
import { alikeHere } from "./readers.js";
import { format, largestOf } from "./scale.js";
import { sinks } from "./sinks.js";
import { needsExtras } from "./stage.js";
import { debug, time } from "./timing.js";

export class Painter {
  constructor(viewer) {
    this.viewer = viewer;
    this.request = 0;
    this.event = null;
    this.stopped = null; // what was stopped or refused, so that it is not asked for again by itself
    this.said = false;
  }

  /** A repaint in the next frame. */
  ask(event = null) {
    if (event) {
      this.event = event;
      this.handled = performance.now();
    }
    this.request ||= requestAnimationFrame(() => {
      this.request = 0;
      this.frame();
    });
  }

  close() {
    cancelAnimationFrame(this.request);
    this.waiting?.abort();
  }

  /** After a change of state or data: what does not follow the pointer, then a repaint. */
  refresh() {
    const { viewer } = this;
    const { data, state } = viewer;
    if (!data) return;
    viewer.strip.setActive(state.view.stage);
    const [H, W] = data.original;
    const pins = state.pins.map((pixel, index) => ({ pixel, active: index === state.active, ...data.category(data.maps ? data.labelAt(pixel) : null) }));
    viewer.layers.setPins(
      pins.map(({ pixel, active, name }) => ({ u: (pixel[1] + 0.5) / W, v: (pixel[0] + 0.5) / H, active, label: name ?? "" })),
    );
    viewer.legend.setOutlines(viewer.layers.setOutline(state.view.outline));
    viewer.pinList.set(pins, data.url(data.given.image.url));
    const stage = data.stages[state.view.stage];
    if (!stage) {
      this.ask();
      return;
    }
    const view = inForce(stage, state.view);
    viewer.toolbar.set(stage, view, refusals(stage, view), data.classes, {
      truth: Boolean(data.maps?.tensors.truth),
      pinned: state.active !== null,
    });
    viewer.panel.setSinks(stage.sinks ?? null);
    viewer.panel.setPooled(stage.pooled);
    this.small();
    this.ask();
  }

  /** The strip and the pins' own small pictures; not while the pointer moves. */
  small() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const { data, state, strip, pinList } = this.viewer;
      if (!data?.maps) return;
      const look = state.view;
      const pixel = this.viewer.pinned();
      for (const { name } of data.given.stages) {
        const stage = data.stages[name];
        strip.draw(name, stage && pixel ? this.quick(stage, pixel) : null, look);
      }
      const stage = data.stages[state.view.stage];
      if (stage) this.viewer.panel.setSinks(sinks(stage, data.context(stage)));
      state.pins.forEach((pin, index) => pinList.draw(index, stage ? this.quick(stage, pin) : null, look));
    }, 30);
  }

  /** A reading that needs nothing from the engine, or null. */
  quick(stage, pixel) {
    const { data, state } = this.viewer;
    const view = inForce(stage, state.view);
    if (this.lacks(stage, view, pixel)) return null;
    const context = data.context(stage, pixel, view.head);
    return read(stage, view, pixel, ownRow(stage, view, pixel, context), context);
  }

  /** What has to come from the engine before this can be drawn: "extras", "alike" or null. */
  lacks(stage, view, pixel) {
    if (view.reading === "reads alike" && !alikeHere(stage))
      return this.viewer.data.alikeNow(stage, pixel, view.head) ? null : "alike";
    const whole = view.reading === "read by" || (view.reading === "reads" && view.relative === "relative" && !stage.mean);
    return whole && needsExtras(stage) ? "extras" : null;
  }

  frame() {
    const { viewer } = this;
    const { data, state } = viewer;
    const stage = data?.stages[state.view.stage];
    if (!stage || !data.maps) return;
    const began = performance.now();
    const view = this.previewed(stage, inForce(stage, state.view));
    // What the engine computes follows the pin: a request for every pixel under the pointer would never keep up.
    const slow = view.reading === "reads alike" && !alikeHere(stage);
    const probe = (slow && viewer.pinned()) || viewer.probe();
    const pixel = probe ?? [Math.floor(data.original[0] / 2), Math.floor(data.original[1] / 2)];
    const need = probe && this.lacks(stage, view, pixel);
    if (need === "alike" && probe === viewer.hover) this.say("click to pin this pixel: the engine then compares its profile with all others");
    else if (need) this.fetch(need, stage, pixel, view.head);
    else this.say(null);
    if (need || !probe) {
      viewer.layers.clear();
      viewer.layers.mark(null);
      viewer.layers.markSource();
      // Nothing may stay that belongs to another pixel or reading.
      viewer.panel.empty();
      viewer.legend.empty();
      if (probe) viewer.panel.setPlace(this.where(pixel), pixel, ...this.categories(pixel));
      else viewer.panel.setPlace("point at the image, or press an arrow key", null, null, null);
      this.done(began, null, null);
      return;
    }
    const context = data.context(stage, pixel, view.head);
    const own = ownRow(stage, view, pixel, context);
    const reading = read(stage, view, pixel, own, context);
    viewer.layers.draw(reading, view);
    this.marks(stage, reading, pixel);
    this.numbers(stage, view, reading, own, pixel, context);
    viewer.legend.set(reading, reading.scale.log ? largestOf(reading.values) : reading.scale.top, view.colours);
    this.done(began, own, reading);
  }

  /** A bar under the pointer shows what its source is made of, or where it lies. */
  previewed(stage, view) {
    const bar = this.viewer.preview;
    if (!bar || bar.source === undefined || !stage.prototypes || view.reading === "read by") return view;
    return { ...view, reading: "made of", source: bar.source, measure: "weight", relative: "raw" };
  }

  marks(stage, reading, pixel) {
    const { viewer } = this;
    const [H, W] = viewer.data.original;
    const at = [(pixel[1] + 0.5) / W, (pixel[0] + 0.5) / H];
    const ringed = pixel === viewer.pinned(); // the ring already marks the pixel
    viewer.layers.mark(at, ringed, cellOf(pixel[0], H, stage.h), cellOf(pixel[1], W, stage.w), stage.h, stage.w);
    const cell = viewer.preview?.cell ?? (reading.source?.cell ? reading.source.index : undefined);
    if (cell === undefined) viewer.layers.markSource();
    else viewer.layers.markSource(Math.floor(cell / stage.x), cell % stage.x, stage.y, stage.x);
  }

  numbers(stage, view, reading, own, pixel, context) {
    const { panel, data, state } = this.viewer;
    const [predicted, truth] = this.categories(pixel);
    panel.setPlace(this.where(pixel), pixel, predicted, truth);
    panel.setBars(reading.title, reading.bars);
    panel.setMass(reading.mass ?? null, data.classes);
    const under = this.viewer.hover ?? pixel;
    const here = reading.values[cellOf(under[0], context.original[0], reading.rows) * reading.cols + cellOf(under[1], context.original[1], reading.cols)];
    const spread = entropy(own.weights);
    const differ = stage.bilinear ? null : disagreement(own.rows, own.weights, view.head === "mean" ? stage.n : 1);
    panel.setNumbers({
      here: `${reading.scale.log ? "×" : ""}${format(here)}`,
      entropy: spread,
      differ,
      update: stage.updateShare ? stage.updateShare[own.query] : null,
      blend: stage.mu,
    });
    const top = reading.bars[0];
    panel.say(
      `${this.where(pixel)}: row ${pixel[0]}, column ${pixel[1]}, predicted ${predicted?.name ?? "unknown"}. ` +
        `${state.view.stage}, ${reading.title}: ${top ? `${top.label} ${format(top.value)}` : "nothing"}.`,
    );
  }

  /** [predicted, true] category at a pixel; null where unknown. */
  categories(pixel) {
    const { data } = this.viewer;
    return [data.category(data.labelAt(pixel)), data.category(data.labelAt(pixel, "truth"))];
  }

  where(pixel) {
    const { state } = this.viewer;
    if (pixel === this.viewer.pinned()) return `pin ${RINGS[state.active]}`;
    return pixel === this.viewer.cursor ? "keyboard" : "under the pointer";
  }

  /** A sentence over the picture that belongs to the current reading; null takes it away. */
  say(text, button = null) {
    if (text === null && !this.said) return;
    this.said = text !== null;
    this.viewer.data.waiting("said", text, null, button);
  }

  fetch(need, stage, pixel, head) {
    const { data } = this.viewer;
    const key = need === "alike" ? `${stage.name} ${pixel} ${head}` : stage.name;
    if (this.asked === key || this.stopped === key) return;
    this.waiting?.abort();
    this.asked = key;
    const control = (this.waiting = new AbortController());
    const again = () => {
      this.stopped = null;
      this.refresh();
    };
    const stop = () => {
      this.stopped = key;
      control.abort();
    };
    const options = { signal: control.signal, stop };
    (need === "alike" ? data.alike(stage.name, pixel, head, options) : data.extras(stage.name, options))
      .catch((error) => {
        if (this.stopped === key) return this.say("stopped; this reading needs it", { text: "Go on", act: again });
        if (error.name === "AbortError") return null; // another pixel was asked for meanwhile
        this.stopped = key; // not again by itself
        return this.viewer.failed(error, data, again);
      })
      .finally(() => {
        if (this.asked === key) this.asked = null;
        this.refresh();
      });
  }

  done(began, own, reading) {
    const { event } = this;
    this.event = null;
    debug.frames++;
    debug.weights = own?.weights ?? null;
    debug.rows = own?.rows ?? null;
    debug.map = reading?.values ?? null;
    debug.shape = reading ? [reading.rows, reading.cols] : null;
    debug.state = this.viewer.state;
    if (event) time({ event: event.timeStamp, handled: this.handled, began, drawn: performance.now() });
    if (reading || !this.viewer.probe()) arrived(this.viewer.root);
  }
}
