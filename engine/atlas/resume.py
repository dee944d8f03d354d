"""What an earlier walk left: a finished atlas, or the accumulation over the chunks that were walked.

A walk may go on only where it would have given the same: same model, dataset, categories, seed, reservoir, version.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load

from engine.atlas.folder import MANIFEST, RESULTS, STATE, DamagedManifest, metadata_of, read_manifest
from engine.atlas.partial import Partial
from engine.atlas.records import Manifest, Skipped
from engine.atlas.shards import digest_of, packed, read_bytes, write_bytes
from engine.errors import LoupeError


@dataclass
class Walked:
    """How far a walk is. chunks: in the accumulation; digests: of the shards that were written."""

    total: Partial | None = None
    chunks: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)


def finished(folder: Path, wanted: Manifest, with_effects: bool) -> Manifest | None:
    """The manifest of a whole atlas of just these images; None where there is something to do.

    Raises:
        LoupeError: the folder holds an atlas of another model, dataset or version.
    """
    if not (folder / MANIFEST).is_file():
        return None
    try:
        manifest, digests = read_manifest(folder)
    except DamagedManifest:
        return None
    _check(folder, _identity(manifest), _identity(wanted))
    if manifest.dataset_size != wanted.dataset_size:
        return None
    try:
        for name in digests:
            read_bytes(folder, name, digests)
        results = json.loads(read_bytes(folder, RESULTS, digests))
    except LoupeError:
        return None
    # Effects that were not asked for then are added now.
    return None if with_effects and not results["effects"] else manifest


def restored(folder: Path, wanted: Manifest, most: int) -> Walked:
    """The accumulation of an earlier walk over at most `most` chunks, or nothing where it is missing, damaged or longer.

    Raises:
        LoupeError: it is another model's, another dataset's, or was made with other settings.
    """
    path = folder / STATE
    about = metadata_of(path) if path.is_file() else None
    if about is None:
        return Walked()
    try:
        arrays = load(path.read_bytes())
    except (OSError, SafetensorError, KeyError, ValueError):
        return Walked()
    if about.pop("digest", None) != digest_of(arrays, json.dumps(about)):
        return Walked()
    _check(folder, about["identity"], _identity(wanted))
    if about["chunks"] > most:
        return Walked()
    skipped = [Skipped(**one) for one in about["skipped"]]
    return Walked(Partial.from_arrays(arrays), about["chunks"], skipped, dict(about["files"]))


def keep(folder: Path, wanted: Manifest, walked: Walked) -> None:
    """Writes the accumulation, at once or not at all."""
    if walked.total is None:
        return
    about = {
        "identity": _identity(wanted),
        "chunks": walked.chunks,
        "skipped": [vars(one) for one in walked.skipped],
        "files": walked.digests,
    }
    arrays = walked.total.arrays()
    about["digest"] = digest_of(arrays, json.dumps(about))
    write_bytes(folder / STATE, packed(arrays, {"loupe": json.dumps(about)}))


def _identity(manifest: Manifest) -> dict[str, Any]:
    """What two walks must share for one to go on where the other ended."""
    names = ("format", "model", "checkpoint", "data", "seed", "rows")
    found = {name: getattr(manifest, name) for name in names}
    return found | {"classes": list(manifest.classes), "scenes": manifest.versions.get("scenes")}


def _check(folder: Path, theirs: dict[str, Any], mine: dict[str, Any]) -> None:
    if theirs != mine:
        differs = ", ".join(key for key in mine if theirs.get(key) != mine[key])
        raise LoupeError(
            f"{folder} holds an atlas of {theirs.get('model')} over {theirs.get('data')} that differs in: {differs}; "
            "choose another folder, or build it anew"
        )
