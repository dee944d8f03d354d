// The colours of the page as numbers, for what is drawn and not styled.

/** {paper, ink, muted: [r, g, b], font, key}. `node` has the paper as its background and the ink as its colour. */
export function readTheme(node) {
  const style = getComputedStyle(node);
  const paper = parse(style.backgroundColor), ink = parse(style.color);
  const muted = ink.map((part, i) => Math.round(part + (paper[i] - part) * 0.42));
  return { paper, ink, muted, font: style.fontFamily, key: `${paper} ${ink}` };
}

const parse = (text) => (text.match(/[\d.]+/g) ?? [0, 0, 0]).slice(0, 3).map(Number);
