/* The memory bank over training: a plane with a path for every category, cosines to the end, a slider that plays.
   Redrawn here, so that moving the slider never waits for Python; Python learns where it was let go. */
const NS = "http://www.w3.org/2000/svg";
const PLANE = { w: 560, h: 400 };
const CURVES = { w: 400, h: 400, left: 46, right: 14, top: 12, bottom: 40 };
const FRAME = 130; // milliseconds between two moments while it plays

function el(name, attributes = {}, text) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// A category's colour, drawn towards the text's: near-white lines stay visible on white, near-black ones on black.
const ink = (colour) => `stroke:color-mix(in srgb, ${colour} 72%, currentColor)`;
const three = (x) => (Number.isFinite(x) ? (x === 0 ? "0" : Number(x.toPrecision(3)).toString()).replace("-", "−") : "–");

function extent(values) {
  const known = values.filter(Number.isFinite);
  const low = Math.min(...known), high = Math.max(...known);
  return known.length && high > low ? [low, high] : [(known[0] ?? 0) - 1, (known[0] ?? 0) + 1];
}

function scales(data) {
  const [x0, x1] = extent(data.path.flat().map((p) => p[0]));
  const [y0, y1] = extent(data.path.flat().map((p) => p[1]));
  // One unit is as long across as down: distances in the plane can be judged by eye.
  const room = 34, unit = Math.min((PLANE.w - 2 * room) / (x1 - x0), (PLANE.h - 2 * room) / (y1 - y0));
  const px = (x) => PLANE.w / 2 + (x - (x0 + x1) / 2) * unit;
  const py = (y) => PLANE.h / 2 - (y - (y0 + y1) / 2) * unit;
  const [low] = extent(data.cosine.flat());
  const bottom = Math.min(0, Math.floor(5 * low) / 5), last = Math.sqrt(data.steps.at(-1) || 1);
  const across = CURVES.w - CURVES.left - CURVES.right, down = CURVES.h - CURVES.top - CURVES.bottom;
  const cx = (step) => CURVES.left + (Math.sqrt(step) / last) * across; // moments are dense at the beginning
  const cy = (value) => CURVES.top + ((1 - value) / (1 - bottom)) * down;
  return { px, py, cx, cy, bottom };
}

const line = (points) => points.filter((p) => p.every(Number.isFinite)).map((p) => p.map((v) => v.toFixed(1)).join(",")).join(" ");

function axes(data, s) {
  const g = el("g", { class: "axes" });
  const bottom = CURVES.h - CURVES.bottom;
  const ticks = 1 - s.bottom > 1.5 ? 0.5 : 0.2;
  for (let i = Math.ceil(s.bottom / ticks - 1e-9); i * ticks <= 1 + 1e-9; i++) {
    const value = i * ticks, y = s.cy(value);
    g.append(el("line", { x1: CURVES.left, x2: CURVES.w - CURVES.right, y1: y, y2: y }));
    g.append(el("text", { x: CURVES.left - 6, y: y + 4, "text-anchor": "end" }, three(value)));
  }
  const end = data.steps.at(-1);
  for (const share of [0, 0.0625, 0.25, 0.5625, 1]) {
    const step = share === 1 ? end : Number((share * end).toPrecision(2));
    g.append(el("text", { x: s.cx(step), y: bottom + 16, "text-anchor": share === 1 ? "end" : "middle" }, String(step)));
  }
  g.append(el("text", { x: (CURVES.left + CURVES.w) / 2, y: CURVES.h - 6, "text-anchor": "middle" }, "training step (square-root axis)"));
  return g;
}

