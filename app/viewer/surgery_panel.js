// Below the panes: where the pointer is and what both runs say there; and, with masks, what became of each category's area.

import { Duels } from "./duels.js";
import { el, setHidden, setStyle, setText } from "./dom.js";
import { format } from "./scale.js";

const ROWS = 5;

export class SurgeryPanel {
  constructor(root) {
    this.where = el("span.where");
    this.place = el("span.place");
    this.said = ["before", "after", "truth"].map(said);
    this.values = el("dl.numbers");
    this.numbers = ["before", "after", "difference"].map(number);
    this.unit = el("div.bars-title");
    this.values.append(...this.numbers.map((one) => one.node));
    this.note = el("p.sinks", { hidden: true });
    this.reads = new Duels({ rows: ROWS, heads: ["prototype", "before", "after"] });
    this.readsTitle = el("div.bars-title");
    this.readsBox = el("div.bars-box", {}, this.readsTitle, this.reads.node);
    this.likely = new Duels({ rows: ROWS, heads: ["category", "before", "after"] });
    this.areas = el("div.areas", { role: "list", "aria-label": "Share of the image, before → after" });
    this.live = el("div.live", { "aria-live": "polite" });
    root.append(
      this.areas,
      el("div.surgery-here", {},
        el("div.here", {},
          el("div.head", {}, this.where, this.place), el("div.sayings", {}, ...this.said.map((one) => one.node)),
          this.unit, this.values, this.note),
        this.readsBox,
        el("div.bars-box", {}, el("div.bars-title", { text: "softmax at the cell of the logits" }), this.likely.node)),
      this.live,
    );
  }

  /** [{category, before, after}] and the classes; [] takes it away. */
  setAreas(found, classes, percent) {
    setHidden(this.areas, !found.length);
    this.areas.replaceChildren(
      ...found.map(({ category, before, after }) =>
        el("span.area", { role: "listitem" },
          el("i.dot", { style: `background-color:${classes[category].colour}` }), classes[category].name,
          el("b", { text: before === after ? percent(before) : `${percent(before)} → ${percent(after)}` }))),
    );
  }

  setPlace(where, pixel) {
    setText(this.where, where);
    setText(this.place, pixel ? `row ${pixel[0]} · col ${pixel[1]}` : "");
  }

  /** Categories {name, colour} at the pixel: before, after, truth; null where unknown. */
  setSaid(...found) {
    this.said.forEach((one, index) => {
      const what = found[index];
      setHidden(one.node, !what);
      setText(one.name, what?.name ?? "");
      setStyle(one.dot, "background-color", what?.colour ?? "transparent");
    });
  }

  /** What the panes show at the pixel: its unit, and before, after, difference; null for none. */
  setNumbers(unit, values) {
    setText(this.unit, unit);
    this.numbers.forEach((one, index) => {
      setHidden(one.node, !values);
      if (values) setText(one.value, `${index === 2 && values[2] > 0 ? "+" : ""}${format(values[index])}`);
    });
  }

  /** Affinities to the prototypes at a stage: Float32Array (k) of both runs, or null with a reason. */
  setReads(before, after, classes, stage) {
    setHidden(this.readsBox, !before);
    if (before) setText(this.readsTitle, `reads at ${stage}, mean over heads`);
    this.reads.set(before, after, classes);
  }

  setLikely(before, after, classes) {
    this.likely.set(before, after, classes);
  }

  setNote(text) {
    setHidden(this.note, !text);
    setText(this.note, text);
  }

  /** For screen readers, once the pointer rests. */
  say(text) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => setText(this.live, text), 500);
  }
}

function said(word) {
  const dot = el("i.dot");
  const name = el("b");
  return { node: el("span.category", { hidden: true }, el("span.word", { text: word }), dot, name), dot, name };
}

function number(label) {
  const value = el("dd");
  return { node: el("div.number", {}, el("dt", { text: label }), value), value };
}
