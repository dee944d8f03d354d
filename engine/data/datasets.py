"""Datasets by name: what training, evaluation and the analyses walk over.

    dataset = open_dataset("scenes-val")
    sample = dataset[0]                        # image (H, W, 3), labels (H, W), modes (H, W), id
    dataset = open_dataset("ade20k-val")       # a described folder below LOUPE_DATA, or below data/
    data = materialise("scenes-train", 3000)   # written once, memory-mapped afterwards: data.images (3000, 256, 256, 3)

A split of the demo world is a range of seeds [choice]: scenes-train is endless (3000 unless told otherwise), scenes-val
is seeds 1 000 000 to 1 000 499 and shares none with it.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.lib.format import open_memmap

from engine.data.scenes import CLASS_NAMES, PALETTE, VERSION, render
from engine.errors import LoupeError
from engine.writing import FULL, why

if TYPE_CHECKING:
    from engine.data.folders import FolderDataset

SIZE = 256
DATA_ROOT = Path(__file__).parents[2] / "data"
"""Where caches go unless told otherwise; not under version control."""


@dataclass(frozen=True)
class Split:
    """Seeds first, first + 1, …; `count` of them by default, and at most `most`."""

    first: int
    count: int
    most: int


SPLITS = {
    "scenes-train": Split(first=0, count=3000, most=1_000_000),
    "scenes-val": Split(first=1_000_000, count=500, most=500),
}


@dataclass(frozen=True)
class Sample:
    """`image` (H, W, 3), `labels` (H, W) with 255 ignored, `modes` (H, W) or None: uint8; `id` is unique."""

    image: np.ndarray
    labels: np.ndarray
    modes: np.ndarray | None
    id: str


class Dataset(Protocol):
    """A fixed sequence of labelled images; `classes` names the labels, `colours` (k, 3) uint8 draws them."""

    @property
    def name(self) -> str: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def colours(self) -> np.ndarray: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Sample: ...


@dataclass(frozen=True)
class SceneDataset:
    """`count` scenes of the demo world from seed `first` on, painted when asked for. IndexError beyond the last."""

    name: str
    first: int
    count: int
    size: int = SIZE
    classes: tuple[str, ...] = CLASS_NAMES

    @property
    def colours(self) -> np.ndarray:
        return PALETTE

    def __len__(self) -> int:
        return self.count

    def id_of(self, index: int) -> str:
        """The id of an image, also of one that cannot be read."""
        return str(self.first + index)

    def __getitem__(self, index: int) -> Sample:
        seed = self.first + _checked(index, self.count)
        return Sample(*render(seed, self.size), id=str(seed))

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


@dataclass(frozen=True)
class MemoryMapped:
    """A dataset read from disk as it is needed: `images` (n, H, W, 3), `labels` and `modes` (n, H, W), all uint8.

    Samples are copies, so that holding one does not hold the file.
    """

    name: str
    first: int
    images: np.ndarray
    labels: np.ndarray
    modes: np.ndarray
    classes: tuple[str, ...] = CLASS_NAMES

    @property
    def colours(self) -> np.ndarray:
        return PALETTE

    def __len__(self) -> int:
        return len(self.images)

    def id_of(self, index: int) -> str:
        """The id of an image, also of one that cannot be read."""
        return str(self.first + index)

    def __getitem__(self, index: int) -> Sample:
        index = _checked(index, len(self))
        arrays = (np.array(array[index]) for array in (self.images, self.labels, self.modes))
        return Sample(*arrays, id=self.id_of(index))

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


def data_root() -> Path:
    """Where datasets in folders lie, and their owner's descriptions: LOUPE_DATA, or data/."""
    return Path(os.environ.get("LOUPE_DATA") or DATA_ROOT)


def open_dataset(name: str, root: Path | str | None = None) -> SceneDataset | MemoryMapped | FolderDataset:
    """The dataset called `name`.

    The demo world's comes from its cache under `root` where that is complete, else painted as it is read. Any other name is
    NAME-SPLIT of a description, such as ade20k-val, in LOUPE_DATA, or data/; `root` is of caches and says nothing about it.

    Raises LoupeError, naming the known datasets, where `name` is none of them, and where a folder is not there.
    """
    if name not in SPLITS:
        # Not at the top: folders stands on this module.
        from engine.data.descriptions import found, split_of
        from engine.data.folders import open_folder

        described = split_of(name)
        if described is None:
            raise LoupeError(
                f"there is no dataset {name!r}: known are {', '.join(SPLITS)}, and a split, such as ade20k-val, of "
                + ", ".join(found())
            )
        return open_folder(*described)
    split = _split(name)
    folder = _folder(name, root)
    with contextlib.suppress(FileNotFoundError, LoupeError):
        if _done(folder)[: split.count].sum() == split.count:
            return _mapped(name, folder, split.count)
    return SceneDataset(name, split.first, split.count)


def index_of(dataset: SceneDataset | MemoryMapped | FolderDataset, sample_id: str) -> int:
    """The place of the sample of that id: of the demo world the seed, of a folder the image's path without its ending.

    Raises LoupeError where the dataset holds none.
    """
    if isinstance(dataset, SceneDataset | MemoryMapped):
        plain = sample_id.isascii() and sample_id.isdecimal() and len(sample_id) <= 9
        index = int(sample_id) - dataset.first if plain and str(int(sample_id)) == sample_id else -1
        place = index if 0 <= index < len(dataset) else None
    else:
        place = dataset.place_of(sample_id)
    if place is None:
        raise LoupeError(f"{dataset.name} has no image {sample_id[:40]!r}")
    return place


