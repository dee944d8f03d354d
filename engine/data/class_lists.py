"""Lists of category names: those of assets/classes by name, or a text file with one a line."""

from __future__ import annotations

import colorsys
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.errors import LoupeError

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "classes"


def class_list(name: str | Path) -> tuple[str, ...]:
    """The names in label order.

    Raises:
        LoupeError: neither a list of assets/classes nor a readable text file; names that are empty or given twice.
    """
    shipped = {path.stem: path for path in sorted(FOLDER.glob("*.json"))}
    if str(name) in shipped:
        content = json.loads(shipped[str(name)].read_text(encoding="utf-8"))
        return tuple(each["name"] for each in content["classes"])
    path = Path(name)
    if not path.is_file():
        raise LoupeError(
            f'there is no list of classes "{name}": known are {", ".join(shipped)}, or a text file with one name a line'
        )
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except UnicodeDecodeError as error:
        raise LoupeError(f"{path.name} is no text file: one class name a line is needed") from error
    twice = sorted({each for each in names if names.count(each) > 1})
    if len(names) < 2 or twice:
        raise LoupeError(
            f"{path.name} names {', '.join(twice)} twice" if twice else f"{path.name} names no classes"
        )
    return names


def colours_of(names: Sequence[str]) -> np.ndarray:
    """(k, 3) uint8: those of the shipped list with these names, else golden-ratio steps around the hue circle  [choice]."""
    for path in sorted(FOLDER.glob("*.json")):
        classes = json.loads(path.read_text(encoding="utf-8"))["classes"]
        if tuple(each["name"] for each in classes) == tuple(names):
            return np.array([each["colour"] for each in classes], np.uint8)
    steps = [colorsys.hls_to_rgb((i * 0.61803) % 1, (0.35, 0.5, 0.65)[i % 3], 0.6) for i in range(len(names))]
    return (255 * np.array(steps)).round().astype(np.uint8)
