"""Projections of 20 000 pixels × 256 channels: PCA, UMAP in the warm worker against umap-learn's defaults, a map on disk.

    python -m tests.benchmarks.projection

The features are the shipped model's: its finest maps of validation scenes, side by side. UMAP: from the question to the answer
that a page can show (neighbours, layout, its quality measured, written to disk), in a worker that has made a small map before;
umap-learn: a fresh process that imports it and fits these features with its defaults, all cores and no seed, as it starts.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

MODEL = "cpt"
SITES = ("lateral0", "stride4.update", "fused", "lateral1", "stride8.update", "f0", "f1")
PIXELS, CHANNELS = 20_000, 256
SCENES = 20
PCA_S = 1.5
CACHED_S = 0.3
ROUNDS = 3
THEIRS = """
import sys, numpy, umap
numpy.save(sys.argv[2], umap.UMAP().fit_transform(numpy.load(sys.argv[1])))
"""


def run() -> dict[str, Any]:
    """{"pca_s", "umap_s", "umap_learn_s", "cached_s", "trustworthiness", "umap_learn_trustworthiness", targets, sizes}."""
    from app.projections import COMMAND, Projections, Task
    from engine.projection import pca
    from engine.projection_quality import measure
    from engine.projection_request import Request, mapping

    def answered(projections: Projections, request: Request) -> tuple[float, Task]:
        start = time.perf_counter()
        task = projections.ask(request)
        task.wait()
        if task.error is not None:
            raise LookupError(task.error)
        return time.perf_counter() - start, task

    x = features()
    pca(x[:100])
    plain = [_seconds(lambda: pca(x)) for _ in range(ROUNDS)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Without warming up by itself: a small map does it here, so that nothing is still under way when time is taken.
        projections = Projections(folder / "kept", command=["env", "LOUPE_PROJECTIONS=0", *COMMAND])
        answered(projections, mapping("umap", x[:200]))
        ours, task = answered(projections, mapping("umap", x))
        projections.stop_all()
        theirs, their_map = _umap_learn(x, folder)
        cached = []
        for _ in range(ROUNDS):
            later = Projections(folder / "kept")
            seconds, kept = answered(
                later, mapping("umap", x.copy())
            )  # the key is made of the features again
            assert np.array_equal(kept.result.xy, task.result.xy)
            cached.append(seconds)
    return {
        "pca_s": round(statistics.median(plain), 3),
        "pca_target_s": PCA_S,
        "umap_s": round(ours, 2),
        "umap_learn_s": round(theirs, 2),
        "cached_s": round(statistics.median(cached), 4),
        "cached_target_s": CACHED_S,
        "trustworthiness": round(task.result.quality.trustworthiness, 4),
        "umap_learn_trustworthiness": round(measure(x, their_map).trustworthiness, 4),
        "pixels": PIXELS,
        "channels": CHANNELS,
        "cores": os.cpu_count(),
    }


def features() -> np.ndarray:
    """(20 000, 256) float32: cells of the model's stride-4 grid in several scenes, its maps side by side."""
    import torch
    from torch.nn.functional import interpolate

    from engine import Engine
    from engine.atlas.sites import site_maps
    from engine.data.datasets import open_dataset

    engine, dataset, rng = Engine(), open_dataset("scenes-val"), np.random.default_rng(0)
    found = []
    for index in range(SCENES):
        maps = site_maps(engine.trace(MODEL, dataset[index].image))
        grid = maps[SITES[0]].shape[-2:]
        sized = [interpolate(maps[name][None], grid, mode="bilinear", align_corners=False) for name in SITES]
        cells = torch.cat(sized, dim=1)[0, :CHANNELS].flatten(1).T.cpu().numpy()
        found.append(cells[rng.choice(len(cells), PIXELS // SCENES, replace=False)])
    x = np.ascontiguousarray(np.concatenate(found), np.float32)
    if x.shape != (PIXELS, CHANNELS):
        raise LookupError(f"{MODEL} has too few channels or cells: {x.shape}")
    return x


def _umap_learn(x: np.ndarray, folder: Path) -> tuple[float, np.ndarray]:
    np.save(folder / "x.npy", x)
    command = [sys.executable, "-W", "ignore", "-c", THEIRS, str(folder / "x.npy"), str(folder / "xy.npy")]
    seconds = _seconds(lambda: subprocess.run(command, check=True))
    return seconds, np.load(folder / "xy.npy")


def _seconds(do: Any) -> float:
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
