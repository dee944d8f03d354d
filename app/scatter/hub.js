// A scatter and the photo panes of its group, which are components of their own on the same page: they meet here, not in Python.

const groups = new Map();

class Group {
  constructor() {
    this.scatter = null; // the board that holds points, selection and report
    this.listeners = new Set();
  }

  /** `listener()` is called when points, colours, selection or the point looked at changed. Returns what takes it away. */
  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  tell() {
    for (const listener of this.listeners) listener();
  }
}

export function group(name) {
  if (!groups.has(name)) groups.set(name, new Group());
  return groups.get(name);
}
