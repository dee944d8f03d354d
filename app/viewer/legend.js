// The legend: the map's colours, ticks with values, and the unit in words.

import { gradient } from "./colour.js";
import { el, setHidden, setStyle, setText } from "./dom.js";
import { format } from "./scale.js";

const MOST = 7;

export class Legend {
  constructor(root) {
    this.unit = el("div.unit");
    this.ramp = el("div.ramp");
    this.ticks = Array.from({ length: MOST }, () => el("span.tick"));
    this.above = el("span.above", { title: "The largest value drawn; it may lie beyond the end of the scale" });
    this.scale = el("div.scale", {}, this.ramp, ...this.ticks);
    this.stroke = { prediction: stroke("prediction"), truth: stroke("truth") };
    this.outlines = el("div.outlines", { hidden: true }, "outlines", this.stroke.prediction, this.stroke.truth);
    root.append(el("div.unit-row", {}, this.unit, this.above), this.scale, this.outlines);
  }

  /** Names the outlines that are drawn: "prediction", "truth". */
  setOutlines(drawn) {
    setHidden(this.outlines, !drawn.length);
    for (const [name, node] of Object.entries(this.stroke)) setHidden(node, !drawn.includes(name));
  }

  /** No reading: no unit, no ticks; the room stays. */
  empty() {
    setText(this.unit, "");
    setText(this.above, "");
    setStyle(this.scale, "visibility", "hidden");
  }

  set({ scale, unit }, largest, colours) {
    setText(this.unit, unit);
    setStyle(this.scale, "visibility", "visible");
    setStyle(this.ramp, "background-image", gradient(colours));
    for (let i = 0; i < MOST; i++) {
      const tick = scale.ticks[i];
      setHidden(this.ticks[i], !tick);
      if (!tick) continue;
      const end = tick.at < 0.03 ? 0 : tick.at > 0.97 ? -100 : -50; // texts at the ends stay inside
      setStyle(this.ticks[i], "left", `${(100 * tick.at).toFixed(2)}%`);
      setStyle(this.ticks[i], "--shift", `${end}%`);
      setText(this.ticks[i], tick.text);
    }
    setText(this.above, `max ${scale.log ? "×" : ""}${format(largest)}`);
  }
}

function stroke(name) {
  return el("span.outline-name", { hidden: true }, el(`i.stroke.${name}`), name);
}
