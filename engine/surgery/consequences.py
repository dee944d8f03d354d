"""What edits cause over a dataset: per image the counts before and after, and from them changes of IoU with intervals.

Each image is run without the edits once (see `prepared`) and then from the first edited stage on. Oracle prototypes use each
image's own ground truth. What belongs to one image, painted regions and means of chosen pixels, is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.edits import (
    Edit,
    HideRegion,
    Move,
    Oracle,
    Plan,
    Replace,
    StageEdit,
    Subject,
    check,
    describe,
    plan,
    subject_of,
    to_json,
)
from engine.errors import LoupeError
from engine.evaluation import LabelledImages, Progress
from engine.metrics import Counts
from engine.resample import bilinear_labels
from engine.surgery.changes import Changes, boundary_parts, changes, iou_of, mean_of, region_parts
from engine.surgery.prepared import Group, Kept, Prepared, content_key, evaluating
from engine.surgery.relabel import relabelled
from engine.trace import Trace

MOST_CHANGED = 8


@dataclass(frozen=True)
class ChangedImage:
    """index in the dataset; changed: share of its pixels whose label changed; delta: of its own mIoU, in points."""

    index: int
    id: str
    changed: float
    delta: float


@dataclass(frozen=True, eq=False)
class Consequences:
    """Of one list of edits. wanted: images that were asked for; where fewer are here the walk goes on, or was stopped.

    index (i,), ids: of the images, in the dataset's order. before, after: their counts. changed, pixels (i,) int64: pixels whose
    label changed, and all. recomputed: the parts that were computed anew, () where no update changed. seconds: of the edited
    runs, counting included, the unedited ones not.
    """

    edits: tuple[Edit, ...]
    classes: tuple[str, ...]
    model: str
    data: str
    wanted: int
    index: tuple[int, ...]
    ids: tuple[str, ...]
    before: tuple[Counts, ...]
    after: tuple[Counts, ...]
    changed: np.ndarray
    pixels: np.ndarray
    recomputed: tuple[str, ...]
    seconds: float

    @property
    def images(self) -> int:
        return len(self.index)

    @property
    def complete(self) -> bool:
        return self.images == self.wanted

    @property
    def share_changed(self) -> float:
        """Of all pixels, 0..1; nan without images."""
        return float(self.changed.sum() / self.pixels.sum()) if self.images else float("nan")

    @cached_property
    def iou(self) -> Changes:
        """Of IoU."""
        return self._changes(region_parts)

    @cached_property
    def boundary_iou(self) -> Changes:
        """Of boundary IoU."""
        return self._changes(boundary_parts)

    def _changes(self, parts: Callable[[Sequence[Counts], int], np.ndarray]) -> Changes:
        k = len(self.classes)
        return changes(parts(self.before, k), parts(self.after, k), self.classes)

    def most_changed(self, most: int = MOST_CHANGED) -> tuple[ChangedImage, ...]:
        """Images with the largest share of changed pixels first; none that did not change."""
        shares = self.changed / np.maximum(1, self.pixels)
        order = [j for j in np.argsort(-shares, kind="stable").tolist() if self.changed[j]][:most]
        k = len(self.classes)
        one, two = (region_parts([side[j] for j in order], k) for side in (self.before, self.after))
        deltas = mean_of(iou_of(two) - iou_of(one))
        return tuple(
            ChangedImage(self.index[j], self.ids[j], float(shares[j]), float(delta))
            for j, delta in zip(order, deltas, strict=True)
        )

    def finding(self) -> str:
        """One sentence that can stand by itself."""
        if not self.images:
            return f"{self._what}: no image of {self.data or 'the dataset'} was run."
        mean = self.iou.mean
        walked = (
            f"{self.images} image{'s' * (self.images != 1)}"
            if self.complete
            else f"{self.images} of {self.wanted} images, stopped"
        )
        interval = (
            f"95 % {mean.delta.low:+.3g} to {mean.delta.high:+.3g} over {walked}"
            if np.isfinite(mean.delta.low)
            else f"{walked}, too few for an interval,"
        )
        return (
            f"{self._what} in {self.model} changes the label of {100 * self.share_changed:.3g} % of the pixels and mIoU by "
            f"{mean.delta.value:+.3g} points ({interval} of {self.data or 'the dataset'}, one training seed)."
        )

    @property
    def _what(self) -> str:
        return "; ".join(describe(edit) for edit in self.edits) or "no edit"

    def json(self) -> dict[str, Any]:
        """Plain values: percent, points, shares 0..1."""
        return {
            "model": self.model,
            "data": self.data,
            "edits": to_json(self.edits)["edits"],
            "described": [describe(edit) for edit in self.edits],
            "images": self.images,
            "wanted": self.wanted,
            "complete": self.complete,
            "recomputed": list(self.recomputed),
            "changed": self.share_changed,
            "mIoU": self.iou.json(),
            "boundary_IoU": self.boundary_iou.json(),
            "most_changed": [vars(each) for each in self.most_changed()],
            "seconds": round(self.seconds, 2),
        }


def consequences(
    segmenter: Any,
    dataset: LabelledImages,
    edits: Sequence[Edit],
    *,
    limit: int | None = None,
    batch: int | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    refine: Callable[[Consequences], object] | None = None,
    prepared: Prepared | None = None,
    model: str = "this model",
    data: str = "",
) -> Consequences:
    """Runs the edits over the first `limit` images.

    Args:
        stop: asked before each group of images; what is there by then is returned, `complete` says whether it is all.
        refine: called after each group with what is known by then.
        prepared: of the same model, data and limit, where the caller has more than one list of edits; it may be empty yet.

    Raises:
        LoupeError: edits that do not fit the model or belong to one image; no image; something prepared for another question.
    """
    edits = tuple(edits)
    subject = subject_of(segmenter.spec, model)
    refuse(edits, subject)
    if prepared is None:
        prepared = Prepared(segmenter, dataset, limit=limit, batch=batch, device=device, budget=0)
    else:
        fits(prepared, segmenter, dataset, limit)
    none, few = (), np.zeros(0, np.int64)
    found = Consequences(
        edits, subject.classes, model, data, prepared.count, none, none, none, none, few, few, none, 0.0
    )
    if progress is not None:
        progress(0, found.wanted, {})
    with evaluating(segmenter, device), torch.no_grad():
        groups = prepared.walk()
        while not (stop is not None and stop()) and (step := next(groups, None)) is not None:
            start = time.perf_counter()
            after = edited(segmenter, step[0], step[1], edits, subject)
            found = _with(found, step[0], after, time.perf_counter() - start)
            if progress is not None:
                progress(found.images, found.wanted, {})
            if refine is not None:
                refine(found)
    return found


@dataclass(frozen=True, eq=False)
class Outcome:
    """Of one group with edits: counts, pixels whose label changed of each image (b,), what was computed anew."""

    counts: tuple[Counts, ...]
    changed: np.ndarray
    recomputed: tuple[str, ...]


def edited(segmenter: Any, group: Group, kept: Kept, edits: Sequence[Edit], subject: Subject) -> Outcome:
    """One group of images with edits; the unedited labels and counts where no update changed."""
    whole = plan_of_many(edits, subject, kept.base, [truth.labels for truth in group.truths])
    rerun = segmenter.decoder.rerun(kept.base, whole, kept.parts)
    if not rerun.anew:
        return Outcome(group.counts, np.zeros(len(group.index), np.int64), ())
    labels = _labels(group, kept, rerun.trace.logits)
    counts = tuple(
        truth.recount(counts, before, after)
        for truth, counts, before, after in zip(group.truths, group.counts, group.labels, labels, strict=True)
    )
    return Outcome(counts, (labels != group.labels).sum((1, 2)), rerun.anew)


def _labels(group: Group, kept: Kept, logits: Tensor) -> np.ndarray:
    if kept.margin is None:
        return bilinear_labels(logits, group.size).cpu().numpy()
    return relabelled(torch.from_numpy(group.labels), kept.margin, kept.base.logits, logits).numpy()


def plan_of_many(edits: Sequence[Edit], subject: Subject, base: Trace, truths: Sequence[np.ndarray]) -> Plan:
    """The plan of a batch: what depends on an image's ground truth is stacked, the rest stands for all."""
    if not any(isinstance(edit, Oracle) for edit in edits):
        return plan(edits, subject, base)
    plans = [plan(edits, subject, base, truth) for truth in truths]
    stages = {name: _stacked([each.stages[name] for each in plans]) for name in plans[0].stages}
    return replace(plans[0], stages=stages)


