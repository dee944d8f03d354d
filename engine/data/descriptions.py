"""What a dataset's folder holds, as one TOML file: where images and labels lie, what the labels' numbers mean.

    title = "ADE20K (SceneParse150)"
    classes = "ade20k"                  # a list of assets/classes, or names: ["cat", "dog"]
    colours = [[255, 0, 0], [0, 0, 255]]  # optional: red, green, blue of each class, instead of ours
    home = "ADEChallengeData2016"       # the folder that the download unpacks to
    url = "…"                           # where it can be had

    [labels]
    first = 1                           # the number of category 0: v means category v − first; or
    map = { "7" = 0, "8" = 1 }          # number → category; or
    gaps = [11, 25]                     # numbers after `first` that are no category: the others count on
    ignore = [0, 255]                   # numbers of pixels without a label
    others = "ignore"                   # "refuse" (the default), "ignore", or the category of all other numbers
    variable = "LabelMap"               # of a .mat file; label files are images otherwise
    colours = true                      # instead of numbers: RGB images in the colours of the classes; ignore = ["#000000"]

    [splits.val]
    images = "images/validation/*.jpg"              # every file that matches; ** is any number of folders
    labels = "annotations/validation/{stem}.png"    # {stem}: the image's name, {folder}: its folders where the pattern varies
    list = "ImageSets/val.txt"                      # optional: one stem a line, put into {stem} of `images` too
    cut = "_leftImg8bit"                            # optional: an ending that {stem} loses

Paths are relative to the home, and stay in it. The shipped descriptions are those of assets/datasets; your own are TOML files
in the folder LOUPE_DATA, or data/. A shipped name keeps its meaning: yours is then opened by its path  [choice].
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from engine.data.class_lists import class_list, colours_of
from engine.data.datasets import data_root
from engine.data.label_files import IGNORED as IGNORED
from engine.data.label_files import codes_of, table_of
from engine.errors import LoupeError

DATASETS = Path(__file__).resolve().parents[2] / "assets" / "datasets"
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
    occur. variable: of .mat files, "" for images. colours (k, 3) uint8. codes: of RGB label images, colour as number → category,
    255 ignored; empty otherwise. lenient: other colours are ignored."""

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
    codes: Mapping[int, int]
    lenient: bool


def describe(name_or_path: str | Path) -> Description:
    """The shipped description of that name, or a TOML file.

    Raises:
        LoupeError: no such file, no TOML, unknown or wrong keys, label numbers that reach no category or miss one.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = found().get(str(name_or_path), path)
    if path.suffix != ".toml" or not path.is_file():
        raise LoupeError(
            f'there is no dataset "{name_or_path}": known are {", ".join(found())}, or a TOML file'
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


def found() -> dict[str, Path]:
    """Name → file, of every description that is shipped or lies in the folder of the datasets."""
    own = {path.stem: path for path in sorted(data_root().glob("*.toml"))}
    return {name: DATASETS / f"{name}.toml" for name in names()} | {
        name: path for name, path in own.items() if name not in names()
    }


def split_of(name: str) -> tuple[Description, str] | None:
    """What NAME-SPLIT means; None where that is no split of a known description.

    Raises:
        LoupeError: the description is there and wrong.
    """
    for known, path in found().items():
        if name.startswith(f"{known}-"):
            about = describe(path)
            if name.removeprefix(f"{known}-") in about.splits:
                return about, name.removeprefix(f"{known}-")
    return None


def _checked(name: str, values: dict[str, Any]) -> Description:
    _keys(
        values,
        {"classes": (str, list), "labels": dict, "splits": dict},
        {"title": str, "home": str, "url": str, "colours": list},
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
        "colours": bool,
    }
    _keys(labels, {}, kinds, "labels.")
    colours = _colours(values["colours"], len(classes)) if "colours" in values else colours_of(classes)
    coloured = labels.get("colours", False)
    codes = codes_of(labels, colours) if coloured else {}
    table, known = table_of({} if coloured else labels, len(classes))
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
        colours,
        home,
        values.get("url", ""),
        table,
        known,
        labels.get("variable", ""),
        splits,
        codes,
        labels.get("others") == "ignore",
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
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise LoupeError(f"{at}{key} is {value!r}, which is of the wrong type")


def _colours(given: list[Any], k: int) -> np.ndarray:
    if len(given) != k:
        raise LoupeError(f"{len(given)} colours for {k} classes")
    for each in given:
        whole = isinstance(each, list) and len(each) == 3 and all(type(part) is int for part in each)
        if not whole or not all(0 <= part <= 255 for part in each):
            raise LoupeError(f"the colour {each!r} must be three whole numbers from 0 to 255")
    return np.array(given, np.uint8)
