"""Values ⇄ text in a URL. Each parser raises ValueError with the half sentence that says what would be right."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

MAX_PINS = 9  # ring numerals ① to ⑨
MAX_MODELS = 4
MAX_NAME = 200
MAX_CHOSEN = 300  # categories that a link can name
MAX_CLUSTERS = 60
MAX_DRAWN = 12_000  # characters of what was drawn on a map or a photo


def one_of(allowed: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"it must be one of {', '.join(allowed)}")
        return text

    return parse


def one_of_numbers(allowed: tuple[int, ...]) -> Callable[[str], int]:
    one = one_of(tuple(map(str, allowed)))
    return lambda text: int(one(text))


def list_of(allowed: tuple[str, ...], most: int) -> Callable[[str], tuple[str, ...]]:
    one = one_of(allowed)

    def parse(text: str) -> tuple[str, ...]:
        parts = tuple(one(part) for part in text.split(","))
        if len(parts) > most:
            raise ValueError(f"at most {most} can be given")
        return parts

    return parse


def flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("it must be 0 or 1")
    return text == "1"


def natural(text: str) -> int:
    # int() also takes "+3", "1_000" and other scripts' digits: a link should have one spelling.
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise ValueError("it must be a whole number from 0")
    return int(text)


def unit(text: str) -> float:
    """A number from 0 to 1, to two decimals."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise ValueError("it must be a number from 0 to 1")
    return round(value, 2)


def below_one(text: str) -> float:
    """A number from 0 to 0.99, to two decimals."""
    try:
        value = unit(text)
    except ValueError:
        value = 1.0
    if value > 0.99:
        raise ValueError("it must be a number from 0 to 0.99")
    return value


def name(text: str) -> str:
    if len(text) > MAX_NAME:
        raise ValueError(f"a name has at most {MAX_NAME} characters")
    return text


def write_names(names: tuple[str, ...]) -> str:
    """Names parted by commas; a comma inside one is escaped."""
    return ",".join(one.replace("%", "%25").replace(",", "%2C") for one in names)


def names(text: str) -> tuple[str, ...]:
    """One to four different names."""
    parts = tuple(dict.fromkeys(name(unquote(part)) for part in text.split(",") if part))
    if not parts:
        raise ValueError("it must name models, parted by commas")
    if len(parts) > MAX_MODELS:
        raise ValueError(f"at most {MAX_MODELS} models are shown side by side")
    return parts


def listed(most: int) -> Callable[[str], tuple[str, ...]]:
    """Up to `most` different names parted by commas."""

    def parse(text: str) -> tuple[str, ...]:
        parts = tuple(dict.fromkeys(name(unquote(part)) for part in text.split(",") if part))
        if len(parts) > most:
            raise ValueError(f"at most {most} can be given")
        return parts

    return parse


def write_chosen(names: tuple[str, ...]) -> str:
    """Names, * for all of them."""
    return write_names(names) or "*"


def chosen(text: str) -> tuple[str, ...]:
    """Some names; none of them stands for all."""
    return () if text == "*" else listed(MAX_CHOSEN)(text)


def between(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = natural(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise ValueError(f"it must be a whole number from {low} to {high}")
        return value

    return parse


def none_or_between(low: int, high: int) -> Callable[[str], int]:
    """0 stands for none."""
    one = between(low, high)

    def parse(text: str) -> int:
        if text == "0":
            return 0
        try:
            return one(text)
        except ValueError as error:
            raise ValueError(f"{error}, or 0 for none") from None

    return parse


def pair(text: str) -> tuple[int, int]:
    """Two different places, counted from 1 in the text."""
    first, comma, second = text.partition(",")
    if not comma:
        raise ValueError("it must be two numbers parted by a comma")
    found = natural(first) - 1, natural(second) - 1
    if min(found) < 0 or max(found) >= MAX_MODELS or found[0] == found[1]:
        raise ValueError(f"it must be two different numbers from 1 to {MAX_MODELS}")
    return found


def pins(text: str) -> tuple[tuple[int, int], ...]:
    if not text:
        return ()
    found = []
    for part in text.split(";"):
        numbers = part.split(",")
        if len(numbers) != 2:
            raise ValueError("pixels must be written row,col and parted by ;")
        found.append((natural(numbers[0]), natural(numbers[1])))
    if len(found) > MAX_PINS:
        raise ValueError(f"at most {MAX_PINS} pixels can be pinned")
    return tuple(found)


def drawn(text: str) -> str:
    """What was drawn, as app.scatter writes and reads it."""
    if len(text) > MAX_DRAWN:
        raise ValueError(f"it has at most {MAX_DRAWN} characters")
    return text


def write_labels(labels: tuple[str, ...]) -> str:
    return write_names(labels)


def labels(text: str) -> tuple[str, ...]:
    """Names that may be empty or alike, parted by commas."""
    parts = tuple(name(unquote(part)) for part in text.split(",")) if text else ()
    if len(parts) > MAX_CLUSTERS:
        raise ValueError(f"at most {MAX_CLUSTERS} names can be given")
    return parts
