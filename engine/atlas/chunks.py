"""One piece of a walk: a chunk of images through the model. What a machine of a cluster does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from engine.atlas.collect import Collector, Row
from engine.atlas.partial import Partial, merge
from engine.atlas.records import Skipped
from engine.errors import LoupeError
from engine.evaluation import LabelledImages

CHUNK = 32  # images of a shard
SEED = 0


@dataclass(frozen=True, eq=False)
class Chunk:
    """What the walk over one chunk gave. partial: None where no image could be read."""

    number: int
    partial: Partial | None
    rows: list[Row]
    skipped: list[Skipped]


class ChunkWalker:
    """Runs a model over chunks of a dataset; what a machine of a cluster holds.

    Args:
        segmenter: in evaluation mode on `device`.
        count: images to walk over; the last chunk ends there.
        size: images of a chunk.
    """

    def __init__(
        self,
        segmenter: Any,
        dataset: LabelledImages,
        count: int,
        rows: int,
        seed: int = SEED,
        device: torch.device | str = "cpu",
        batch: int = 8,
        size: int = CHUNK,
    ) -> None:
        self.dataset, self.count, self.batch, self.size = dataset, count, batch, size
        self.collector = Collector(segmenter, rows, seed, device)

    def __call__(
        self, number: int, known: Partial | None = None, tick: Callable[[int], None] | None = None
    ) -> Chunk:
        """One chunk. known: an accumulation beside which weak candidates need not be kept; tick: told of images done."""
        self.collector.bound_by(known)
        parts, rows, skipped = [], [], []
        indices = range(number * self.size, min((number + 1) * self.size, self.count))
        for group in self._groups(indices, skipped):
            partial, found = self.collector.collect(group)
            parts.append(partial)
            rows += found
            if tick is not None:
                tick(len(found))
        return Chunk(number, merge(parts) if parts else None, rows, skipped)

    def _groups(self, indices: Iterable[int], skipped: list[Skipped]) -> Iterator[list[tuple[int, Any]]]:
        """Samples of one size, at most `batch` at a time; what cannot be read is listed."""
        group: list[tuple[int, Any]] = []
        for index in indices:
            try:
                sample = self.dataset[index]
                if sample.image.shape[:2] != sample.labels.shape:
                    raise LoupeError("its labels are of another size")
            except (LoupeError, OSError, ValueError) as error:
                skipped.append(Skipped(index, _id_of(self.dataset, index), _reason(error)))
                continue
            if group and (len(group) == self.batch or group[0][1].image.shape != sample.image.shape):
                yield group
                group = []
            group.append((index, sample))
        if group:
            yield group


def _reason(error: Exception) -> str:
    """In one line; what has no words has a kind."""
    return " ".join(str(error).split()) or type(error).__name__


def _id_of(dataset: Any, index: int) -> str:
    name = getattr(dataset, "id_of", None)
    return str(index) if name is None else name(index)
