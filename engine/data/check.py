"""Is a dataset's folder what its description says? Every file is read once; nothing is written.

found = check("ade20k", "/data", limit=200)
found.splits[0].pairs, found.splits[0].unexpected, found.splits[0].pixels
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.descriptions import Description, describe
from engine.data.folders import FolderDataset, differ, open_folder, read_image
from engine.data.label_files import IGNORED, decode
from engine.errors import LoupeError

SHOWN = 5  # names that stand for many


@dataclass(frozen=True)
class Names:
    """How many files, and the first few of them."""

    count: int
    first: tuple[str, ...]


@dataclass(frozen=True)
class Unexpected:
    """A label that the description does not know: a number, or "#rrggbb"; in how many files and pixels, and the first file."""

    value: str
    files: int
    pixels: int
    file: str


@dataclass(frozen=True)
class SplitCheck:
    """One split. problem: why it could not be opened, else "". Sizes are (H, W); pixels has one count a category.

    read: pairs that were looked at, of which `unreadable` and `mismatched` (file, reason) count no pixels. unexpected
    pixels are in neither `pixels` nor `ignored`.
    """

    split: str
    problem: str = ""
    images: int = 0
    pairs: int = 0
    read: int = 0
    without_labels: Names = Names(0, ())
    without_image: Names = Names(0, ())
    absent: Names = Names(0, ())
    unreadable: tuple[tuple[str, str], ...] = ()
    mismatched: tuple[tuple[str, str], ...] = ()
    unexpected: tuple[Unexpected, ...] = ()
    pixels: tuple[int, ...] = ()
    ignored: int = 0
    smallest: tuple[int, int] | None = None
    largest: tuple[int, int] | None = None

    @property
    def share_ignored(self) -> float | None:
        """Of the pixels that are ignored or a category; None without any."""
        whole = sum(self.pixels) + self.ignored
        return self.ignored / whole if whole else None

    @property
    def clean(self) -> bool:
        """Whether nothing that was looked at is wrong. Images without labels are missing, not wrong."""
        return not (self.problem or self.unreadable or self.mismatched or self.unexpected)


@dataclass(frozen=True)
class Check:
    """What was found at `home`, split by split."""

    name: str
    title: str
    classes: tuple[str, ...]
    home: Path
    splits: tuple[SplitCheck, ...]

    @property
    def clean(self) -> bool:
        return all(split.clean for split in self.splits)

    def json(self) -> dict[str, Any]:
        """Plain values; pixels by category name."""
        splits = [
            asdict(each)
            | {
                "pixels": dict(zip(self.classes, each.pixels, strict=True)) if each.pixels else {},
                "share_ignored": each.share_ignored,
                "clean": each.clean,
            }
            for each in self.splits
        ]
        return {
            "data": self.name,
            "title": self.title,
            "home": str(self.home),
            "clean": self.clean,
            "splits": splits,
        }


@dataclass
class _Tally:
    """What has been seen of one split so far."""

    pixels: np.ndarray
    ignored: int = 0
    read: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    mismatched: list[tuple[str, str]] = field(default_factory=list)
    unexpected: dict[str, Unexpected] = field(default_factory=dict)
    sizes: set[tuple[int, int]] = field(default_factory=set)


def check(
    description: Description | str | Path,
    root: Path | str | None = None,
    split: str | None = None,
    limit: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Check:
    """Look at one split, or at all of them.

    Args:
        root: as of `open_folder`.
        limit: look at so many pairs of each split, spread evenly over it  [choice]; at all of them otherwise.
        progress: called with pairs looked at and pairs to look at, over all splits.
        stop: asked before each pair; what was seen until then is told.

    Raises:
        LoupeError: no such description or split, a limit below 1, or not one split that can be opened.
    """
    if limit is not None and limit < 1:
        raise LoupeError(f"a limit of {limit} images: at least 1 is needed")
    about = description if isinstance(description, Description) else describe(description)
    opened = _opened(about, root, list(about.splits) if split is None else [split])
    datasets = {name: each for name, each in opened.items() if isinstance(each, FolderDataset)}
    chosen = {name: spread(len(each), limit) for name, each in datasets.items()}
    everything, done = sum(map(len, chosen.values())), 0
    found: list[SplitCheck] = []
    for name, each in opened.items():
        if not isinstance(each, FolderDataset):
            found.append(SplitCheck(name, problem=each))
            continue
        tally = _Tally(np.zeros(len(about.classes), np.int64))
        for index in chosen[name]:
            if stop is not None and stop():
                break
            _look(each, index, tally)
            done += 1
            if progress is not None:
                progress(done, everything)
        found.append(_told(name, each, tally))
    home = next(iter(datasets.values())).home
    return Check(about.name, about.title, about.classes, home, tuple(found))


def spread(count: int, limit: int | None) -> list[int]:
    """At most `limit` of the indices 0 … count − 1, evenly spread; the same ones every time."""
    if limit is None or limit >= count:
        return list(range(count))
    return [(2 * place + 1) * count // (2 * limit) for place in range(limit)]


def _opened(
    about: Description, root: Path | str | None, splits: Sequence[str]
) -> dict[str, FolderDataset | str]:
    """Split → the dataset, or why there is none."""
    found: dict[str, FolderDataset | str] = {}
    for name in splits:
        try:
            found[name] = open_folder(about, name, root)
        except LoupeError as error:
            found[name] = str(error)
    if all(isinstance(each, str) for each in found.values()):
        raise LoupeError(str(next(iter(found.values()))))
    return found


def _look(dataset: FolderDataset, index: int, tally: _Tally) -> None:
    about, pair = dataset.description, dataset.pairs[index]
    tally.read += 1
    file = pair.image
    try:
        image = read_image(file)
        file = pair.labels
        decoded = decode(file, about)
    except LoupeError as error:
        tally.unreadable.append((file.relative_to(dataset.home).as_posix(), str(error)))
        return
    place = pair.labels.relative_to(dataset.home).as_posix()
    if image.shape[:2] != decoded.labels.shape:
        tally.mismatched.append((place, differ(pair, image, decoded.labels)))
        return
    tally.sizes.add(decoded.labels.shape)
    counts = np.bincount(decoded.labels.ravel(), minlength=IGNORED + 1)
    tally.pixels += counts[: len(about.classes)]
    # What is strange was decoded as ignored.
    tally.ignored += int(counts[IGNORED]) - sum(decoded.strange.values())
    for value, pixels in decoded.strange.items():
        known = tally.unexpected.get(value, Unexpected(value, 0, 0, place))
        tally.unexpected[value] = Unexpected(value, known.files + 1, known.pixels + pixels, known.file)


def _told(name: str, dataset: FolderDataset, tally: _Tally) -> SplitCheck:
    sizes = sorted(tally.sizes, key=lambda size: (size[0] * size[1], size))
    return SplitCheck(
        split=name,
        images=len(dataset) + len(dataset.unlabelled),
        pairs=len(dataset),
        read=tally.read,
        without_labels=_names(dataset.unlabelled),
        without_image=_names(dataset.orphans),
        absent=_names(dataset.absent),
        unreadable=tuple(tally.unreadable),
        mismatched=tuple(tally.mismatched),
        unexpected=tuple(sorted(tally.unexpected.values(), key=lambda each: -each.pixels)),
        pixels=tuple(tally.pixels.tolist()),
        ignored=tally.ignored,
        smallest=sizes[0] if sizes else None,
        largest=sizes[-1] if sizes else None,
    )


def _names(paths: Sequence[str]) -> Names:
    return Names(len(paths), tuple(paths[:SHOWN]))
