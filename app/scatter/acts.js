// What pointer and keys on a map mean to the scatter.

import { Drawing } from "./drawing.js";

const NEAR = 9; // CSS pixels within which a point is looked at
const NEAR_TOUCH = 18;
const TOOL_KEYS = { l: "lasso", r: "rectangle", m: "move" };

export class Acts {
  constructor(board) {
    this.board = board;
    this.drawing = new Drawing();
  }

  /** The acts that pointer.js asks for, on one panel. */
  of(panel) {
    const { board, drawing } = this;
    const ready = () => panel.data !== null;
    const centre = () => {
      const { x, y, width, height } = panel.box;
      return [x + width / 2, y + height / 2];
    };
    return {
      tool: () => board.tool,
      hover: (px, py, event) => {
        board.cursor = null;
        if (ready()) this.hover(panel, px, py, event.pointerType === "touch" ? NEAR_TOUCH : NEAR, event);
      },
      leave: () => board.attention.look(null, -1),
      begin: (px, py, mode) => {
        if (!ready()) return;
        board.attention.look(null, -1);
        drawing.begin(panel, board.tool === "rectangle" ? "rectangle" : "lasso", mode, panel.toMap(px, py));
        board.redrawStrokes();
      },
      extend: (px, py) => {
        if (!drawing.going) return;
        drawing.extend(panel.toMap(px, py));
        board.redrawStrokes();
      },
      end: (event) => this.close(panel, event),
      cancel: () => {
        drawing.drop();
        board.redrawStrokes();
      },
      pan: (dx, dy) => {
        if (!ready()) return;
        const { scale } = panel.place();
        panel.camera.pan(-dx / scale, dy / scale);
        this.moved();
      },
      zoom: (px, py, factor) => {
        if (!ready()) return;
        const at = px === null ? (board.cursor ? [board.cursor.x, board.cursor.y] : panel.toMap(...centre())) : panel.toMap(px, py);
        panel.camera.about(...at, factor);
        this.moved();
      },
      fit: () => board.fit(),
      press: (event) => this.press(panel, event),
      step: (dx, dy) => ready() && this.step(panel, dx, dy, centre()),
      corner: () => ready() && this.corner(panel),
      confirm: (event) => this.confirm(panel, event),
      escape: () => this.escape(),
      choose: () => board.attention.choose(),
      toolKey: (key) => {
        if (!TOOL_KEYS[key]) return false;
        board.setTool(TOOL_KEYS[key]);
        return true;
      },
      blur: () => {
        if (!board.cursor) return;
        board.cursor = null;
        board.attention.look(null, -1);
        board.redrawStrokes();
      },
    };
  }

  moved() {
    this.board.setTools();
    this.board.repaint(true);
  }

  hover(panel, px, py, reach, event = null) {
    const { board } = this;
    const began = performance.now();
    const [x, y] = panel.toMap(px, py);
    const { scale } = panel.place();
    const marker = panel.data.markers.find((one) => Math.hypot(one.x - x, one.y - y) * scale <= NEAR) ?? null;
    const { strength } = panel;
    const accept = strength ? (i) => strength[i] > 0 : null;
    const i = marker ? -1 : panel.data.nearest.find(x, y, reach / scale, accept);
    const found = performance.now();
    if (!board.attention.is(panel, i, marker)) board.attention.look(panel, i, marker);
    if (event) board.attention.hovered({ event: event.timeStamp, began, found, drawn: performance.now() });
  }

  close(panel, event) {
    const { board, drawing } = this;
    if (!drawing.going) return;
    const polygon = drawing.polygon();
    const { mode } = drawing;
    drawing.drop();
    if (!polygon) return board.redrawStrokes();
    board.add({ map: panel.data.map, polygon, mode, only: board.only(panel) }, event);
  }

  // A click: the ring is a link, and the browser follows it. With Alt, or where there is no link, the point's photo is asked for.
  press(panel, event) {
    const { board } = this;
    if (board.attention.panel !== panel || board.attention.i < 0 || event.target !== panel.ring) return;
    if (event.altKey || !panel.ring.hasAttribute("href")) {
      event.preventDefault();
      board.attention.choose();
    }
  }

  // ------------------------------------------------------------------ keys

  step(panel, dx, dy, centre) {
    const { board, drawing } = this;
    const from = board.cursor?.panel === panel ? panel.toFrame(board.cursor.x, board.cursor.y) : centre;
    const { x: left, y: top, width, height } = panel.box;
    const px = Math.min(left + width, Math.max(left, from[0] + dx));
    const py = Math.min(top + height, Math.max(top, from[1] + dy));
    const [x, y] = panel.toMap(px, py);
    board.cursor = { panel, x, y };
    if (drawing.going && drawing.keys) drawing.line[drawing.line.length - 1] = [x, y];
    this.hover(panel, px, py, NEAR);
    board.redrawStrokes();
  }

  corner(panel) {
    const { board, drawing } = this;
    const at = board.cursor?.panel === panel ? [board.cursor.x, board.cursor.y] : panel.toMap(panel.plot.clientWidth / 2, panel.plot.clientHeight / 2);
    board.cursor ??= { panel, x: at[0], y: at[1] };
    // The last corner follows the cursor until the next one is set.
    if (drawing.going && drawing.panel === panel) drawing.line.push([...at]);
    else {
      drawing.begin(panel, "lasso", "set", [...at], true);
      drawing.line.push([...at]);
    }
    board.redrawStrokes();
  }

  confirm(panel, event) {
    const { board, drawing } = this;
    if (drawing.going && drawing.keys) {
      drawing.mode = event.altKey ? "remove" : event.shiftKey ? "add" : "set";
      return this.close(panel, event);
    }
    if (board.attention.i < 0) return null;
    return panel.ring.hasAttribute("href") ? panel.ring.click() : board.attention.choose();
  }

  escape() {
    const { board, drawing } = this;
    if (!drawing.going) return board.clear();
    drawing.drop();
    return board.redrawStrokes();
  }
}
