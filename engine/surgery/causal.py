"""The causal matrix: each prototype ablated in turn, and what that does to every category.

    Δ_rc     change of IoU, in points, of category r (row) when prototype c (column) is ablated

Column c is the consequences of that one ablation. All ablations of a group of images are run before the next group is met, so a
walk that is stopped has the same images in every column.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, get_args

import numpy as np
import torch

from engine.edits import Ablate, subject_of
from engine.edits.values import Meaning
from engine.errors import LoupeError
from engine.evaluation import LabelledImages, Progress
from engine.metrics import Counts
from engine.resampling import FEWEST_IMAGES, QUANTILES, Draws
from engine.surgery.changes import drawn_deltas, iou_of, region_parts
from engine.surgery.consequences import edited, fits, refuse
from engine.surgery.prepared import Prepared, evaluating


@dataclass(frozen=True, eq=False)
class CausalMatrix:
    """wanted: images that were asked for; where `images` is fewer the walk goes on, or was stopped.

    before (i, 3, k) int64, after (k, i, 3, k) int64: hits, true and predicted pixels of each image, unedited and with each
    prototype ablated. changed (k,): share of pixels whose label changed, 0..1. stage None: ablated at every stage.
    """

    classes: tuple[str, ...]
    meaning: Meaning
    stage: str | None
    model: str
    data: str
    wanted: int
    before: np.ndarray
    after: np.ndarray
    changed: np.ndarray
    seconds: float

    @property
    def images(self) -> int:
        return len(self.before)

    @property
    def complete(self) -> bool:
        return self.images == self.wanted

    @cached_property
    def delta(self) -> np.ndarray:
        """(k, k) Δ, points; rows of categories that the truth does not hold are nan."""
        before = iou_of(self.before.sum(0))
        return np.stack([iou_of(one.sum(0)) - before for one in self.after], axis=1)

    @property
    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """(low, high), (k, k) each: 95 % over images; nan where fewer than five images hold the category."""
        return self._interval

    @cached_property
    def _interval(self) -> tuple[np.ndarray, np.ndarray]:
        holding = (self.before[:, 1] > 0).sum(0)
        low, high = np.full((2, *self.delta.shape), np.nan)
        for source, one in enumerate(self.drawn()):
            for row in np.flatnonzero(holding >= FEWEST_IMAGES):
                found = one[:, row][np.isfinite(one[:, row])]
                if len(found):
                    low[row, source], high[row, source] = np.quantile(found, QUANTILES)
        return np.fmin(low, self.delta), np.fmax(high, self.delta)

    def drawn(self, seed: int = 0) -> np.ndarray:
        """(k columns, b, k rows) Δ of every draw of images, the same draws for all columns."""
        draws = Draws(max(1, self.images), seed)
        return np.stack([drawn_deltas(self.before, one, draws) for one in self.after])

    def json(self) -> dict[str, Any]:
        low, high = self.interval
        return {
            "meaning": self.meaning,
            "stage": self.stage,
            "model": self.model,
            "data": self.data,
            "images": self.images,
            "wanted": self.wanted,
            "complete": self.complete,
            "categories": list(self.classes),
            "delta": self.delta,
            "low": low,
            "high": high,
            "changed": dict(zip(self.classes, self.changed.tolist(), strict=True)),
            "seconds": round(self.seconds, 2),
        }


def causal_matrix(
    segmenter: Any,
    dataset: LabelledImages,
    *,
    meaning: Meaning = "masked",
    stage: str | None = None,
    limit: int | None = None,
    batch: int | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    refine: Callable[[CausalMatrix], object] | None = None,
    prepared: Prepared | None = None,
    model: str = "this model",
    data: str = "",
) -> CausalMatrix:
    """Ablates every prototype in turn over the first `limit` images; k runs an image. Arguments as for `consequences`.

    progress counts images times ablations. stop is asked before each ablation of each group.

    Raises:
        LoupeError: the model has no prototypes, or no such stage; as `consequences`.
    """
    if meaning not in get_args(Meaning):
        raise LoupeError(f"an ablation cannot mean {meaning!r}: choose {', '.join(get_args(Meaning))}")
    subject = subject_of(segmenter.spec, model)
    ablations = [(Ablate(name, meaning, stage),) for name in subject.classes]
    for each in ablations:
        refuse(each, subject)
    if prepared is None:
        prepared = Prepared(segmenter, dataset, limit=limit, batch=batch, device=device, budget=0)
    else:
        fits(prepared, segmenter, dataset, limit)
    k, done = len(subject.classes), 0
    found = CausalMatrix(
        subject.classes,
        meaning,
        stage,
        model,
        data,
        prepared.count,
        np.zeros((0, 3, k), np.int64),
        np.zeros((k, 0, 3, k), np.int64),
        np.full(k, np.nan),
        0.0,
    )
    differing, pixels = np.zeros(k, np.int64), 0
    with evaluating(segmenter, device), torch.no_grad():
        for group, kept in prepared.walk():
            start = time.perf_counter()
            outcomes = []
            for each in ablations:
                if stop is not None and stop():
                    return found
                outcomes.append(edited(segmenter, group, kept, each, subject))
                done += len(group.index)
                if progress is not None:
                    progress(done, k * prepared.count, {})
            differing += [int(one.changed.sum()) for one in outcomes]
            pixels += group.labels.size
            found = replace(
                found,
                before=np.concatenate([found.before, region_parts(group.counts, k)]),
                after=np.concatenate([found.after, _parts([one.counts for one in outcomes], k)], axis=1),
                changed=differing / pixels,
                seconds=found.seconds + time.perf_counter() - start,
            )
            if refine is not None:
                refine(found)
    return found


def _parts(columns: list[tuple[Counts, ...]], k: int) -> np.ndarray:
    return np.stack([region_parts(counts, k) for counts in columns])
