// The row above the maps: tools, how many points are lit, and what the keys do.

import { el, setHidden, setText } from "../dom.js";
import { grouped } from "./legend.js";

const TOOLS = [
  { name: "lasso", text: "Lasso", title: "Draw around points (key l)" },
  { name: "rectangle", text: "Rectangle", title: "Drag a rectangle around points (key r)" },
  { name: "move", text: "Move", title: "Drag to move, wheel to zoom (key m). With the other tools: Ctrl and wheel zoom" },
];
const HINT = "Shift adds · Alt removes · Esc clears · double click shows all";

export class Tools {
  constructor({ choose, clear, fit }) {
    this.buttons = TOOLS.map(({ name, text, title }) =>
      el("button.segment", { type: "button", title, text, "data-tool": name, on: { click: () => choose(name) } }),
    );
    this.fit = el("button.toggle.fit", { type: "button", text: "Show all", title: "All points in view (double click, or key 0)", hidden: true, on: { click: fit } });
    this.clear = el("button.toggle.clear", { type: "button", text: "Clear", title: "Nothing is selected (Escape)", hidden: true, on: { click: clear } });
    this.count = el("span.selected-count", { role: "status" });
    this.hint = el("span.scatter-hint", { text: HINT });
    this.node = el(
      "div.tools",
      { role: "toolbar", "aria-label": "How points are selected" },
      el("div.segments", { role: "group" }, ...this.buttons),
      this.fit,
      this.count,
      this.clear,
      this.hint,
    );
  }

  set({ tool, count, total, lost, zoomed, lit, sentence }) {
    for (const button of this.buttons) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
    const words = lit ? `${grouped(count)} of ${grouped(total)} selected` : `${grouped(total)} pixels`;
    const other = lost ? " · a part was drawn on another map or photo and takes nothing here" : "";
    setText(this.count, `${words}${other}`);
    setText(this.hint, sentence ?? HINT);
    setHidden(this.clear, !lit && !lost);
    setHidden(this.fit, !zoomed);
  }
}
