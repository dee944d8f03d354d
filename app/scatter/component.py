"""The Streamlit side of the scatter and of its photo pane: registration, mounting, and what they report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from streamlit.components.v2 import component

from app import viewer
from app.scatter.strokes import Part, read_report

_STYLES = "\n".join(map(viewer.text, ("viewer.css", "panes.css", "scatter/scatter.css")))
_scatter = component("loupe_scatter", css=_STYLES, js=viewer.bootstrap("scatter/main"))
_photo = component("loupe_scatter_photo", css=_STYLES, js=viewer.bootstrap("scatter/photo"))


@dataclass(frozen=True)
class ScatterResult:
    """What the scatter last reported.

    parts: what was drawn, in order · isolated: {"by", "codes"} of the legend, or None · revision: changes with every act ·
    expired: it asked for points that the server no longer holds (true in one run only).
    """

    parts: tuple[Part, ...] = ()
    isolated: Mapping[str, Any] | None = None
    revision: str | None = None
    expired: bool = False


def parse(raw: object) -> ScatterResult | None:
    """The report in the component's session-state value, None where there is none."""
    seen = viewer.parse(raw)
    if seen is None:
        return None
    isolated = seen.view.get("isolated")
    return ScatterResult(
        parts=read_report(seen.view.get("parts")),
        isolated=dict(isolated) if isinstance(isolated, Mapping) else None,
        revision=seen.revision,
        expired=seen.expired,
    )


def _nothing() -> None:
    return None


def scatter(
    data: Mapping[str, Any],
    key: str,
    *,
    on_change: Callable[[], None] | None = None,
    on_chosen: Callable[[], None] | None = None,
) -> ScatterResult:
    """Mounts it and returns what it last reported.

    `data` comes from app.scatter.describe; `key` keeps it mounted across reruns and names the group that photo panes join.
    `on_change` runs before the next script run when something was drawn or isolated; `on_chosen` when a point's photo was asked
    for: `state.picked(key)` is then {"index", "image"}.
    """
    raw = _scatter(
        data={**data, "group": key},
        key=key,
        on_state_change=on_change or _nothing,
        on_chosen_change=on_chosen or _nothing,
        on_expired_change=_nothing,
    )
    return parse(raw) or ScatterResult()


def photo(data: Mapping[str, Any], key: str) -> bool:
    """Mounts the photo of one image with the scatter's points in it; true in the run in which it asks for its picture again.

    What is painted in it is reported by the scatter of its group.
    """
    raw = _photo(data=dict(data), key=key, on_expired_change=_nothing)
    return bool(isinstance(raw, Mapping) and raw.get("expired"))
