"""The pictures that can be looked at: sample scenes, scikit-learn's two photographs, what people upload, images of datasets.

A picture's id is the first 16 hexadecimal digits of its content hash, so that a link means the same picture in every
process, and two uploads of one file are one picture. Uploads live in this process only, within a limit in bytes; a link
to one that is not (or no longer) here is answered by a sentence. An image of a dataset is called `data-<dataset>-<image>`:
any process can open it anew.

Pictures with a longer side than `long_side` are reduced to it, and every page says so beside them.
"""

from __future__ import annotations

import base64
import io
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from app import datasets
from engine.data.categories import CLASS_NAMES
from engine.data.datasets import index_of
from engine.errors import LoupeError
from engine.images import LONG_SIDE, MIN_SIDE, LoadedImage, load_image, photographs

ID_LENGTH = 16
THUMBNAIL = 72  # pixels, square
UPLOAD_BYTES = 192 * 2**20  # decoded pixels of uploads kept in this process
UPLOADS = 256  # of them at most: small ones cost more than their pixels
# Two are decoded at once: each may take some hundred MB meanwhile.
DECODING = threading.BoundedSemaphore(2)
DATA = "data-"  # begins the id of a dataset's image
KEPT = 64  # images of datasets kept in this process: they are quickly had again


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture: its pixels as models see them, and what is known about it.

    truth: (H, W) uint8 category indices of the same size as `image.pixels`, 255 where unknown; None without ground truth.
    classes: names of those indices. modes: (H, W) uint8 planted appearances, 255 where none; None where they are not known.
    """

    id: str
    title: str
    kind: str  # "scene", "photograph", "upload" or "data"
    image: LoadedImage
    truth: np.ndarray | None = None
    thumbnail: str = ""  # a data URI
    classes: tuple[str, ...] = ()
    modes: np.ndarray | None = None

    def truth_for(self, classes: Sequence[str]) -> np.ndarray | None:
        """The truth in a model's own numbering, matched by name: 255 where the model has no such category; None without any."""
        if self.truth is None or tuple(classes) == self.classes:
            return self.truth
        if not set(classes) & set(self.classes):
            return None
        places = {name: index for index, name in enumerate(classes)}
        table = np.full(256, 255, np.uint8)
        table[: len(self.classes)] = [min(places.get(name, 255), 255) for name in self.classes]
        return table[self.truth]


class UnknownPicture(LoupeError):
    """No picture of this id is in this process."""


def long_side() -> int | None:
    """What LOUPE_LONG_SIDE says: pixels that a picture's longer side keeps, 0 for all of them (None here); 1024 without it.

    Raises:
        LoupeError: no whole number, or one below the smallest image's side.
    """
    given = os.environ.get("LOUPE_LONG_SIDE", "").strip()
    if not given:
        return LONG_SIDE
    sides = int(given) if given.isascii() and given.isdecimal() and len(given) < 10 else -1
    if sides and sides < MIN_SIDE:
        raise LoupeError(
            f"LOUPE_LONG_SIDE is {given[:40]!r}: it must be at least {MIN_SIDE} pixels, or 0 for no limit"
        )
    return sides or None


