"""The walk over a dataset on Ray: the chunks of `engine.atlas.walk`, walked by actors of a cluster, or of this machine.

    build(segmenter, card, dataset, folder, chunks=ray_chunks(card.path, "scenes-val", address="auto"))

Ray Data maps chunk numbers to packed chunks over a pool of actors, one a GPU, and hands them back in order; merging, writing and
resuming stay where they are, in `build`. The actors get the checkpoint's bytes and, on a cluster, the engine's code from here:
their machines need Ray, the packages of requirements.txt, and the dataset. Ray is optional, and imported when it is asked for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import checkpoints
from engine.atlas.chunks import Chunk, ChunkWalker
from engine.atlas.packing import pack, unpack
from engine.atlas.partial import Partial, merge
from engine.atlas.ray_session import connected, first_line, imported_ray, reach, silenced, tolerant
from engine.data.datasets import DATA_ROOT, open_dataset
from engine.errors import LoupeError
from engine.evaluation import LabelledImages

RETRIES = 3  # of a chunk whose worker died
IN_FLIGHT = 2  # chunks that an actor has or waits for
SPARE_CPUS = 0.5  # left to Ray's own tasks: actors that take every CPU starve them

Opener = Callable[[], LabelledImages]


def ray_chunks(
    checkpoint: Path,
    data: str | Opener,
    *,
    address: str | None = None,
    workers: int | None = None,
    device: str = "auto",
) -> Callable[[ChunkWalker, Iterable[int]], Iterator[Chunk]]:
    """How `engine.atlas.walk.build` walks its chunks on Ray: what to give it as `chunks`.

    Args:
        checkpoint: the file of the model that `build` is given; its bytes go to the workers.
        data: the dataset's name, or a function that opens it where it is called; called once in every worker.
        address: of an existing cluster's head, "host:port", or "auto" to find the one this machine belongs to; None
            starts Ray on this machine and ends it with the walk. A Ray that this process already uses is used and left.
        workers: actors; one a GPU of the cluster by default, one a CPU where there is none.
        device: "auto" (GPUs where the cluster has any), "cuda" or "cpu".

    Raises:
        LoupeError: Ray is not installed, the cluster cannot be reached; while walking: it has no GPU though asked for, a
            worker cannot read the model or the dataset, or died too often.
    """
    ray = imported_ray()
    if address is not None:
        reach(address)

    def walk(walker: ChunkWalker, numbers: Iterable[int]) -> Iterator[Chunk]:
        todo = list(numbers)
        if todo:
            with connected(ray, address), silenced():
                yield from _walked(ray, _task(ray, checkpoint, data, walker), todo, workers, device)

    return walk


@dataclass(frozen=True, eq=False)
class _Task:
    """What an actor needs to know. weights: digest of those that `build` has, so that no other model is walked."""

    checkpoint: Any  # Ray's reference to the file's bytes
    name: str
    weights: str
    data: str | Opener
    root: Path
    count: int
    size: int
    rows: int
    seed: int
    batch: int
    device: str = "cpu"


def _task(ray: Any, checkpoint: Path, data: str | Opener, walker: ChunkWalker) -> _Task:
    try:
        file = ray.put(checkpoint.read_bytes())
    except OSError as error:
        raise LoupeError(f"{checkpoint} cannot be read: {error.strerror or error}") from error
    collector = walker.collector
    weights = checkpoints.state_hash(collector.segmenter)
    what = (data, DATA_ROOT, walker.count, walker.size, collector.rows, collector.seed, walker.batch)
    return _Task(file, checkpoint.name, weights, *what)


class _Actor:
    """Walks chunks. What goes wrong is returned as a sentence: as an exception it would arrive as a page of Ray's frames."""

    def __init__(self, task: _Task) -> None:
        self.task = task
        self.opened: tuple[Any, LabelledImages] | None = None
        self.walker: ChunkWalker | None = None
        self.last = -1
        self.known: Partial | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        number = int(batch["chunk"][0])
        data, problem = b"", ""
        try:
            data = pack(self._walk(number))
        except LoupeError as error:
            problem = str(error)
        except Exception as error:
            what = " ".join(str(error).split())
            problem = f"a worker of Ray failed at chunk {number}: {type(error).__name__}: {what}"
        return {"chunk": [number], "data": [data], "problem": [problem]}

    def _walk(self, number: int) -> Chunk:
        # What this actor has sent bounds what it need send of later chunks, which are merged later. An earlier one, walked
        # again after a machine was lost, may not be judged by them: an atlas may end between the two.
        if self.walker is None or number <= self.last:
            self.walker, self.known = self._fresh(), None
        chunk = self.walker(number, self.known)
        self.last = number
        if chunk.partial is not None:
            self.known = chunk.partial if self.known is None else merge([self.known, chunk.partial])
        return chunk

    def _fresh(self) -> ChunkWalker:
        task = self.task
        segmenter, dataset = self.opened = self.opened or self._open()
        return ChunkWalker(
            segmenter, dataset, task.count, task.rows, task.seed, task.device, task.batch, task.size
        )

    def _open(self) -> tuple[Any, LabelledImages]:
        import ray
        import torch

        task = self.task
        if task.device == "cpu":
            torch.set_num_threads(1)  # an actor has one CPU
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / task.name
            path.write_bytes(ray.get(task.checkpoint))
            segmenter = checkpoints.load(path).segmenter
        if checkpoints.state_hash(segmenter) != task.weights:
            raise LoupeError(f"the weights in {task.name} are not those of the model that the atlas is of")
        dataset = open_dataset(task.data, task.root) if isinstance(task.data, str) else task.data()
        if len(dataset) < task.count:
            raise LoupeError(f"a worker of Ray sees {len(dataset)} of the dataset's {task.count} images")
        return segmenter.to(task.device), dataset


