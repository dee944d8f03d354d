// From values to 0 … 1, and the legend's ticks; numbers with at most three significant digits.

/** 1 234 → "1230", 0.01234 → "0.0123": three significant digits, exponents only below 0.0001. */
export function format(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const sign = value < 0 ? "−" : "";
  if (size < 1e-4 || size >= 1e6) {
    const [mantissa, exponent] = size.toExponential(digits - 1).split("e");
    return `${sign}${mantissa.replace(/\.?0+$/, "")}e${exponent.replace("-", "−").replace("+", "")}`;
  }
  return sign + String(Number(size.toPrecision(digits)));
}

/** Two decimals for shares, with a floor that does not pretend to be zero: "0.41", "<0.01". */
export const share = (value) => (value > 0 && value < 0.005 ? "<0.01" : value.toFixed(2));

/** Numbers that stand in a column: two decimals from 0.1 on, three below, exponents only where those would show nothing. */
export function steady(value) {
  const size = Math.abs(value);
  if (size >= 100) return format(value);
  if (size >= 0.1) return value.toFixed(size >= 10 ? 1 : 2);
  if (size >= 0.001) return value.toFixed(3);
  return size === 0 ? "0" : format(value, 2);
}

export function largestOf(values) {
  let max = -Infinity;
  for (let i = 0; i < values.length; i++) if (values[i] > max) max = values[i];
  return max;
}

export function smallestOf(values) {
  let min = Infinity;
  for (let i = 0; i < values.length; i++) if (values[i] < min) min = values[i];
  return min;
}

/** Linear from `bottom` to `top`. */
export function linear(bottom, top) {
  const span = top > bottom ? top - bottom : Math.abs(top) || 1;
  return { log: false, middle: null, low: bottom, span, bottom, top: bottom + span, ticks: linearTicks(bottom, bottom + span) };
}

/** Differences: symmetric about 0, which lies at `middle`, so that opacity follows their size. */
export function diverging(largest) {
  const reach = largest > 0 ? largest : 1;
  return { ...linear(-reach, reach), middle: 0.5 };
}

/**
 * Logarithmic between fixed multiples, so that pictures of different pixels, stages and models compare. Opacity follows the
 * distance from ×1, which lies at `middle` of 0 … 1: what is no more than usual leaves the photo as it is.
 */
export function logarithmic(bottom, top, marks) {
  const low = Math.log2(bottom);
  const span = Math.log2(top) - low;
  const ticks = marks.map((value) => ({ value, at: (Math.log2(value) - low) / span, text: `×${format(value, 2)}` }));
  return { log: true, middle: -low / span, low, span, bottom, top, ticks };
}

export const UNIFORM = logarithmic(0.1, 100, [0.1, 1, 10, 100]); // one scale for all grids and models
const REACHES = [1.25, 1.5, 2, 4, 8, 16, 32];

/**
 * Ratios to an average: symmetric about ×1, reaching as far as `largest` needs.
 */
export function relative(largest) {
  const reach = REACHES.find((one) => one >= largest) ?? REACHES[REACHES.length - 1];
  const marks = reach < 2 ? [1 / reach, 1, reach] : reach === 2 ? [0.5, 1, 2] : [1 / reach, 1 / Math.sqrt(reach), 1, Math.sqrt(reach), reach];
  return logarithmic(1 / reach, reach, marks);
}

/** Ticks at multiples of 1, 2 or 5 · 10^i: the largest such step that leaves at least three, so three to five of them from 0. */
export function linearTicks(bottom, top) {
  const most = (top - bottom) / 2;
  const power = 10 ** Math.floor(Math.log10(most) + 1e-9);
  const step = power * [5, 2, 1].find((nice) => nice * power <= most * (1 + 1e-9));
  const ticks = [];
  for (let i = Math.ceil(bottom / step - 1e-9); i * step <= top * (1 + 1e-9); i++) {
    const value = i * step;
    ticks.push({ value, at: (value - bottom) / (top - bottom), text: format(value) });
  }
  return ticks;
}
