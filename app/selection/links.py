"""Selection ⇄ a page's link, and what a page's viewer reports, which is read as a link is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app import codecs
from app.codecs import MAX_MODELS, MAX_PINS
from app.selection.pages import INSPECT, Page
from app.selection.selection import Selection
from app.selection.spelling import CODECS, MAY_BE_EMPTY, NONE_HAS_A_NAME, short


def to_params(selection: Selection, page: Page = INSPECT) -> dict[str, str]:
    """The selection as URL parameters. Every field of the page is written, so that a link outlives a changed default."""
    return {
        CODECS[field][0]: CODECS[field][1](value)
        for field in page.fields
        if (value := getattr(selection, field)) is not None or field in NONE_HAS_A_NAME
    }


def from_params(
    params: Mapping[str, str], default: Selection, page: Page = INSPECT
) -> tuple[Selection, list[str]]:
    """The selection that `params` spell, and one sentence for each value that could not be used.

    Missing or unusable values fall back to `default`'s; but a link to an image alone never inherits pixels that
    were chosen for another picture. The first of several models is the other pages' model.
    """
    problems: list[str] = []
    fields: dict[str, Any] = {}
    for field in page.fields:
        name, _, read = CODECS[field]
        text = params.get(name)
        if text is None or (text == "" and field not in MAY_BE_EMPTY):
            continue
        try:
            fields[field] = read(text)
        except ValueError as error:
            problems.append(f"The link's {name} = “{short(text)}” was left out: {error}.")
    if "models" in fields:
        fields["model"] = fields["models"][0]
    if "pins" not in fields and fields.get("image", default.image) != default.image:
        fields["pins"] = None
    selection = replace(default, **fields)
    count = len(selection.pins or ())
    if selection.active >= max(1, count):
        if "active" in fields and count:
            problems.append(
                f"The link's active = “{selection.active + 1}” was left out: pins are numbered 1 to {count}."
            )
        selection = replace(selection, active=max(0, count - 1))
    return selection, problems


def view_of(selection: Selection, page: Page = INSPECT) -> dict[str, Any]:
    """The settings as the page's viewer knows them (for Inspect: app.viewer.VIEW)."""
    view = {field: getattr(selection, field) for field in page.view}
    if "head" in view:
        view["head"] = "mean" if selection.head is None else selection.head
    return view


def adopt(
    selection: Selection,
    pins: tuple[tuple[int, int], ...],
    active: int | None,
    view: Mapping[str, Any],
    page: Page = INSPECT,
) -> Selection:
    """The selection after what a person did in the viewer. A browser may send anything: what is unusable is left out."""
    texts = {"pins": ";".join(f"{row},{col}" for row, col in pins[-MAX_PINS:])}
    if pins:
        texts["active"] = str(min((active or 0) + 1, len(pins)))
    for field in page.view:
        if field in view:
            texts[CODECS[field][0]] = _told(field, view[field])
    return from_params(texts, selection, page)[0]


def _told(field: str, value: Any) -> str:
    """A viewer's value as a link would spell it."""
    if isinstance(value, bool):
        return str(int(value))
    if value is None:
        return "auto" if field == "source" else ""
    if isinstance(value, list):
        return ",".join(str(one)[:40] for one in value[:MAX_MODELS])
    text = str(value)[: codecs.MAX_DRAWN]
    return text.replace(" ", "-") if field == "reading" else text
