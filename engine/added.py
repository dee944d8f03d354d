"""Models of one's own in the catalogue's folder: added from a file's bytes, renamed, removed. Shipped ones stay as they are.

A file is checked before it is there: ours is loaded, theirs (mmsegmentation's) is imported. Nothing in it is run.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine import checkpoints
from engine.catalogue import MOMENTS, ModelCard
from engine.errors import LoupeError
from engine.mmseg import import_checkpoint

SUFFIXES = (".safetensors", ".pth", ".pt")
MOST = 100  # models in the folder
SPARE = 1 << 30  # bytes that stay free on its disk
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True)
class Added:
    """The new file; notes: sentences on what was taken for granted. imported: it was mmsegmentation's."""

    path: Path
    notes: tuple[str, ...]
    imported: bool


def add(
    content: bytes,
    file_name: str,
    folder: Path,
    name: str = "",
    memory_share: float | None = None,
    output_stride: int = 32,
    classes: Sequence[str] | None = None,
) -> Added:
    """Puts a model into the folder.

    Args:
        file_name: says what kind of file it is, and the model's name unless `name` does.
        memory_share, output_stride, classes: of a file of mmsegmentation's, as in `engine.mmseg.import_checkpoint`.

    Raises:
        LoupeError: no model, a name that cannot be or is taken, a folder that cannot be written; nothing is left behind.
    """
    given = Path(file_name.replace("\\", "/")).name
    suffix = Path(given).suffix.lower()
    if suffix not in SUFFIXES:
        raise LoupeError(f"{given[:60]} is no model: its name must end in {', '.join(SUFFIXES)}")
    target = _target(
        folder, name or re.sub(r"[^A-Za-z0-9._-]+", "-", Path(given).stem).strip("-.") or "model"
    )
    _room(folder, len(content))
    with _aside(folder, suffix) as upload:
        upload.write_bytes(content)
        if suffix == ".safetensors" and checkpoints.is_ours(upload):
            checkpoints.load(upload)  # whatever does not fit is said now
            _place(upload, target)
            return Added(target, (), False)
        with _aside(folder, ".safetensors") as made:
            found = import_checkpoint(upload, made, memory_share, output_stride, classes, named=given)
            _place(made, target)
            return Added(target, found.notes, True)


def rename(card: ModelCard, name: str, folder: Path) -> Path:
    """Gives a model of the folder another name; its memory's moments go with it.

    Raises:
        LoupeError: a model of another folder, a name that cannot be or is taken.
    """
    _own(card, folder)
    target = _target(folder, name)
    try:
        os.rename(card.path, target)
        if _moments(card.path).is_file():
            os.rename(_moments(card.path), _moments(target))
    except OSError as error:
        raise LoupeError(f"{card.path.name} cannot be renamed: {error.strerror}") from error
    return target


def remove(card: ModelCard, folder: Path) -> None:
    """Removes a model's file, and its memory's moments.

    Raises:
        LoupeError: a model of another folder, or a file that cannot be removed.
    """
    _own(card, folder)
    try:
        card.path.unlink()
        _moments(card.path).unlink(missing_ok=True)
    except OSError as error:
        raise LoupeError(f"{card.path.name} cannot be removed: {error.strerror}") from error


def is_own(card: ModelCard, folder: Path) -> bool:
    """Whether it lies in the folder that models are added to, and does not ship."""
    from engine.catalogue import ASSETS

    return card.path.parent.resolve() == folder.resolve() != (ASSETS / "models").resolve()


def _own(card: ModelCard, folder: Path) -> None:
    if not is_own(card, folder):
        raise LoupeError(f"{card.id} ships with the program, or lies in another folder: it stays as it is")


def _moments(path: Path) -> Path:
    return path.with_name(path.stem + MOMENTS)


def _target(folder: Path, name: str) -> Path:
    if not NAME.fullmatch(name) or name.endswith(MOMENTS.removesuffix(".safetensors")) or name == "backbone":
        raise LoupeError(
            f"“{name[:40]}” cannot be a model's name: letters, digits, points, hyphens and underscores, at most 80"
        )
    target = folder / f"{name}.safetensors"
    if target.exists():
        raise LoupeError(f"there is a model {name} already: choose another name")
    return target


def _room(folder: Path, size: int) -> None:
    """Raises LoupeError where the folder is full. Twice the size: a file is there beside what is made of it."""
    if not folder.is_dir():
        return
    if sum(1 for _ in folder.glob("*.safetensors")) >= MOST:
        raise LoupeError(f"{folder} holds {MOST} models already: remove one first")
    if shutil.disk_usage(folder).free < 2 * size + SPARE:
        raise LoupeError(f"the disk of {folder} is nearly full: no model was added")


@contextmanager
def _aside(folder: Path, suffix: str) -> Iterator[Path]:
    """A file that the catalogue passes over, gone in the end."""
    path = folder / f".{secrets.token_hex(8)}{suffix}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield path
    except OSError as error:
        raise LoupeError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def _place(source: Path, target: Path) -> None:
    """Never over another file that came meanwhile."""
    try:
        os.link(source, target)
    except FileExistsError as error:
        raise LoupeError(f"there is a model {target.stem} already: choose another name") from error
    except OSError:  # a file system without links
        os.replace(source, target)
