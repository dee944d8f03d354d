"""The audit: how long the scores of many pixels take, against the traces alone of the same images.

    python -m tests.benchmarks.audit

Both trace one image after the other, side by side on a CPU's cores as the audit does. Deletion is left out: it runs the decoder
again and again. Images are painted before.
"""

from __future__ import annotations

import json
import time
from typing import Any

from tests.benchmarks.atlas import Held

MODEL = "cpt"
IMAGES, PIXELS = 250, 10_000
TURNS = (
    5  # so many parts of the images, each audited and then traced: what else the machine does falls on both
)
TARGET = 2.0  # × the traces' time, at most


def run(model: str = MODEL, images: int = IMAGES, pixels: int = PIXELS, turns: int = TURNS) -> dict[str, Any]:
    """{"audit_s", "traces_s" (sums over the turns), "ratio", "target_ratio", "images", "pixels"}."""
    import torch

    from engine import Engine, audit
    from engine.atlas.chunks import side_by_side

    engine, dataset = Engine(), Held("scenes-val", images)
    segmenter = engine.segmenter(model)

    def trace(sample: Any) -> None:
        with torch.no_grad():
            segmenter.trace(segmenter.normalise(sample.image))

    each, everything = images // turns, dataset.samples
    audited = traced = 0.0
    for turn in range(-1, turns):
        dataset.samples = everything[max(0, turn) * each :][:each]
        start = time.perf_counter()
        audit.run(engine, [model], dataset, pixels=pixels // turns, deletion_pixels=0)
        between = time.perf_counter()
        with side_by_side(engine.device) as (submit, _):
            for one in [submit(trace, sample) for sample in dataset.samples]:
                one.result()
        if turn >= 0:  # the first warms up
            audited += between - start
            traced += time.perf_counter() - between
    return {
        "audit_s": round(audited, 2),
        "traces_s": round(traced, 2),
        "ratio": round(audited / traced, 3),
        "target_ratio": TARGET,
        "images": images,
        "pixels": pixels,
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
