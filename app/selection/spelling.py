"""Each field's name in a URL, and its value as text and back.

A URL holds ids that name content (never paths) and pixels of the oriented original image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app import codecs
from app.codecs import MAX_MODELS
from app.selection.choices import (
    ABLATIONS,
    AUDITED,
    BANKS,
    COLOURS,
    DRAWN,
    FEW,
    LEAST_PIXELS,
    LOOKS,
    MANY,
    MARKS,
    MEASURES,
    MOST_PANELS,
    MOST_PIXELS,
    NUMBERS,
    OUTLINES,
    PAINTS,
    PROJECTIONS,
    READINGS,
    RELATIVES,
    SCALES,
    SCORES,
    SECTIONS,
    SHOWS,
    SITES,
    SLICES,
    THIRDS,
    WHATS,
)

_READING = codecs.one_of(READINGS)


def _flag_text(value: bool) -> str:
    return str(int(value))


def _share_text(value: float) -> str:
    return f"{value:.2f}"


# field → (name in the URL, to text, from text)
CODECS: dict[str, tuple[str, Callable[[Any], str], Callable[[str], Any]]] = {
    "model": ("model", str, str),
    "image": ("image", str, str),
    "stage": ("stage", str, str),
    "pins": ("pins", lambda pins: ";".join(f"{row},{col}" for row, col in pins), codecs.pins),
    "active": ("active", lambda index: str(index + 1), lambda text: max(0, codecs.natural(text) - 1)),
    "reading": (
        "reading",
        lambda text: text.replace(" ", "-"),
        lambda text: _READING(text.replace("-", " ")),
    ),
    "head": (
        "head",
        lambda head: "mean" if head is None else str(head),
        lambda text: None if text == "mean" else codecs.natural(text),
    ),
    "measure": ("measure", str, codecs.one_of(MEASURES)),
    "relative": ("relative", str, codecs.one_of(RELATIVES)),
    "scale": ("scale", str, codecs.one_of(SCALES)),
    "smooth": ("smooth", _flag_text, codecs.flag),
    "opacity": ("opacity", _share_text, codecs.unit),
    "colours": ("colours", str, codecs.one_of(COLOURS)),
    "outline": ("outline", str, codecs.one_of(OUTLINES)),
    "source": (
        "source",
        lambda source: "auto" if source is None else str(source),
        lambda text: None if text == "auto" else codecs.natural(text),
    ),
    "hold": ("hold", _flag_text, codecs.flag),
    "models": ("models", codecs.write_names, codecs.names),
    "shows": ("shows", ",".join, codecs.list_of(SHOWS, MAX_MODELS)),
    "site": ("site", str, codecs.one_of(SITES)),
    "marks": ("marks", str, codecs.one_of(MARKS)),
    "pair": ("pair", lambda pair: f"{pair[0] + 1},{pair[1] + 1}", codecs.pair),
    "category": ("category", str, codecs.name),
    "token_cut": ("token", _share_text, codecs.unit),
    "high_cut": ("high", _share_text, codecs.unit),
    "low_cut": ("low", _share_text, codecs.unit),
    "third": ("third", str, codecs.one_of(THIRDS)),
    "context": ("context", _flag_text, codecs.flag),
    "edits": ("edits", str, codecs.drawn),
    "what": ("what", str, codecs.one_of(WHATS)),
    "ablation": ("ablation", str, codecs.one_of(ABLATIONS)),
    "region": ("region", str, codecs.drawn),
    "section": ("view", str, codecs.one_of(SECTIONS)),
    "patches": ("patches", str, codecs.one_of_numbers((FEW, MANY))),
    "moment": (
        "moment",
        lambda moment: "last" if moment is None else str(moment),
        lambda text: None if text == "last" else codecs.natural(text),
    ),
    "bank": ("bank", str, codecs.one_of(BANKS)),
    "features": ("features", str, codecs.name),
    "beside": ("beside", codecs.write_names, codecs.listed(MAX_MODELS - 1)),
    "sites": ("sites", codecs.write_names, codecs.listed(MOST_PANELS)),
    "categories": ("categories", codecs.write_chosen, codecs.chosen),
    "amount": ("pixels", str, codecs.between(LEAST_PIXELS, MOST_PIXELS)),
    "drawn": ("from", str, codecs.one_of(DRAWN)),
    "projection": ("projection", str, codecs.one_of(PROJECTIONS)),
    "neighbours": ("neighbours", str, codecs.between(2, 200)),
    "min_dist": ("distance", _share_text, codecs.below_one),
    "seed": ("seed", str, codecs.between(0, 999_999)),
    "paint": ("colour", str, codecs.one_of(PAINTS)),
    "number": ("number", str, codecs.one_of(NUMBERS)),
    "lasso": ("lasso", str, codecs.drawn),
    "isolated": ("isolated", str, codecs.drawn),
    "photo": ("photo", str, codecs.name),
    "look": ("show", str, codecs.one_of(LOOKS)),
    "smallest": ("clusters", str, codecs.none_or_between(2, 10_000)),
    "at": ("at", lambda at: str(at + 1), lambda text: codecs.between(1, MOST_PANELS)(text) - 1),
    "named": ("names", codecs.write_labels, codecs.labels),
    "score": ("score", str, codecs.one_of(SCORES)),
    "slices": ("by", str, codecs.one_of(SLICES)),
    "data": ("data", str, codecs.name),
    "sheet": ("sheet", lambda sheet: str(sheet + 1), lambda text: codecs.between(1, 99_999)(text) - 1),
    "audited": ("images", str, codecs.one_of_numbers(AUDITED)),
}
NONE_HAS_A_NAME = ("head", "source", "moment")
MAY_BE_EMPTY = ("pins", "beside", "lasso", "isolated", "photo", "named", "edits", "region")
PARAMETERS = tuple(name for name, _, _ in CODECS.values())


def short(text: str) -> str:
    """Long or strange text of a link, cut for a sentence (markdown is escaped where it is shown)."""
    text = "".join(character if character.isprintable() else "·" for character in text)
    return text if len(text) <= 40 else text[:39] + "…"