def materialise(
    name: str,
    limit: int | None = None,
    root: Path | str | None = None,
    *,
    workers: int = 2,
    progress: Callable[[int, int], object] | None = None,
) -> MemoryMapped:
    """The first `limit` images of `name`, written once under `root`/NAME-VERSION and memory-mapped.

    What an earlier call wrote is kept, also where that call was killed: each image is marked only once it is written.
    A larger `limit` adds to the same files. `progress(written, wanted)` is called as images are finished. Raises
    LoupeError for an unknown name, a limit beyond the split, and where the folder cannot be written.
    """
    split = _split(name)
    count = split.count if limit is None else limit
    if not 1 <= count <= split.most:
        raise LoupeError(f"{name} cannot give {count} images: it has 1 to {split.most}")
    folder = _folder(name, root)
    try:
        _allot(folder, max(count, split.count))
        done = open_memmap(folder / "done.npy", mode="r+")
        missing = np.flatnonzero(done[:count] == 0).tolist()
        for part, shape in _SHAPES.items():
            _reserve(folder / f"{part}.npy", math.prod(shape), missing)
        for index in _written(folder, split.first, missing, workers):
            done[index] = 1
            if progress is not None:
                progress(int(done[:count].sum()), count)
        done.flush()
    except OSError as error:
        raise LoupeError(f"the images of {name} cannot be kept in {folder}: {why(error)}") from error
    return _mapped(name, folder, count)


def _checked(index: int, count: int) -> int:
    if not -count <= index < count:
        raise IndexError(f"image {index} of {count}")
    return index % count


def _split(name: str) -> Split:
    if name not in SPLITS:
        raise LoupeError(f"there is no dataset {name!r}: known are {', '.join(SPLITS)}")
    return SPLITS[name]


def _folder(name: str, root: Path | str | None) -> Path:
    return Path(DATA_ROOT if root is None else root) / f"{name}-{VERSION}"


_SHAPES = {"images": (SIZE, SIZE, 3), "labels": (SIZE, SIZE), "modes": (SIZE, SIZE), "done": ()}


def _opened(folder: Path, part: str) -> np.ndarray:
    path = folder / f"{part}.npy"
    try:
        array = open_memmap(path, mode="r")
    except ValueError as error:
        raise LoupeError(f"{path} is damaged: {error}") from error
    if array.dtype != np.uint8 or array.shape[1:] != _SHAPES[part]:
        raise LoupeError(f"{path} is damaged: it holds {array.dtype} of shape {array.shape}")
    return array


def _done(folder: Path) -> np.ndarray:
    return _opened(folder, "done")


def _mapped(name: str, folder: Path, count: int) -> MemoryMapped:
    images, labels, modes = (_opened(folder, part)[:count] for part in ("images", "labels", "modes"))
    return MemoryMapped(name, SPLITS[name].first, images, labels, modes)


def _allot(folder: Path, count: int) -> None:
    """Make room for `count` images, keeping what is there. The files are sparse: unwritten images take no space.

    `done` comes last, so that no moment shows an image that is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lengths = {part: len(_opened(folder, part)) for part in _SHAPES}
    except (FileNotFoundError, LoupeError):
        lengths = dict.fromkeys(_SHAPES, 0)
        (folder / "done.npy").unlink(missing_ok=True)
    for part, shape in _SHAPES.items():
        if lengths[part] >= count:
            continue
        path, fresh = folder / f"{part}.npy", folder / f"{part}.new.npy"
        try:
            grown = open_memmap(fresh, mode="w+", dtype=np.uint8, shape=(count, *shape))
            if lengths[part]:
                old, kept = _opened(folder, part), np.flatnonzero(_done(folder)).tolist()
                _reserve(fresh, math.prod(shape), kept)
                for index in kept:
                    grown[index] = old[index]
            grown.flush()
            del grown
            os.replace(fresh, path)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise


def _reserve(path: Path, size: int, indices: Sequence[int]) -> None:
    """Room on the disk for some images of `size` bytes each in a sparse file.

    The system kills a process that writes through a map to a disk that has become full; asked beforehand it says so.

    Raises:
        OSError: the disk is full.
    """
    if not hasattr(os, "posix_fallocate") or not indices:
        return
    head = path.stat().st_size - size * len(open_memmap(path, mode="r"))
    runs = np.split(indices, np.flatnonzero(np.diff(indices) != 1) + 1)
    with path.open("r+b") as file:
        for run in runs:
            try:
                os.posix_fallocate(file.fileno(), head + size * int(run[0]), size * len(run))
            except OSError as error:
                if error.errno in FULL:
                    raise
                return  # a file system that cannot promise room


def _written(folder: Path, first: int, missing: Sequence[int], workers: int) -> Iterator[int]:
    """Paint the `missing` images into the folder's files; yields each index once its image is written."""
    write = partial(_write, folder, first)
    if workers <= 1 or len(missing) < 32:
        for index in missing:
            yield write(index)
        return
    # Spawned, not forked: the caller may hold threads and an accelerator.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(write, missing, chunksize=8)


def _write(folder: Path, first: int, index: int) -> int:
    scene = render(first + index, SIZE)
    for part, array in zip(("images", "labels", "modes"), scene, strict=True):
        file = open_memmap(folder / f"{part}.npy", mode="r+")
        file[index] = array
    return index
