// Small helpers over the DOM.

/** el("button.tool", {title: "…", on: {click}}, children…): attributes, listeners, `text`, dataset by data-… names. */
export function el(spec, props = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (name === "text") node.textContent = value;
    else if (name === "style") node.style.cssText = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Sets text only when it differs: a write costs layout even when nothing changes. */
export function setText(node, text) {
  if (node.shown === text) return;
  node.shown = text;
  if (node.firstChild?.nodeType === 3) node.firstChild.nodeValue = text;
  else node.textContent = text;
}

/** Sets a style property only when it differs. */
export function setStyle(node, name, value) {
  const key = `style ${name}`;
  if (node[key] === value) return;
  node[key] = value;
  node.style.setProperty(name, value);
}

export const setHidden = (node, hidden) => {
  if (node.hidden !== hidden) node.hidden = hidden;
};

/** The root holds what it was asked for. */
export function arrived(root) {
  root.dataset.ready = "1";
  show(root);
}

/** Shown from now on, if it was not: there are numbers, or something to be said. Its host's place needs no room kept any more. */
export function show(root) {
  if (root.dataset.arrived) return;
  root.dataset.arrived = "1";
  root.getRootNode().host?.setAttribute("data-lp-arrived", "");
}

export const RINGS = "①②③④⑤⑥⑦⑧⑨";
