"""Evaluates a segmenter on a dataset: mIoU, boundary IoU and band IoU over the split.

Whole images at one scale unless asked otherwise (`engine.inference`); the logits are resized bilinearly to the label's size
before the argmax, as in training. Counts are kept per image, so that intervals over images can be drawn from them later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from engine import metrics
from engine.errors import LoupeError
from engine.inference import WHOLE, Inference, predict_labels
from engine.metrics import Counts

Progress = Callable[[int, int, dict[str, Any]], None]
"""Called with what is done, what there is to do, and figures worth showing."""


class LabelledImages(Protocol):
    """What evaluation needs of a dataset: samples with `.image` (H, W, 3) uint8 and `.labels` (H, W), 255 ignored."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


# Images of 512×512 that go through a model together: the widest maps of one of 2048×1024 are 0.5 GB at C = 256.
CPU_PIXELS, GPU_PIXELS = 1 << 20, 1 << 22


def at_once(batch: int, size: tuple[int, ...], device: str | torch.device) -> int:
    """Images of `size` (H, W) at a time: `batch`, or as many as have `CPU_PIXELS` or `GPU_PIXELS` together, if that is fewer."""
    most = CPU_PIXELS if torch.device(device).type == "cpu" else GPU_PIXELS
    return max(1, min(batch, most // (size[0] * size[1])))


@dataclass(frozen=True)
class Evaluation:
    """Counts of a model on a split, and what follows from them. Percentages are 0..100."""

    model: str
    data: str
    classes: tuple[str, ...]
    images: tuple[Counts, ...]
    """One per image, in the dataset's order."""
    how: Inference = WHOLE

    @property
    def total(self) -> Counts:
        """Sum over the images."""
        total = self.images[0]
        for counts in self.images[1:]:
            total = total + counts
        return total

    @property
    def miou(self) -> float:
        """mIoU in percent."""
        return 100 * metrics.mean(self.total.iou)

    @property
    def boundary_iou(self) -> float:
        """Mean boundary IoU in percent."""
        return 100 * metrics.mean(self.total.boundary_iou)

    def json(self) -> dict[str, Any]:
        """Plain values, percentages rounded to 0.01; null for a category that never occurs."""
        total = self.total
        right = int(np.trace(total.confusion))
        return {
            "model": self.model,
            "data": self.data,
            "mIoU": _percent(metrics.mean(total.iou)),
            "boundary_IoU": _percent(metrics.mean(total.boundary_iou)),
            "band_IoU": _percent(metrics.mean(total.band_iou)),
            "pixel_accuracy": _percent(right / max(1, int(total.confusion.sum()))),
            "categories": self._named(total.iou),
            "boundary_categories": self._named(total.boundary_iou),
            "images": len(self.images),
            "inference": self.how.json(),
        }

    def _named(self, values: np.ndarray) -> dict[str, float | None]:
        return {name: _percent(value) for name, value in zip(self.classes, values, strict=True)}


def evaluate(
    segmenter: Any,
    dataset: LabelledImages,
    *,
    limit: int | None = None,
    device: str | torch.device = "cpu",
    batch: int = 8,
    progress: Progress | None = None,
    model: str = "",
    data: str = "scenes-val",
    how: Inference = WHOLE,
) -> Evaluation:
    """Runs the segmenter (left on `device`, its training mode restored) over the first `limit` images.

    batch: images at a time, at most: large ones go in smaller groups (`at_once`). how: whole images, or sliding windows,
    several scales, mirror images.

    Raises LoupeError when there is no image, or when the dataset's categories are not the model's.
    """
    count = len(dataset) if limit is None else min(limit, len(dataset))
    if count < 1:
        raise LoupeError(f"There is no image to evaluate in {data}.")
    classes = tuple(segmenter.spec.classes)
    known = getattr(dataset, "classes", None)
    if known is not None and tuple(known) != classes:
        raise LoupeError(
            f"The model {model or 'given'} knows {len(classes)} categories that are not the {len(known)} of {data}."
        )
    training = segmenter.training
    segmenter.to(device).eval()
    images: list[Counts] = []
    try:
        for samples in _groups(dataset, count, batch, device):
            predictions = predict_labels(segmenter, np.stack([s.image for s in samples]), device, how)
            for sample, labels in zip(samples, predictions, strict=True):
                images.append(metrics.count(np.asarray(sample.labels), labels, len(classes)))
            if progress is not None:
                progress(len(images), count, {})
    finally:
        segmenter.train(training)
    return Evaluation(model, data, classes, tuple(images), how)


def _groups(
    dataset: LabelledImages, count: int, batch: int, device: str | torch.device
) -> Iterator[list[Any]]:
    """Consecutive samples of one size, at most `batch` at a time, and of large ones fewer."""
    group: list[Any] = []
    for index in range(count):
        sample = dataset[index]
        full = len(group) == at_once(batch, sample.image.shape, device)
        if group and (full or group[0].image.shape != sample.image.shape):
            yield group
            group = []
        group.append(sample)
    yield group


def _percent(value: float) -> float | None:
    return None if np.isnan(value) else round(100 * float(value), 2)
