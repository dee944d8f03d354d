"""An audit on disk: every column as it was measured, and what it was measured of. Tables and figures follow from them.

columns.npz      pixels/row, …; by a model's place in the manifest 0/predicted, …, 0/stride4/auc, …, 0/stride4/deletion/margins
manifest.json    models with the hashes of their checkpoints, data, seed, images, versions; written last, with the columns' digest
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from engine.atlas.records import Skipped
from engine.atlas.shards import file_digest, write_together
from engine.audit.records import (
    OF_MODELS,
    OF_PIXELS,
    OF_STAGES,
    AuditedImage,
    DeletionRows,
    ModelAudit,
    StageInfo,
)
from engine.audit.results import Audit
from engine.errors import LoupeError
from engine.writing import why

FORMAT = "loupe-audit-1"
COLUMNS_FILE, MANIFEST = "columns.npz", "manifest.json"
_DELETION = tuple(field.name for field in fields(DeletionRows))


def write_audit(audit: Audit, folder: Path | str) -> Path:
    """Writes both files into a folder, which is made, and returns it; an audit that is there is replaced.

    Raises:
        LoupeError: the folder cannot be written.
    """
    folder = Path(folder)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **_arrays(audit))
    try:
        columns = buffer.getvalue()
        about = {"format": FORMAT, **_about(audit), "files": {COLUMNS_FILE: file_digest(columns)}}
        manifest = json.dumps(about, indent=1, ensure_ascii=False).encode()
        # Together: new columns under an old manifest would be no audit at all.
        write_together({folder / COLUMNS_FILE: columns, folder / MANIFEST: manifest})
    except OSError as error:
        raise LoupeError(f"the audit cannot be written to {folder}: {why(error)}") from error
    return folder


def read_audit(folder: Path | str) -> Audit:
    """The inverse of `write_audit`, bit for bit.

    Raises:
        LoupeError: no audit there, one of another version, or damaged files.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise LoupeError(f"there is no audit in {folder}")
    try:
        about = json.loads(path.read_bytes())
        if (found := about["format"]) != FORMAT:
            raise LoupeError(f"the audit in {folder} is of another version ({found}, wanted {FORMAT})")
        data = (folder / COLUMNS_FILE).read_bytes()
        if file_digest(data) != about["files"][COLUMNS_FILE]:
            raise LoupeError(f"{COLUMNS_FILE} of the audit in {folder} is damaged: audit again")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return _audit(about, arrays)
    except LoupeError:
        raise
    except FileNotFoundError as error:
        raise LoupeError(f"the audit in {folder} lacks {COLUMNS_FILE}: audit again") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, BadZipFile) as error:
        raise LoupeError(f"{path.name} of the audit in {folder} is damaged: audit again") from error


def _arrays(audit: Audit) -> dict[str, np.ndarray]:
    found = {f"pixels/{name}": audit.pixels[name] for name in OF_PIXELS}
    for at, entry in enumerate(audit.entries):
        found |= {f"{at}/{name}": getattr(entry, name) for name in OF_MODELS}
        for stage, columns in entry.scores.items():
            found |= {f"{at}/{stage}/{name}": columns[name] for name in OF_STAGES}
        for stage, rows in entry.deletion.items():
            found |= {f"{at}/{stage}/deletion/{name}": getattr(rows, name) for name in _DELETION}
    return found


def _about(audit: Audit) -> dict[str, Any]:
    plain = ("data", "seed", "classes", "asked", "refused", "versions")
    return {name: getattr(audit, name) for name in plain} | {
        "images": [asdict(image) for image in audit.images],
        "skipped": [asdict(image) for image in audit.skipped],
        "models": [
            {
                **{name: getattr(entry, name) for name in ("model", "checkpoint", "method", "sources")},
                "stages": {name: asdict(info) for name, info in entry.stages.items()},
                "deletion": list(entry.deletion),
                "undeletable": entry.undeletable,
            }
            for entry in audit.entries
        ],
    }


def _audit(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> Audit:
    pixels = {name: arrays[f"pixels/{name}"] for name in OF_PIXELS}
    entries = tuple(_entry(at, each, arrays) for at, each in enumerate(about["models"]))
    return Audit(
        data=about["data"],
        seed=about["seed"],
        classes=tuple(about["classes"]),
        asked=about["asked"],
        images=tuple(AuditedImage(**{**each, "size": tuple(each["size"])}) for each in about["images"]),
        pixels=pixels,
        entries=entries,
        refused=about["refused"],
        skipped=tuple(Skipped(**each) for each in about["skipped"]),
        versions=about["versions"],
    )


def _entry(at: int, about: dict[str, Any], arrays: dict[str, np.ndarray]) -> ModelAudit:
    stages = {
        name: StageInfo(**{**info, "grid": tuple(info["grid"]), "source_grid": tuple(info["source_grid"])})
        for name, info in about["stages"].items()
    }
    return ModelAudit(
        model=about["model"],
        checkpoint=about["checkpoint"],
        method=about["method"],
        sources=about["sources"],
        predicted=arrays[f"{at}/predicted"],
        right=arrays[f"{at}/right"],
        confidence=arrays[f"{at}/confidence"],
        stages=stages,
        scores={name: {c: arrays[f"{at}/{name}/{c}"] for c in OF_STAGES} for name in stages},
        deletion={
            name: DeletionRows(**{c: arrays[f"{at}/{name}/deletion/{c}"] for c in _DELETION})
            for name in about["deletion"]
        },
        undeletable=about["undeletable"],
    )
