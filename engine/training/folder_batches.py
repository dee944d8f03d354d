"""Batches of crops from datasets in folders, with the authors' augmentations.

The batch of step t is a pure function of (seed, t), as in `engine.training.batches`; each image of it has random numbers of its
own, so that a process of several draws its own images alone. Images are decoded and cut in threads.

    resized     to `short_side` pixels on the shorter side (0: as it is), times a factor from scale_from..scale_to   [author]
    cropped     to `crop`; drawn again, ten times at most, while one category fills more than `category_limit`       [author]
    flipped     with probability ½
    distorted   brightness, contrast, saturation and hue, each with probability ½, contrast before or after the other two
                (torchvision's RandomPhotometricDistort, Liu et al. 2016), scaled by `jitter` ÷ 0.15                  [choice]
    padded      where the image is smaller than the crop: ImageNet's mean colour, label 255

Operations are torchvision's v2; their parameters are drawn here, since torch's generator is one for all threads. What cannot be
read is replaced by the next image of the pass, and counted.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as v2

from engine.errors import LoupeError
from engine.evaluation import LabelledImages
from engine.training.batches import IGNORED, TRIES, Batch

MEAN_COLOUR = [124.0, 116.0, 104.0]
BRIGHTNESS, CONTRAST, HUE = (
    0.125,
    0.5,
    0.05,
)  # half-widths of RandomPhotometricDistort; saturation's is contrast's
FULL_JITTER = 0.15  # at which distortion is torchvision's
MOST_SKIPPED = 64  # images in a row that cannot be read


@dataclass(frozen=True, eq=False)
class FolderSampler:
    """dataset: labelled images of any sizes. skipped: id → why, of what could not be read; it grows."""

    dataset: LabelledImages
    seed: int
    batch: int
    crop: int
    short_side: int = 0
    scale_from: float = 0.5
    scale_to: float = 2.0
    category_limit: float = 0.75
    jitter: float = FULL_JITTER
    skipped: dict[str, str] = field(default_factory=dict)

    def __call__(self, step: int, rank: int = 0, parts: int = 1) -> Batch:
        """The share of process `rank` of the batch of optimiser step `step`.

        Raises:
            LoupeError: image after image cannot be read.
        """
        positions = range(step * self.batch, (step + 1) * self.batch)[rank::parts]
        images, labels = zip(*self._threads.map(self._one, positions), strict=True)
        return Batch(np.stack(images), np.stack(labels))

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)) - 1), "images")

    def _one(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (S, S, 3) and labels (S, S) of one place in the endless order of images."""
        random = np.random.default_rng((self.seed, 1, position))
        image, labels = self._read(position)
        image, labels = self._scaled(image, labels, random)
        image, labels = self._padded(image, labels)
        top, left = self._place(labels, random)
        image = v2.crop(image, top, left, self.crop, self.crop)
        labels = v2.crop(labels, top, left, self.crop, self.crop)
        if random.random() < 0.5:
            image, labels = v2.horizontal_flip(image), v2.horizontal_flip(labels)
        if self.jitter:
            image = distorted(image, self.jitter / FULL_JITTER, random)
        return image.permute(1, 2, 0).numpy(), labels[0].numpy()

    def _read(self, position: int) -> tuple[Tensor, Tensor]:
        """(3, H, W) and (1, H, W) uint8 of the image at a position, or of the next one that can be read."""
        count = len(self.dataset)
        for at in range(position, position + min(MOST_SKIPPED, count)):
            index = int(_order(self.seed, at // count, count)[at % count])
            try:
                sample = self.dataset[index]
            except (LoupeError, OSError, ValueError) as error:
                name = getattr(self.dataset, "id_of", str)(index)
                self.skipped[name] = " ".join(str(error).split())
                continue
            image = torch.from_numpy(np.array(sample.image)).permute(2, 0, 1)
            return image, torch.from_numpy(np.array(sample.labels, np.uint8))[None]
        why = next(reversed(self.skipped.values()))
        raise LoupeError(f"{min(MOST_SKIPPED, count)} images in a row cannot be read; the last: {why}")

    def _scaled(self, image: Tensor, labels: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        height, width = image.shape[-2:]
        factor = float(random.uniform(self.scale_from, self.scale_to))
        if self.short_side:
            factor *= self.short_side / min(height, width)
        size = [max(1, round(side * factor)) for side in (height, width)]
        if size == [height, width]:
            return image, labels
        return (
            v2.resize(
                image, size, v2.InterpolationMode.BILINEAR, antialias=False
            ),  # as OpenCV does  [author]
            v2.resize(labels, size, v2.InterpolationMode.NEAREST),
        )

    def _padded(self, image: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        height, width = image.shape[-2:]
        below, right = max(0, self.crop - height), max(0, self.crop - width)
        if not below and not right:
            return image, labels
        around = [0, 0, right, below]
        return v2.pad(image, around, fill=MEAN_COLOUR), v2.pad(labels, around, fill=[IGNORED])

    def _place(self, labels: Tensor, random: np.random.Generator) -> tuple[int, int]:
        """Where to cut, under the rule that no category fills more than `category_limit` of the crop's labelled pixels."""
        seen = labels[0].numpy()
        top = left = 0
        for _ in range(TRIES):
            top = int(random.integers(0, seen.shape[0] - self.crop + 1))
            left = int(random.integers(0, seen.shape[1] - self.crop + 1))
            counts = np.bincount(seen[top : top + self.crop, left : left + self.crop].ravel(), minlength=256)
            counts = counts[:IGNORED]
            if counts.max() <= self.category_limit * max(1, counts.sum()):
                break
        return top, left


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, 2, epoch)).permutation(count)


def distorted(image: Tensor, amount: float, random: np.random.Generator) -> Tensor:
    """Photometric distortion of (3, H, W) uint8; amount 1 is torchvision's RandomPhotometricDistort, 0 changes nothing."""

    def drawn(width: float) -> float:
        return float(random.uniform(1 - width * amount, 1 + width * amount))

    brighter, more, richer, shifted, first = random.random(5) < 0.5
    if brighter:
        image = v2.adjust_brightness(image, max(0.0, drawn(BRIGHTNESS)))
    if more and first:
        image = v2.adjust_contrast(image, max(0.0, drawn(CONTRAST)))
    if richer:
        image = v2.adjust_saturation(image, max(0.0, drawn(CONTRAST)))
    if shifted:
        image = v2.adjust_hue(image, float(np.clip(drawn(HUE) - 1, -0.5, 0.5)))
    if more and not first:
        image = v2.adjust_contrast(image, max(0.0, drawn(CONTRAST)))
    return image
