"""Datasets as they lie on disk, read by a description (`engine.data.descriptions`).

    dataset = open_folder("ade20k", "val", "/data")       # /data or /data/ADEChallengeData2016
    dataset[0].image, dataset[0].labels                   # (H, W, 3), (H, W) uint8; 255 ignored

Files are found when a dataset is opened and read when they are asked for. What has no partner is listed, not walked over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from engine.data.datasets import DATA_ROOT, Sample
from engine.data.descriptions import Description, SplitFiles, describe, inside
from engine.errors import LoupeError

SHOWN = 3  # names in a sentence
WILD = frozenset("*?[")


@dataclass(frozen=True)
class Pair:
    """An image and its labels; id: the image's path below the home, without its ending."""

    id: str
    image: Path
    labels: Path


@dataclass(frozen=True, eq=False)
class FolderDataset:
    """A split of a dataset in a folder. unlabelled: images without labels; orphans: labels without an image; both below home."""

    description: Description
    split: str
    home: Path
    pairs: tuple[Pair, ...]
    unlabelled: tuple[str, ...]
    orphans: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.description.name}-{self.split}"

    @property
    def classes(self) -> tuple[str, ...]:
        return self.description.classes

    @property
    def colours(self) -> np.ndarray:
        return self.description.colours

    def __len__(self) -> int:
        return len(self.pairs)

    def id_of(self, index: int) -> str:
        """The id of an image, also of one that cannot be read."""
        return self.pairs[index].id

    @cached_property
    def _places(self) -> dict[str, int]:
        return {pair.id: at for at, pair in enumerate(self.pairs)}

    def place_of(self, sample_id: str) -> int | None:
        """The index of an id; None where there is none."""
        return self._places.get(sample_id)

    def __getitem__(self, index: int) -> Sample:
        """One image with its labels.

        Raises:
            IndexError: beyond the last.
            LoupeError: an unreadable file, sizes that differ, a label number that the description does not know.
        """
        pair = self.pairs[index]
        image = read_image(pair.image)
        numbers = read_labels(pair.labels, self.description.variable)
        if image.shape[:2] != numbers.shape:
            tall, wide = numbers.shape
            raise LoupeError(
                f"{pair.labels.name} is {wide}×{tall} pixels, its image {pair.image.name} {image.shape[1]}×{image.shape[0]}"
            )
        strange = ~self.description.known[numbers]
        if strange.any():
            found = np.unique(numbers[strange])
            some = ", ".join(map(str, found[:SHOWN]))
            raise LoupeError(
                f"{pair.labels.name} holds the label{'s' if len(found) > 1 else ''} {some}{' …' if len(found) > SHOWN else ''}, "
                f"which mean none of the {len(self.classes)} categories of {self.description.name}"
            )
        return Sample(image, self.description.table[numbers], None, pair.id)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


def open_folder(name: str | Path | Description, split: str, root: Path | str | None = None) -> FolderDataset:
    """A split of a described dataset.

    Args:
        name: a shipped description's name, a TOML file, or a description.
        root: the dataset's home, or the folder that holds it; LOUPE_DATA, else data/, otherwise.

    Raises:
        LoupeError: no such dataset, split or folder; not one image with labels.
    """
    about = name if isinstance(name, Description) else describe(name)
    if split not in about.splits:
        raise LoupeError(f'{about.name} has no split "{split}": it has {", ".join(about.splits)}')
    home = home_of(about, root)
    pairs, unlabelled, orphans = _paired(home, about.splits[split])
    if not pairs:
        files = about.splits[split]
        what = f"{len(unlabelled)} images and no labels" if unlabelled else f"no image {files.images}"
        raise LoupeError(f"{home} holds {what} for {about.name}-{split}: labels should be {files.labels}")
    return FolderDataset(about, split, home, pairs, unlabelled, orphans)


