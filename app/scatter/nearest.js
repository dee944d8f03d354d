// The point nearest to the pointer: a grid over the map, built once, so that a hover looks at a few cells alone.

export class Nearest {
  /** xy: x, y, x, y, …; points without a place are not found. */
  constructor(xy, [left, bottom, right, top]) {
    const r = xy.length / 2;
    this.xy = xy;
    this.left = left;
    this.bottom = bottom;
    this.size = Math.max(right - left, top - bottom) / Math.max(1, Math.ceil(Math.sqrt(r / 2))) || 1;
    this.columns = Math.floor((right - left) / this.size) + 1;
    this.rows = Math.floor((top - bottom) / this.size) + 1;
    this.starts = new Uint32Array(this.columns * this.rows + 1);
    const cell = new Int32Array(r);
    for (let i = 0; i < r; i++) {
      cell[i] = Number.isFinite(xy[2 * i] + xy[2 * i + 1]) ? this.row(xy[2 * i + 1]) * this.columns + this.column(xy[2 * i]) : -1;
      if (cell[i] >= 0) this.starts[cell[i] + 1]++;
    }
    for (let c = 1; c < this.starts.length; c++) this.starts[c] += this.starts[c - 1];
    const next = this.starts.slice();
    this.points = new Uint32Array(r);
    for (let i = 0; i < r; i++) if (cell[i] >= 0) this.points[next[cell[i]]++] = i;
  }

  column(x) {
    return Math.min(this.columns - 1, Math.max(0, Math.floor((x - this.left) / this.size)));
  }

  row(y) {
    return Math.min(this.rows - 1, Math.max(0, Math.floor((y - this.bottom) / this.size)));
  }

  /** Index of the nearest point within `radius` that `accept(index)` lets through, or −1. Rings of cells, nearest first. */
  find(x, y, radius, accept = null) {
    const { xy } = this;
    const col = Math.floor((x - this.left) / this.size), row = Math.floor((y - this.bottom) / this.size);
    const rings = Math.min(Math.ceil(radius / this.size) + 1, 2 * Math.max(this.columns, this.rows));
    let best = -1, least = radius * radius;
    for (let ring = 0; ring <= rings; ring++) {
      if (best >= 0 && (ring - 1) * this.size > Math.sqrt(least)) break;
      for (let j = Math.max(0, row - ring); j <= Math.min(this.rows - 1, row + ring); j++) {
        const whole = Math.abs(j - row) === ring;
        for (let i = col - ring; i <= col + ring; i += whole || !ring ? 1 : 2 * ring) {
          if (i < 0 || i >= this.columns) continue;
          const cell = j * this.columns + i;
          for (let k = this.starts[cell]; k < this.starts[cell + 1]; k++) {
            const p = this.points[k];
            const dx = xy[2 * p] - x, dy = xy[2 * p + 1] - y;
            const away = dx * dx + dy * dy;
            if (away <= least && (away < least || best < 0) && (!accept || accept(p))) [best, least] = [p, away];
          }
        }
      }
    }
    return best;
  }
}
