"""Surgery over a dataset: one more list of edits over scenes that are prepared, against its floor.

    python -m tests.benchmarks.surgery

The floor: of evaluating the same scenes from pixels (mIoU, boundary IoU; as many at a time) the share of its multiply-adds that
depends on the edit.
Evaluation and edited walks take turns, in memory. The first walk, which prepares, is timed by itself.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

from tests.benchmarks.atlas import Held

MODEL = "cpt"
SCENES = 200
ROUNDS = 2
BOUND = 1.2  # × the floor
STAGES = (None, "stride4")  # where a prototype is ablated: everywhere, and at the last stage alone


def run() -> dict[str, Any]:
    """{"evaluation_s", "first_s" (the preparing walk), "images", "target_ratio", "kept_mib",
    "edits": [{"edit", "edited_s", "share" (of the multiply-adds), "floor_s"}]}; medians."""
    from engine import Engine, checkpoints
    from engine.edits import Ablate, describe
    from engine.evaluation import evaluate
    from engine.surgery import Prepared, consequences

    engine = Engine()
    segmenter = checkpoints.load(engine.card(MODEL).path, engine.device).segmenter.eval()
    dataset = Held("scenes-val", SCENES)
    prepared = Prepared(segmenter, dataset, device=engine.device)
    lists = [(Ablate("tree", stage=stage),) for stage in STAGES]
    start = time.perf_counter()
    consequences(segmenter, dataset, lists[0], device=engine.device, prepared=prepared)
    first = time.perf_counter() - start
    whole: list[float] = []
    again: list[list[float]] = [[] for _ in lists]
    for _ in range(ROUNDS):
        whole.append(
            _seconds(lambda: evaluate(segmenter, dataset, device=engine.device, batch=prepared.batch))
        )
        for edits, times in zip(lists, again, strict=True):
            settings = {"device": engine.device, "prepared": prepared}
            times.append(_seconds(lambda e=edits, s=settings: consequences(segmenter, dataset, e, **s)))
    evaluation = statistics.median(whole)
    rows = []
    for edits, times in zip(lists, again, strict=True):
        share = _share(prepared, edits)
        rows.append(
            {
                "edit": describe(edits[0]),
                "edited_s": round(statistics.median(times), 2),
                "share": round(share, 3),
                "floor_s": round(share * evaluation, 2),
            }
        )
    return {
        "evaluation_s": round(evaluation, 2),
        "first_s": round(first, 2),
        "images": SCENES,
        "kept_mib": round(prepared.bytes / 2**20),
        "target_ratio": BOUND,
        "edits": rows,
    }


def _share(prepared: Any, edits: Any) -> float:
    """Of a forward pass's multiply-adds, those that are done again."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from engine.edits import subject_of
    from engine.surgery.consequences import edited

    segmenter = prepared.segmenter
    group, kept = next(prepared.walk())
    images = torch.zeros(len(group.index), 3, *group.size, device=prepared.device)
    with torch.no_grad():
        with FlopCounterMode(display=False) as once:
            edited(segmenter, group, kept, edits, subject_of(segmenter.spec))
        with FlopCounterMode(display=False) as whole:
            segmenter(images)
    return once.get_total_flops() / whole.get_total_flops()


def _seconds(f: Any) -> float:
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
