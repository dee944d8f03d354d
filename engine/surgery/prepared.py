"""What edited runs need of unedited ones, made once for a dataset and kept within a budget of bytes.

Of every group of images: the ground truth's bands, the unedited labels and counts, and of the unedited trace what
`Decoder.rerun` reads: for each stage its queries, residual and update, the sources' map (`high`), the parts of the fusion that
earlier stages made; of decoders with class tokens the two maps that are classified. Images that do not fit into the budget are
run from pixels again, with the same numbers.

It fills itself as it is walked, so a first edit need not wait for the whole dataset.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.checkpoints import state_hash
from engine.decoders.decoder import Parts
from engine.errors import LoupeError
from engine.evaluation import LabelledImages, Progress, at_once
from engine.guidance import Guidance
from engine.metrics import Counts, Truth
from engine.resample import bilinear_labels
from engine.shapes import Float
from engine.surgery.relabel import margins
from engine.trace import Stage, Trace, tensor_bytes

BUDGET = 7 << 28  # bytes: 200 images of 256×256 at C = 64 take 1.6 · 10⁹
BATCHES = {
    "cpu": 4,
    "cuda": 16,
}  # images at a time: on a CPU a larger group's maps no longer stay in reused memory


@dataclass(frozen=True, eq=False)
class Kept:
    """Of an unedited batched run what `Decoder.rerun` reads, the rest being empty tensors. margin: on a CPU, for `relabel`."""

    base: Trace
    parts: Parts
    margin: Float[Tensor, "b H W"] | None


@dataclass(frozen=True, eq=False)
class Group:
    """Consecutive images of one size. labels (b, H, W): the unedited prediction."""

    index: tuple[int, ...]
    ids: tuple[str, ...]
    truths: tuple[Truth, ...]
    labels: np.ndarray
    counts: tuple[Counts, ...]
    kept: Kept | None  # None: did not fit

    @property
    def size(self) -> tuple[int, int]:
        return self.labels.shape[1], self.labels.shape[2]


class Prepared:
    """The first `limit` images of a dataset, ready for many edits of one segmenter. Safe for many threads.

    Args:
        batch: images at a time, at most; by default what suits the device.
        budget: bytes of tensors that may be kept.

    Raises:
        LoupeError: no image, or categories that are not the model's.
    """

    def __init__(
        self,
        segmenter: Any,
        dataset: LabelledImages,
        *,
        limit: int | None = None,
        batch: int | None = None,
        device: str | torch.device = "cpu",
        budget: int = BUDGET,
    ) -> None:
        self.segmenter, self.dataset, self.device = segmenter, dataset, device
        self.count = len(dataset) if limit is None else min(limit, len(dataset))
        self.batch = batch or BATCHES.get(torch.device(device).type, BATCHES["cpu"])
        self.budget = budget
        self.classes = tuple(segmenter.spec.classes)
        if self.count < 1:
            raise LoupeError("there is no image to operate on")
        known = getattr(dataset, "classes", None)
        if known is not None and tuple(known) != self.classes:
            raise LoupeError(
                f"the model knows {len(self.classes)} categories that are not the {len(known)} of the dataset"
            )
        self.key = content_key(segmenter, dataset, self.count)
        self._groups: list[Group] = []
        self._ahead: Any = None  # a sample that was read and began another size
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def done(self) -> int:
        """Images that are ready."""
        return sum(len(group.index) for group in self._groups)

    @property
    def bytes(self) -> int:
        """Of tensors that are kept."""
        return self._bytes

    def fill(self, progress: Progress | None = None, stop: Callable[[], bool] | None = None) -> None:
        """Runs every image that has not been run yet; edits do so by themselves as they meet them."""
        with evaluating(self.segmenter, self.device):
            while self.done < self.count and not (stop is not None and stop()):
                self._make(len(self._groups))
                if progress is not None:
                    progress(self.done, self.count, {})

    def walk(self) -> Iterator[tuple[Group, Kept]]:
        """Group after group, with what edited runs need of it."""
        place = seen = 0
        while seen < self.count:
            group, kept = self._make(place)
            yield group, kept if kept is not None else self._from_pixels(self._samples(group.index))[0]
            place, seen = place + 1, seen + len(group.index)

    def _make(self, place: int) -> tuple[Group, Kept | None]:
        with self._lock:
            if place < len(self._groups):
                group = self._groups[place]
                return group, group.kept
            samples, first = self._next_samples(), self.done
            kept, labels = self._from_pixels(samples)
            truths = tuple(Truth.of(np.asarray(s.labels), len(self.classes)) for s in samples)
            size = tensor_bytes(kept)
            fits = self._bytes + size <= self.budget
            group = Group(
                tuple(range(first, first + len(samples))),
                tuple(str(getattr(s, "id", first + j)) for j, s in enumerate(samples)),
                truths,
                labels,
                tuple(truth.count(one) for truth, one in zip(truths, labels, strict=True)),
                kept if fits else None,
            )
            self._bytes += size * fits
            self._groups.append(group)
            return group, kept

    def _next_samples(self) -> list[Any]:
        """The images after those that are ready: of one size, at most `batch`, and of large ones fewer."""
        first, found = self.done, []
        for index in range(first, min(first + self.batch, self.count)):
            if found and len(found) == at_once(self.batch, found[0].image.shape, self.device):
                break
            sample = self._ahead if self._ahead is not None and index == first else self.dataset[index]
            self._ahead = None
            if found and found[0].image.shape != sample.image.shape:
                self._ahead = sample
                break
            if sample.image.shape[:2] != sample.labels.shape:
                raise LoupeError(f"image {index} and its labels differ in size")
            found.append(sample)
        return found

    def _samples(self, index: tuple[int, ...]) -> list[Any]:
        return [self.dataset[i] for i in index]

    @torch.no_grad()
    def _from_pixels(self, samples: list[Any]) -> tuple[Kept, np.ndarray]:
        """(what is kept of the unedited run, its labels (b, H, W) uint8)."""
        pixels = torch.from_numpy(np.stack([s.image for s in samples])).to(self.device)
        trace = self.segmenter.trace(self.segmenter.normalise(pixels))
        size = (pixels.shape[1], pixels.shape[2])
        margin = margins(trace.logits, size) if trace.logits.device.type == "cpu" else None
        kept = Kept(slim(trace), self.segmenter.decoder.parts(trace), margin)
        return kept, bilinear_labels(trace.logits, size).cpu().numpy()


def slim(trace: Trace) -> Trace:
    """A batched trace with what `Decoder.rerun` reads, without what `Decoder.trace` keeps for readers."""
    nothing = trace.logits.new_empty(len(trace.logits), 0)
    last = len(trace.stages) - 1
    return replace(
        trace,
        features=(),
        stages=tuple(_slim_stage(s, nothing, i < last) for i, s in enumerate(trace.stages)),
        fused=None,
        laterals=(*(nothing,) * 3, trace.laterals[3]) if trace.stages else (),
        high=None,
        guidance=trace.guidance and _slim_guidance(trace.guidance, nothing),
    )


def _slim_guidance(guidance: Guidance, nothing: Tensor) -> Guidance:
    return replace(
        guidance, guide_logits=nothing, upsampler_logits=nothing, context_query=None, context_key=None
    )


def _slim_stage(stage: Stage, nothing: Tensor, read: bool) -> Stage:
    """read: another stage reads its output. What was read stays: it is small, and edits that do not reach it are spared it."""
    return stage if read else replace(stage, out=nothing)


def content_key(segmenter: Any, dataset: LabelledImages, count: int) -> str:
    """SHA-256 of the weights, the spec, the dataset's name, how many of its images, and the first one's pixels and labels."""
    digest = hashlib.sha256(state_hash(segmenter).encode())
    digest.update(json.dumps(segmenter.spec.json(), sort_keys=True).encode())
    digest.update(f"{getattr(dataset, 'name', '')} {count} ".encode())
    first = dataset[0]
    for array in (first.image, first.labels):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def evaluating(segmenter: Any, device: str | torch.device) -> Iterator[None]:
    """On the device and in evaluation mode; its training mode is restored."""
    training = segmenter.training
    segmenter.to(device).eval()
    try:
        yield
    finally:
        segmenter.train(training)
