"""Cut-outs around pixels: many of them as one picture for a page, and their mean. Neither streamlit nor torch.

A cut-out is a square centred on its pixel, a fixed share of its image's longer side, so that cut-outs of all sites can be
compared; what lies beyond the image stays empty. The images come from the dataset or the gallery and are kept within a limit in
bytes: those of a sample are read aside while a person looks at its map, so that a lasso does not wait for them.
"""

from __future__ import annotations

import base64
import contextlib
import io
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from engine.errors import LoupeError

SHARE = 0.19  # of the image's longer side: 49 of 256 pixels
TILE = 96  # pixels a side of a tile in a sprite
EMPTY = 128  # grey where the image has ended
QUALITY = 80
BYTES = 192 << 20  # of images held
PAUSE = 0.004  # seconds between two images that are read aside: whoever waits for the page goes first

Read = Callable[[str], np.ndarray]
"""An image's id → its pixels (H, W, 3) uint8. Raises LoupeError."""


class Photos:
    """Images by id, the least recently used ones go; safe for many threads."""

    def __init__(self, read: Read, most: int = BYTES) -> None:
        self._read, self._most = read, most
        self._held: OrderedDict[str, np.ndarray] = OrderedDict()
        self._used = 0
        self._lock = threading.Lock()
        self._wanted: list[str] = []
        self._reader: threading.Thread | None = None

    def get(self, name: str) -> np.ndarray:
        """Its pixels (H, W, 3) uint8; shared, not to be changed. Raises LoupeError where there is no such image."""
        with self._lock:
            if name in self._held:
                self._held.move_to_end(name)
                return self._held[name]
        image = self._read(name)
        with self._lock:
            if name not in self._held:
                self._held[name] = image
                self._used += image.nbytes
            while self._used > self._most and len(self._held) > 1:
                self._used -= self._held.popitem(last=False)[1].nbytes
        return image

    def warm(self, names: Sequence[str]) -> None:
        """Reads these aside, in this order, in place of what was still to be read; as many as there is room for."""
        with self._lock:
            self._wanted = [name for name in reversed(names) if name not in self._held]
            if self._wanted and (self._reader is None or not self._reader.is_alive()):
                self._reader = threading.Thread(target=self._fill, daemon=True)
                self._reader.start()

    def wait(self, seconds: float | None = None) -> None:
        """Until what is read aside has been read."""
        reader = self._reader
        if reader is not None:
            reader.join(seconds)

    def _fill(self) -> None:
        while True:
            time.sleep(PAUSE)
            with self._lock:
                if not self._wanted or self._used > 0.9 * self._most:
                    self._reader = None
                    return
                name = self._wanted.pop()
            with contextlib.suppress(LoupeError, OSError):  # whoever needs it is told why it cannot be read
                self.get(name)


@dataclass(frozen=True)
class Spot:
    """A pixel of an image. size: (H, W) of the image that `pixel` (row, col) counts in."""

    name: str
    pixel: tuple[int, int]
    size: tuple[int, int]


def window(image: np.ndarray, spot: Spot, side: int = TILE) -> np.ndarray:
    """(side, side, 4) uint8: the cut-out, alpha 0 beyond the image.

    `image` (H', W', 3) may be of another size than the spot's.
    """
    height, width = image.shape[:2]
    y = (spot.pixel[0] + 0.5) * height / spot.size[0]
    x = (spot.pixel[1] + 0.5) * width / spot.size[1]
    half = SHARE * max(height, width) / 2
    box = (x - half, y - half, x + half, y + half)
    inner = (max(0.0, box[0]), max(0.0, box[1]), min(float(width), box[2]), min(float(height), box[3]))
    scale = side / (2 * half)
    left, top = round((inner[0] - box[0]) * scale), round((inner[1] - box[1]) * scale)
    right, bottom = round((inner[2] - box[0]) * scale), round((inner[3] - box[1]) * scale)
    found = np.zeros((side, side, 4), np.uint8)
    found[..., :3] = EMPTY
    if right > left and bottom > top:
        part = Image.fromarray(image).resize((right - left, bottom - top), Image.Resampling.BILINEAR, inner)
        found[top:bottom, left:right, :3] = np.asarray(part)
        found[top:bottom, left:right, 3] = 255
    return found


def mean_patch(photos: Photos, spots: Sequence[Spot], side: int = TILE) -> np.ndarray:
    """(side, side, 3) uint8: the mean of the aligned cut-outs, each place over those that reach it; grey where none does."""
    total, count = np.zeros((side, side, 3)), np.zeros((side, side, 1))
    for spot in spots:
        cut = window(photos.get(spot.name), spot, side)
        inside = cut[..., 3:] > 0
        total += cut[..., :3] * inside
        count += inside
    mean = np.divide(total, count, out=np.full(total.shape, float(EMPTY)), where=count > 0)
    return np.round(mean).astype(np.uint8)


def tiles(photos: Photos, spots: Sequence[Spot], side: int = TILE) -> list[np.ndarray]:
    """(side, side, 3) uint8 each."""
    return [window(photos.get(spot.name), spot, side)[..., :3] for spot in spots]


def sprite(pictures: Sequence[np.ndarray]) -> str:
    """Square pictures of one size side by side as one JPEG, a data URI; empty without any."""
    if not pictures:
        return ""
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(list(pictures), axis=1)).save(buffer, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def evenly(count: int, most: int) -> np.ndarray:
    """Places of at most `most` of `count` things, spread evenly over them, the first always among them."""
    return np.arange(count) if count <= most else np.arange(most) * count // most
