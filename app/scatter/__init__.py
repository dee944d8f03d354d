"""The linked scatter: one to four maps of the same pixels, drawn and lassoed in the browser; and a photo with them in it.

The browser finds the points of a lasso itself and lights them up in all panels at once; Python is told the polygon alone
and finds the same points again (polygon.py, strokes.py). Its modules are served beside the viewer's and stand on them.
"""

from __future__ import annotations

from app.scatter.component import ScatterResult, parse, photo, scatter
from app.scatter.payload import COLOURS, KINDS, Panel, Points, Value, describe, describe_photo, keep_sprite
from app.scatter.polygon import inside
from app.scatter.strokes import MOST_PARTS, Lasso, Part, Stroke, chosen, read, unknown, write

__all__ = [
    "COLOURS",
    "KINDS",
    "MOST_PARTS",
    "Lasso",
    "Panel",
    "Part",
    "Points",
    "ScatterResult",
    "Stroke",
    "Value",
    "chosen",
    "describe",
    "describe_photo",
    "inside",
    "keep_sprite",
    "parse",
    "photo",
    "read",
    "scatter",
    "unknown",
    "write",
]