def _walked(ray: Any, task: _Task, todo: list[int], workers: int | None, device: str) -> Iterator[Chunk]:
    """Chunks in the order of `todo`. Those that are ready before their turn wait in Ray's store, which stops actors when full."""
    batches = _batches(ray, task, todo, workers, device)
    walked = 0
    try:
        while True:
            try:
                with tolerant():
                    batch = next(batches, None)
            except ray.exceptions.RayError as error:
                raise LoupeError(
                    f"the walk on Ray failed: {first_line(error)}; what is walked is kept, and the same command goes on"
                ) from error
            if batch is None:
                break
            for number, data, problem in zip(
                *(batch[name] for name in ("chunk", "data", "problem")), strict=True
            ):
                if problem.as_py():
                    raise LoupeError(problem.as_py())
                if walked == len(todo) or number.as_py() != todo[walked]:
                    raise RuntimeError(f"Ray gave chunk {number} out of order")
                walked += 1
                yield unpack(data.as_py())
        if walked < len(todo):
            raise RuntimeError(f"Ray gave {walked} of {len(todo)} chunks")
    finally:
        batches.close()


def _batches(ray: Any, task: _Task, todo: list[int], workers: int | None, device: str) -> Any:
    """Starts the walk: a generator of Arrow tables."""
    from dataclasses import replace

    from ray.data import ActorPoolStrategy, DataContext, from_items

    having = ray.cluster_resources()
    cpus, gpus = having.get("CPU", 1.0), int(having.get("GPU", 0))
    on_gpu = device.startswith("cuda") or (device == "auto" and gpus > 0)
    if on_gpu and not gpus:
        raise LoupeError("device cuda is not to be had: there is no GPU in the Ray cluster")
    if not on_gpu and device not in ("auto", "cpu"):
        raise LoupeError(f'device "{device}" is not for Ray: auto, cuda or cpu')
    fitting = workers or (gpus if on_gpu else int(cpus))
    pool = max(1, min(fitting, len(todo), gpus if on_gpu else fitting))
    with tolerant():
        context = DataContext.get_current().copy()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        with DataContext.current(context):
            # A block a chunk, and never one that waits for the next.
            chunks = from_items([{"chunk": number} for number in todo], override_num_blocks=len(todo))
            walked = chunks.map_batches(
                _Actor,
                fn_constructor_args=(replace(task, device="cuda" if on_gpu else "cpu"),),
                batch_size=1,
                batch_format="numpy",
                compute=ActorPoolStrategy(size=pool, max_tasks_in_flight_per_actor=IN_FLIGHT),
                num_cpus=max(0.01, round(min(1.0, (cpus - SPARE_CPUS) / pool), 2)),
                num_gpus=1 if on_gpu else 0,
                max_task_retries=RETRIES,
            )
            return iter(walked.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1))
