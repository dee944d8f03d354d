"""The gallery in the sidebar: thumbnails in one small component, and the uploader below them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamlit.components.v2 import component

from app.gallery import Picture

_CSS = """
:host { display: block; }
ul { list-style: none; margin: 0; padding: 0; display: grid; gap: 6px; }
ul { grid-template-columns: repeat(auto-fill, minmax(44px, 1fr)); }
button { all: unset; display: block; cursor: pointer; border-radius: 4px; width: 100%; }
img { display: block; width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: 4px; opacity: .92; }
button:hover img { opacity: 1; }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
span { display: block; white-space: pre; font: 11.5px/1.35 var(--st-font); text-align: center; font-variant-numeric: tabular-nums;
  margin-top: 3px; opacity: .8; }
ul.noted { grid-template-columns: repeat(auto-fill, minmax(76px, 1fr)); }
button[aria-pressed="true"] img { outline: 2px solid var(--st-primary-color); outline-offset: 1px; opacity: 1; }
"""
_JS = """
export default function ({ data, parentElement, setTriggerValue }) {
  let list = parentElement.querySelector("ul");
  if (!list) parentElement.append((list = document.createElement("ul")));
  const ids = JSON.stringify(data.pictures.map(({ id, note }) => [id, note]));
  const draw = () => {
    list.onpointerleave = null;
    list.className = data.pictures.some((picture) => picture.note) ? "noted" : "";
    list.dataset.ids = ids;
    list.replaceChildren(...data.pictures.map(({ id, title, src, note }) => {
      const item = document.createElement("li");
      const button = Object.assign(document.createElement("button"), { type: "button", title });
      button.dataset.id = id;
      button.append(Object.assign(new Image(), { src, alt: title }));
      if (note) button.append(Object.assign(document.createElement("span"), { textContent: note }));
      item.append(button);
      return item;
    }));
    mark();
  };
  const mark = () => {
    for (const button of list.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.id === data.chosen));
      button.onclick = () => setTriggerValue("chosen", button.dataset.id);
    }
  };
  // An order that changes as results come in waits while somebody is about to choose: nothing moves under the pointer.
  const waits = list.dataset.ids && list.dataset.ids !== ids && list.matches(":hover");
  list.onpointerleave = waits ? draw : null;
  if (waits || list.dataset.ids === ids) mark();
  else draw();
}
"""
_grid = component("loupe_gallery", css=_CSS, js=_JS)


def thumbnails(
    pictures: Sequence[Picture],
    chosen: str,
    key: str,
    on_choice: Callable[[], None],
    notes: Mapping[str, str] | None = None,
) -> Any:
    """Draws the pictures; `on_choice` runs in a callback when one is clicked (`state.picked(key)` says which).

    notes: picture's id → a few characters below it.
    """
    notes = notes or {}
    data = {
        "pictures": [
            {"id": p.id, "title": p.title, "src": p.thumbnail, "note": notes.get(p.id, "")} for p in pictures
        ],
        "chosen": chosen,
    }
    return _grid(data=data, key=key, on_chosen_change=on_choice)
