"""Colours of categories: a list of assets/classes has that file's; other names the demo world's, or one made of the name."""

from __future__ import annotations

import colorsys
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "classes"


DEMO = "scenes"


@cache
def lists(folder: Path = FOLDER) -> Mapping[tuple[str, ...], Mapping[str, str]]:
    """Names in label order → category name → "#rrggbb", of every file in the folder."""
    found: dict[tuple[str, ...], Mapping[str, str]] = {}
    for path in sorted(folder.glob("*.json")):
        classes = json.loads(path.read_text(encoding="utf-8"))["classes"]
        names = tuple(each["name"] for each in classes)
        found[names] = {each["name"]: "#{:02x}{:02x}{:02x}".format(*each["colour"]) for each in classes}
    return found


@cache
def known(folder: Path = FOLDER) -> Mapping[str, str]:
    """Category name → "#rrggbb" of the demo world."""
    content = json.loads((folder / f"{DEMO}.json").read_text(encoding="utf-8"))
    return lists(folder)[tuple(each["name"] for each in content["classes"])]


def colours(names: Sequence[str]) -> list[str]:
    """A colour for each category, the same on every page and in every process."""
    fixed = lists().get(tuple(names)) or known()
    return [fixed.get(name) or _by_name(name) for name in names]


def _by_name(name: str) -> str:
    digest = hashlib.sha256(name.encode()).digest()
    rgb = colorsys.hls_to_rgb(digest[0] / 256, 0.38 + 0.3 * digest[1] / 256, 0.45 + 0.3 * digest[2] / 256)
    return "#{:02x}{:02x}{:02x}".format(*(round(255 * part) for part in rgb))
