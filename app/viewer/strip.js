// The stage strip: one small picture of every stage for the same pixel, and the pins as rows with their own small picture.

import { paint, ramp } from "./colour.js";
import { RINGS, el, setText } from "./dom.js";
import { format, steady } from "./scale.js";

/** A reading drawn small over the photo. */
function thumbnail() {
  const canvas = el("canvas", { width: 1, height: 1 });
  const node = el("span.thumb", {}, canvas);
  return {
    node,
    photo: (url) => node.style.setProperty("background-image", `url("${url}")`),
    draw(reading, { colours, opacity, smooth }) {
      const { values, rows, cols, scale } = reading;
      canvas.width = cols;
      canvas.height = rows;
      const context = canvas.getContext("2d");
      const data = context.createImageData(cols, rows);
      paint(values, scale, ramp(colours, opacity, scale.middle), new Uint32Array(data.data.buffer));
      context.putImageData(data, 0, 0);
      canvas.style.imageRendering = smooth ? "auto" : "pixelated";
    },
    clear() {
      canvas.width = canvas.height = 1;
    },
  };
}

export class Strip {
  constructor(root, choose) {
    this.root = root;
    this.choose = choose;
    this.items = [];
  }

  setStages(stages, url) {
    this.root.replaceChildren();
    this.items = stages.map((stage) => {
      const thumb = thumbnail();
      thumb.photo(url);
      const text = el("span.stage-text", {}, el("b", { text: stage.name }), el("span", { text: stage.grid.join("×") }));
      const title = `${stage.name}: queries ${stage.grid.join("×")}, sources ${stage.source_grid.join("×")} ${stage.sources}`;
      const node = el(
        "button.stage",
        { type: "button", title, "aria-pressed": "false", on: { click: () => this.choose(stage.name) } },
        thumb.node,
        text,
      );
      this.root.append(node);
      return { name: stage.name, node, thumb };
    });
  }

  setActive(name) {
    for (const item of this.items) item.node.setAttribute("aria-pressed", String(item.name === name));
  }

  /** `reading` null: nothing yet. */
  draw(name, reading, look) {
    const item = this.items.find((one) => one.name === name);
    if (!item) return;
    if (reading) item.thumb.draw(reading, look);
    else item.thumb.clear();
  }
}

export class PinList {
  /** acts: choose(index), remove(index). */
  constructor(root, acts) {
    this.root = root;
    this.acts = acts;
    this.rows = [];
  }

  /** pins: [{pixel, name, colour, active}]. */
  set(pins, url) {
    while (this.rows.length > pins.length) this.rows.pop().node.remove();
    while (this.rows.length < pins.length) this.append(this.rows.length);
    this.root.hidden = pins.length === 0;
    pins.forEach((pin, index) => {
      const row = this.rows[index];
      row.thumb.photo(url);
      row.open.setAttribute("aria-pressed", String(pin.active));
      row.open.title = `row ${pin.pixel[0]}, col ${pin.pixel[1]}`;
      setText(row.name, pin.name ?? "–");
      row.dot.style.backgroundColor = pin.colour ?? "transparent";
      row.close.setAttribute("aria-label", `Remove pin ${index + 1}`);
    });
  }

  append(index) {
    const thumb = thumbnail();
    const dot = el("i.dot");
    const name = el("b");
    const top = el("span.pin-top");
    const open = el(
      "button.pin-open",
      { type: "button", on: { click: () => this.acts.choose(index) } },
      thumb.node,
      el("span.pin-text", {}, el("span.pin-name", {}, el("span.number-ring", { text: RINGS[index] }), dot, name), top),
    );
    const close = el("button.pin-close", { type: "button", text: "✕", title: "Remove", on: { click: () => this.acts.remove(index) } });
    const node = el("div.pin", {}, open, close);
    this.root.append(node);
    this.rows.push({ node, thumb, open, dot, name, top, close });
  }

  draw(index, reading, look) {
    const row = this.rows[index];
    if (!row) return;
    if (!reading) {
      row.thumb.clear();
      setText(row.top, "");
      return;
    }
    row.thumb.draw(reading, look);
    const text = reading.bars
      .slice(0, 3)
      .map((bar) => `${bar.label.replace(/^cell .* · /, "")} ${bar.times ? `×${format(bar.value, 2)}` : steady(bar.value)}`);
    setText(row.top, text.join(" · "));
  }
}
