"""A walked chunk as bytes, for the way from one machine to another: what `unpack` gives is what `pack` was given, bit for bit.

Arrays travel as safetensors and names as JSON, so nothing is executed on reading.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from safetensors.numpy import load

from engine.atlas.chunks import Chunk
from engine.atlas.collect import Row
from engine.atlas.partial import Partial, under
from engine.atlas.records import Skipped
from engine.atlas.shards import packed

ABOUT = "about"
BY_NAME = ("norm", "cosine", "vectors")  # fields of a row that are dictionaries of arrays
PLAIN = ("true", "predicted", "confusion", "presence")


def pack(chunk: Chunk) -> bytes:
    """A chunk as one safetensors buffer: `partial/…`, and `rows/…` with the images on the first axis."""
    columns = _columns(chunk.rows)
    about = {
        "number": chunk.number,
        "columns": list(columns),  # safetensors sorts them, and their order is that of the stages in a table
        "rows": [{"index": row.index, "id": row.id, "size": row.size} for row in chunk.rows],
        "skipped": [vars(one) for one in chunk.skipped],
    }
    arrays = {ABOUT: np.frombuffer(json.dumps(about).encode(), np.uint8)}
    if chunk.partial is not None:
        arrays |= {f"partial/{name}": array for name, array in chunk.partial.arrays().items()}
    return packed(arrays | {f"rows/{name}": array for name, array in columns.items()})


def unpack(data: bytes) -> Chunk:
    """The inverse of `pack`."""
    arrays = load(data)
    about = json.loads(arrays.pop(ABOUT).tobytes())
    partial = under(arrays, "partial/")
    columns = {name: arrays[f"rows/{name}"] for name in about["columns"]}
    return Chunk(
        about["number"],
        Partial.from_arrays(partial) if partial else None,
        _rows(about["rows"], columns),
        [Skipped(**one) for one in about["skipped"]],
    )


def _columns(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    if not rows:
        return {}
    first = rows[0]
    columns = {
        name: np.stack([getattr(row, name) for row in rows])
        for name in PLAIN
        if getattr(first, name) is not None
    }
    for kind in BY_NAME:
        for name in getattr(first, kind):
            columns[f"{kind}/{name}"] = np.stack([getattr(row, kind)[name] for row in rows])
    return columns


def _rows(about: Sequence[dict[str, Any]], columns: dict[str, np.ndarray]) -> list[Row]:
    named = {kind: under(columns, f"{kind}/") for kind in BY_NAME}
    return [
        Row(
            index=one["index"],
            id=one["id"],
            size=(one["size"][0], one["size"][1]),
            true=columns["true"][j],
            predicted=columns["predicted"][j],
            confusion=columns["confusion"][j],
            presence=columns["presence"][j] if "presence" in columns else None,
            norm={name: array[j] for name, array in named["norm"].items()},
            cosine={name: array[j] for name, array in named["cosine"].items()},
            vectors={name: array[j] for name, array in named["vectors"].items()},
        )
        for j, one in enumerate(about)
    ]
