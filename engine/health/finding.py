"""A verdict, and the words that verdicts share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

Level = Literal["ok", "warn", "unknown"]
NO_MEMORY = "This model has no memory bank"
NO_ATLAS = "There is no atlas of this model yet"
SHOWN = 4  # names in a sentence


@dataclass(frozen=True)
class Finding:
    """One verdict. value: None where it is not known, in `unit`. threshold: the limit, in the same unit. categories: those it is
    about, worst first where there is an order."""

    key: str
    title: str
    value: float | None
    unit: str
    level: Level
    sentence: str
    threshold: float | None = None
    categories: tuple[str, ...] = ()

    def json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Measure:
    """What a finding is called and judged by, whether its value is known or not."""

    key: str
    title: str
    unit: str
    threshold: float | None = None

    def unknown(self, sentence: str) -> Finding:
        return Finding(self.key, self.title, None, self.unit, "unknown", sentence, self.threshold)

    def found(self, value: float, bad: bool, sentence: str, categories: Iterable[str] = ()) -> Finding:
        level: Level = "warn" if bad else "ok"
        names = tuple(categories)
        return Finding(self.key, self.title, float(value), self.unit, level, sentence, self.threshold, names)


def number(value: float) -> str:
    """At most three significant digits, a true minus; a dash where there is none."""
    if not np.isfinite(value):
        return "–"
    return np.format_float_positional(float(f"{value:.3g}") + 0.0, trim="-").replace("-", "−")


def signed(value: float) -> str:
    return f"+{number(value)}" if value > 0 else number(value)


def percent(share: float) -> str:
    return f"{number(100 * share)}\u2009%"


def listed(names: Iterable[str]) -> str:
    """ "a", "a and b", "a, b and c", "a, b, c, d and 3 more"."""
    every = list(names)
    if len(every) > SHOWN + 1:
        every = [*every[:SHOWN], f"{len(every) - SHOWN} more"]
    return " and ".join(filter(None, [", ".join(every[:-1]), *every[-1:]]))


def plural(count: int, one: str, many: str) -> str:
    return one if count == 1 else many
