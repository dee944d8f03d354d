"""Edits ⇄ JSON: {"loupe_edits": 1, "edits": [{"kind": "ablate", "category": "tree", "meaning": "masked"}, …]}

Only what differs from a field's default is written. A file of another version, an unknown kind or field, or a value of the wrong
type is refused in one sentence that names the entry.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from engine.edits.values import KINDS, Edit, Region, kind_of
from engine.errors import LoupeError

VERSION = 1
MOST = 64  # edits in a list
LONGEST = 1 << 20  # bytes of a file
WORD = 200  # characters of a name


def to_json(edits: Sequence[Edit]) -> dict[str, Any]:
    """Plain values."""
    return {"loupe_edits": VERSION, "edits": [_entry(edit) for edit in edits]}


def from_json(data: Any) -> tuple[Edit, ...]:
    """The inverse.

    Raises:
        LoupeError: not such an object, another version, or an entry that says nothing sensible.
    """
    if not isinstance(data, dict) or "loupe_edits" not in data:
        raise LoupeError('this is no list of edits: it lacks "loupe_edits"')
    if data["loupe_edits"] != VERSION or isinstance(data["loupe_edits"], bool):
        raise LoupeError(
            f"these edits are of version {data['loupe_edits']!r}; this Loupe reads version {VERSION}"
        )
    entries = data.get("edits")
    if not isinstance(entries, list):
        raise LoupeError('this list of edits lacks "edits"')
    if len(entries) > MOST:
        raise LoupeError(f"{len(entries)} edits are more than the {MOST} that a list may hold")
    edits = []
    for place, entry in enumerate(entries, start=1):
        try:
            edits.append(_edit(entry))
        except LoupeError as error:
            raise LoupeError(f"edit {place}: {error}") from error
    return tuple(edits)


def malformed(edit: Edit) -> str | None:
    """Why an edit made in Python could not have come from a file: a value of the wrong type, or none of the words there are."""
    try:
        _edit(_entry(edit))
    except LoupeError as error:
        return str(error)
    except TypeError:  # of json
        return f"{kind_of(edit)} holds a value that is neither a number nor a word"
    return None


def read_edits(path: Path) -> tuple[Edit, ...]:
    """The edits of a JSON file.

    Raises:
        LoupeError: no such file, no JSON, or as `from_json`.
    """
    try:
        large = path.stat().st_size > LONGEST
        data = None if large else json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LoupeError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise LoupeError(f"{path}: no JSON") from error
    if large:
        raise LoupeError(f"{path}: larger than the {LONGEST >> 20} MB that a list of edits may have")
    try:
        return from_json(data)
    except LoupeError as error:
        raise LoupeError(f"{path}: {error}") from error


def edits_key(edits: Sequence[Edit]) -> str:
    """A hash of everything that they say, for caches and captions."""
    text = json.dumps(to_json(edits), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _entry(edit: Edit) -> dict[str, Any]:
    entry: dict[str, Any] = {"kind": kind_of(edit)}
    for f in fields(edit):
        value = getattr(edit, f.name)
        if f.default is MISSING or value != f.default:
            entry[f.name] = (
                {"rows": value.rows, "cols": value.cols, "bits": value.bits}
                if isinstance(value, Region)
                else value
            )
    return json.loads(json.dumps(entry))  # tuples as lists


def _edit(entry: Any) -> Edit:
    kind = entry.get("kind") if isinstance(entry, dict) else entry
    if not isinstance(entry, dict) or not isinstance(kind, str) or kind not in KINDS:
        raise LoupeError(f"no kind {str(kind)[:40]!r}; there are {', '.join(KINDS)}")
    kind = KINDS[entry["kind"]]
    known = {f.name: f for f in fields(kind)}
    hints = get_type_hints(kind)
    for name in entry:
        if name != "kind" and name not in known:
            raise LoupeError(f"{entry['kind']} has no field {str(name)[:40]!r}")
    values = {}
    for name, f in known.items():
        if name in entry:
            values[name] = _value(entry[name], hints[name], f"{name} of {entry['kind']}")
        elif f.default is MISSING:
            raise LoupeError(f"{entry['kind']} lacks {name}")
    return kind(**values)


def _value(value: Any, hint: Any, what: str) -> Any:
    """The value as the field's type has it."""
    if get_origin(hint) is Literal:
        if not isinstance(value, str) or value not in get_args(hint):
            raise LoupeError(f"{what} cannot be {str(value)[:40]!r}: choose {', '.join(get_args(hint))}")
        return value
    if hint is Region:
        return _region(value, what)
    kinds = [each for each in get_args(hint) if each is not type(None)] or [hint]
    if value is None and type(None) in get_args(hint) and get_origin(hint) is not tuple:
        return None
    wanted = hint if get_origin(hint) is tuple else kinds[0]
    if get_origin(wanted) is tuple:
        return _vector(value, what) if get_args(wanted)[0] is float else _pixels(value, what)
    if wanted is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _float(value, what)
    if type(value) is not wanted or (isinstance(value, str) and not 0 < len(value) <= WORD):
        raise LoupeError(f"{what} cannot be {str(value)[:40]!r}")
    return value


def _vector(value: Any, what: str) -> tuple[float, ...]:
    numbers = isinstance(value, list) and all(
        isinstance(x, int | float) and not isinstance(x, bool) for x in value
    )
    if not numbers or not all(map(math.isfinite, found := [_float(x, what) for x in value])):
        raise LoupeError(f"{what} must be a list of finite numbers")
    return tuple(found)


def _float(value: int | float, what: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise LoupeError(f"{what} is too large a number") from error


def _pixels(value: Any, what: str) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, list) or not all(
        isinstance(p, list) and len(p) == 2 and all(type(x) is int for x in p) for p in value
    ):
        raise LoupeError(f"{what} must be a list of [row, col] in whole numbers")
    return tuple((p[0], p[1]) for p in value)


def _region(value: Any, what: str) -> Region:
    if not isinstance(value, dict) or set(value) != {"rows", "cols", "bits"}:
        raise LoupeError(f"{what} must have rows, cols and bits")
    rows, cols, bits = value["rows"], value["cols"], value["bits"]
    right = (
        type(rows) is int
        and type(cols) is int
        and isinstance(bits, str)
        and 0 < rows <= 1024
        and 0 < cols <= 1024
    )
    if not right or len(bits) != rows * cols or set(bits) - {"0", "1"}:
        raise LoupeError(f"{what}: bits must be rows · cols of 0 and 1, at most 1024 each way")
    return Region(rows, cols, bits)
