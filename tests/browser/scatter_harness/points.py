"""Made-up points: clusters of categories, images and modes, with predictions, a value and markers."""

from __future__ import annotations

import numpy as np

from app.palette import known
from app.scatter import Panel, Points, Value, describe, describe_photo
from tests.browser.scatter_harness.server import ScatterHarness

CLASSES = [{"name": name, "colour": colour} for name, colour in known().items()]
SIZE = (96, 128)  # rows, columns of every image
INSPECT = "inspect?model=cpt&image={image}&pins={row},{col}"


def points(count: int, images: int = 12, categories: int = 14, seed: int = 0) -> Points:
    """Each pixel once: (image, row, col) are drawn without repetition."""
    rng = np.random.default_rng(seed)
    place = rng.choice(images * SIZE[0] * SIZE[1], count, replace=count > images * SIZE[0] * SIZE[1])
    image, rest = np.divmod(place, SIZE[0] * SIZE[1])
    category = rng.integers(0, categories, count)
    return Points(
        category=category,
        image=image,
        pixel=np.stack(np.divmod(rest, SIZE[1]), 1),
        classes=CLASSES[:categories],
        images=[f"scene-{index}" for index in range(images)],
        mode=np.where(rng.random(count) < 0.1, 255, (image + category) % 3),
        modes=dict.fromkeys(range(categories), ("first", "second", "third")),
        links=[f"demo:{index} &" for index in range(images)],
    )


def panel(
    given: Points, title: str, seed: int, *, axes: tuple[str, str] | None = None, spread: float = 6.0
) -> Panel:
    rng = np.random.default_rng(seed)
    categories = len(given.classes)
    centres = rng.normal(0, spread, (categories, 2))
    offsets = rng.normal(0, 1.2, (categories, 3, 2))
    mode = np.where(given.mode == 255, 0, given.mode) if given.mode is not None else 0
    xy = centres[given.category] + offsets[given.category, mode] + rng.normal(0, 0.7, (len(given), 2))
    wrong = rng.random(len(given)) < 0.12
    distance = np.linalg.norm(xy - centres[given.category], axis=1)
    return Panel(
        title=title,
        note=f"map {seed}",
        map=f"map{seed}",
        xy=xy.astype(np.float32),
        axes=axes,
        predicted=np.where(wrong, (given.category + 1) % categories, given.category),
        confidence=np.clip(rng.normal(0.8, 0.2, len(given)), 0, 1),
        value=Value(distance, "distance to the prototype", "cosine"),
        markers=[(*centres[c], kind, c) for c in range(categories) for kind in (0, 1) if (c + kind) % 3 == 0],
        href=INSPECT,
    )


PCA = ("component 1 · 34.2 % of the variance", "component 2 · 21.0 %")


def add(
    harness: ScatterHarness, name: str, count: int, panels: int = 1, *, photo: bool = False, **kwargs
) -> None:
    """Puts a page into the harness: the first panel with axes, the others without."""
    given = points(count)
    maps = [panel(given, f"model {index}", index, axes=None if index else PCA) for index in range(panels)]
    harness.shown[name] = given, maps
    harness.data[name] = describe(harness.plots, given, maps, **kwargs)
    if photo:
        rows, cols = np.mgrid[: SIZE[0], : SIZE[1]]
        pixels = np.stack([80 + rows, 60 + cols, 200 - rows], -1).astype(np.uint8)
        harness.photos[name] = describe_photo(harness.plots, "test", "scene-3", pixels, SIZE, "scene-3")
