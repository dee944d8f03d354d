"""Batches of crops. The batch of step t is a pure function of (seed, t).

Nothing is remembered between steps: an interrupted run continues exactly, and models trained with one seed see identical
crops. Every pass over the data is a new permutation. Crops are slices of (memory-mapped) arrays; the next ones are made
in a thread while the model works.

Augmentation, light on purpose since the scenes are already varied: horizontal flip; a crop with more than
`category_limit` of one category is drawn again [author]; gain, contrast, gamma and colour balance through one table of
256 values per image and channel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from engine.errors import LoupeError

IGNORED = 255
"""Label of pixels without a category; mode of pixels without a mode."""
TRIES = 10
"""How often a crop is drawn before the rule about one category gives way. [author]"""


@dataclass(frozen=True)
class Batch:
    """Crops, all uint8. images (b, S, S, 3) · labels (b, S, S) · modes (b, S, S) or None."""

    images: np.ndarray
    labels: np.ndarray
    modes: np.ndarray | None = None

    def part(self, rank: int, parts: int) -> Batch:
        """The share of process `rank` of `parts`."""
        modes = None if self.modes is None else self.modes[rank::parts]
        return Batch(self.images[rank::parts], self.labels[rank::parts], modes)


class Sampler(Protocol):
    """Where batches come from: the one of step `step`, all of it or the share of process `rank` of `parts`."""

    def __call__(self, step: int, rank: int = 0, parts: int = 1) -> Batch: ...


@dataclass(frozen=True)
class Share:
    """What one process of several draws."""

    sampler: Sampler
    rank: int
    parts: int

    def __call__(self, step: int) -> Batch:
        return self.sampler(step, self.rank, self.parts)


@dataclass(frozen=True)
class CropSampler:
    """Draws batches from whole images of one size.

    images (N, H, W, 3) uint8 · labels (N, H, W) uint8 · modes (N, H, W) uint8 or None. Side lengths in pixels: what is cut
    out is drawn from `crop_from`..`crop_to` and resized to `crop`. Raises LoupeError when an image is smaller than that.
    """

    images: np.ndarray
    labels: np.ndarray
    modes: np.ndarray | None = None
    seed: int = 0
    batch: int = 8
    crop: int = 160
    crop_from: int = 160
    crop_to: int = 160
    category_limit: float = 0.75
    jitter: float = 0.15

    def __post_init__(self) -> None:
        if len(self.images) == 0 or min(self.labels.shape[1:]) < self.crop_to:
            size = "×".join(map(str, self.labels.shape[1:]))
            raise LoupeError(
                f"Crops of {self.crop_to} pixels do not fit {len(self.images)} images of {size} pixels."
            )

    def __call__(self, step: int, rank: int = 0, parts: int = 1) -> Batch:
        """The batch of optimiser step `step`. Crops are cheap, and drawn one after the other: a share is cut from the whole."""
        random = np.random.default_rng((self.seed, 1, step))
        count = len(self.images)
        images, labels, modes = [], [], []
        for position in range(step * self.batch, (step + 1) * self.batch):
            index = int(self._order(position // count)[position % count])
            rows, columns = self._place(index, random)
            cut = (
                (slice(None), slice(None, None, -1)) if random.random() < 0.5 else (slice(None), slice(None))
            )
            images.append(self._resized(self.images[index, rows, columns][cut], Image.Resampling.BILINEAR))
            labels.append(self._resized(self.labels[index, rows, columns][cut], Image.Resampling.NEAREST))
            if self.modes is not None:
                modes.append(self._resized(self.modes[index, rows, columns][cut], Image.Resampling.NEAREST))
            if self.jitter:
                images[-1] = _jittered(images[-1], self.jitter, random)
        return Batch(np.stack(images), np.stack(labels), np.stack(modes) if modes else None).part(rank, parts)

    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((self.seed, 2, epoch)).permutation(len(self.images))

    def _place(self, index: int, random: np.random.Generator) -> tuple[slice, slice]:
        """Where to cut, under the rule that no category fills more than `category_limit` of the crop."""
        height, width = self.labels.shape[1:]
        place = (slice(0, 0), slice(0, 0))
        for _ in range(TRIES):
            side = int(random.integers(self.crop_from, self.crop_to + 1))
            top = int(random.integers(0, height - side + 1))
            left = int(random.integers(0, width - side + 1))
            place = (slice(top, top + side), slice(left, left + side))
            # every other pixel in both directions decides the share well enough, at a quarter of the time
            counts = np.bincount(self.labels[index, place[0], place[1]][::2, ::2].ravel(), minlength=256)[
                :IGNORED
            ]
            if counts.max() <= self.category_limit * max(1, counts.sum()):
                break
        return place

    def _resized(self, pixels: np.ndarray, how: Image.Resampling) -> np.ndarray:
        if pixels.shape[0] == self.crop:
            return pixels
        return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((self.crop, self.crop), how))


def prefetched(sampler: Callable[[int], Batch], start: int, stop: int, ahead: int = 3) -> Iterator[Batch]:
    """Batches of steps start..stop−1 in order, made up to `ahead` steps early in one thread."""
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        waiting: list[Future[Batch]] = [
            pool.submit(sampler, step) for step in range(start, min(stop, start + ahead))
        ]
        try:
            for step in range(start, stop):
                batch = waiting.pop(0).result()
                if step + ahead < stop:
                    waiting.append(pool.submit(sampler, step + ahead))
                yield batch
        finally:
            for future in waiting:
                future.cancel()


def _jittered(image: np.ndarray, amount: float, random: np.random.Generator) -> np.ndarray:
    """Gain, contrast, gamma and colour balance, each uniform in ± amount (colour balance: ± a third of it)."""
    gain, contrast, gamma = 1 + amount * random.uniform(-1, 1, 3)
    balance = 1 + amount / 3 * random.uniform(-1, 1, 3)
    ramp = ((np.arange(256, dtype=np.float32) / 255) ** gamma - 0.5) * contrast + 0.5
    table = np.clip(ramp[None] * gain * balance[:, None] * 255 + 0.5, 0, 255).astype(np.uint8)
    return np.stack([table[c][image[..., c]] for c in range(3)], axis=-1)