def home_of(about: Description, root: Path | str | None = None) -> Path:
    """The folder that a description's paths start from.

    Raises:
        LoupeError: it is not there.
    """
    given = Path(root if root is not None else os.environ.get("LOUPE_DATA") or DATA_ROOT)
    below = given / about.home
    if about.home and below.is_dir():
        return below
    if given.is_dir() and (root is not None or not about.home):
        return given
    where = f" (from {about.url})" if about.url else ""
    raise LoupeError(
        f"{about.title} is not here: {below} is no folder; unpack it there{where}, or name its folder"
    )


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3) uint8, not turned by its EXIF, as labels are not.

    Raises:
        LoupeError: unreadable.
    """
    from PIL import Image

    try:
        with Image.open(path) as file:
            return np.asarray(file.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise LoupeError(f"the image {path.name} cannot be read: {_why(error)}") from error


def read_labels(path: Path, variable: str = "") -> np.ndarray:
    """(H, W) integers as the file holds them: of a palette image its indices, of a .mat file its variable.

    Raises:
        LoupeError: unreadable, more than one channel, numbers outside 0 to 65535.
    """
    if variable:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError

        try:
            numbers = np.asarray(loadmat(path, variable_names=[variable])[variable])
        except KeyError as error:
            raise LoupeError(f"{path.name} holds no variable {variable}") from error
        except (OSError, MatReadError, ValueError, TypeError, NotImplementedError) as error:
            raise LoupeError(f"the labels {path.name} cannot be read: {_why(error)}") from error
    else:
        from PIL import Image

        try:
            with Image.open(path) as file:
                if file.mode not in ("L", "P", "I", "I;16"):
                    raise LoupeError(
                        f"the labels {path.name} are a picture ({file.mode}), not one number a pixel"
                    )
                numbers = np.asarray(file)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            if isinstance(error, LoupeError):
                raise
            raise LoupeError(f"the labels {path.name} cannot be read: {_why(error)}") from error
    if numbers.ndim != 2 or not np.issubdtype(numbers.dtype, np.integer) or not numbers.size:
        raise LoupeError(
            f"the labels {path.name} are of shape {numbers.shape} and type {numbers.dtype}, not one number a pixel"
        )
    if numbers.min() < 0 or numbers.max() > 65535:
        raise LoupeError(f"the labels {path.name} hold numbers outside 0 to 65535")
    return numbers.astype(np.uint16)


def _paired(home: Path, files: SplitFiles) -> tuple[tuple[Pair, ...], tuple[str, ...], tuple[str, ...]]:
    """(pairs, images without labels, labels without an image), in the order of the list or of the names."""
    images = (
        _listed(home, files)
        if files.list
        else sorted(each for each in home.glob(files.images) if each.is_file())
    )
    fixed = len(_fixed(files.images).parts)
    pairs, unlabelled = [], []
    for image in images:
        below = PurePosixPath(image.relative_to(home).as_posix())
        folder = "/".join(below.parent.parts[fixed:])
        label = home / _filled(files.labels, below.stem.removesuffix(files.cut), folder)
        name = below.with_suffix("").as_posix()
        if label.is_file() and image.is_file():
            pairs.append(Pair(name, image, label))
        else:
            unlabelled.append(name)
    used = {pair.labels for pair in pairs}
    pattern = _filled(files.labels, "*", "**").replace("**/**", "**")
    there = () if files.list else sorted(set(home.glob(pattern)) - used)
    return tuple(pairs), tuple(unlabelled), tuple(each.relative_to(home).as_posix() for each in there)


def _listed(home: Path, files: SplitFiles) -> list[Path]:
    path = home / files.list
    try:
        lines = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise LoupeError(f"the list {path} cannot be read: {_why(error)}") from error
    return [home / _filled(files.images, inside(stem, f"a line of {files.list}"), "") for stem in lines]


def _filled(pattern: str, stem: str, folder: str) -> str:
    return pattern.replace("{stem}", stem).replace("{folder}", folder).replace("//", "/").lstrip("/")


def _fixed(pattern: str) -> PurePosixPath:
    """The folders of a pattern before its first wildcard."""
    parts = PurePosixPath(pattern).parent.parts
    wild = next((at for at, part in enumerate(parts) if WILD & set(part)), len(parts))
    return PurePosixPath(*parts[:wild])


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split())[:100] or type(error).__name__
