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
    root.append(el("div.unit-row", {}, this.unit, this.above), el("div.scale", {}, this.ramp, ...this.ticks));
  }

  set({ scale, unit }, largest, colours) {
    setText(this.unit, unit);
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
