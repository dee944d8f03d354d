// Bars in pairs: one row for each category, what one side says of it and what the other does. Rows are made once and only
// written to, so that a hover never lays the page out anew.

import { largest } from "./affinity.js";
import { el, setHidden, setStyle, setText } from "./dom.js";

export class Duels {
  /** heads: what stands above [names, left bars, right bars]. choose(index): a category was pressed; hint: what that does. */
  constructor({ rows, heads, choose = null, hint = null }) {
    this.heads = heads.map((text) => el("span", { text }));
    this.rows = Array.from({ length: rows }, () => row(choose, hint));
    this.node = el("div.duels", {}, el("div.duel.duel-head", {}, ...this.heads), ...this.rows.map((one) => one.node));
  }

  /** Another text above [names, left bars, right bars]. */
  setHeads(...texts) {
    texts.forEach((text, index) => setText(this.heads[index], text));
  }

  /** The likeliest categories of either side: Float32Array (k) each, or null for none. shown: index of the one to point out. */
  set(left, right, classes, shown = null) {
    const order = left ? top(left, right, this.rows.length) : [];
    this.rows.forEach((one, index) => {
      const c = order[index];
      one.category = c ?? null;
      setHidden(one.node, c === undefined);
      if (c === undefined) return;
      setText(one.label, classes[c].name);
      setStyle(one.dot, "background-color", classes[c].colour);
      one.node.classList.toggle("shown", c === shown);
      [left, right].forEach((values, side) => {
        const bar = one.bars[side];
        setText(bar.value, probability(values[c]));
        setStyle(bar.fill, "transform", `scaleX(${values[c].toFixed(4)})`);
        setStyle(bar.fill, "background-color", classes[c].colour);
      });
    });
  }
}

/** Indices of the likeliest categories of either side, by the larger of both values. */
function top(left, right, count) {
  const best = Float32Array.from(left, (value, c) => Math.max(value, right[c]));
  return Array.from(largest(best, Math.min(count, best.length)));
}

const probability = (value) => (value >= 0.0005 ? value.toFixed(3) : value > 0 ? "<0.001" : "0");

function row(choose, hint) {
  const label = el("span.label");
  const dot = el("i.dot");
  const bars = [0, 1].map(() => {
    const fill = el("span.fill");
    const value = el("span.value");
    return { fill, value, node: el("span.duel-bar", {}, el("span.track", {}, fill), value) };
  });
  const one = { label, dot, bars, category: null };
  const act = choose ? { type: "button", title: hint, on: { click: () => choose(one.category) } } : {};
  one.node = el(
    choose ? "button.duel" : "div.duel", { hidden: true, ...act },
    el("span.duel-name", {}, dot, label), bars[0].node, bars[1].node,
  );
  return one;
}
