// The panel beside the picture: where, what category, the bars of the top sources, the numbers, the sinks.
// Rows are made once and only written to, and every node keeps its size, so that a hover never lays the page out anew.

import { el, setHidden, setStyle, setText } from "./dom.js";
import { format, share, steady } from "./scale.js";

const ROWS = 8;

export class Panel {
  /** acts: preview(bar | null), choose(bar). */
  constructor(root, acts) {
    this.acts = acts;
    this.where = el("span.where");
    this.place = el("span.place");
    this.predicted = category("predicted");
    this.truth = category("true");
    this.title = el("div.bars-title");
    this.bars = Array.from({ length: ROWS }, (_, index) => this.row(index));
    this.list = el("div.bars", { role: "group", "aria-label": "Strongest sources" }, ...this.bars.map((bar) => bar.node));
    this.massTexts = Array.from({ length: 4 }, () => el("span", { hidden: true }));
    this.mass = el("div.mass", { role: "img", "aria-label": "weight by predicted category of the source cells" }, ...this.massTexts);
    this.mass.addEventListener("pointerenter", () => (this.mass.title = this.massWords()));
    this.massTitle = el("div.bars-title.quiet", { text: "weight by predicted category of the source cells" });
    this.massBox = el("div.mass-box", {}, this.massTitle, this.mass);
    this.numbers = {
      here: number("at the pointer", "The drawn value in the cell under the pointer"),
      entropy: number("entropy ÷ log m", "0: one source is read; 1: all sources are read alike"),
      differ: number("heads differ", "Jensen–Shannon divergence of the heads ÷ log n: 0 alike, 1 disjoint"),
      update: number("update share", "‖update‖ ÷ (‖update‖ + ‖residual‖) at this query; the rest is the residual"),
      blend: number("blend weight μ", "The memory's weight in every source: a constant of the model, the same for every pixel"),
    };
    this.sinks = el("p.sinks", { hidden: true });
    this.pooled = el("p.sinks.pooled", { hidden: true });
    this.live = el("div.live", { "aria-live": "polite" });
    root.append(
      el("div.head", {}, this.where, this.place),
      el("div.categories", {}, this.predicted.node, this.truth.node),
      this.title, this.list, this.massBox,
      el("dl.numbers", {}, ...Object.values(this.numbers).map((one) => one.node)),
      this.sinks, this.pooled, this.live,
    );
  }

  row(index) {
    const label = el("span.label");
    const fill = el("span.fill");
    const value = el("span.value");
    const node = el("button.bar", { type: "button", hidden: true }, label, el("span.track", {}, fill), value);
    const bar = { node, label, fill, value, data: null };
    node.addEventListener("pointerenter", () => this.acts.preview(bar.data));
    node.addEventListener("pointerleave", () => this.acts.preview(null));
    node.addEventListener("focus", () => node.matches(":focus-visible") && this.acts.preview(bar.data));
    node.addEventListener("blur", () => this.acts.preview(null));
    node.addEventListener("click", () => this.acts.choose(bar.data));
    node.dataset.index = index;
    return bar;
  }

  /** where: "under the pointer", "① pinned", …; pixel [row, col] of the original. */
  setPlace(where, pixel, predicted, truth) {
    setText(this.where, where);
    setText(this.place, pixel ? `row ${pixel[0]} · col ${pixel[1]}` : "");
    write(this.predicted, predicted, "");
    setHidden(this.truth.node, !truth);
    if (truth) write(this.truth, truth, truth.name === predicted?.name ? "=" : "≠");
  }

  setBars(title, bars) {
    setText(this.title, title);
    for (let index = 0; index < ROWS; index++) {
      const row = this.bars[index];
      const data = bars[index];
      row.data = data ?? null;
      setHidden(row.node, !data);
      if (!data) continue;
      setText(row.label, data.absent ? `${data.label} (absent)` : data.label);
      setText(row.value, data.times ? `×${format(data.value, 2)}` : steady(data.value));
      setStyle(row.fill, "transform", `scaleX(${Math.max(0, Math.min(1, data.fraction)).toFixed(4)})`);
      setStyle(row.fill, "background-color", data.colour ?? "var(--faint)");
    }
  }

