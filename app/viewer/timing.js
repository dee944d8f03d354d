// For tests and the benchmark: what was drawn last, and how long hovers took. Cheap, so always on.

export const debug = (globalThis.__loupe ??= { weights: null, map: null, timings: [], frames: 0 });

const afterPaint = new MessageChannel(); // a message posted in an animation frame arrives once that frame is painted
const posted = [];
afterPaint.port1.onmessage = () => {
  for (const timing of posted.splice(0)) timing.painted = performance.now();
};

/** Notes a hover that this animation frame has drawn: {event, handled, began, drawn} in milliseconds; `painted` follows. */
export function time(timing) {
  debug.timings.push(timing);
  if (debug.timings.length > 5000) debug.timings.splice(0, 1000);
  posted.push(timing);
  afterPaint.port2.postMessage(0);
}
