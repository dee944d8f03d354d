// Pointer, touch, wheel and keys on a panel → acts on the scatter.

const DRAG = 4; // CSS pixels before a press counts as a drag
const STEP = 10; // CSS pixels that an arrow key moves the cursor by, ten times as many with Shift

/** What a drag does to the selection: Shift adds, Alt removes, else it is a new one. */
export const modeOf = (event) => (event.altKey ? "remove" : event.shiftKey ? "add" : "set");

/**
 * acts: tool() "lasso" | "rectangle" | "move" · hover(px, py, event) · leave() · begin(px, py) · extend(px, py) · end(event) · cancel() ·
 * pan(dx, dy) · zoom(px, py, factor) · fit() · press(event) a click or tap on a point · key handlers as below. All in CSS pixels of the frame.
 */
export function listen(frame, acts, signal) {
  const on = (name, listener, options = {}) => frame.addEventListener(name, listener, { signal, ...options });
  const touches = new Map();
  let press = null;
  let pinch = null;
  let dragged = false;

  const point = (event) => {
    const box = frame.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  on("pointerdown", (event) => {
    if (event.button !== 0) return;
    dragged = false;
    const at = point(event);
    if (event.pointerType === "touch") touches.set(event.pointerId, at);
    if (touches.size === 2) {
      if (press?.moved) acts.cancel();
      press = null;
      pinch = { gap: gap(), middle: middle() };
      return;
    }
    press = { id: event.pointerId, start: at, last: at, moved: false };
  });

  on("pointermove", (event) => {
    const at = point(event);
    if (touches.has(event.pointerId)) touches.set(event.pointerId, at);
    if (pinch && touches.size === 2) {
      const next = { gap: gap(), middle: middle() };
      acts.pan(next.middle[0] - pinch.middle[0], next.middle[1] - pinch.middle[1]);
      acts.zoom(...next.middle, next.gap / pinch.gap);
      pinch = next;
      return;
    }
    if (!press || press.id !== event.pointerId) return acts.hover(...at, event);
    if (!press.moved) {
      if (Math.hypot(at[0] - press.start[0], at[1] - press.start[1]) <= DRAG) return;
      press.moved = dragged = true;
      frame.setPointerCapture(event.pointerId);
      if (acts.tool() !== "move") acts.begin(...press.start, modeOf(event));
    }
    if (acts.tool() === "move") acts.pan(at[0] - press.last[0], at[1] - press.last[1]);
    // What the browser gathered between two frames is part of the line.
    else for (const each of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) acts.extend(...point(each));
    press.last = at;
  });

  on("pointerup", (event) => {
    touches.delete(event.pointerId);
    if (touches.size < 2) pinch = null;
    const act = press;
    press = null;
    if (!act || act.id !== event.pointerId) return;
    if (act.moved && acts.tool() !== "move") acts.end(event);
    else if (!act.moved && event.pointerType === "touch") acts.hover(...act.start, event);
  });

  on("pointercancel", (event) => {
    touches.delete(event.pointerId);
    press = pinch = null;
    acts.cancel();
  });
  on("pointerleave", (event) => {
    if (event.pointerType !== "touch" && !press?.moved) acts.leave();
  });

  // The ring under the pointer is a link: a plain click follows it, a drag that ends on it does not.
  on("click", (event) => {
    if (dragged) return event.preventDefault();
    return acts.press(event);
  });
  on("dragstart", (event) => event.preventDefault());
  on("dblclick", (event) => {
    event.preventDefault();
    acts.fit();
  });
  on(
    "wheel",
    (event) => {
      // A plain wheel scrolls the page, unless the tool is there to move the map; a pinch on a trackpad comes with Ctrl.
      if (!event.ctrlKey && !event.metaKey && acts.tool() !== "move") return;
      event.preventDefault();
      acts.zoom(...point(event), Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : event.ctrlKey ? 0.008 : 0.002)));
    },
    { passive: false },
  );

  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  on("keydown", (event) => {
    if (event.ctrlKey || event.metaKey) return;
    const by = arrows[event.key];
    if (by) acts.step(...by.map((one) => one * STEP * (event.shiftKey ? 10 : 1)));
    else if (event.key === " ") acts.corner();
    else if (event.key === "Enter") acts.confirm(event);
    else if (event.key === "Escape") acts.escape();
    else if (event.key === "+" || event.key === "=") acts.zoom(null, null, 1.3);
    else if (event.key === "-") acts.zoom(null, null, 1 / 1.3);
    else if (event.key === "0") acts.fit();
    else if (event.key === "i") acts.choose();
    else if (!acts.toolKey(event.key)) return;
    event.preventDefault();
  });
  on("blur", () => acts.blur());

  function gap() {
    const [a, b] = [...touches.values()];
    return Math.hypot(a[0] - b[0], a[1] - b[1]) || 1;
  }

  function middle() {
    const [a, b] = [...touches.values()];
    return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  }
}
