"""The input pipeline: does a device that trains ever wait for its next batch?

    python -m tests.benchmarks.loader

Batches of the recipe's augmentations from a folder laid out as ADE20K (JPEGs of 683×512, labels as PNG), made by the prefetching
thread for nobody else, against training steps on batches that are there already. As long as a batch takes less than a step, the
next one is ready when a step ends.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

RECIPE = "cpt-r50-ade20k"
IMAGES = 64
SIZE = (683, 512)  # width, height, ADE20K's median
BATCH = 4
BATCHES, STEPS = 8, 1  # counted; one of each before them is not
BOUND = 1.0  # × a step


def run(
    images: int = IMAGES, batch: int = BATCH, batches: int = BATCHES, steps: int = STEPS, crop: int = 512
) -> dict[str, Any]:
    """{"loader_ms", "step_ms" (a batch, the latter a median), "images_per_second", "threads", "batch", "images", "crop",
    "target_ratio"}."""
    import torch

    from engine.bench_device import TrainingStep
    from engine.data.folders import open_folder
    from engine.segmenter import build
    from engine.training.batches import prefetched
    from engine.training.folder_batches import FolderSampler
    from engine.training.recipes import load_recipe
    from engine.training.segmentation import make_spec

    recipe = load_recipe(RECIPE)
    with tempfile.TemporaryDirectory() as home:
        write(Path(home), images)
        dataset = open_folder("ade20k", "train", home)
        sampler = FolderSampler(
            dataset,
            seed=0,
            batch=batch,
            crop=crop,
            short_side=recipe.short_side,
            scale_from=recipe.scale_from,
            scale_to=recipe.scale_to,
            category_limit=recipe.category_limit,
            jitter=recipe.jitter,
        )
        sampler(0)  # starts the threads
        start = time.perf_counter()
        for ready in prefetched(sampler, 1, 1 + batches):
            last = ready
        loader = (time.perf_counter() - start) / batches
    torch.manual_seed(0)
    segmenter = build(make_spec(recipe, dataset.classes))
    step = TrainingStep(segmenter, batch, crop, torch.device("cpu"))
    times = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        step(last)
        times.append(time.perf_counter() - start)
    trained = statistics.median(times[1:])
    return {
        "loader_ms": round(1000 * loader, 1),
        "step_ms": round(1000 * trained, 1),
        "images_per_second": round(batch / loader, 1),
        "threads": sampler._threads._max_workers,
        "batch": batch,
        "images": images,
        "crop": crop,
        "target_ratio": BOUND,
    }


def write(home: Path, count: int) -> None:
    """`count` training images under `home` as ADE20K has them: cut-outs of the shipped scenes, enlarged, with some grain so
    that the JPEGs are as heavy as photographs; labels 1..150 that follow the scene's."""
    from engine.catalogue import ASSETS

    scenes = sorted(p for p in (ASSETS / "scenes").glob("*.png") if p.stem.isdigit())
    folders = [home / part / "training" for part in ("images", "annotations")]
    for folder in folders:
        folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for i in range(count):
        path = scenes[i % len(scenes)]
        with Image.open(path) as picture, Image.open(path.with_suffix(".labels.png")) as labels:
            left, top = (int(random.integers(0, side // 4)) for side in picture.size)
            box = (left, top, left + picture.size[0] * 3 // 4, top + picture.size[1] * 3 // 4)
            pixels = np.asarray(picture.convert("RGB").crop(box).resize(SIZE, Image.Resampling.BICUBIC))
            classes = np.asarray(labels.crop(box).resize(SIZE, Image.Resampling.NEAREST))
        grainy = np.clip(pixels + random.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)
        Image.fromarray(grainy).save(folders[0] / f"{i:05}.jpg", quality=90)
        Image.fromarray((1 + (classes + i) % 150).astype(np.uint8)).save(folders[1] / f"{i:05}.png")


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
