"""Models side by side on one image: everything is matched by the categories' names, since two models may number them differently.

    common names     the categories that all of the models know, in the first one's order
    renamed labels   (H, W) uint8 index into the common names; OTHER: a category that not all of them know; 255: unknown
    distinct         (H, W) how many different categories the models predict at a pixel; 0 where one of them predicts OTHER
    mIoU of an image over the common names that occur in truth or prediction; pixels whose true category is not common are
                     left out, a prediction of OTHER on the rest is a miss  [choice]

Pure: arrays in, arrays out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine import metrics

UNKNOWN = metrics.IGNORED  # 255
OTHER = 254


@dataclass(frozen=True)
class Difference:
    """Two models on one image. share: of the pixels where both predict a common category that have different ones, nan without
    such pixels. mious: percent, of each, None without ground truth.
    """

    share: float
    mious: tuple[float, float] | None

    @property
    def gap(self) -> float | None:
        """mIoU of the second minus that of the first, in points."""
        return None if self.mious is None else self.mious[1] - self.mious[0]


# What two training runs must share before their accuracies say something of the decoders, with the words for it.
TRAINING = {
    "train_data": "data",
    "train_images": "images",
    "initial_backbone": "pretraining",
    "steps": "steps",
    "batch": "batch",
    "crop": "crop",
    "optimiser": "optimiser",
    "learning_rate": "learning rate",
    "weight_decay": "weight decay",
    "seed": "seed",
}
BEFORE = {"optimiser": "adamw"}  # of recipes written before there was a choice


def trained_apart(provenances: Mapping[str, Mapping[str, Any]]) -> str | None:
    """One sentence naming what differs between these models' recipes (model → provenance); None where nothing does.

    Models without a recipe are passed over: nothing is known of their training.
    """
    recipes = {
        name: recipe
        for name, provenance in provenances.items()
        if isinstance(recipe := provenance.get("recipe"), Mapping)
    }
    parts = []
    for key, word in TRAINING.items():
        holders: dict[str, list[str]] = {}
        for name, recipe in recipes.items():
            holders.setdefault(str(recipe.get(key, BEFORE.get(key, "unknown"))), []).append(name)
        if len(holders) > 1:
            parts.append(
                f"{word} " + " / ".join(f"{value} ({', '.join(names)})" for value, names in holders.items())
            )
    if not parts:
        return None
    return f"Not trained alike, so differences in accuracy are not the decoder's alone: {'; '.join(parts)}."


def common_names(classes: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Names that every model knows, in the order of the first."""
    if not classes:
        return ()
    others = [set(names) for names in classes[1:]]
    return tuple(name for name in classes[0] if all(name in known for known in others))


def renamed(labels: np.ndarray, classes: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """(H, W) uint8: labels of a model with `classes` as indices into `names`; at most 254 names."""
    table = np.full(max(len(classes), UNKNOWN) + 1, UNKNOWN, np.uint8)
    places = {name: index for index, name in enumerate(names[:OTHER])}
    table[: len(classes)] = [places.get(name, OTHER) for name in classes]
    if len(classes) <= UNKNOWN:
        table[UNKNOWN] = UNKNOWN
    return table[labels]


def distinct(labels: Sequence[np.ndarray]) -> np.ndarray:
    """(H, W) uint8: number of different categories at each pixel among renamed label maps; 0 where one is OTHER or unknown."""
    stack = np.sort(np.stack(labels), axis=0)
    count = 1 + (np.diff(stack, axis=0) != 0).sum(axis=0)
    return np.where(stack[-1] >= OTHER, 0, count).astype(np.uint8)


def differs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(H, W) bool: two renamed label maps have different common categories."""
    return (first != second) & (np.maximum(first, second) < OTHER)


def share_of(first: np.ndarray, second: np.ndarray) -> float:
    """Share of the pixels, among those where both are common, at which they differ."""
    both = np.maximum(first, second) < OTHER
    return float(differs(first, second).sum() / both.sum()) if both.any() else float("nan")


def image_iou(truth: np.ndarray, predicted: np.ndarray, count: int) -> np.ndarray:
    """(count,) IoU of each common category on one image, percent, nan where it does not occur; both are renamed label maps."""
    valid = truth < OTHER
    guess = np.where(predicted[valid] >= OTHER, count, predicted[valid])
    matrix = metrics.confusion(truth[valid], guess, count + 1)
    return 100 * metrics.iou(matrix)[:count]


def right_share(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Share of the pixels of common true categories that are predicted right; nan without such pixels."""
    valid = truth < OTHER
    return float((truth == predicted)[valid].mean()) if valid.any() else float("nan")


def difference(first: np.ndarray, second: np.ndarray, truth: np.ndarray | None, count: int) -> Difference:
    """Of two renamed label maps, with the renamed truth where it is known."""
    mious = None
    if truth is not None:
        a, b = (metrics.mean(image_iou(truth, one, count)) for one in (first, second))
        mious = (a, b)
    return Difference(share_of(first, second), mious)
