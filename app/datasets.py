"""Which datasets there are for a model: splits with its very categories, of the demo world or of a folder that lies here.

Neither streamlit nor torch is imported here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from engine.catalogue import ModelCard
from engine.data.categories import CLASS_NAMES
from engine.data.datasets import SPLITS, data_root, open_dataset
from engine.data.descriptions import describe, found
from engine.data.folders import home_of
from engine.errors import LoupeError

T = TypeVar("T")
DEMO = "scenes-val"
LOOKED = 15.0  # seconds for which folders that are there stay so
OPENED = 300.0  # seconds for which a folder's list of files is taken for true: COCO's takes seconds to make
TRAINING = "train"  # splits that begin so come last: models have seen them
KEPT = 8


class Lately:
    """Values that were made not long ago; safe for many threads. The oldest go."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._values: dict[Hashable, tuple[float, Any]] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of that key, made now where there is none so young. Raises as `make` does."""
        with self._lock:
            held = self._values.get(key)
            if held is not None and time.monotonic() - held[0] < self._seconds:
                return held[1]
        value = make()  # without the lock: it may take long, and made twice is better than waited for
        with self._lock:
            self._values.pop(key, None)
            self._values[key] = (time.monotonic(), value)
            while len(self._values) > KEPT:
                del self._values[next(iter(self._values))]
        return value

    def forget(self) -> None:
        with self._lock:
            self._values.clear()


_here, _open = Lately(LOOKED), Lately(OPENED)


def here() -> dict[str, tuple[str, ...]]:
    """Name of every split that can be opened → its categories: the demo world's first, of each folder training last."""
    return _here.get(str(data_root()), _look)


def fitting(classes: Sequence[str]) -> tuple[str, ...]:
    """Splits of exactly these categories."""
    return tuple(name for name, known in here().items() if known == tuple(classes))


def of(card: ModelCard) -> str | None:
    """The split that a model is looked at over unless somebody chooses; None where there is none."""
    return next((name for name in fitting(card.classes) if size(name)), None)


def missing(card: ModelCard) -> str:
    """Why there is none, and what to do; no full stop."""
    return (
        f"no dataset here has the {len(card.classes)} categories of {card.id}: "
        "the Library page says where datasets are looked for"
    )


def opened(name: str) -> Any:
    """The dataset of that name; one in a folder is listed anew every few minutes. Raises as `open_dataset` does."""
    return (
        open_dataset(name)
        if name in SPLITS
        else _open.get((str(data_root()), name), lambda: open_dataset(name))
    )


def size(name: str) -> int:
    """How many images it has; none where it cannot be opened."""
    try:
        return SPLITS[name].count if name in SPLITS else len(opened(name))
    except LoupeError:
        return 0


def look_again() -> None:
    """Folders may have changed."""
    _here.forget()
    _open.forget()


def _look() -> dict[str, tuple[str, ...]]:
    known = dict.fromkeys(sorted(SPLITS, key=lambda name: name != DEMO), CLASS_NAMES)
    for name in found():
        try:
            about = describe(name)
            home_of(about)
        except LoupeError:
            continue  # the Library page says what is wrong with it
        splits = sorted(about.splits, key=lambda split: split.startswith(TRAINING))
        known |= {f"{name}-{split}": about.classes for split in splits}
    return known
