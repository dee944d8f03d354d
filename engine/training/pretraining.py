"""Recognition pretraining: the backbone learns which categories, and which of their looks, a crop shows.

    p = σ(W · mean over pixels of the stride-32 map + b);  loss = binary cross-entropy over categories and over modes

Only presence is told, never a place: the backbone reaches the decoders as the methods expect it, with a high level that
was trained on recognising [choice]. A category or mode is present when it fills at least 0.5 % of the crop [choice];
crops are cut in random sizes, so that what is present varies. Quality: mean average precision over the categories, on
central crops of the validation images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine import checkpoints
from engine.backbones import Backbone, build_backbone
from engine.data.datasets import open_dataset
from engine.segmenter import SegmenterSpec
from engine.training.batches import IGNORED
from engine.training.data import open_sampler
from engine.training.recipes import Recipe
from engine.training.segmentation import make_spec

PRESENT = 0.005
"""Share of the crop from which a category counts as present. [choice]"""
WATCHED = 128


class RecognitionObjective(nn.Module):
    """Backbone, average pool and one linear layer to the categories and their modes.

    modes: number of appearance modes per category, in the order of the categories.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, modes: Sequence[int], spec: SegmenterSpec) -> None:
        super().__init__()
        self.backbone = backbone
        self.categories = len(modes)
        self.modes = tuple(modes)
        self.recognise = nn.Linear(backbone.channels[-1], self.categories + sum(modes))
        self.register_buffer("mean", torch.tensor(spec.mean), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std), persistent=False)

    def scores(self, images: Tensor) -> Tensor:
        """images (b, H, W, 3) uint8 → logits (b, categories + modes)."""
        normalised = ((images.float() / 255 - self.mean) / self.std).permute(0, 3, 1, 2)
        high = self.backbone(normalised).levels[-1]
        return self.recognise(high.float().mean((2, 3)))

    def forward(self, images: Tensor, labels: Tensor, modes: Tensor | None = None) -> dict[str, Tensor]:
        """images uint8 (b, S, S, 3), labels and modes (b, S, S) int64 → {"categories", "modes"} scalar losses."""
        target = presence(labels, modes, self.modes)
        scores = self.scores(images).float()
        parts = {"categories": slice(0, self.categories), "modes": slice(self.categories, target.shape[1])}
        return {
            name: F.binary_cross_entropy_with_logits(scores[:, part], target[:, part])
            for name, part in parts.items()
            if target[:, part].numel()
        }


def presence(labels: Tensor, modes: Tensor | None, counts: Sequence[int]) -> Tensor:
    """What a crop shows: (b, categories + all modes) in {0, 1}, categories first, then the modes category by category.

    labels and modes (b, H, W) int64, 255 = none; counts: modes per category. Without `modes` only the categories' part
    is told and the others are 0.
    """
    pixels = labels.flatten(1)
    categories = _share(pixels, len(counts))
    first = torch.tensor([0, *np.cumsum(counts)], device=labels.device)
    if modes is None:
        return torch.cat([categories, categories.new_zeros(len(labels), int(first[-1]))], 1)
    inner = modes.flatten(1)
    known = (pixels != IGNORED) & (inner != IGNORED)
    flat = torch.where(known, first[pixels.clamp(max=len(counts) - 1)] + inner, IGNORED)
    return torch.cat([categories, _share(flat, int(first[-1]))], 1)


def _share(values: Tensor, count: int) -> Tensor:
    """(b, count): 1 where a value fills at least PRESENT of a row of values (b, s); 255 and above count is none."""
    slots = values.clamp(max=count)
    filled = torch.zeros(len(values), count + 1, device=values.device)
    filled.scatter_add_(1, slots, torch.ones_like(slots, dtype=filled.dtype))
    return (filled[:, :count] >= PRESENT * values.shape[1]).float()


class RecognitionTask:
    """Pretraining of the backbone that the recipe's spec names."""

    def __init__(self, recipe: Recipe) -> None:
        from engine.data.scenes import CATEGORIES

        self.recipe = recipe
        self.validation = open_dataset(recipe.validation_data)
        self.classes = tuple(self.validation.classes)
        by_name = {category.name: len(category.modes) for category in CATEGORIES}
        spec = make_spec(recipe, self.classes)
        self.sampler = open_sampler(recipe, modes=True)
        self.backbone = build_backbone(spec.backbone, output_stride=spec.output_stride)
        self.backbone.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        modes = [by_name.get(name, 0) for name in self.classes]
        self.objective: nn.Module = RecognitionObjective(self.backbone, modes, spec)

    def backbone_parameters(self) -> Iterable[nn.Parameter]:
        # nothing here is pretrained yet: every part learns at the full rate
        return ()

    def separate_parameters(self) -> list[nn.Parameter]:
        return []

    def before_step(self, step: int) -> None:
        """Nothing changes with the step."""

    def after_step(self, finished: int) -> None:
        """Nothing is recorded."""

    def watch(self, device: torch.device) -> dict[str, Any]:
        return {"mAP": self.average_precision(WATCHED, device)[0]}

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""

    def scores(self, images: Tensor) -> Tensor:
        """Probabilities of the categories (b, k) for images (b, H, W, 3) uint8."""
        assert isinstance(self.objective, RecognitionObjective)
        return self.objective.scores(images)[:, : len(self.classes)].float().sigmoid()

    @torch.no_grad()
    def average_precision(self, limit: int, device: torch.device) -> tuple[float, dict[str, float | None]]:
        """Mean over the categories, and per category, in percent, on central crops; null where never or always present."""
        from torchmetrics.functional.classification import multilabel_average_precision

        crop, scores, targets = self.recipe.crop, [], []
        self.objective.eval()
        for start in range(0, min(limit, len(self.validation)), 16):
            samples = [self.validation[i] for i in range(start, min(start + 16, limit, len(self.validation)))]
            images, labels = (
                torch.from_numpy(np.stack([_centre(a, crop) for a in arrays])).to(device)
                for arrays in ([s.image for s in samples], [s.labels for s in samples])
            )
            scores.append(self.scores(images).cpu())
            targets.append(_share(labels.long().flatten(1), len(self.classes)).long().cpu())
        self.objective.train()
        score, target = torch.cat(scores), torch.cat(targets)
        each = multilabel_average_precision(score, target, num_labels=len(self.classes), average="none")
        told = (target.sum(0) > 0) & (target.sum(0) < len(target))
        named = {
            name: round(100 * float(value), 2) if known else None
            for name, value, known in zip(self.classes, each, told, strict=True)
        }
        return round(100 * float(each[told].mean()), 2), named

    def finish(self, path: Path, provenance: dict[str, Any], device: torch.device) -> None:
        """Measures the backbone and writes it."""
        measures: dict[str, Any] = {}
        if self.recipe.validation_images:
            mean, named = self.average_precision(self.recipe.validation_images, device)
            measures = {"mAP": mean, "categories": named, "data": self.recipe.validation_data}
        checkpoints.save_backbone(path, self.backbone, provenance | measures)


def _centre(array: np.ndarray, side: int) -> np.ndarray:
    top, left = ((size - min(side, size)) // 2 for size in array.shape[:2])
    return array[top : top + side, left : left + side]
