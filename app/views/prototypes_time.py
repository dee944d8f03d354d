"""The Time view's component: a plane, curves and a slider that redraw in the browser."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from streamlit.components.v2 import component

from app.sheets_prototypes import TimeSheet
from app.words import percent

KEY = "prototypes time"
_CSS = """
:host { display: block; }
.time { font: 12px/1.35 var(--st-font); color: var(--st-text-color); font-variant-numeric: tabular-nums; }
.pair { display: flex; flex-wrap: wrap; gap: 18px; }
figure { margin: 0; flex: 40 1 270px; min-width: 0; }
figure.plane { flex: 56 1 378px; }
figcaption { opacity: .75; margin-bottom: 4px; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
text { font: 12px var(--st-font); fill: currentColor; }
polyline { fill: none; stroke-width: 1.2; }
.whole { opacity: .28; }
.gone { stroke-width: 1.6; opacity: .8; }
.gone.strong { stroke-width: 2.6; opacity: 1; }
text.mark { font-size: 15px; stroke: currentColor; stroke-width: 1.4px; paint-order: stroke; }
text.mark.strong { font-size: 22px; stroke: currentColor; stroke-width: 2px; }
text.label { stroke: var(--st-background-color); stroke-width: 3px; paint-order: stroke; opacity: .85; }
text.label.strong { font-weight: 700; opacity: 1; }
.curve { opacity: .55; }
.curve.strong { stroke-width: 2.8; opacity: 1; }
.axes line { stroke: currentColor; opacity: .14; }
.axes text { opacity: .7; font-size: 11px; }
.cursor { stroke: currentColor; stroke-width: 1.2; stroke-dasharray: 4 3; }
.controls { display: flex; gap: 12px; align-items: center; flex-wrap: wrap; margin-top: 8px; }
.controls input { flex: 1 1 220px; accent-color: var(--st-primary-color); min-width: 160px; }
.controls output { min-width: 22em; }
button { all: unset; cursor: pointer; border: 1px solid var(--st-border-color); border-radius: 5px; padding: 3px 10px;
  min-width: 4.6em; text-align: center; }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
"""
_JS = Path(__file__).with_name("prototypes_time.js").read_text(encoding="utf-8")
_time = component("loupe_time", css=_CSS, js=_JS)


def player(sheet: TimeSheet, on_moment: Callable[[], None]) -> Any:
    """Draws a bank's moments; `on_moment` runs in a callback when the slider was let go (`state.picked(KEY)` says where)."""
    return _time(data=payload(sheet), key=KEY, on_chosen_change=on_moment)


def payload(sheet: TimeSheet) -> dict[str, Any]:
    """What the browser draws; `content` names everything but the moment."""
    first, second = (percent(share, 2) for share in sheet.explained)
    data: dict[str, Any] = {
        "steps": sheet.steps.tolist(),
        "path": _rounded(sheet.path),
        "cosine": _rounded(sheet.cosine),
        "names": list(sheet.names.names),
        "colours": list(sheet.names.colours),
        "marked": sheet.marked,
        "planeTitle": f"◆ each row in one fixed plane: components 1 and 2, {first} and {second} of the variance",
        "curveTitle": f"{sheet.quantity}, every row",
    }
    content = hashlib.sha256(repr(data).encode()).hexdigest()[:16]
    return {**data, "content": content, "moment": sheet.moment}


def _rounded(values: np.ndarray) -> list[Any]:
    """Nested lists of five digits; None where a value is not a number."""
    if values.ndim > 1:
        return [_rounded(part) for part in values]
    return [round(float(v), 5) if math.isfinite(v) else None for v in values]
