"""One piece of a walk: a chunk of images through the model. What a machine of a cluster does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from engine.atlas.collect import Bounds, Collector, Row
from engine.atlas.partial import Partial, merge
from engine.atlas.records import Skipped
from engine.errors import LoupeError
from engine.evaluation import LabelledImages, at_once
from engine.room import in_pieces

CHUNK = 32  # images of a shard
MOST_THREADS = 8  # each holds a batch's maps
CPU_PIXELS = 1 << 21  # that are on a CPU at once: a trace of 2048×1024 holds 3 GB of maps at C = 256
CPU_BATCH = 4  # maps of more images fall out of a core's caches, and every sum fetches them again
GPU_BATCH = 16
SEED = 0


def batch_for(device: torch.device | str) -> int:
    """Images at a time, if they are not large  [choice]."""
    return CPU_BATCH if torch.device(device).type == "cpu" else GPU_BATCH


@dataclass(frozen=True, eq=False)
class Chunk:
    """What the walk over one chunk gave. partial: None where no image could be read."""

    number: int
    partial: Partial | None
    rows: list[Row]
    skipped: list[Skipped]


@dataclass(frozen=True)
class _End:
    """Of a chunk."""

    number: int
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
        batch: int = CPU_BATCH,
        size: int = CHUNK,
    ) -> None:
        self.dataset, self.count, self.batch, self.size = dataset, count, batch, size
        self.collector = Collector(segmenter, rows, seed, device)

    def __call__(
        self, number: int, known: Partial | None = None, tick: Callable[[int], None] | None = None
    ) -> Chunk:
        """One chunk. known: an accumulation beside which weak candidates need not be kept; tick: told of images done."""
        with closing(self.walk([number], lambda: known, tick)) as chunks:
            return next(chunks)

    def walk(
        self,
        numbers: Iterable[int],
        known: Callable[[], Partial | None],
        tick: Callable[[int], None] | None = None,
    ) -> Generator[Chunk]:
        """Chunks in order, their batches side by side in threads.

        known: an accumulation beside which weak candidates need not be kept; it holds no image after those being walked.
        """
        steps = self._steps(numbers)
        first = next(steps, None)
        group = first if isinstance(first, list) else []
        pixels = sum(sample.image.shape[0] * sample.image.shape[1] for _, sample in group)
        with side_by_side(self.collector.device, pixels) as (submit, threads):
            waiting: deque[Future[tuple[Partial, list[Row]]] | _End] = deque()
            # Only images before a batch bound it: an atlas may end at any chunk.
            bounds = Bounds.none(self.collector.classes).beside(known())
            parts, rows = [], []
            for step in chain([] if first is None else [first], steps, [None]):
                if isinstance(step, list):
                    waiting.append(submit(self._collected, step, bounds))
                elif step is not None:
                    waiting.append(step)
                while waiting and (step is None or len(waiting) > threads or isinstance(waiting[0], _End)):
                    done = waiting.popleft()
                    if isinstance(done, _End):
                        yield Chunk(done.number, merge(parts) if parts else None, rows, done.skipped)
                        parts, rows = [], []
                        bounds = bounds.beside(known())
                        continue
                    partial, found = done.result()
                    bounds = bounds.beside(partial)
                    parts.append(partial)
                    rows += found
                    if tick is not None:
                        tick(len(found))

    def _collected(self, group: list[tuple[int, Any]], bounds: Bounds) -> tuple[Partial, list[Row]]:
        """One batch; in halves where the device's memory does not hold it."""
        found = in_pieces(lambda some: self.collector.collect(some, bounds), group)
        return merge([partial for partial, _ in found]), [row for _, rows in found for row in rows]

    def _steps(self, numbers: Iterable[int]) -> Iterator[list[tuple[int, Any]] | _End]:
        """Every batch; after a chunk's last one, its end."""
        for number in numbers:
            skipped: list[Skipped] = []
            indices = range(number * self.size, min((number + 1) * self.size, self.count))
            yield from self._groups(indices, skipped)
            yield _End(number, skipped)

    def _groups(self, indices: Iterable[int], skipped: list[Skipped]) -> Iterator[list[tuple[int, Any]]]:
        """Samples of one size, at most `batch` at a time, and of large ones fewer; what cannot be read is listed."""
        group: list[tuple[int, Any]] = []
        for index in indices:
            try:
                sample = self.dataset[index]
                if sample.image.shape[:2] != sample.labels.shape:
                    raise LoupeError("its labels are of another size")
            except (LoupeError, OSError, ValueError) as error:
                skipped.append(Skipped(index, id_of(self.dataset, index), reason(error)))
                continue
            full = len(group) == at_once(self.batch, sample.image.shape, self.collector.device)
            if group and (full or group[0][1].image.shape != sample.image.shape):
                yield group
                group = []
            group.append((index, sample))
        if group:
            yield group


@contextmanager
def side_by_side(device: torch.device, pixels: int = 0) -> Iterator[tuple[Callable[..., Any], int]]:
    """(submit, threads). On a CPU each thread runs whole batches on one core: that uses the cores better than all of them in one
    operation after the other, and sums do not depend on their number. Beside a GPU one batch is counted while the next is on it.

    pixels: of a batch. Of large ones fewer go side by side, and share the cores.
    """
    cores = torch.get_num_threads()
    most = min(cores, MOST_THREADS) if device.type == "cpu" else 2
    threads = max(1, min(most, CPU_PIXELS // max(1, pixels))) if device.type == "cpu" else most
    share = 1 if threads == most else cores // threads
    alone = {"initializer": torch.set_num_threads, "initargs": (share,)} if device.type == "cpu" else {}
    executor = ThreadPoolExecutor(threads, "atlas", **alone)
    try:
        yield executor.submit, threads
    finally:
        executor.shutdown(cancel_futures=True)
        torch.set_num_threads(cores)  # else every thread to come would have one as well


def reason(error: Exception) -> str:
    """In one line; what has no words has a kind."""
    return " ".join(str(error).split()) or type(error).__name__


def id_of(dataset: Any, index: int) -> str:
    name = getattr(dataset, "id_of", None)
    return str(index) if name is None else name(index)
