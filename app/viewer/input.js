// Pointer, touch, wheel and keyboard on the frame → acts on the viewer. Hover is batched: one frame, one repaint.

import { toImage, zoomAbout } from "./geometry.js";

const DRAG = 4; // CSS pixels before a press counts as a drag

/**
 * acts: hover(u, v, event), leave(), pin(u, v), step(rows, columns), stage(change), remove(), escape(), confirm(),
 * choose(index), hold(), zoom(view), double(), view(): current zoom.
 */
export function listen(frame, acts, signal) {
  const on = (name, listener, options = {}) => frame.addEventListener(name, listener, { signal, ...options });
  const touches = new Map();
  let press = null;
  let pinch = null;

  const point = (event) => {
    const box = frame.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  const image = (event) => {
    const [u, v] = toImage(acts.view(), ...point(event));
    return [Math.min(Math.max(u, 0), 1 - 1e-9), Math.min(Math.max(v, 0), 1 - 1e-9)];
  };

  on("pointermove", (event) => {
    if (touches.has(event.pointerId)) touches.set(event.pointerId, point(event));
    if (pinch && touches.size === 2) return pinched();
    if (press && press.id === event.pointerId) {
      const [u, v] = point(event);
      if (!press.moved && Math.hypot(event.clientX - press.x, event.clientY - press.y) > DRAG) press.moved = true;
      if (press.moved && acts.view().zoom > 1) {
        const { zoom } = press.view;
        return acts.zoom({ zoom, left: press.view.left + u - press.u, top: press.view.top + v - press.v });
      }
    }
    acts.hover(...image(event), event);
  });

  on("pointerdown", (event) => {
    if (event.button !== 0) return;
    const [u, v] = point(event);
    if (event.pointerType === "touch") touches.set(event.pointerId, [u, v]);
    if (touches.size === 2) {
      press = null;
      const [a, b] = [...touches.values()];
      pinch = { distance: Math.hypot(a[0] - b[0], a[1] - b[1]), view: acts.view() };
      return;
    }
    press = { id: event.pointerId, x: event.clientX, y: event.clientY, u, v, view: acts.view(), moved: false };
    if (acts.view().zoom > 1) frame.setPointerCapture(event.pointerId);
  });

  on("pointerup", (event) => {
    touches.delete(event.pointerId);
    if (touches.size < 2) pinch = null;
    const act = press;
    press = null;
    if (!act || act.id !== event.pointerId) return;
    if (!act.moved) acts.pin(...image(event));
    if (event.pointerType === "touch") acts.leave();
  });

  const drop = (event) => {
    touches.delete(event.pointerId);
    if (event.type === "pointercancel") press = pinch = null;
    acts.leave();
  };
  on("pointerleave", drop);
  on("pointercancel", drop);

  function pinched() {
    const [a, b] = [...touches.values()];
    const factor = Math.hypot(a[0] - b[0], a[1] - b[1]) / pinch.distance;
    acts.zoom(zoomAbout(pinch.view, factor, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2));
  }

  on(
    "wheel",
    (event) => {
      // Plain wheel scrolls the page; only with Ctrl or ⌘ (which is also what a pinch on a trackpad sends) it zooms.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      acts.zoom(zoomAbout(acts.view(), Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.004)), ...point(event)));
    },
    { passive: false },
  );
  on("dblclick", (event) => {
    event.preventDefault();
    acts.double();
  });

  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  on("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const far = event.shiftKey ? 8 : 1;
    const zoomed = (factor) => acts.zoom(zoomAbout(acts.view(), factor, 0.5, 0.5));
    const keys = {
      "[": () => acts.stage(-1), "]": () => acts.stage(1), Delete: acts.remove, Backspace: acts.remove,
      Escape: acts.escape, h: acts.hold, "+": () => zoomed(1.5), "=": () => zoomed(1.5), "-": () => zoomed(1 / 1.5),
      0: () => acts.zoom({ zoom: 1, left: 0, top: 0 }),
    };
    // Enter and Space belong to a focused ring when one has the focus.
    if (event.target === frame) keys.Enter = keys[" "] = acts.confirm;
    let act = keys[event.key];
    if (steps[event.key]) act = () => acts.step(steps[event.key][0] * far, steps[event.key][1] * far);
    else if (/^[1-9]$/.test(event.key)) act = () => acts.choose(Number(event.key) - 1);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });
}
