"""The pictures that can be looked at: sample scenes, scikit-learn's two photographs, and what people upload.

A picture's id is the first 16 hexadecimal digits of its content hash, so that a link means the same picture in every
process, and two uploads of one file are one picture. Uploads live in this process only, within a limit in bytes; a link
to one that is not (or no longer) here is answered by a sentence.
"""

from __future__ import annotations

import base64
import io
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from engine.data.categories import CLASS_NAMES
from engine.errors import LoupeError
from engine.images import LoadedImage, load_image, photographs

ID_LENGTH = 16
THUMBNAIL = 72  # pixels, square
UPLOAD_BYTES = 192 * 2**20  # decoded pixels of uploads kept in this process


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture: its pixels as models see them, and what is known about it.

    truth: (H, W) uint8 category indices of the same size as `image.pixels`, 255 where unknown; None without ground truth.
    classes: names of those indices.
    """

    id: str
    title: str
    kind: str  # "scene", "photograph" or "upload"
    image: LoadedImage
    truth: np.ndarray | None = None
    thumbnail: str = ""  # a data URI
    classes: tuple[str, ...] = ()

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


class Gallery:
    """All pictures of one process; safe for many sessions at once."""

    def __init__(self, scenes: Path, upload_bytes: int = UPLOAD_BYTES) -> None:
        self._scenes = scenes
        self._limit = upload_bytes
        self._lock = threading.Lock()
        self._samples: dict[str, Picture] | None = None
        self._uploads: OrderedDict[str, Picture] = OrderedDict()

    def samples(self) -> list[Picture]:
        """Scenes in the order of their files, then photographs. Read once."""
        with self._lock:
            if self._samples is None:
                pictures = [
                    _scene(path) for path in sorted(self._scenes.glob("*.png")) if path.stem.isdigit()
                ]
                pictures += [_picture(path, name, "photograph") for name, path in photographs().items()]
                self._samples = {picture.id: picture for picture in pictures}
            return list(self._samples.values())

    def uploads(self) -> list[Picture]:
        """The most recently used last."""
        with self._lock:
            return list(self._uploads.values())

    def add(self, data: bytes, name: str) -> Picture:
        """Keeps an uploaded file; the least recently used ones go when there is no room. Raises ImageError."""
        samples = {picture.id: picture for picture in self.samples()}
        picture = _picture(data, name, "upload")
        if picture.id in samples:
            return samples[picture.id]
        with self._lock:
            self._uploads[picture.id] = picture
            self._uploads.move_to_end(picture.id)
            while (
                len(self._uploads) > 1
                and sum(p.image.pixels.nbytes for p in self._uploads.values()) > self._limit
            ):
                self._uploads.popitem(last=False)
        return picture

    def get(self, picture_id: str) -> Picture:
        """The picture of this id. Raises UnknownPicture with what to do about it."""
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


def _picture(source: Path | bytes, title: str, kind: str, truth: np.ndarray | None = None) -> Picture:
    image = load_image(source, name=source.name if isinstance(source, Path) else title)
    known = CLASS_NAMES if truth is not None else ()
    return Picture(image.hash[:ID_LENGTH], title, kind, image, truth, _thumbnail(image.pixels), known)


def _scene(path: Path) -> Picture:
    labels = path.with_name(f"{path.stem}.labels.png")
    truth = None
    if labels.is_file():
        truth = np.asarray(Image.open(labels))
    return _picture(path, f"scene {int(path.stem)}", "scene", truth)


def _thumbnail(pixels: np.ndarray) -> str:
    """The central square, small, as a data URI."""
    height, width, _ = pixels.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(pixels[top : top + side, left : left + side])
    buffer = io.BytesIO()
    square.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
