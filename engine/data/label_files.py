"""What the numbers, or the colours, of label files mean, and the reading of such files.

A label file holds one number a pixel: a grey or palette image (of a palette its indices, never its colours), or a matrix in
a .mat file. Where a description says `colours = true`, it is an RGB image in the colours of the categories.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import LoupeError

if TYPE_CHECKING:
    from engine.data.descriptions import Description

IGNORED = 255
VALUES = 1 << 16  # label files hold 8 or 16 bits
FORMATS = ("PNG", "TIFF", "BMP", "GIF")  # without loss: a JPEG's numbers are not those that were drawn
PACKED = {"L;2": 85, "L;4": 17}  # Pillow spreads 2 and 4 bits of grey over 0 to 255; these factors undo it


@dataclass(frozen=True, eq=False)
class Decoded:
    """labels (H, W) uint8, 255 ignored. strange: number or "#rrggbb" that the description does not know → pixels."""

    labels: np.ndarray
    strange: Mapping[str, int]


def decode(path: Path, about: Description) -> Decoded:
    """The categories in a label file; what is strange is ignored in `labels`.

    Raises:
        LoupeError: unreadable, or not what the description says.
    """
    if about.codes:
        return _decoded_colours(_read_colours(path), about)
    numbers = read_labels(path, about.variable)
    odd = ~about.known[numbers]
    found, counts = np.unique(numbers[odd], return_counts=True)
    strange = dict(zip(map(str, found.tolist()), counts.tolist(), strict=True))
    return Decoded(about.table[numbers], strange)


def read_labels(path: Path, variable: str = "") -> np.ndarray:
    """(H, W) uint16 as the file holds them: of a palette image its indices, of a .mat file its variable.

    Raises:
        LoupeError: unreadable, more than one channel, numbers outside 0 to 65535.
    """
    numbers = _matrix(path, variable) if variable else _indices(path)
    if numbers.ndim != 2 or not np.issubdtype(numbers.dtype, np.integer) or not numbers.size:
        raise LoupeError(
            f"the labels {path.name} are of shape {numbers.shape} and type {numbers.dtype}, not one number a pixel"
        )
    if numbers.min() < 0 or numbers.max() >= VALUES:
        raise LoupeError(f"the labels {path.name} hold numbers outside 0 to {VALUES - 1}")
    return numbers.astype(np.uint16)


def table_of(labels: Mapping[str, Any], k: int) -> tuple[np.ndarray, np.ndarray]:
    """What `labels` of a description says: (65536,) number → category, and whether a number may occur.

    Raises:
        LoupeError: numbers or categories that cannot be, or a category that no number leads to.
    """
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
        whole = isinstance(category, int) and not isinstance(category, bool)
        if not 0 <= number < VALUES or not whole or not 0 <= category < k:
            raise LoupeError(f"a label {number} cannot be category {category!r} of {k}")
        if number in ignored:
            raise LoupeError(f"the label {number} is both ignored and category {category}")
        table[number], known[number] = category, True
    missing = sorted(set(range(k)) - {category for _, category in pairs} - {others})
    if missing:
        raise LoupeError(f"no label leads to {len(missing)} of {k} categories, first category {missing[0]}")
    return table, known


def codes_of(labels: Mapping[str, Any], colours: np.ndarray) -> dict[int, int]:
    """Of RGB label images: colour as one number, 65536 red + 256 green + blue → category, 255 ignored.

    Raises:
        LoupeError: keys that are of numbers, two categories of one colour, an ignored colour that is not "#rrggbb".
    """
    odd = sorted({"first", "map", "gaps", "variable"} & set(labels))
    if odd:
        raise LoupeError(f"labels.colours and labels.{odd[0]} exclude each other")
    if labels.get("others", "refuse") not in ("refuse", "ignore"):
        raise LoupeError('labels.others must be "refuse" or "ignore" where labels are colours')
    codes = {int(code): category for category, code in enumerate(_packed(colours).tolist())}
    if len(codes) < len(colours):
        raise LoupeError("two categories have one colour, so that colours cannot be labels")
    for each in labels.get("ignore", []):
        if not isinstance(each, str) or re.fullmatch(r"#[0-9a-fA-F]{6}", each) is None:
            raise LoupeError(f"labels.ignore has {each!r}: where labels are colours it must be like #000000")
        if codes.setdefault(int(each[1:], 16), IGNORED) != IGNORED:
            raise LoupeError(f"the colour {each} is both ignored and a category's")
    return codes


def why(error: Exception) -> str:
    """The reason that a library gives, short, to end a sentence."""
    return getattr(error, "strerror", None) or " ".join(str(error).split())[:100] or type(error).__name__


def _decoded_colours(codes: np.ndarray, about: Description) -> Decoded:
    found, places, counts = np.unique(codes, return_inverse=True, return_counts=True)
    values = found.tolist()
    categories = np.array([about.codes.get(code, IGNORED) for code in values], np.uint8)
    odd = zip(values, counts.tolist(), strict=True)
    strange = {f"#{code:06x}": n for code, n in odd if code not in about.codes and not about.lenient}
    return Decoded(categories[places.reshape(codes.shape)], strange)


def _matrix(path: Path, variable: str) -> np.ndarray:
    from scipy.io import loadmat

    try:
        held = loadmat(path, variable_names=[variable])
    except Exception as error:  # a damaged file makes scipy's reader raise nearly anything
        raise LoupeError(f"the labels {path.name} cannot be read: {why(error)}") from error
    if variable not in held:
        raise LoupeError(f"{path.name} holds no variable {variable}")
    return np.asarray(held[variable])


def _indices(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path, formats=FORMATS) as file:
            if file.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
                raise LoupeError(
                    f"the labels {path.name} are a picture ({file.mode}), not one number a pixel"
                )
            spread = PACKED.get(str(file.tile[0].args), 1) if file.tile else 1
            numbers = np.asarray(file)
    except LoupeError:
        raise
    except Exception as error:  # as above, of Pillow's readers
        raise LoupeError(f"the labels {path.name} cannot be read: {why(error)}") from error
    return numbers.astype(np.uint8) if numbers.dtype == bool else numbers // spread


def _read_colours(path: Path) -> np.ndarray:
    """(H, W) colours as one number each."""
    from PIL import Image

    try:
        with Image.open(path, formats=FORMATS) as file:
            return _packed(np.asarray(file.convert("RGB")))
    except Exception as error:  # as above
        raise LoupeError(f"the labels {path.name} cannot be read: {why(error)}") from error


def _packed(colours: np.ndarray) -> np.ndarray:
    return colours.astype(np.int32) @ np.array([65536, 256, 1], np.int32)


def _numbers(values: Sequence[Any], what: str) -> list[int]:
    if not all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v < VALUES for v in values):
        raise LoupeError(f"{what} must be whole numbers from 0 to {VALUES - 1}")
    return list(values)
