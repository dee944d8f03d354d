"""Edits ⇄ a line of text that fits into a link, and what people paint or hand over for them.

    edits    ablate,tree;memory-share,0.5,stride4;replace,tree,category,grass    kind and fields in their order, defaults at the
             end left out, empty: the default; edits parted by semicolons, in their order
    pixels   12.40_13.41         row.col of the upright original
    region   48x64-1a.5.59       rows, columns, lengths of runs of unmarked and marked cells in turn, base 36 (see region.js)
    vector   zlib of fp32, little-endian, in base64url: a link holds the numbers themselves and means the same in any process

Neither streamlit nor torch is needed here.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from engine.edits import VERSION, Edit, Region, from_json, to_json
from engine.edits.files import LONGEST, MOST
from engine.edits.values import KINDS, kind_of
from engine.errors import LoupeError

LARGEST = 1 << 16  # bytes of a vector
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def write(edits: Sequence[Edit]) -> str:
    """The edits as a link spells them; "" for none."""
    return ";".join(_written(edit) for edit in edits)


def read(text: str) -> tuple[tuple[Edit, ...], list[str]]:
    """The edits of a link, and a sentence for each entry that says nothing sensible."""
    found, problems = [], []
    entries = [entry for entry in text.split(";") if entry]
    for place, entry in enumerate(entries[:MOST], start=1):
        try:
            found.append(_read(entry))
        except LoupeError as error:
            problems.append(f"Edit {place} of the link was left out: {_plain(error)}.")
    if len(entries) > MOST:
        problems.append(f"{len(entries) - MOST} of the link's edits were left out: a list holds {MOST}.")
    return tuple(found), problems


def from_bytes(data: bytes, name: str) -> tuple[Edit, ...]:
    """The edits of an uploaded JSON file.

    Raises:
        LoupeError: too large, no JSON, or as `engine.edits.from_json`; the name stands before.
    """
    if len(data) > LONGEST:
        raise LoupeError(f"{name}: larger than the {LONGEST >> 20} MB that a list of edits may have")
    try:
        return from_json(json.loads(data))
    except LoupeError as error:
        raise LoupeError(f"{name}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise LoupeError(f"{name}: no JSON") from error


def to_bytes(edits: Sequence[Edit]) -> bytes:
    """The edits as the JSON file that `from_bytes` and `python -m engine surgery --edits` read."""
    return (json.dumps(to_json(edits), indent=1) + "\n").encode()


# ---------------------------------------------------------------------------------------------- one edit


def _written(edit: Edit) -> str:
    entry = to_json([edit])["edits"][0]
    parts = [kind_of(edit), *(_text(f, entry.get(f.name)) for f in fields(edit))]
    while not parts[-1]:
        parts.pop()
    return ",".join(parts)


def _read(entry: str) -> Edit:
    kind, *texts = entry.split(",")
    if kind not in KINDS:
        raise LoupeError(f"there is no kind “{kind[:40]}”")
    known = fields(KINDS[kind])
    if len(texts) > len(known):
        raise LoupeError(f"{kind} has {len(known)} fields and not {len(texts)}")
    values: dict[str, Any] = {"kind": kind}
    for f, text in zip(known, [*texts, *[""] * (len(known) - len(texts))], strict=True):
        if text:
            values[f.name] = _value(f, text)
        elif f.default is MISSING and "None" in str(f.type):
            values[f.name] = None
    return from_json({"loupe_edits": VERSION, "edits": [values]})[0]


def _plain(error: LoupeError) -> str:
    """The engine's sentence without the place that it gives to a list of one."""
    return str(error).removeprefix("edit 1: ").rstrip(".")


def _text(f: Field[Any], value: Any) -> str:
    if value is None or value is False:
        return ""
    if f.name == "pixels":
        return "_".join(f"{row}.{col}" for row, col in value)
    if f.name == "vector":
        packed = zlib.compress(np.asarray(value, dtype="<f4").tobytes(), 9)
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")
    if f.name == "region":
        return write_region(Region(**value))
    if isinstance(value, bool):
        return "1"
    return quote(value, safe=" ") if isinstance(value, str) else repr(value)


