"""Colours of categories: fixed ones from assets/classes, and for other models' categories a colour of their own by name."""

from __future__ import annotations

import colorsys
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "classes"


@cache
def known(folder: Path = FOLDER) -> Mapping[str, str]:
    """Category name → "#rrggbb", of every file in the folder."""
    colours: dict[str, str] = {}
    for path in sorted(folder.glob("*.json")):
        for category in json.loads(path.read_text(encoding="utf-8"))["classes"]:
            colours[category["name"]] = "#{:02x}{:02x}{:02x}".format(*category["colour"])
    return colours


def colours(names: Sequence[str]) -> list[str]:
    """A colour for each category, the same on every page and in every process."""
    fixed = known()
    return [fixed.get(name) or _by_name(name) for name in names]


def _by_name(name: str) -> str:
    digest = hashlib.sha256(name.encode()).digest()
    rgb = colorsys.hls_to_rgb(digest[0] / 256, 0.38 + 0.3 * digest[1] / 256, 0.45 + 0.3 * digest[2] / 256)
    return "#{:02x}{:02x}{:02x}".format(*(round(255 * part) for part in rgb))
