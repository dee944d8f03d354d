"""From images to labels: whole or in sliding windows, at one or several scales, with or without the mirror image.  [author]

    whole       logits of the image, resized bilinearly to its size, argmax
    sliding     logits of windows of `crop` pixels every `stride` pixels, each resized to its window; where windows overlap, their
                mean. The last window of a row or column ends with the image; an image smaller than a window is one window
    augmented   softmax of the above for the image at each scale and, with `flip`, of its mirror image, resized to the image's
                size; their mean, argmax

The image is resized bilinearly after it is normalised, to the nearest multiples of 1 pixel.  [choice]
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import LoupeError
from engine.resample import bilinear_labels, first_largest
from engine.room import in_pieces
from engine.shapes import Float

AUTHOR_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
SMALLEST = 32  # pixels a side of a resized image: one cell of the coarsest map


@dataclass(frozen=True)
class Inference:
    """How a model is asked. crop, stride: pixels of a sliding window, 0 for whole images. scales: factors on the image's size.
    short_side: pixels that its shorter side is resized to first; 0: as it is."""

    crop: int = 0
    stride: int = 0
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    short_side: int = 0

    def __post_init__(self) -> None:
        if (
            self.crop < 0
            or self.stride < 0
            or bool(self.crop) != bool(self.stride)
            or self.stride > self.crop
        ):
            raise LoupeError(
                f"a window of {self.crop} pixels every {self.stride}: give both, the stride at most the window"
            )
        if self.short_side and self.short_side < SMALLEST:
            raise LoupeError(f"a shorter side of {self.short_side} pixels: at least {SMALLEST} are needed")
        if not self.scales or not all(math.isfinite(s) and 0.1 <= s <= 8 for s in self.scales):
            raise LoupeError(f"scales {list(self.scales)}: each must lie between 0.1 and 8")

    @property
    def plain(self) -> bool:
        """Whole images, once."""
        return not self.crop and self.scales == (1.0,) and not self.flip and not self.short_side

    def json(self) -> dict[str, Any]:
        return asdict(self) | {"scales": list(self.scales)}


WHOLE = Inference()


def predict_labels(
    segmenter: Any, images: np.ndarray, device: str | torch.device, how: Inference = WHOLE
) -> np.ndarray:
    """Labels (b, H, W) of images (b, H, W, 3) uint8, in fp32; uint8 up to 256 categories, else int16. Images that do not fit
    into the device's memory together go in halves.

    Raises:
        OutOfMemory: one image does not fit.
    """
    return np.concatenate(in_pieces(lambda some: _labels(segmenter, some, device, how), list(images)))


@torch.no_grad()
def _labels(
    segmenter: Any, some: Sequence[np.ndarray], device: str | torch.device, how: Inference
) -> np.ndarray:
    images = np.stack(some)
    normalised = segmenter.normalise(torch.from_numpy(images).to(device))
    size = (images.shape[1], images.shape[2])
    if how.plain:
        return bilinear_labels(segmenter(normalised).float(), size).cpu().numpy()
    if how.scales == (1.0,) and not how.flip and not how.short_side:
        labels = first_largest(_logits(segmenter, normalised, how))
    else:
        labels = first_largest(_chances(segmenter, normalised, how))
    dtype = torch.uint8 if len(segmenter.spec.classes) <= 256 else torch.int16
    return labels.to(dtype).cpu().numpy()


def _chances(segmenter: Any, images: Float[Tensor, "b 3 H W"], how: Inference) -> Float[Tensor, "b k H W"]:
    """The sum of softmaxes over scales and mirror images."""
    size = images.shape[-2], images.shape[-1]
    base = how.short_side / min(size) if how.short_side else 1.0
    total = None
    for scale in (base * factor for factor in how.scales):
        sides = tuple(max(SMALLEST, round(side * scale)) for side in size)
        scaled = images if sides == size else _resized(images, sides)
        for mirrored in (False, True) if how.flip else (False,):
            logits = _logits(segmenter, scaled.flip(-1) if mirrored else scaled, how)
            logits = logits.flip(-1) if mirrored else logits
            chances = (logits if sides == size else _resized(logits, size)).softmax(1)
            total = chances if total is None else total.add_(chances)
    assert total is not None  # there is a scale
    return total


def _logits(segmenter: Any, images: Float[Tensor, "b 3 H W"], how: Inference) -> Float[Tensor, "b k H W"]:
    """At the images' size; the mean over windows where there are several."""
    height, width = images.shape[-2:]
    if not how.crop or (height <= how.crop and width <= how.crop):
        return _resized(segmenter(images).float(), (height, width))
    total = images.new_zeros(len(images), len(segmenter.spec.classes), height, width)
    count = images.new_zeros(height, width)
    for rows in windows(height, how.crop, how.stride):
        for cols in windows(width, how.crop, how.stride):
            part = images[..., rows, cols]
            total[..., rows, cols] += _resized(segmenter(part).float(), (part.shape[-2], part.shape[-1]))
            count[rows, cols] += 1
    return total.div_(count)


def windows(side: int, crop: int, stride: int) -> Iterator[slice]:
    """Windows along one side: every pixel is in at least one, and the last ends with the side."""
    for i in range(max(0, -(-(side - crop) // stride)) + 1):
        end = min(i * stride + crop, side)
        yield slice(max(0, end - crop), end)


def _resized(x: Tensor, size: tuple[int, ...]) -> Tensor:
    return x if x.shape[-2:] == size else F.interpolate(x, size=size, mode="bilinear", align_corners=False)
