"""From a recipe to its data, and the sampler that cuts crops from them: memory-mapped scenes, or images in folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.data.datasets import SPLITS, materialise, open_dataset
from engine.errors import LoupeError
from engine.training.batches import CropSampler, Sampler
from engine.training.recipes import RECIPES, Recipe

MODELS = RECIPES.parent / "models"


def open_sampler(recipe: Recipe, *, modes: bool = False) -> Sampler:
    """The crops of a recipe; scenes are written once and memory-mapped afterwards, folders are read as they lie.

    Raises LoupeError where the data are not there.
    """
    if recipe.train_data not in SPLITS:
        return _from_folder(recipe)
    data = materialise(recipe.train_data, recipe.train_images or SPLITS[recipe.train_data].count)
    return CropSampler(
        data.images,
        data.labels,
        data.modes if modes else None,
        seed=recipe.seed,
        batch=recipe.batch,
        crop=recipe.crop,
        crop_from=recipe.crop_from,
        crop_to=recipe.crop_to,
        category_limit=recipe.category_limit,
        jitter=recipe.jitter,
    )


def _from_folder(recipe: Recipe) -> Sampler:
    from engine.training.folder_batches import FolderSampler

    dataset = open_dataset(recipe.train_data)
    return FolderSampler(
        First(dataset, recipe.train_images) if recipe.train_images else dataset,
        seed=recipe.seed,
        batch=recipe.batch,
        crop=recipe.crop,
        short_side=recipe.short_side,
        scale_from=recipe.scale_from,
        scale_to=recipe.scale_to,
        category_limit=recipe.category_limit,
        jitter=recipe.jitter,
    )


@dataclass(frozen=True, eq=False)
class First:
    """The first `count` images of a dataset."""

    dataset: Any
    count: int

    def __len__(self) -> int:
        return min(self.count, len(self.dataset))

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index]

    def id_of(self, index: int) -> str:
        return self.dataset.id_of(index)


def find_backbone(name: str) -> Path:
    """The checkpoint of a pretrained backbone: a path, or a file beside the shipped models."""
    for candidate in (Path(name), MODELS / name):
        if candidate.is_file():
            return candidate
    raise LoupeError(f"The pretrained backbone {name} is missing: train it first with the recipe 'backbone'.")
