"""Datasets as they lie on disk, read by a description (`engine.data.descriptions`).

    dataset = open_folder("ade20k", "val", "/data")       # /data or /data/ADEChallengeData2016
    dataset[0].image, dataset[0].labels                   # (H, W, 3), (H, W) uint8; 255 ignored

Files are found when a dataset is opened and read when they are asked for. What has no partner is listed, not walked over.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from engine.data.datasets import Sample, data_root
from engine.data.descriptions import Description, SplitFiles, describe, inside
from engine.data.label_files import decode, why
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
    """A split of a dataset in a folder. Paths below home without a partner, which are not walked over: `unlabelled` images
    without labels, `orphans` labels without an image, `absent` stems of a list that have neither."""

    description: Description
    split: str
    home: Path
    pairs: tuple[Pair, ...]
    unlabelled: tuple[str, ...]
    orphans: tuple[str, ...]
    absent: tuple[str, ...] = ()

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
        image, decoded = read_image(pair.image), decode(pair.labels, self.description)
        if image.shape[:2] != decoded.labels.shape:
            raise LoupeError(differ(pair, image, decoded.labels))
        if decoded.strange:
            some = ", ".join(list(decoded.strange)[:SHOWN])
            more = " …" if len(decoded.strange) > SHOWN else ""
            raise LoupeError(
                f"{pair.labels.name} holds the label{'s' if len(decoded.strange) > 1 else ''} {some}{more}, "
                f"not of the {len(self.classes)} categories of {self.description.name}"
            )
        return Sample(image, decoded.labels, None, pair.id)

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
    files = about.splits[split]
    home = home_of(about, root)
    found = _paired(home, files)
    if not found[0]:
        what = f"{len(found[1])} images and no labels" if found[1] else f"no image {files.images}"
        raise LoupeError(f"{home} holds {what} for {about.name}-{split}: labels should be {files.labels}")
    return FolderDataset(about, split, home, *found)


def home_of(about: Description, root: Path | str | None = None) -> Path:
    """The folder that a description's paths start from: below `root`, or `root` itself where that was named.

    Raises:
        LoupeError: it is not there.
    """
    given = data_root() if root is None else Path(root)
    parts = PurePosixPath(about.home).parts
    for at in range(len(parts)):  # of VOCdevkit/VOC2012 the root may be VOCdevkit, too
        if (given / Path(*parts[at:])).is_dir():
            return given / Path(*parts[at:])
    if given.is_dir() and (root is not None or not parts):
        return given
    where = f" (from {about.url})" if about.url else ""
    raise LoupeError(
        f"{about.title} is not here: {given / about.home} is no folder; unpack it there{where}, or name its folder"
    )


def differ(pair: Pair, image: np.ndarray, labels: np.ndarray) -> str:
    """The sentence about an image and labels of two sizes."""
    (height, width), (tall, wide) = image.shape[:2], labels.shape
    return f"{pair.labels.name} is {wide}×{tall} pixels, its image {pair.image.name} {width}×{height}"


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3) uint8, not turned by its EXIF, as labels are not.

    Raises:
        LoupeError: unreadable.
    """
    from PIL import Image

    try:
        with Image.open(path) as file:
            return np.asarray(file.convert("RGB"))
    except Exception as error:  # a damaged file makes Pillow's readers raise nearly anything
        raise LoupeError(f"the image {path.name} cannot be read: {why(error)}") from error


Names = tuple[str, ...]


def _paired(home: Path, files: SplitFiles) -> tuple[tuple[Pair, ...], Names, Names, Names]:
    """(pairs, images without labels, labels without an image, neither), in the order of the list or of the names."""
    images = _listed(home, files) if files.list else _matching(home, files.images)
    fixed = len(_fixed(files.images).parts)
    pairs, unlabelled, orphans, absent = [], [], [], []
    for image in images:
        below = PurePosixPath(image.relative_to(home).as_posix())
        folder = "/".join(below.parent.parts[fixed:])
        label = home / _filled(files.labels, below.stem.removesuffix(files.cut), folder)
        name = below.with_suffix("").as_posix()
        match image.is_file(), label.is_file():
            case True, True:
                pairs.append(Pair(name, image, label))
            case True, False:
                unlabelled.append(below.as_posix())
            case False, True:
                orphans.append(label.relative_to(home).as_posix())
            case _:
                absent.append(name)
    _stay(home, (each for pair in pairs for each in (pair.image, pair.labels)))
    if len({pair.id for pair in pairs}) < len(pairs):
        raise LoupeError(f"{home} holds two images of one name for {files.images}")
    if not files.list:
        used = {pair.labels for pair in pairs}
        pattern = _filled(files.labels, "*", "**").replace("**/**", "**")
        there = (each for each in _matching(home, pattern) if each not in used)
        orphans = [each.relative_to(home).as_posix() for each in there]
    return tuple(pairs), tuple(unlabelled), tuple(orphans), tuple(absent)


def _stay(home: Path, files: Iterable[Path]) -> None:
    """Refuses files that lie elsewhere by a link, unless LOUPE_LINKS=1. The home itself may be a link.

    A dataset is shown to whoever reaches the app: what a link inside it points at is not meant by that  [choice].
    """
    if os.environ.get("LOUPE_LINKS") == "1":
        return
    whole, folders = os.path.realpath(home), dict[str, bool]()

    def outside(path: str) -> bool:
        return path != whole and not path.startswith(whole.rstrip(os.sep) + os.sep)

    for file in files:
        folder = str(file.parent)
        if folder not in folders:
            folders[folder] = outside(os.path.realpath(folder))
        # a folder is resolved once; of a file it is enough to know that it is no link
        if folders[folder] or (os.path.islink(file) and outside(os.path.realpath(file))):
            raise LoupeError(
                f"{file.relative_to(home)} leaves {home} by a link: what lies elsewhere is only read with LOUPE_LINKS=1"
            )


def _matching(home: Path, pattern: str) -> list[Path]:
    """Files in the order of their names, without hidden ones: macOS leaves a ._x.jpg beside each x.jpg."""
    return sorted(each for each in home.glob(pattern) if not each.name.startswith(".") and each.is_file())


def _listed(home: Path, files: SplitFiles) -> list[Path]:
    path = home / files.list
    try:
        lines = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise LoupeError(f"the list {path} cannot be read: {why(error)}") from error
    return [home / _filled(files.images, inside(stem, f"a line of {files.list}"), "") for stem in lines]


def _filled(pattern: str, stem: str, folder: str) -> str:
    return pattern.replace("{stem}", stem).replace("{folder}", folder).replace("//", "/").lstrip("/")


def _fixed(pattern: str) -> PurePosixPath:
    """The folders of a pattern before its first wildcard."""
    parts = PurePosixPath(pattern).parent.parts
    wild = next((at for at, part in enumerate(parts) if WILD & set(part)), len(parts))
    return PurePosixPath(*parts[:wild])
