// The viewer's state and its agreement with Python: a three-way merge, so that a late echo never moves a slider back.

const DEFAULTS = {
  stage: null, reading: "reads", measure: "weight", relative: "raw", scale: "linear", head: "mean", smooth: false,
  opacity: 0.85, colours: "cividis", outline: "none", source: null, hold: false,
};
const MEMORY = 60; // reports remembered; an older revision counts as unknown
export const MOST_PINS = 9;

/** {pins, active, view} of Python's data; settings that are not given are taken from `before`, then from `defaults`. */
export function given(data, before = {}, defaults = {}) {
  const view = { ...defaults };
  for (const name of Object.keys(defaults)) if (before[name] !== undefined) view[name] = before[name];
  for (const name of Object.keys(defaults)) if (data.view?.[name] !== undefined) view[name] = data.view[name];
  const pins = (data.pins ?? []).slice(0, MOST_PINS).map((pin) => [pin[0], pin[1]]);
  const active = pins.length ? Math.min(Math.max(0, data.active ?? 0), pins.length - 1) : null;
  return { pins, active, view };
}

/** The same of Inspect's data, with the accepted spellings of a few settings. */
export function incoming(data, before = {}) {
  const { pins, active, view } = given(data, before, DEFAULTS);
  if (view.scale === "log") view.scale = "uniform";
  if (typeof view.relative === "boolean") view.relative = view.relative ? "relative" : "raw";
  view.head ??= "mean";
  const names = data.stages.map((stage) => stage.name);
  if (!names.includes(view.stage)) view.stage = names[names.length - 1];
  return { pins, active, view };
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const flat = ({ pins, active, view }) => ({ pins: { pins, active }, ...view });
const nested = ({ pins, ...view }) => ({ ...pins, view });

export class Link {
  /** `send(state)` hands {pins, active, view, revision} to Python; `read(data, before)` makes the state of Python's data. */
  constructor(send, read = incoming) {
    this.send = send;
    this.read = read;
    this.name = Math.random().toString(36).slice(2, 8);
    this.count = 0;
    this.known = new Map(); // revision → what Python had then, flat
    this.timer = 0;
  }

  /** The state after Python's data arrived; `local` is the viewer's own, null at first. */
  adopt(data, local) {
    const revision = data.revision ?? "";
    const base = this.known.get(revision);
    const told = flat(this.read(data, base));
    this.remember(revision, told);
    if (!local || !base) return nested(told);
    const merged = flat(local);
    for (const name of Object.keys(told)) if (!same(told[name], base[name])) merged[name] = told[name];
    return nested(merged);
  }

  /** Reports the state to Python, at once or after `delay` ms without another report. */
  report(state, delay = 0) {
    clearTimeout(this.timer);
    const act = () => {
      this.timer = 0;
      this.pending = null;
      const revision = `${this.name}:${++this.count}`;
      this.remember(revision, flat(structuredClone(state)));
      this.send({ ...structuredClone(state), revision });
    };
    this.pending = act;
    if (delay) this.timer = setTimeout(act, delay);
    else act();
  }

  /** Sends what still waits. */
  flush() {
    clearTimeout(this.timer);
    this.pending?.();
  }

  remember(revision, given) {
    this.known.delete(revision);
    this.known.set(revision, structuredClone(given));
    if (this.known.size > MEMORY) this.known.delete(this.known.keys().next().value);
  }
}