def _stacked(edits: Sequence[StageEdit]) -> StageEdit:
    first = edits[0]
    truths = [each.truth for each in edits if each.truth is not None]
    closed = [each.unread for each in edits]
    known = next((each for each in closed if each is not None), None)
    if known is not None:
        unread = torch.cat([torch.zeros_like(known) if each is None else each for each in closed])
    else:
        unread = None
    return replace(first, truth=torch.cat(truths) if truths else None, unread=unread)


def only_of_one_image(edit: Edit) -> str | None:
    """Why an edit means nothing over a dataset; None where it does."""
    if isinstance(edit, HideRegion):
        return "a painted region belongs to one image, so it cannot be hidden over a dataset"
    if isinstance(edit, Replace | Move) and "pixels" in (
        getattr(edit, "by", ""),
        getattr(edit, "toward", ""),
    ):
        return "the mean of chosen pixels belongs to one image, so it means nothing over a dataset"
    return None


def refuse(edits: Sequence[Edit], subject: Subject) -> None:
    """Raises LoupeError for edits that belong to one image, or do not fit the model or each other."""
    for edit in edits:
        why = only_of_one_image(edit)
        if why is not None:
            raise LoupeError(f"{describe(edit)}: {why}")
    check(edits, subject)


def fits(prepared: Prepared, segmenter: Any, dataset: LabelledImages, limit: int | None) -> None:
    """Raises LoupeError where something was prepared for another model, dataset or limit."""
    count = len(dataset) if limit is None else min(limit, len(dataset))
    if prepared.key != content_key(segmenter, dataset, count):
        raise LoupeError("what is prepared is of another model, dataset or number of images")


def _with(found: Consequences, group: Group, after: Outcome, seconds: float) -> Consequences:
    pixels = np.full(len(group.index), group.size[0] * group.size[1], np.int64)
    return replace(
        found,
        index=found.index + group.index,
        ids=found.ids + group.ids,
        before=found.before + group.counts,
        after=found.after + after.counts,
        changed=np.concatenate([found.changed, after.changed]),
        pixels=np.concatenate([found.pixels, pixels]),
        recomputed=max(found.recomputed, after.recomputed, key=len),
        seconds=found.seconds + seconds,
    )