  /** Weight by category as one stacked bar: a gradient with hard stops. `sums` (k + 1) with mixed cells last, null hides. */
  setMass(sums, classes) {
    setHidden(this.massBox, !sums);
    setStyle(this.massBox, "visibility", "visible");
    this.massNow = sums && { sums, classes };
    if (!sums) return;
    let total = 0;
    for (const sum of sums) total += sum;
    total ||= 1;
    const stops = [];
    let used = 0;
    for (let j = 0, at = 0; j < sums.length; j++) {
      if (sums[j] / total < 0.002) continue;
      const to = at + sums[j] / total;
      stops.push(`${classes[j]?.colour ?? "var(--faint)"} ${(100 * at).toFixed(1)}% ${(100 * to).toFixed(1)}%`);
      const text = `${classes[j]?.name ?? "mixed"} ${share(sums[j])}`;
      if (used < this.massTexts.length && 320 * (to - at) > 6.4 * text.length) {
        const node = this.massTexts[used++];
        setText(node, text);
        setStyle(node, "left", `${(50 * (at + to)).toFixed(1)}%`);
        setStyle(node, "color", inkOn(classes[j]?.colour));
        setHidden(node, false);
      }
      at = to;
    }
    for (const node of this.massTexts.slice(used)) setHidden(node, true);
    setStyle(this.mass, "background-image", `linear-gradient(90deg, ${stops.join(", ")})`);
  }

  /** No reading: bars, weights and numbers go, their room stays. */
  empty() {
    this.setBars("", []);
    setStyle(this.massBox, "visibility", "hidden");
    this.setNumbers({ here: null, entropy: null, differ: null, update: null, blend: null });
    this.say("");
  }

  massWords() {
    const { sums, classes } = this.massNow;
    const order = Array.from(sums.keys()).filter((j) => sums[j] >= 0.005).sort((a, b) => sums[b] - sums[a]);
    return order.map((j) => `${classes[j]?.name ?? "mixed cells"} ${share(sums[j])}`).join(", ");
  }

  setNumbers({ here, entropy, differ, update, blend }) {
    const show = (one, text) => {
      setHidden(one.node, text === null);
      if (text !== null) setText(one.value, text);
    };
    show(this.numbers.here, here);
    show(this.numbers.entropy, entropy === null ? null : steady(entropy));
    show(this.numbers.differ, differ === null ? null : steady(differ));
    show(this.numbers.update, update === null ? null : `${Math.round(100 * update)} %`);
    show(this.numbers.blend, blend ? `${format(blend)} const` : null);
  }

  /** `sinks` as sinks.js finds them; null where they are not known. */
  setSinks(sinks) {
    setHidden(this.sinks, !sinks);
    if (!sinks || this.sinks.shown === sinks) return;
    this.sinks.shown = sinks;
    this.sinks.replaceChildren();
    if (!sinks.length) this.sinks.append("no sink: the image reads no source more than 3 × uniform");
    sinks.forEach((sink, index) => {
      this.sinks.append(index ? "; " : sinks.length > 1 ? "sinks: " : "sink: ");
      this.sinks.append(el("i.dot", { style: `background:${sink.colour ?? "var(--faint)"}` }), sink.name);
      const most = sink.readBy ? `, most read by ${sink.readBy} of ${sink.present} categories` : "";
      this.sinks.append(`, read by everyone (×${format(sink.times, 2)} uniform${most})`);
    });
  }

  /** factor: each query the browser holds is the mean of a block of factor × factor; 1: of none. */
  setPooled(factor) {
    setHidden(this.pooled, !(factor > 1));
    setText(this.pooled, `queries are pooled: each is the mean of a block of ${factor}×${factor}, so that the stage can be sent`);
  }

  /** For screen readers, once the pointer rests. */
  say(text) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      setText(this.live, text);
      if (this.massNow) this.mass.setAttribute("aria-label", `${this.massTitle.textContent}: ${this.massWords()}`);
    }, 500);
  }
}


/** Black or white, whichever can be read on a colour "#rrggbb". */
function inkOn(colour = "#888888") {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#16181a" : "#ffffff";
}

function category(word) {
  const dot = el("i.dot");
  const name = el("b");
  const sign = el("span.sign");
  return { node: el("span.category", {}, el("span.word", { text: word }), dot, name, sign), dot, name, sign };
}

function write(one, data, sign) {
  setText(one.name, data?.name ?? "–");
  setStyle(one.dot, "background-color", data?.colour ?? "transparent");
  setText(one.sign, sign);
}

function number(label, hint) {
  const value = el("dd");
  return { node: el("div.number", { title: hint }, el("dt", { text: label }), value), value };
}
