// The point that is looked at: ringed in every map, described beside the pointer, one click from its pixel in Inspect.

import { debug } from "../timing.js";
import { rgbOf, visible } from "./colouring.js";
import { Tooltip } from "./tooltip.js";

export class Attention {
  constructor(board) {
    this.board = board;
    this.i = -1;
    this.panel = null; // where it was pointed at; null: in a photo
    this.marker = null;
    this.tip = new Tooltip(board.root);
  }

  /** Point `i` is looked at in `panel` (null: in a photo), or a marker there; −1 and null: nothing. */
  look(panel, i, marker = null) {
    Object.assign(this, { i, panel, marker });
    this.board.hub?.tell();
    this.mark();
  }

  is(panel, i, marker) {
    return this.i === i && this.panel === panel && this.marker === marker;
  }

  /** Rings and words where they belong now. */
  mark() {
    const { board, i, panel, marker } = this;
    const told = panel?.data && (i >= 0 || marker); // the photo says where its point is
    const root = told ? board.root.getBoundingClientRect() : null; // sizes are read before anything is written
    const place = (one) => this.inRoot(root, one, marker ?? { x: one.data.xy[2 * i], y: one.data.xy[2 * i + 1] });
    const [x, y] = told ? place(panel) : [];
    const others = told && !marker ? board.panels.filter((one) => one !== panel).map(place) : [];
    for (const one of board.panels) if (one.data) one.mark(i, i >= 0 ? this.href(one) : null, one === panel);
    if (!told) return this.tip.hide();
    if (marker) return this.tip.marker(marker, board.table, { x, y });
    const colour = visible(rgbOf(board.table.classes[board.table.category[i]]?.colour ?? "#888888"), board.theme);
    return this.tip.point(i, board.table, panel, { x, y, others, sprite: board.sprite, colour, photos: board.hub.listeners.size > 0 });
  }

  /** CSS pixels within the board. */
  inRoot(root, panel, { x, y }) {
    const frame = panel.plot.getBoundingClientRect();
    const [px, py] = panel.toFrame(x, y);
    return [frame.left - root.left + px, frame.top - root.top + py];
  }

  /** The address that this point's ring links to in a panel, or null. */
  href(panel) {
    const { image, pixel, links } = this.board.table;
    const words = { image: encodeURIComponent(links[image[this.i]]), row: pixel[2 * this.i], col: pixel[2 * this.i + 1] };
    const text = panel.about.href?.replace(/\{(image|row|col)\}/g, (_, name) => words[name]);
    return text ? this.board.url(text) : null;
  }

  /** Python is asked for the photo of this point. */
  choose() {
    const { table, component } = this.board;
    if (this.i >= 0) component.setTriggerValue("chosen", { index: this.i, image: table.images[table.image[this.i]] });
  }

  /** For the benchmark: how long a pointer event took until ring and words were set. */
  hovered(timing) {
    const list = (debug.hovers ??= []);
    list.push(timing);
    if (list.length > 5000) list.splice(0, 1000);
  }
}