class Gallery:
    """All pictures of one process; safe for many sessions at once.

    long_side: pixels that a picture's longer side keeps, None for all of them.
    """

    def __init__(
        self, scenes: Path, upload_bytes: int = UPLOAD_BYTES, long_side: int | None = LONG_SIDE
    ) -> None:
        self._scenes = scenes
        self._long_side = long_side
        self._limit = upload_bytes
        self._lock = threading.Lock()
        self._samples: dict[str, Picture] | None = None
        self._uploads: OrderedDict[str, Picture] = OrderedDict()
        self._data: OrderedDict[str, Picture] = OrderedDict()
        # Smaller ones, in place of those that the device's memory does not hold.
        self._reduced: OrderedDict[str, Picture] = OrderedDict()

    def samples(self) -> list[Picture]:
        """Scenes in the order of their files, then photographs. Read once."""
        with self._lock:
            if self._samples is None:
                pictures = [
                    _scene(path) for path in sorted(self._scenes.glob("*.png")) if path.stem.isdigit()
                ]
                for name, path in photographs().items():
                    pictures.append(_picture(path, name, "photograph", self._long_side))
                self._samples = {picture.id: picture for picture in pictures}
            return list(self._samples.values())

    def uploads(self) -> list[Picture]:
        """The most recently used last."""
        with self._lock:
            return list(self._uploads.values())

    def add(self, data: bytes, name: str) -> Picture:
        """Keeps an uploaded file; the least recently used ones go when there is no room. Raises ImageError."""
        samples = {picture.id: picture for picture in self.samples()}
        with DECODING:
            picture = _picture(data, name, "upload", self._long_side)
        if picture.id in samples:
            return samples[picture.id]
        with self._lock:
            self._uploads[picture.id] = picture
            self._uploads.move_to_end(picture.id)
            while len(self._uploads) > UPLOADS or (
                len(self._uploads) > 1
                and sum(p.image.pixels.nbytes for p in self._uploads.values()) > self._limit
            ):
                self._uploads.popitem(last=False)
        return picture

    def reduce(self, picture_id: str, image: LoadedImage) -> None:
        """From now on the picture is this smaller image, with its labels at that size; its id stays, as links know it.

        Raises:
            UnknownPicture: as `get`.
        """
        picture = self.get(picture_id)
        reduced = replace(
            picture,
            image=image,
            truth=_like(picture.truth, image.size),
            modes=_like(picture.modes, image.size),
        )
        with self._lock:
            self._reduced[picture_id] = reduced
            while len(self._reduced) > KEPT:
                self._reduced.popitem(last=False)

    def get(self, picture_id: str) -> Picture:
        """The picture of this id. Raises UnknownPicture with what to do about it."""
        with self._lock:
            if picture_id in self._reduced:
                return self._reduced[picture_id]
        if picture_id.startswith(DATA):
            return self._of_dataset(picture_id)
        for picture in self.samples():
            if picture.id == picture_id:
                return picture
        with self._lock:
            if picture_id in self._uploads:
                self._uploads.move_to_end(picture_id)
                return self._uploads[picture_id]
        raise UnknownPicture(
            f"The image {picture_id[:40]} is not among the samples and not (or no longer) uploaded here: upload the file "
            "again to see what this link shows."
        )

    def pixels(self, picture_id: str) -> np.ndarray:
        """(H, W, 3) uint8 of a picture, without what `get` finds out besides. Raises UnknownPicture."""
        if not picture_id.startswith(DATA):
            return self.get(picture_id).image.pixels
        try:
            name, sample_id = _parted(picture_id.removeprefix(DATA))
            dataset = datasets.opened(name)
            return dataset[index_of(dataset, sample_id)].image
        except (LoupeError, OSError) as error:
            raise UnknownPicture(f"The image {picture_id[:60]} cannot be shown: {error}.") from error

    def _of_dataset(self, picture_id: str) -> Picture:
        with self._lock:
            if picture_id in self._data:
                self._data.move_to_end(picture_id)
                return self._data[picture_id]
        try:
            picture = _from_dataset(picture_id, self._long_side)
        except (LoupeError, OSError) as error:
            raise UnknownPicture(f"The image {picture_id[:60]} cannot be shown: {error}.") from error
        with self._lock:
            self._data[picture_id] = picture
            while len(self._data) > KEPT:
                self._data.popitem(last=False)
        return picture


def data_id(dataset: str, sample: str) -> str:
    """The id of a dataset's image."""
    return f"{DATA}{dataset}-{sample}"


def _from_dataset(picture_id: str, long_side: int | None) -> Picture:
    name, sample_id = _parted(picture_id.removeprefix(DATA))
    dataset = datasets.opened(name)
    sample = dataset[index_of(dataset, sample_id)]
    image = load_image(sample.image, long_side, name=f"{name}-{sample.id}")
    truth, modes = _like(sample.labels, image.size), _like(sample.modes, image.size)
    return Picture(
        picture_id,
        f"{name} {sample.id}",
        "data",
        image,
        truth,
        _thumbnail(image.pixels),
        dataset.classes,
        modes,
    )


def _parted(text: str) -> tuple[str, str]:
    """("scenes-val", "1000020"): the known dataset of the longest name that the text begins with, and the rest."""
    there = datasets.here()
    for name in sorted(there, key=len, reverse=True):
        if text.startswith(f"{name}-"):
            return name, text[len(name) + 1 :]
    raise LoupeError(f"it names none of the datasets {', '.join(there)}")


def _like(labels: np.ndarray | None, size: tuple[int, int]) -> np.ndarray | None:
    """Labels at the size of the image as models see it, which may be reduced: the nearest ones."""
    if labels is None or labels.shape == size:
        return labels
    return np.asarray(Image.fromarray(labels).resize((size[1], size[0]), Image.Resampling.NEAREST))


def _picture(
    source: Path | bytes, title: str, kind: str, long_side: int | None, truth: np.ndarray | None = None
) -> Picture:
    image = load_image(source, long_side, source.name if isinstance(source, Path) else title)
    known = CLASS_NAMES if truth is not None else ()
    return Picture(image.hash[:ID_LENGTH], title, kind, image, truth, _thumbnail(image.pixels), known)


def _scene(path: Path) -> Picture:
    labels = path.with_name(f"{path.stem}.labels.png")
    planted = path.with_name(f"{path.stem}.modes.png")
    truth = np.asarray(Image.open(labels)) if labels.is_file() else None
    modes = np.asarray(Image.open(planted)) if planted.is_file() else None
    return replace(_picture(path, f"scene {int(path.stem)}", "scene", None, truth), modes=modes)


def _thumbnail(pixels: np.ndarray) -> str:
    """The central square, small, as a data URI."""
    height, width, _ = pixels.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(pixels[top : top + side, left : left + side])
    buffer = io.BytesIO()
    square.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
