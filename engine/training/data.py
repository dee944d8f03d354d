"""From a recipe to its data: whole images as memory-mapped arrays, and the sampler that cuts crops from them."""

from __future__ import annotations

from pathlib import Path

from engine.data.datasets import materialise
from engine.errors import LoupeError
from engine.training.batches import CropSampler
from engine.training.recipes import RECIPES, Recipe

MODELS = RECIPES.parent / "models"


def open_sampler(recipe: Recipe, *, modes: bool = False) -> CropSampler:
    """The crops of a recipe; the data are written once and memory-mapped afterwards."""
    data = materialise(recipe.train_data, recipe.train_images)
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


def find_backbone(name: str) -> Path:
    """The checkpoint of a pretrained backbone: a path, or a file beside the shipped models."""
    for candidate in (Path(name), MODELS / name):
        if candidate.is_file():
            return candidate
    raise LoupeError(f"The pretrained backbone {name} is missing: train it first with the recipe 'backbone'.")
