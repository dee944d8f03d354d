"""Pixel samples made up for tests: categories apart, images with effects of their own, modes where they are asked for."""

from __future__ import annotations

import numpy as np

from engine.pixels import PixelSample


def sample_of(
    features: np.ndarray,
    category: np.ndarray,
    image: np.ndarray,
    mode: np.ndarray | None = None,
    site: str = "f2",
    **given,
) -> PixelSample:
    """Every pixel at a place of its own; `given` replaces fields."""
    rows, images = len(category), int(image.max()) + 1
    classes = tuple(f"class {c}" for c in range(int(category.max()) + 1))
    fields = {
        "model": "toy",
        "checkpoint": "a" * 64,
        "data": "toys",
        "site": site,
        "level": 2,
        "classes": classes,
        "names": tuple(f"image {i}" for i in range(images)),
        "sizes": np.full((images, 2), 1000),
        "image": np.asarray(image, np.int64),
        "pixel": np.stack(np.divmod(np.arange(rows), 1000), axis=1).astype(np.int32),
        "category": np.asarray(category, np.int64),
        "predicted": np.asarray(category, np.int64),
        "confidence": np.ones(rows, np.float32),
        "mode": np.full(rows, 255, np.uint8) if mode is None else np.asarray(mode, np.uint8),
        "pure": np.ones(rows, bool),
        "features": np.asarray(features, np.float32),
    }
    return PixelSample(**fields | given)


def drawn(
    random: np.random.Generator,
    means: np.ndarray,
    images: int = 40,
    each: int = 3,
    between_images: float = 0.5,
    within_images: float = 1.0,
) -> PixelSample:
    """`each` pixels of every category (k, c) in every image: mean + an effect of image and category + noise, all normal."""
    k, channels = means.shape
    category = np.tile(np.repeat(np.arange(k), each), images)
    image = np.repeat(np.arange(images), k * each)
    effect = random.normal(0, between_images, (images, k, channels))
    x = means[category] + effect[image, category] + random.normal(0, within_images, (len(image), channels))
    return sample_of(x, category, image)
