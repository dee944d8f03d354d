"""The command line's way to say edits: flags → the entries of a list of edits, in the order in which a stage computes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import LoupeError

if TYPE_CHECKING:
    from engine.edits import Edit

ALL = "all"  # instead of a category: every memory row
MEMORY = "memory"  # instead of another category: a prototype's own memory row


@dataclass(frozen=True)
class Flags:
    """As they were given. stage: of all that the flags say; a file's edits name their own."""

    ablate: Sequence[str] = ()
    meaning: str = "masked"
    stage: str | None = None
    oracle: bool = False
    absent: str = "kept"
    replace: Sequence[str] = ()
    swap: Sequence[str] = ()
    move: Sequence[str] = ()
    memory_share: float | None = None
    zero_memory: Sequence[str] = ()
    temperature: float | None = None
    share_head: int | None = None
    silence_head: Sequence[int] = ()
    update: str | None = None
    token: Sequence[str] = ()


def edits_of(flags: Flags, file: Path | None = None) -> tuple[Edit, ...]:
    """The file's edits, then the flags'.

    Raises:
        LoupeError: a flag or a file that says nothing sensible.
    """
    from engine.edits import VERSION, from_json, read_edits

    first = () if file is None else read_edits(file)
    entries = [entry if flags.stage is None else entry | {"stage": flags.stage} for entry in _entries(flags)]
    entries += [_token(text) for text in flags.token]
    return first + from_json({"loupe_edits": VERSION, "edits": entries})


def write_edits(edits: Sequence[Edit], path: Path) -> None:
    """As a file that --edits and the app read."""
    from engine.edits import to_json
    from engine.writing import write_whole

    write_whole(path, (json.dumps(to_json(edits), indent=2) + "\n").encode())


def pair_of(flag: str, text: str, between: str) -> tuple[str, str]:
    """The two sides of NAME=NAME or NAME,NAME.

    Raises:
        LoupeError: not two names.
    """
    left, found, right = (each.strip() for each in text.partition(between))
    if not (left and found and right):
        raise LoupeError(f"{flag} {text!r}: must be two names with {between!r} between them")
    return left, right


def _entries(flags: Flags) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if flags.oracle:
        found.append({"kind": "oracle", "absent": flags.absent})
    found += [{"kind": "memory-row", "category": None if name == ALL else name} for name in flags.zero_memory]
    for text in flags.replace:
        category, other = pair_of("--replace", text, "=")
        by = {"by": MEMORY} if other == MEMORY else {"by": "category", "other": other}
        found.append({"kind": "replace", "category": category, **by})
    found += [_move(text) for text in flags.move]
    for text in flags.swap:
        category, other = pair_of("--swap", text, ",")
        found.append({"kind": "swap", "category": category, "other": other})
    if flags.memory_share is not None:
        found.append({"kind": "memory-share", "value": flags.memory_share})
    if flags.temperature is not None:
        found.append({"kind": "temperature", "value": flags.temperature})
    if flags.share_head is not None:
        found.append({"kind": "share-head", "head": flags.share_head})
    found += [{"kind": "ablate", "category": name, "meaning": flags.meaning} for name in flags.ablate]
    found += [{"kind": "silence-head", "head": head} for head in flags.silence_head]
    if flags.update is not None:
        found.append({"kind": "update", "meaning": flags.update})
    return found


def _move(text: str) -> dict[str, Any]:
    """NAME=NAME:AMOUNT or NAME=memory:AMOUNT."""
    category, rest = pair_of("--move", text, "=")
    other, amount = pair_of("--move", rest, ":")
    toward = {"toward": MEMORY} if other == MEMORY else {"toward": "category", "other": other}
    return {"kind": "move", "category": category, "amount": _number("--move", text, amount), **toward}


def _token(text: str) -> dict[str, Any]:
    """NAME=NAME or NAME=NAME:DEGREES."""
    category, rest = pair_of("--token", text, "=")
    other, found, degrees = rest.partition(":")
    entry = {"kind": "token", "category": category, "other": other.strip()}
    return entry | {"degrees": _number("--token", text, degrees)} if found else entry


def _number(flag: str, text: str, number: str) -> float:
    try:
        return float(number)
    except ValueError:
        raise LoupeError(f"{flag} {text!r}: {number.strip()!r} is no number") from None
