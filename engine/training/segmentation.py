"""Training a segmenter: what the loop needs to know about it.

The recipe's `[spec]` decides the decoder; the data decide the categories. After training the checkpoint is written in fp16,
read back and evaluated as it will be used, and its measures go into its provenance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from engine import checkpoints
from engine.data.datasets import open_dataset
from engine.errors import LoupeError
from engine.evaluation import evaluate
from engine.inference import Inference
from engine.segmenter import Segmenter, SegmenterSpec, build
from engine.training.data import find_backbone, open_sampler
from engine.training.moments import MomentRecorder
from engine.training.objective import SegmentationObjective
from engine.training.recipes import Recipe
from engine.training.schedules import memory_share

WATCHED = 40
"""Validation images looked at while training."""


class SegmentationTask:
    """Segmentation of a labelled dataset with the decoder that the recipe's spec names."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.validation = open_dataset(recipe.validation_data)
        spec = make_spec(recipe, tuple(self.validation.classes))
        self.sampler = open_sampler(recipe)
        self.segmenter = build(spec, pretrained=recipe.pretrained)
        if recipe.initial_memory:
            start_memory(self.segmenter, Path(recipe.initial_memory))
        if recipe.initial_backbone:
            checkpoints.load_backbone(find_backbone(recipe.initial_backbone), self.segmenter.backbone)  # pyright: ignore[reportArgumentType]
        self.objective: nn.Module = SegmentationObjective(self.segmenter, recipe.backbone_precision == "fp32")
        self.initial_share = spec.memory_share
        self.moments = MomentRecorder(recipe.steps, recipe.moments) if spec.remembers else None

    def backbone_parameters(self) -> Iterable[nn.Parameter]:
        return self.segmenter.backbone.parameters()

    def separate_parameters(self) -> list[nn.Parameter]:
        return self.segmenter.decoder.separate_parameters()

    def share(self, step: int) -> float:
        """μ during optimiser step `step`."""
        return memory_share(self.recipe.memory_schedule, step, self.recipe.steps, self.initial_share)

    def before_step(self, step: int) -> None:
        if self.moments is not None and self.recipe.memory_schedule != "constant":
            self.segmenter.decoder.set_memory_share(self.share(step))

    def after_step(self, finished: int) -> None:
        if self.moments is not None:
            self.moments.record(finished, [bank.bank for bank in self.segmenter.decoder.memory_banks()])

    def watch(self, device: torch.device) -> dict[str, Any]:
        seen = evaluate(self.segmenter, self.validation, limit=WATCHED, device=device)
        return {"mIoU": round(seen.miou, 2)}

    def state(self) -> dict[str, Any]:
        return {} if self.moments is None else self.moments.state()

    def restore(self, state: dict[str, Any]) -> None:
        if self.moments is not None:
            self.moments.restore(state)

    def finish(self, path: Path, provenance: dict[str, Any], device: torch.device) -> None:
        """Writes the checkpoint, evaluates what was written, and writes it again with its measures."""
        if self.moments is not None:
            last = self.share(self.recipe.steps - 1)
            self.segmenter.decoder.set_memory_share(last)
            self.segmenter.spec = dataclasses.replace(self.segmenter.spec, memory_share=last)
            self.moments.write(path.with_name(path.stem + ".memory.safetensors"), path)
        checkpoints.save(path, self.segmenter, provenance)
        if self.recipe.validation_images:
            written = checkpoints.load(path).segmenter
            limit, data = self.recipe.validation_images, self.recipe.validation_data
            how = Inference(
                self.recipe.test_window, self.recipe.test_stride, short_side=self.recipe.short_side
            )
            seen = evaluate(
                written, self.validation, limit=limit, device=device, model=path.stem, data=data, how=how
            )
            measures = {key: value for key, value in seen.json().items() if key != "model"}
            checkpoints.save(path, self.segmenter, provenance | measures)


def start_memory(segmenter: Segmenter, path: Path) -> None:
    """Every bank from per-category mean features (k, ≥ C) of a .npy file.  [author]

    Raises:
        LoupeError: no memory, no such file, or another shape.
    """
    banks = segmenter.decoder.memory_banks()
    if not banks:
        raise LoupeError(f"{path.name}: this model has no memory to start from it")
    try:
        features = torch.from_numpy(np.load(path, allow_pickle=False)).float()
        for bank in banks:
            bank.initialise(features)
    except (OSError, ValueError, TypeError) as error:
        raise LoupeError(f"the memory cannot start from {path}: {error}") from error


def make_spec(recipe: Recipe, classes: tuple[str, ...]) -> SegmenterSpec:
    """The recipe's `[spec]` with the categories of the data. Raises LoupeError on an unknown or wrong field."""
    known = {f.name for f in dataclasses.fields(SegmenterSpec)} - {"classes"}
    unknown = sorted(recipe.spec.keys() - known)
    if unknown:
        raise LoupeError(f"Recipe {recipe.name}: spec has the unknown key {unknown[0]!r}.")
    if "backbone" not in recipe.spec:
        raise LoupeError(f"Recipe {recipe.name}: spec lacks the key 'backbone'.")
    try:
        return SegmenterSpec(**recipe.spec, classes=classes)
    except TypeError as error:
        raise LoupeError(f"Recipe {recipe.name}: the spec is wrong: {error}.") from error
