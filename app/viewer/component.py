"""The Streamlit side of the viewer: registration, mounting, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streamlit.components.v2 import component

from app.viewer.files import bootstrap, text


@dataclass(frozen=True)
class ViewerResult:
    """What the viewer last reported.

    pins: (row, col) in pixels of the oriented original image · active: index into pins, None without pins ·
    view: the settings, keys as in `app.viewer.VIEW` · revision: changes with every act of the person, None before the
    first · expired: the viewer asked for tensors that the server no longer holds (true in one run only).
    """

    pins: tuple[tuple[int, int], ...] = ()
    active: int | None = None
    view: dict[str, Any] = field(default_factory=dict)
    revision: str | None = None
    expired: bool = False


def parse(raw: object) -> ViewerResult | None:
    """The report in a component's session-state value, None where there is none. Malformed pins are dropped."""
    state = raw.get("state") if isinstance(raw, Mapping) else None
    expired = bool(isinstance(raw, Mapping) and raw.get("expired"))
    if not isinstance(state, Mapping):
        return ViewerResult(expired=True) if expired else None
    given = state.get("pins")
    pins = tuple(
        (int(pin[0]), int(pin[1]))
        for pin in (given if isinstance(given, list) else [])
        if isinstance(pin, list | tuple)
        and len(pin) == 2
        and all(isinstance(number, int | float) and number >= 0 for number in pin)
    )
    active = state.get("active")
    chosen = active if isinstance(active, int) and 0 <= active < len(pins) else (0 if pins else None)
    view = state.get("view")
    revision = state.get("revision")
    return ViewerResult(
        pins=pins,
        active=chosen,
        view=dict(view) if isinstance(view, Mapping) else {},
        revision=revision if isinstance(revision, str) else None,
        expired=expired,
    )


def _nothing() -> None:
    return None


class Board:
    """One of our components: a module whose `mount` the bootstrap calls, and its style sheets."""

    def __init__(self, name: str, module: str, *styles: str) -> None:
        self._mount = component(name, css="\n".join(map(text, styles)), js=bootstrap(module))

    def __call__(
        self, data: Mapping[str, Any], key: str, *, on_change: Callable[[], None] | None = None
    ) -> ViewerResult:
        """Mount it and return what it last reported.

        `data` is described in app.viewer.payload; `key` keeps the canvas mounted across reruns. `on_change` runs before
        the next script run whenever the person changed something.
        """
        raw = self._mount(
            data=dict(data), key=key, on_state_change=on_change or _nothing, on_expired_change=_nothing
        )
        return parse(raw) or ViewerResult()


viewer = Board("loupe_viewer", "main", "viewer.css")
guidance = Board("loupe_guidance", "guidance", "viewer.css", "panes.css", "guidance.css")
surgery = Board("loupe_surgery", "surgery", "viewer.css", "panes.css", "guidance.css", "surgery.css")
compare = Board("loupe_compare", "compare", "viewer.css", "panes.css")
