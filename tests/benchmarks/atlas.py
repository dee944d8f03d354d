"""The atlas: how fast it is walked, against plain evaluation of the same model; how much memory the walk takes.

    python -m tests.benchmarks.atlas

Throughput: evaluation (mIoU, boundary IoU) and a whole `build` over the same images take turns, in memory, effects of the bank
left out (they are decoder passes of their own). Memory: the peak of a fresh process that walks over a few and over many scenes,
painted as they are needed, so that no file's pages are counted.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MODEL = "cpt"
IMAGES = 256  # of a turn: what the end of a walk takes is then a small part, as it is in use
ROUNDS = 2
SHARE = 0.8  # of evaluation's throughput, at least
SCENES = (200, 2000)
GROWTH = 1.1  # of the peak, from few scenes to many, at most


class Held:
    """Some images of a dataset, painted once and kept."""

    def __init__(self, name: str, count: int) -> None:
        from engine.data.datasets import open_dataset

        dataset = open_dataset(name)
        self.name, self.classes = name, dataset.classes
        self.samples = [dataset[index] for index in range(count)]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        return self.samples[index]


def throughput() -> dict[str, Any]:
    """{"atlas_ms", "evaluation_ms" (an image, medians), "ratio", "target_ratio", "images"}."""
    from engine import Engine, checkpoints
    from engine.atlas.walk import build
    from engine.evaluation import evaluate

    engine = Engine()
    card = engine.card(MODEL)
    segmenter = checkpoints.load(card.path, engine.device).segmenter
    dataset = Held("scenes-val", IMAGES)
    times: tuple[list[float], list[float]] = ([], [])
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(ROUNDS + 1):
            start = time.perf_counter()
            build(
                segmenter, card, dataset, Path(folder) / str(turn), device=engine.device, memory_effects=False
            )
            between = time.perf_counter()
            evaluate(segmenter, dataset, device=engine.device)
            if turn:  # the first warms up
                times[0].append(between - start)
                times[1].append(time.perf_counter() - between)
    atlas, evaluation = (1000 * statistics.median(each) / IMAGES for each in times)
    return {
        "atlas_ms": round(atlas, 2),
        "evaluation_ms": round(evaluation, 2),
        "ratio": round(atlas / evaluation, 3),
        "target_ratio": round(1 / SHARE, 3),
        "images": IMAGES,
    }


def memory() -> dict[str, Any]:
    """{"peak_mib": {scenes: MiB}, "ratio", "target_ratio"} of fresh processes."""
    peaks = {}
    for scenes in SCENES:
        command = [sys.executable, "-m", "tests.benchmarks.atlas", "--walk", str(scenes)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks[scenes] = json.loads(said)["peak_mib"]
    few, many = (peaks[scenes] for scenes in SCENES)
    return {"peak_mib": peaks, "ratio": round(many / few, 3), "target_ratio": GROWTH}


def walk(scenes: int) -> dict[str, Any]:
    """Walks over scenes that are painted as they are needed; {"peak_mib", "scenes"} of this process."""
    from engine import Engine, checkpoints
    from engine.atlas.walk import build
    from engine.data.datasets import SceneDataset

    engine = Engine()
    card = engine.card(MODEL)
    segmenter = checkpoints.load(card.path, engine.device).segmenter
    with tempfile.TemporaryDirectory() as folder:
        dataset = SceneDataset("scenes-train", 0, scenes)
        build(segmenter, card, dataset, Path(folder), device=engine.device, memory_effects=False)
    return {"peak_mib": round(_peak_kib() / 1024, 1), "scenes": scenes}


def _peak_kib() -> int:
    """Most memory that this process ever held. Not `ru_maxrss`, which a child inherits from whoever started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


if __name__ == "__main__":
    if "--walk" in sys.argv:
        print(json.dumps(walk(int(sys.argv[-1]))))
    else:
        print(json.dumps({"throughput": throughput(), "memory": memory()}, indent=2))
