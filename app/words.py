"""Numbers and names as the pages print them: at most three significant digits, units always."""

from __future__ import annotations

import math
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.catalogue import ModelCard

HOME = Path(__file__).absolute().parents[1]
DASH = "–"
CORNER = '<th role="cell"></th>'  # of a table; a header without words would be announced as one


def number(value: float | None, digits: int = 3) -> str:
    """Exactly `digits` significant digits, powers of ten below 0.0001 and from 100 000; a dash for None and NaN."""
    if value is None or not math.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    size = int(exponent)  # of the rounded value: 0.9996 has the size of 1.00
    if size < -4 or size >= 5:
        text = f"{mantissa}e{size}"
    else:
        text = f"{value:.{max(0, digits - 1 - size)}f}"
    return text.replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """As `number`, with its sign: +1.20, −0.300; 0 has none."""
    text = number(value, digits)
    return f"+{text}" if value is not None and value > 0 and text != DASH else text


def minus(sentence: str) -> str:
    """The engine's sentence with a true minus before its numbers."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", sentence)


def percent(share: float | None, digits: int = 3) -> str:
    """A share as percent: 0.1234 → 12.3 %."""
    return DASH if share is None or not math.isfinite(share) else f"{number(100 * share, digits)}\u2009%"


def size(pair: tuple[int, int]) -> str:
    """(height, width) → height×width."""
    return f"{pair[0]}×{pair[1]}"


def html(text: object) -> str:
    """Escaped for a page: names of files and categories are other people's text."""
    return escape(str(text), quote=True)


def place(path: Path) -> str:
    """A folder or file as people name it: from Loupe's own folder where it lies in there."""
    path = path.absolute()
    return str(path.relative_to(HOME)) if path.is_relative_to(HOME) else str(path)


def markdown(text: object) -> str:
    """Escaped for Streamlit's markdown: no emphasis, formula, colour, picture or link, not even of what looks like an address."""
    escaped = "".join(f"\\{c}" if c in r"\`*_{}[]()#+-.!|<>$~:&^" else c for c in str(text))
    # Addresses become links after escapes are resolved: a word joiner, which is not seen, keeps them apart.
    return re.sub(r"(?i)(https?|www)(?=\\[:.])|(?<=@)", lambda found: f"{found[0]}\u2060", escaped)


def measured_on(cards: Iterable[ModelCard]) -> str:
    """What the checkpoints' mIoU was measured on: "on scenes-val, one training seed"; "" where none of them has an mIoU."""
    found: dict[str, list[str]] = {}
    for card in cards:
        if card.mIoU is not None:
            on = card.provenance.get("data")
            found.setdefault(on if isinstance(on, str) else "a split that it does not name", []).append(
                card.id
            )
    if not found:
        return ""
    if len(found) == 1:
        return f"on {next(iter(found))}, one training seed"
    each = ", ".join(f"{' and '.join(ids)} on {on}" for on, ids in found.items())
    return f"not on the same images: {each}"
