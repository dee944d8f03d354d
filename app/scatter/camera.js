// Where a map lies in its panel: one unit is as long across as down, so that distances can be judged by eye.

const MOST_ZOOM = 400;

export class Camera {
  constructor() {
    this.extent = [0, 0, 1, 1];
    this.fit();
  }

  setExtent(extent) {
    if (JSON.stringify(extent) === JSON.stringify(this.extent)) return;
    this.extent = extent;
    this.fit();
  }

  /** All points in view. */
  fit() {
    const [left, bottom, right, top] = this.extent;
    this.zoom = 1;
    this.x = (left + right) / 2;
    this.y = (bottom + top) / 2;
  }

  /** {scale, left, top}: x ↦ scale · x + left, y ↦ top − scale · y, in the units of `box` {x, y, width, height}. */
  place(box, room) {
    const [left, bottom, right, top] = this.extent;
    const wide = Math.max(1, box.width - 2 * room), high = Math.max(1, box.height - 2 * room);
    const scale = this.zoom * Math.min(wide / (right - left), high / (top - bottom));
    return { scale, left: box.x + box.width / 2 - scale * this.x, top: box.y + box.height / 2 + scale * this.y };
  }

  /** Zoom about a point of the map. */
  about(x, y, factor) {
    const zoom = Math.min(MOST_ZOOM, Math.max(0.5, this.zoom * factor));
    const share = this.zoom / zoom;
    this.x = x + (this.x - x) * share;
    this.y = y + (this.y - y) * share;
    this.zoom = zoom;
  }

  pan(dx, dy) {
    const [left, bottom, right, top] = this.extent;
    this.x = Math.min(right, Math.max(left, this.x + dx));
    this.y = Math.min(top, Math.max(bottom, this.y + dy));
  }
}
