// The few shapes of points, as coverage of screen pixels, and the markers ★ ◆ ▲ as paths.

const PHASES = 4; // places of a point's centre within a screen pixel that are told apart, each way
const FINE = 4; // samples within a screen pixel, each way

// Inside a shape of radius 1 (y down). ● is a pixel; ★ ◆ ▲ are taken by markers, so no point looks like them.
const arm = 0.34;
export const SHAPES = {
  disc: (x, y) => x * x + y * y <= 1,
  square: (x, y) => Math.max(Math.abs(x), Math.abs(y)) <= 0.86,
  plus: (x, y) => Math.min(Math.abs(x), Math.abs(y)) <= arm && Math.max(Math.abs(x), Math.abs(y)) <= 1.2,
  cross: (x, y) => Math.min(Math.abs(x + y), Math.abs(x - y)) <= 1.4 * arm && Math.max(Math.abs(x), Math.abs(y)) <= 1,
  down: (x, y) => y >= -0.8 && y <= 1.1 && Math.abs(x) <= (1.1 - y) * 0.62,
  ring: (x, y) => x * x + y * y <= 1.2 && x * x + y * y >= 0.36,
};
export const SHAPE_NAMES = Object.keys(SHAPES);

const WIDER = { cross: 1.35, plus: 1.2, down: 1.15, ring: 1.1 };

/** For each of 4 × 4 phases the covered screen pixels: {dx, dy: Int16Array, share: Uint16Array of 0 … 256}. radius in screen pixels. */
export function coverage(shape, radius) {
  const size = radius * (WIDER[shape] ?? 1);
  const reach = Math.ceil(1.25 * size + 1);
  const hit = SHAPES[shape];
  return Array.from({ length: PHASES * PHASES }, (_, phase) => {
    const cx = ((phase % PHASES) + 0.5) / PHASES, cy = (Math.floor(phase / PHASES) + 0.5) / PHASES;
    const dx = [], dy = [], share = [];
    for (let y = -reach; y <= reach; y++) {
      for (let x = -reach; x <= reach; x++) {
        let sum = 0;
        for (let j = 0; j < FINE; j++) {
          for (let i = 0; i < FINE; i++) {
            sum += hit((x + (i + 0.5) / FINE - cx) / size, (y + (j + 0.5) / FINE - cy) / size) ? 1 : 0;
          }
        }
        if (sum > 1) {
          dx.push(x);
          dy.push(y);
          share.push(Math.round((256 * sum) / FINE ** 2));
        }
      }
    }
    return { dx: Int16Array.from(dx), dy: Int16Array.from(dy), share: Uint16Array.from(share) };
  });
}

export const phaseOf = (fx, fy) => ((fy * PHASES) | 0) * PHASES + ((fx * PHASES) | 0);

// ------------------------------------------------------------------ markers

export const MARKERS = [
  { name: "prototype", sign: "★", words: "live prototype" },
  { name: "memory", sign: "◆", words: "memory row" },
  { name: "token", sign: "▲", words: "class token" },
];

/** Path of a marker of a given kind about a point. */
export function marker(kind, x, y, size) {
  const path = new Path2D();
  const corners =
    kind === 0
      ? Array.from({ length: 10 }, (_, i) => [(Math.PI * i) / 5 - Math.PI / 2, i % 2 ? 0.45 : 1.15])
      : kind === 1
        ? [0, 1, 2, 3].map((i) => [(Math.PI * i) / 2, 1])
        : [0, 1, 2].map((i) => [(2 * Math.PI * i) / 3 - Math.PI / 2, 1.1]);
  corners.forEach(([angle, r], i) => {
    const at = [x + size * r * Math.cos(angle), y + size * r * Math.sin(angle)];
    if (i) path.lineTo(...at);
    else path.moveTo(...at);
  });
  path.closePath();
  return path;
}

/** Outline of a point's shape about a place, for the few points of a photo. */
export function outline(shape, x, y, size) {
  const path = new Path2D();
  const bar = (angle, length) => {
    const [dx, dy] = [size * Math.cos(angle), size * Math.sin(angle)];
    const [a, b] = [length, 0.36];
    const corners = [[a, b], [a, -b], [-a, -b], [-a, b]].map(([u, v]) => [x + u * dx - v * dy, y + u * dy + v * dx]);
    corners.forEach((at, i) => (i ? path.lineTo(...at) : path.moveTo(...at)));
    path.closePath();
  };
  if (shape === "square") path.rect(x - 0.9 * size, y - 0.9 * size, 1.8 * size, 1.8 * size);
  else if (shape === "plus" || shape === "cross") for (const angle of [0, Math.PI / 2]) bar(angle + (shape === "cross" ? Math.PI / 4 : 0), 1.25);
  else if (shape === "down") {
    path.moveTo(x - 1.1 * size, y - 0.85 * size);
    path.lineTo(x + 1.1 * size, y - 0.85 * size);
    path.lineTo(x, y + 1.15 * size);
    path.closePath();
  } else path.arc(x, y, size, 0, 2 * Math.PI);
  return path;
}

/** The same shapes for legends, as an SVG string of 14 × 14. */
export function glyph(shape, colour) {
  const drawn = {
    disc: '<circle cx="7" cy="7" r="4.6"/>',
    square: '<rect x="3" y="3" width="8" height="8"/>',
    plus: '<path d="M5.4 1.6h3.2v3.8h3.8v3.2H8.6v3.8H5.4V8.6H1.6V5.4h3.8z"/>',
    cross: '<path d="M2.2 4.2l2-2L7 5l2.8-2.8 2 2L9 7l2.8 2.8-2 2L7 9l-2.8 2.8-2-2L5 7z"/>',
    down: '<path d="M1.8 3h10.4L7 12.4z"/>',
    ring: '<circle cx="7" cy="7" r="3.8" fill="none" stroke-width="2.2"/>',
  }[shape];
  return `<svg class="glyph" viewBox="0 0 14 14" fill="${colour}" stroke="${shape === "ring" ? colour : "none"}" aria-hidden="true">${drawn}</svg>`;
}
