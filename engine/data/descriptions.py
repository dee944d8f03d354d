"""What a dataset's folder holds, as one TOML file: where images and labels lie, what the labels' numbers mean.

    title = "ADE20K (SceneParse150)"
    classes = "ade20k"                  # a list of assets/classes, or names: ["cat", "dog"]
    home = "ADEChallengeData2016"       # the folder that the download unpacks to
    url = "…"                           # where it can be had

    [labels]
    first = 1                           # the number of category 0: v means category v − first; or
    map = { "7" = 0, "8" = 1 }          # number → category; or
    gaps = [11, 25]                     # numbers after `first` that are no category: the others count on
    ignore = [0, 255]                   # numbers of pixels without a label
    others = "ignore"                   # "refuse" (the default), "ignore", or the category of all other numbers
    variable = "LabelMap"               # of a .mat file; label files are images otherwise

    [splits.val]
    images = "images/validation/*.jpg"              # every file that matches; ** is any number of folders
    labels = "annotations/validation/{stem}.png"    # {stem}: the image's name, {folder}: its folders where the pattern varies
    list = "ImageSets/val.txt"                      # optional: one stem a line, put into {stem} of `images` too
    cut = "_leftImg8bit"                            # optional: an ending that {stem} loses

Paths are relative to the home, and stay in it. The shipped descriptions are those of assets/datasets.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from engine.data.class_lists import class_list, colours_of
from engine.errors import LoupeError

DATASETS = Path(__file__).resolve().parents[2] / "assets" / "datasets"
IGNORED = 255
VALUES = 1 << 16  # label files hold 8 or 16 bits
MOST = 255  # categories; 255 is the ignored label


@dataclass(frozen=True)
class SplitFiles:
    """Patterns of one split; see the module."""

    images: str
    labels: str
    list: str = ""
    cut: str = ""


@dataclass(frozen=True, eq=False)
class Description:
    """One dataset. table (65536,) uint8: number in a label file → category, 255 ignored. known (65536,) bool: numbers that may
    occur. variable: of .mat files, "" for images. colours (k, 3) uint8."""

    name: str
    title: str
    classes: tuple[str, ...]
    colours: np.ndarray
    home: str
    url: str
    table: np.ndarray
    known: np.ndarray
    variable: str
    splits: Mapping[str, SplitFiles]


def describe(name_or_path: str | Path) -> Description:
    """The shipped description of that name, or a TOML file.

    Raises:
        LoupeError: no such file, no TOML, unknown or wrong keys, label numbers that reach no category or miss one.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = DATASETS / f"{name_or_path}.toml"
    if not path.is_file() or (path.parent == DATASETS and path.stem not in names()):
        raise LoupeError(
            f'there is no dataset "{name_or_path}": known are {", ".join(names())}, or a TOML file'
        )
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LoupeError(f"{path.name} is not valid TOML: {error}") from error
    except OSError as error:
        raise LoupeError(f"{path.name} cannot be read: {error.strerror}") from error
    try:
        return _checked(path.stem, values)
    except LoupeError as error:
        raise LoupeError(f"{path.name}: {error}") from error


def names() -> list[str]:
    """Of the shipped descriptions."""
    return sorted(path.stem for path in DATASETS.glob("*.toml"))