def _value(f: Field[Any], text: str) -> Any:
    """The JSON value of a field's text; what is wrong with the value itself is left to `from_json` to say."""
    kind = str(f.type)
    try:
        if f.name == "pixels":
            return [[int(one) for one in pixel.split(".")] for pixel in text.split("_")]
        if f.name == "vector":
            return _vector(text)
        if f.name == "region":
            region = read_region(text)
            return {"rows": region.rows, "cols": region.cols, "bits": region.bits}
        if kind.startswith("float"):
            return float(text)
        if kind.startswith("int"):
            return int(text)
    except (ValueError, binascii.Error, zlib.error):
        raise LoupeError(f"{f.name} cannot be “{text[:40]}”") from None
    return text == "1" if kind == "bool" else unquote(text)


def _vector(text: str) -> list[float]:
    unpack = zlib.decompressobj()
    data = unpack.decompress(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), LARGEST)
    if unpack.unconsumed_tail or not unpack.eof or len(data) % 4:
        raise ValueError(text)
    return np.frombuffer(data, dtype="<f4").astype(float).tolist()


# ---------------------------------------------------------------------------------------------- painted regions


def write_region(region: Region) -> str:
    """rows x columns and the lengths of its runs."""
    runs, value, length = [], "0", 0
    for bit in region.bits:
        if bit == value:
            length += 1
        else:
            runs.append(length)
            value, length = bit, 1
    runs.append(length)
    return f"{region.rows}x{region.cols}-{'.'.join(map(_base36, runs))}"


def read_region(text: str) -> Region:
    """The inverse. Raises ValueError for what is no region."""
    size, dash, runs = text.partition("-")
    rows, cross, cols = size.partition("x")
    if not (
        dash and cross and rows.isdecimal() and cols.isdecimal() and 0 < int(rows) * int(cols) <= 1 << 20
    ):
        raise ValueError("it is no painted region")
    lengths = [int(run, 36) for run in runs.split(".")]
    if min(lengths) < 0 or sum(lengths) != int(rows) * int(cols):
        raise ValueError("it is no painted region")
    bits = "".join("01"[place % 2] * length for place, length in enumerate(lengths))
    return Region(int(rows), int(cols), bits)


def _base36(number: int) -> str:
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
        if not number:
            return text


# ---------------------------------------------------------------------------------------------- vectors from files


def vector_of(data: bytes, name: str) -> tuple[float, ...]:
    """The numbers of a .npy, .json or .csv file, in single precision, as links and runs hold them.

    Raises:
        LoupeError: another kind of file, or no list of finite numbers.
    """
    kind = name.rpartition(".")[2].lower()
    if kind not in ("npy", "json", "csv"):
        raise LoupeError(f"{name}: a vector is read from .npy, .json or .csv")
    if len(data) > LONGEST:
        raise LoupeError(f"{name}: larger than the {LONGEST >> 20} MB that a vector may have")
    try:
        if kind == "npy":
            values = np.load(io.BytesIO(data), allow_pickle=False)
        elif kind == "json":
            values = np.asarray(json.loads(data), dtype=np.float64)
        else:
            values = np.asarray(data.decode("utf-8").replace(",", " ").split(), dtype=np.float64)
        if values.dtype.kind not in "biuf":
            raise TypeError("numbers have another type")
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # what single precision cannot hold is refused below
            flat = np.asarray(values, dtype=np.float32).ravel()
    except (
        Exception
    ) as error:  # a damaged header makes numpy's reader raise nearly anything, or ask for terabytes
        raise LoupeError(f"{name}: it holds no list of numbers") from error
    if not flat.size or not np.isfinite(flat).all():
        raise LoupeError(
            f"{name}: it holds {'no numbers' if not flat.size else 'values that are not finite in single precision'}"
        )
    if 4 * flat.size > LARGEST:
        raise LoupeError(f"{name}: {flat.size} numbers are more than a vector may have")
    return tuple(flat.astype(float).tolist())
