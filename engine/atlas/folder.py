"""Where atlases lie, and the files of one.

manifest.json            what it was made of; written last, so that an atlas with a manifest is whole
statistics.safetensors   the accumulation: sums, moments, patches
reservoir.safetensors    the sampled pixels and their features, fp16
reservoir.parquet        the same pixels as a table, for other programs
results.json             prices with intervals, effects of changing the memory bank
images/, vectors/        what was kept of every image (see engine.atlas.shards)
state.safetensors        the accumulation over whole chunks, from which an interrupted or a longer walk goes on
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from engine.atlas.records import Manifest
from engine.catalogue import ModelCard
from engine.data.datasets import DATA_ROOT
from engine.data.scenes import VERSION as SCENES
from engine.errors import LoupeError

FORMAT = "loupe-atlas-2"
MANIFEST, STATISTICS, RESULTS = "manifest.json", "statistics.safetensors", "results.json"
RESERVOIR, RESERVOIR_TABLE, STATE = "reservoir.safetensors", "reservoir.parquet", "state.safetensors"


class Busy(LoupeError):
    """Another process is at it; it may end."""


class DamagedManifest(LoupeError):
    """What it says is lost, what was walked is not."""


def default_folder(card: ModelCard, data: str, root: Path | str | None = None) -> Path:
    """Where the atlas of a model over a dataset is looked for: data/atlas/MODEL-HASH-DATA."""
    base = Path(root) if root is not None else DATA_ROOT / "atlas"
    return base / f"{card.id}-{card.hash[:8]}-{data}"


def read_manifest(folder: Path, checkpoint: str | None = None) -> tuple[Manifest, dict[str, str]]:
    """(the manifest, file name → digest).

    Raises:
        LoupeError: no atlas, an unfinished one, one of another version, or of another checkpoint than `checkpoint`.
    """
    path = folder / MANIFEST
    if not path.is_file():
        begun = (folder / STATE).is_file()
        raise LoupeError(
            f"the atlas in {folder} is not finished: build it again, it goes on where it stopped"
            if begun
            else f"there is no atlas in {folder}"
        )
    try:
        data = json.loads(path.read_text())
        found = data["manifest"]["format"]
        if found != FORMAT:
            raise LoupeError(
                f"the atlas in {folder} is of another version ({found}, wanted {FORMAT}): build it anew"
            )
        manifest, digests = Manifest.from_json(data["manifest"]), dict(data["files"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, LoupeError):
            raise
        raise DamagedManifest(f"{path.name} of the atlas in {folder} is damaged: build it again") from error
    if (scenes := manifest.versions.get("scenes")) != SCENES:
        raise LoupeError(
            f"the atlas in {folder} is over another version of the scenes ({scenes}, wanted {SCENES}): build it anew"
        )
    if checkpoint is not None and manifest.checkpoint != checkpoint:
        raise LoupeError(
            f"the atlas in {folder} is of another checkpoint ({manifest.model} {manifest.checkpoint[:8]}, "
            f"wanted {checkpoint[:8]}): build it anew"
        )
    return manifest, digests


def size_of(folder: Path) -> int:
    """Images that the finished atlas in a folder was walked over; 0 where there is none that can be read."""
    with contextlib.suppress(LoupeError):
        return read_manifest(folder)[0].dataset_size
    return 0


def rows_of(folder: Path) -> int | None:
    """Pixels that the atlas in a folder keeps of each category at most, also where its walk was interrupted; None where there is
    none that can be read."""
    with contextlib.suppress(LoupeError):
        return read_manifest(folder)[0].rows
    try:
        return int((metadata_of(folder / STATE) or {})["identity"]["rows"])
    except (KeyError, TypeError, ValueError):
        return None


def manifest_bytes(manifest: Manifest, digests: dict[str, str]) -> bytes:
    return json.dumps({"manifest": manifest.json(), "files": digests}, indent=1).encode()


def clear(folder: Path) -> None:
    """Removes an atlas's own files and nothing else; the manifest first, so that no moment shows half an atlas."""
    for name in (MANIFEST, STATE, STATISTICS, RESULTS, RESERVOIR, RESERVOIR_TABLE):
        (folder / name).unlink(missing_ok=True)
    for shard in (*folder.glob("images/*.parquet"), *folder.glob("vectors/*.safetensors")):
        shard.unlink(missing_ok=True)


def sweep(folder: Path) -> int:
    """Removes what a walk that was killed amid a write left behind; under the lock, where nobody else is writing. How many
    files that were."""
    halves = [*folder.glob(".*.partial"), *folder.glob("*/.*.partial")]
    for half in halves:
        half.unlink(missing_ok=True)
    return len(halves)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One walk at a time, of all processes of this machine; let go when its process ends, however it ends.

    Raises:
        LoupeError: another one is at it.
    """
    try:
        import fcntl
    except ImportError:  # a system without such locks: nothing to hold
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Busy(f"another process is building the atlas in {folder}") from error
        yield


def metadata_of(path: Path) -> dict[str, Any] | None:
    """The JSON in a safetensors file's metadata; None where it cannot be read."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="np") as file:
            found = json.loads((file.metadata() or {})["loupe"])
            return found if isinstance(found, dict) else None
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