def _checked(name: str, values: dict[str, Any]) -> Description:
    _keys(
        values,
        {"classes": (str, list), "labels": dict, "splits": dict},
        {"title": str, "home": str, "url": str},
    )
    given = values["classes"]
    if isinstance(given, list) and not all(isinstance(each, str) for each in given):
        raise LoupeError("classes must be names")
    classes = class_list(given) if isinstance(given, str) else tuple(given)
    if not 2 <= len(classes) <= MOST or len(set(classes)) < len(classes):
        raise LoupeError(f"{len(classes)} classes: 2 to {MOST} names, each once, are needed")
    labels = values["labels"]
    kinds: dict[str, Any] = {
        "first": int,
        "map": dict,
        "gaps": list,
        "ignore": list,
        "others": (str, int),
        "variable": str,
    }
    _keys(labels, {}, kinds, "labels.")
    table, known = _table(labels, len(classes))
    splits = {}
    for split, files in values["splits"].items():
        if not isinstance(files, dict):
            raise LoupeError(f"splits.{split} must be a table")
        _keys(files, {"images": str, "labels": str}, {"list": str, "cut": str}, f"splits.{split}.")
        for key in ("images", "labels", "list"):
            inside(files.get(key, ""), f"splits.{split}.{key}")
        splits[split] = SplitFiles(**files)
    if not splits:
        raise LoupeError("splits must name at least one split")
    home = values.get("home", "")
    inside(home, "home")
    return Description(
        name,
        values.get("title", name),
        classes,
        colours_of(classes),
        home,
        values.get("url", ""),
        table,
        known,
        labels.get("variable", ""),
        splits,
    )


def inside(path: str, what: str) -> str:
    """A relative path that cannot leave its folder.

    Raises:
        LoupeError: absolute, or with "..".
    """
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or "\\" in path or "\0" in path:
        raise LoupeError(f"{what} is {path!r}: it must be a path within the dataset's folder")
    return path


def _keys(
    values: Mapping[str, Any], needed: Mapping[str, Any], known: Mapping[str, Any], at: str = ""
) -> None:
    for key in needed:
        if key not in values:
            raise LoupeError(f"the key {at}{key} is missing")
    for key, value in values.items():
        wanted = needed.get(key, known.get(key))
        if wanted is None:
            raise LoupeError(f"the key {at}{key} is unknown; known are {', '.join([*needed, *known])}")
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise LoupeError(f"{at}{key} is {value!r}, which is of the wrong type")


def _table(labels: Mapping[str, Any], k: int) -> tuple[np.ndarray, np.ndarray]:
    """(number → category, number may occur)."""
    if "map" in labels and ("first" in labels or "gaps" in labels):
        raise LoupeError("labels.map and labels.first exclude each other")
    table = np.full(VALUES, IGNORED, np.uint8)
    known = np.zeros(VALUES, bool)
    others = labels.get("others", "refuse")
    if others not in ("refuse", "ignore"):
        if not isinstance(others, int) or not 0 <= others < k:
            raise LoupeError(f'labels.others is {others!r}: "refuse", "ignore" or a category\'s number')
        table[:] = others
    known[:] = others != "refuse"
    ignored = _numbers(labels.get("ignore", [IGNORED]), "labels.ignore")
    table[ignored], known[ignored] = IGNORED, True
    if "map" in labels:
        try:
            pairs = [(int(number), category) for number, category in labels["map"].items()]
        except ValueError as error:
            raise LoupeError("labels.map must lead from numbers to categories") from error
    else:
        gaps = set(_numbers(labels.get("gaps", []), "labels.gaps"))
        first = labels.get("first", 0)
        found = [number for number in range(first, first + k + len(gaps)) if number not in gaps][:k]
        pairs = [(number, category) for category, number in enumerate(found)]
    for number, category in pairs:
        if not 0 <= number < VALUES or not isinstance(category, int) or not 0 <= category < k:
            raise LoupeError(f"a label {number} cannot be category {category!r} of {k}")
        if number in ignored:
            raise LoupeError(f"the label {number} is both ignored and category {category}")
        table[number], known[number] = category, True
    missing = sorted(set(range(k)) - {category for _, category in pairs} - {others})
    if missing:
        raise LoupeError(f"no label leads to {len(missing)} of {k} categories, first category {missing[0]}")
    return table, known


def _numbers(values: Sequence[Any], what: str) -> list[int]:
    if not all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v < VALUES for v in values):
        raise LoupeError(f"{what} must be whole numbers from 0 to {VALUES - 1}")
    return list(values)
