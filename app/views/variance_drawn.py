"""What was drawn on the Variance page's maps and photo, as the scatter reports it, as its link spells it, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app import scatter, state
from app.scatter.strokes import read_report
from app.selection import Selection

PREFIX = "parts before those on show"


def spelled(view: Mapping[str, Any]) -> dict[str, Any]:
    """What the scatter reports, as this page's link spells it. What was drawn on maps that are not on show stands before it."""
    parts = read_report(view.get("parts"))
    held = state.kept(PREFIX) or ()
    if parts and parts[0].mode != "set":
        parts = (*held, *parts)[-scatter.MOST_PARTS :]
    isolated = view.get("isolated")
    return {"lasso": scatter.write(parts), "isolated": isolated_text(isolated)}


def isolated_text(isolated: object) -> str:
    if not isinstance(isolated, Mapping) or not isolated.get("codes"):
        return ""
    return ".".join(str(part) for part in (isolated.get("by"), *isolated["codes"]))[:400]


def isolated_of(text: str) -> dict[str, Any] | None:
    by, *codes = text.split(".") if text else [""]
    if not by or not codes or not all(code.isascii() and code.isdecimal() for code in codes):
        return None
    return {"by": by, "codes": [int(code) for code in codes]}


def parts_of(selection: Selection) -> tuple[tuple[scatter.Part, ...], str]:
    """(what was drawn, why it cannot be used)."""
    try:
        return scatter.read(selection.lasso), ""
    except ValueError as error:
        return (), f"The link's lasso was left out: {error}."