function build(root, data) {
  root.replaceChildren();
  const s = scales(data), count = data.names.length;
  const plane = el("svg", { viewBox: `0 0 ${PLANE.w} ${PLANE.h}`, role: "img", "aria-label": "Path of every category" });
  const curves = el("svg", { viewBox: `0 0 ${CURVES.w} ${CURVES.h}`, role: "img", "aria-label": "Cosine to the final row" });
  curves.append(axes(data, s));
  const rows = data.names.map((name, c) => {
    const strong = c === data.marked, kind = strong ? "strong" : "";
    const points = data.path.map((all) => [s.px(all[c][0]), s.py(all[c][1])]);
    const whole = el("polyline", { class: "whole", points: line(points), style: ink(data.colours[c]) });
    const gone = el("polyline", { class: `gone ${kind}`, style: ink(data.colours[c]) });
    const mark = el("text", { class: `mark ${kind}`, style: `fill:${data.colours[c]}`, "text-anchor": "middle" }, "◆");
    const label = el("text", { class: `label ${kind}` }, strong || count <= 24 ? name : "");
    const curve = el("polyline", { class: `curve ${kind}`, style: ink(data.colours[c]),
      points: line(data.cosine.map((all, t) => [s.cx(data.steps[t]), s.cy(all[c] ?? NaN)])) });
    for (const node of [whole, gone, mark, label, curve]) node.append(el("title", {}, name));
    plane.append(whole, gone);
    curves.append(curve);
    return { points, gone, mark, label };
  });
  for (const strong of [false, true]) {
    for (const [c, { mark, label }] of rows.entries()) if ((c === data.marked) === strong) plane.append(mark, label);
  }
  const cursor = el("line", { class: "cursor", y1: CURVES.top, y2: CURVES.h - CURVES.bottom });
  curves.append(cursor);
  const html = (tag, props, ...children) => {
    const node = Object.assign(document.createElement(tag), props);
    node.append(...children);
    return node;
  };
  const slider = html("input", { type: "range", min: 0, max: data.steps.length - 1, step: 1 });
  slider.setAttribute("aria-label", "Moment of training");
  const play = html("button", { type: "button", textContent: "▶ play" });
  const said = html("output", {});
  root.append(
    html("div", { className: "pair" },
      html("figure", { className: "plane" }, html("figcaption", { textContent: data.planeTitle }), plane),
      html("figure", {}, html("figcaption", { textContent: data.curveTitle }), curves)),
    html("div", { className: "controls" }, play, slider, said));
  return { s, rows, cursor, slider, play, said };
}

function draw(view, data, moment) {
  const { s, rows, cursor, slider, said } = view;
  rows.forEach(({ points, gone, mark, label }) => {
    const [x, y] = points[moment];
    gone.setAttribute("points", line(points.slice(0, moment + 1)));
    mark.setAttribute("x", x); mark.setAttribute("y", y + 5);
    const flip = x > PLANE.w - 80;
    label.setAttribute("x", flip ? x - 9 : x + 9); label.setAttribute("y", y + 4);
    label.setAttribute("text-anchor", flip ? "end" : "start");
  });
  const x = s.cx(data.steps[moment]);
  cursor.setAttribute("x1", x); cursor.setAttribute("x2", x);
  slider.value = moment;
  const known = data.cosine[moment].filter(Number.isFinite).sort((a, b) => a - b);
  const half = known.length >> 1;
  const median = known.length % 2 ? known[half] : (known[half - 1] + known[half]) / 2;
  const own = data.marked === null ? "" : ` · ${data.names[data.marked]} ${three(data.cosine[moment][data.marked])}`;
  said.textContent = `step ${data.steps[moment]} · cosine to the end: median ${three(median)}${own}`;
}

export default function ({ data, parentElement, setTriggerValue }) {
  let root = parentElement.querySelector("div.time");
  if (!root) {
    root = Object.assign(document.createElement("div"), { className: "time" });
    root.dataset.testid = "loupe-time";
    parentElement.append(root);
  }
  const kept = (root.kept ??= { told: null, moment: 0, timer: null });
  const pause = () => { clearInterval(kept.timer); kept.timer = null; if (kept.view) kept.view.play.textContent = "▶ play"; };
  if (kept.content !== data.content) {
    pause();
    kept.content = data.content;
    kept.view = build(root, data);
  }
  // What Python says is news only where it is not the echo of what was told from here.
  if (kept.told !== data.moment) kept.moment = kept.told = data.moment;
  kept.moment = Math.min(kept.moment, data.steps.length - 1);
  const tell = () => { if (kept.told !== kept.moment) { kept.told = kept.moment; setTriggerValue("chosen", kept.moment); } };
  const go = (moment) => { kept.moment = moment; draw(kept.view, data, moment); };
  kept.view.slider.oninput = (event) => { pause(); go(Number(event.target.value)); };
  kept.view.slider.onchange = tell;
  kept.view.play.onclick = () => {
    if (kept.timer) { pause(); tell(); return; }
    if (kept.moment >= data.steps.length - 1) kept.moment = -1;
    kept.view.play.textContent = "❚❚ pause";
    kept.timer = setInterval(() => {
      go(kept.moment + 1);
      if (kept.moment >= data.steps.length - 1) { pause(); tell(); }
    }, FRAME);
  };
  draw(kept.view, data, kept.moment);
  root.dataset.ready = "1";
  return () => clearInterval(kept.timer);
}
