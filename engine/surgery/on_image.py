"""What edits change in one image: an edited trace beside the unedited one. Pure: two traces in, numbers out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.edits import describe, to_json
from engine.images import cell
from engine.trace import Stage, Trace


@dataclass(frozen=True, eq=False)
class Difference:
    """changed: pixels whose label differs, share: of all. areas (2, k): share of the image that each category covers, before and
    after. logit: mean |Δ logit| over categories and cells."""

    changed: int
    share: float
    areas: np.ndarray
    logit: float


def difference(before: Trace, after: Trace) -> Difference:
    """Of two traces of one image by one model."""
    one, two = (trace.labels.cpu().numpy() for trace in (before, after))
    changed = int((one != two).sum())
    k = before.logits.shape[0]
    areas = np.stack([np.bincount(each.ravel(), minlength=k) / each.size for each in (one, two)])
    return Difference(changed, changed / one.size, areas, float((after.logits - before.logits).abs().mean()))


def affinities(stage: Stage, pixel: tuple[int, int], size: tuple[int, int]) -> np.ndarray | None:
    """(k,) what the query under a pixel of the original image reads of each prototype, heads averaged; None where a stage's
    sources are no prototypes. size: of the original.

    Raises:
        ImageError: the pixel lies outside.
    """
    if stage.sources not in ("prototypes", "memory"):
        return None
    return stage.affinity(*cell(*pixel, size, stage.grid)).mean(-2).cpu().numpy()


def on_image(before: Trace, after: Trace, pixel: tuple[int, int] | None = None) -> dict[str, Any]:
    """Plain values: what changed, and with a pixel (row, col) of the original what it reads before and after."""
    assert before.image is not None and before.model is not None  # of an engine
    names, found = before.model.classes, difference(before, after)
    result: dict[str, Any] = {
        "name": before.image.name,
        "hash": before.image.hash,
        "original_size": before.image.original_size,
        "size": before.image.size,
        "edits": to_json(after.edits)["edits"],
        "described": [describe(edit) for edit in after.edits],
        "changed_pixels": found.changed,
        "changed": found.share,
        "mean_absolute_logit_change": found.logit,
        "areas": {name: {"before": a, "after": b} for name, a, b in zip(names, *found.areas, strict=True)},
        "recomputed": list(after.recomputed),
        "milliseconds": after.milliseconds,
    }
    if pixel is not None:
        result["pixel"] = _pixel(before, after, pixel)
    return result


def _pixel(before: Trace, after: Trace, pixel: tuple[int, int]) -> dict[str, Any]:
    assert before.image is not None and before.model is not None
    names, size = before.model.classes, before.image.original_size
    row, col = cell(*pixel, size, before.image_size)
    stages = []
    for one, two in zip(before.stages, after.stages, strict=True):
        old, new = (affinities(stage, pixel, size) for stage in (one, two))
        shown = None
        if old is not None and new is not None:
            pairs = zip(names, old.tolist(), new.tolist(), strict=True)
            shown = {name: {"before": was, "after": is_now} for name, was, is_now in pairs}
        stages.append({"stage": one.name, "sources": one.sources, "affinity": shown})
    return {
        "pixel": pixel,
        "predicted": {
            "before": names[int(before.labels[row, col])],
            "after": names[int(after.labels[row, col])],
        },
        "stages": stages,
    }
