// Below the panes: where the pointer is, what both branches say there (softmax bars side by side), and the drawn values.

import { Duels } from "./duels.js";
import { el, setHidden, setStyle, setText } from "./dom.js";
import { format, steady } from "./scale.js";

const ROWS = 6;

export class GuidancePanel {
  /** choose(index): a category was pressed. */
  constructor(root, choose) {
    this.where = el("span.where");
    this.place = el("span.place");
    this.said = ["upsampler", "guide", "truth"].map((name) => said(name));
    this.numbers = {
      guide: number("guide", "Relative logit in the guide's cell under the pointer"),
      upsampler: number("upsampler", "Relative logit in the upsampler's cell under the pointer"),
      difference: number("difference", "upsampler − guide resized bilinearly, in the upsampler's cell under the pointer"),
      entropy: number("CAE entropy", "÷ log s, of what the context encoder reads at this cell of the guide: 0 one cell, 1 all cells alike"),
    };
    this.unit = el("div.bars-title");
    this.duels = new Duels({ rows: ROWS, heads: ["softmax at the cell", "guide", "upsampler"], choose, hint: "Show this category's maps" });
    this.note = el("p.sinks", { hidden: true });
    this.live = el("div.live", { "aria-live": "polite" });
    root.append(
      el("div.here", {},
        el("div.head", {}, this.where, this.place),
        el("div.sayings", {}, ...this.said.map((one) => one.node)),
        this.unit,
        el("dl.numbers", {}, ...Object.values(this.numbers).map((one) => one.node)),
        this.note,
      ),
      this.duels.node,
      this.live,
    );
  }

  /** Cells that the bars belong to: [row, col] of the guide and of the upsampler; null before anything is shown. */
  setCells(guide, upsampler) {
    const head = (name, cell) => (cell ? `${name} · cell ${cell.join(",")}` : name);
    this.duels.setHeads("softmax at the cell", head("guide", guide), head("upsampler", upsampler));
  }

  setPlace(where, pixel) {
    setText(this.where, where);
    setText(this.place, pixel ? `row ${pixel[0]} · col ${pixel[1]}` : "");
  }

  /** Categories {name, colour} at the pixel: predicted by the upsampler and by the guide, and the truth (null where unknown). */
  setSaid(...found) {
    found.forEach((one, index) => {
      const { node, dot, name } = this.said[index];
      setHidden(node, !one);
      setText(name, one?.name ?? "");
      setStyle(dot, "background-color", one?.colour ?? "transparent");
    });
  }

  setNumbers(category, { guide, upsampler, difference, entropy }) {
    setText(this.unit, category ? `relative logit of ${category}` : "");
    for (const [name, value] of Object.entries({ guide, upsampler, difference, entropy })) {
      setHidden(this.numbers[name].node, value === null);
      if (value !== null) setText(this.numbers[name].value, name === "entropy" ? steady(value) : format(value));
    }
  }

  /** Bars of the categories that either branch finds likeliest: Float32Array (k) each, or null for none. */
  setBars(guide, upsampler, classes, shown) {
    this.duels.set(guide, upsampler, classes, shown);
  }

  setPooled(factor) {
    setHidden(this.note, !(factor > 1));
    setText(this.note, `the upsampler's cells are pooled: each is the mean of a block of ${factor}×${factor}, so that the map can be sent`);
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
  const title = word === "truth" ? null : "What this branch predicts at the pixel: its logits are interpolated between cells";
  return { node: el("span.category", { hidden: true, title }, el("span.word", { text: word }), dot, name), dot, name };
}

function number(label, hint) {
  const value = el("dd");
  return { node: el("div.number", { title: hint }, el("dt", { text: label }), value), value };
}
