// Which points lie inside a polygon: the same answer, bit for bit, as polygon.py; and how a drawn line becomes one.

export const MOST_VERTICES = 64;
const BANDS = 128;

/** Marks in `out` (one byte a point) the points of `xy` (x, y, x, y, …) inside `polygon` [[x, y], …]. Even-odd; see polygon.py. */
export function inside(xy, polygon, out = new Uint8Array(xy.length / 2)) {
  const n = polygon.length;
  if (n < 3 || !polygon.every((vertex) => vertex.every(Number.isFinite))) return out.fill(0);
  const ax = new Float64Array(n), ay = new Float64Array(n), by = new Float64Array(n), dx = new Float64Array(n), dy = new Float64Array(n);
  let left = Infinity, right = -Infinity, bottom = Infinity, top = -Infinity;
  for (let i = 0; i < n; i++) {
    const [x, y] = polygon[i];
    const before = polygon[(i + n - 1) % n];
    [ax[i], ay[i]] = before;
    by[i] = y;
    dx[i] = x - before[0];
    dy[i] = y - before[1];
    left = Math.min(left, x);
    right = Math.max(right, x);
    bottom = Math.min(bottom, y);
    top = Math.max(top, y);
  }
  const { band, starts, edges } = bands(ay, by, bottom, top);
  for (let p = 0, k = 0; p < out.length; p++, k += 2) {
    const x = xy[k], y = xy[k + 1];
    let odd = 0;
    if (x >= left && x <= right && y >= bottom && y <= top) {
      const at = band(y);
      for (let e = starts[at]; e < starts[at + 1]; e++) {
        const i = edges[e];
        if (by[i] > y !== ay[i] > y && x < (dx[i] * (y - ay[i])) / dy[i] + ax[i]) odd ^= 1;
      }
    }
    out[p] = odd;
  }
  return out;
}

/** The edges that reach into each of some bands of equal height: those of a point's own band are all that its height can meet. */
function bands(ay, by, bottom, top) {
  const factor = top > bottom ? BANDS / (top - bottom) : 0;
  const band = (y) => Math.min(BANDS - 1, Math.floor((y - bottom) * factor)); // never falls while y rises
  const starts = new Uint32Array(BANDS + 1);
  const ends = Array.from(ay, (a, i) => [band(Math.min(a, by[i])), band(Math.max(a, by[i]))]);
  for (const [low, high] of ends) for (let at = low; at <= high; at++) starts[at + 1]++;
  for (let at = 0; at < BANDS; at++) starts[at + 1] += starts[at];
  const edges = new Uint32Array(starts[BANDS]);
  const next = starts.slice();
  ends.forEach(([low, high], i) => {
    for (let at = low; at <= high; at++) edges[next[at]++] = i;
  });
  return { band, starts, edges };
}

/** A line [[x, y], …] with at most `most` corners: Ramer, Douglas and Peucker, the tolerance doubled until it is enough. */
export function simplify(line, tolerance, most = MOST_VERTICES) {
  let kept = line;
  for (let within = tolerance; kept === line || kept.length > most; within *= 1.5) kept = reduced(line, within);
  return kept;
}

function reduced(line, tolerance) {
  const keep = new Uint8Array(line.length);
  keep[0] = keep[line.length - 1] = 1;
  const open = [[0, line.length - 1]];
  while (open.length) {
    const [from, to] = open.pop();
    let far = -1, most = tolerance;
    for (let i = from + 1; i < to; i++) {
      const away = distance(line[i], line[from], line[to]);
      if (away > most) [far, most] = [i, away];
    }
    if (far >= 0) {
      keep[far] = 1;
      open.push([from, far], [far, to]);
    }
  }
  return line.filter((_, i) => keep[i]);
}

function distance([x, y], [ax, ay], [bx, by]) {
  const dx = bx - ax, dy = by - ay;
  const length = dx * dx + dy * dy;
  const t = length > 0 ? Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / length)) : 0;
  return Math.hypot(ax + t * dx - x, ay + t * dy - y);
}

/** Decimals that tell 1/4096 of `extent`: what is sent and what is used here are then the same numbers, and short ones. */
export const decimals = (extent) =>
  extent > 0 && Number.isFinite(extent) ? Math.min(15, Math.max(0, Math.ceil(Math.log10(4096 / extent)))) : 6;

export const rounded = (line, places) => line.map((vertex) => vertex.map((at) => Number(at.toFixed(places)) || 0));
