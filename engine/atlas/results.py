"""What follows from a finished accumulation: prices, effects of the bank, and the files that pages read."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine.atlas import price
from engine.atlas.folder import MANIFEST, RESERVOIR, RESERVOIR_TABLE, RESULTS, STATISTICS, manifest_bytes
from engine.atlas.partial import Partial
from engine.atlas.records import Effect, Manifest
from engine.atlas.shards import VectorShards, file_digest, halved, packed, parquet_bytes, write_together


def write_results(
    folder: Path,
    total: Partial,
    manifest: Manifest,
    digests: dict[str, str],
    effects: Sequence[Effect],
    stop: Callable[[], bool] | None = None,
) -> None:
    """Writes everything but the shards, the manifest last. digests: of the shards; those of the other files are added.

    Raises:
        LoupeError: a shard is missing or damaged.
        Stopped: `stop` said yes.
    """
    stages = [name.removesuffix(".value") for name in manifest.sites if name.endswith(".value")]
    prices = price.prices(VectorShards(folder, digests), stages, manifest.classes, manifest.seed, stop)
    results = {"price": [vars(each) for each in prices], "effects": [vars(each) for each in effects]}
    flat = total.arrays()
    reservoir = {
        name.removeprefix("reservoir/"): a for name, a in flat.items() if name.startswith("reservoir/")
    }
    files = {
        STATISTICS: packed({name: a for name, a in flat.items() if not name.startswith("reservoir/")}),
        RESERVOIR: packed({name: halved(a) if "features/" in name else a for name, a in reservoir.items()}),
        RESERVOIR_TABLE: parquet_bytes(_table(total, manifest.classes)),
        RESULTS: json.dumps(results).encode(),
    }
    digests |= {name: file_digest(data) for name, data in files.items()}
    files[MANIFEST] = manifest_bytes(manifest, digests)
    write_together({folder / name: data for name, data in files.items()})
    for old in folder.glob("*/*-ragged*"):  # of a shorter walk
        if f"{old.parent.name}/{old.name}" not in digests:
            old.unlink(missing_ok=True)


def _table(total: Partial, classes: Sequence[str]) -> dict[str, list[Any]]:
    """The reservoir's pixels for other programs, row by row as in its safetensors file."""
    rows = total.reservoir
    return {
        "image": rows.order[:, 0].tolist(),
        "row": rows.columns["pixel"][:, 0].tolist(),
        "col": rows.columns["pixel"][:, 1].tolist(),
        "category": [classes[c] for c in rows.group],
        "predicted": [classes[c] for c in rows.columns["predicted"]],
        "confidence": rows.columns["confidence"].tolist(),
        "mode": [None if mode == 255 else int(mode) for mode in rows.columns["mode"]],
    }
