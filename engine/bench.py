"""Speed and memory of the engine, each as a ratio of two things measured in the same run.

Inputs are a shipped scene, enlarged, and the shipped models: real weights, real pixels. Times are medians; the two sides of a
ratio take turns, so that a busy machine slows both. Peak memory is what the run allocates beyond what was there.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.catalogue import ASSETS
from engine.errors import LoupeError
from engine.runtime import Engine

TURN = 0.03  # seconds that one side measures before the other has its turn


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, against what, and the bound that the project sets itself."""

    name: str
    measured: float
    against: float
    unit: str  # of both
    bound: float  # on ratio
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.measured / self.against

    @property
    def held(self) -> bool:
        return self.ratio <= self.bound

    def json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio, "held": self.held}


def run(device: str = "auto", only: str | None = None, precision: str = "fp32") -> list[Row]:
    """All measurements whose name contains `only`.

    Raises:
        LoupeError: no such measurement, or no demo models.
    """
    engine = Engine(device=device, precision=precision)
    chosen = [m for m in MEASUREMENTS if only is None or only in m]
    if not chosen:
        raise LoupeError(f'no measurement "{only}": there are {", ".join(MEASUREMENTS)}')
    return [row for name in chosen for row in MEASUREMENTS[name](engine)]


def scene(size: int) -> np.ndarray:
    """The first sample scene at `size` × `size`, (size, size, 3) uint8. No generator: a bare GPU machine lacks SciPy."""
    files = sorted(p for p in (ASSETS / "scenes").glob("*.png") if p.stem.isdigit())
    if not files:
        raise LoupeError(f"no sample scene in {ASSETS / 'scenes'}")
    with Image.open(files[0]) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


def trace_against_forward(engine: Engine) -> Iterable[Row]:
    """`engine.trace` of an image it has not seen, against a plain forward of a copy of the weights that keeps nothing."""
    for model in ("cpt", "qup"):
        pixels = scene(512)
        segmenter = copy.deepcopy(engine.segmenter(model))
        picture = engine.image(pixels)

        def forward(segmenter=segmenter, pixels=pixels) -> None:
            with torch.no_grad(), engine._autocast():
                segmenter(segmenter.normalise(pixels))

        def trace(model=model, picture=picture) -> None:
            engine.clear()
            engine.trace(model, picture)

        traced, plain = _alternate(trace, forward, engine.device, rounds=21)
        yield Row(f"trace, {model} 512²", 1e3 * traced, 1e3 * plain, "ms", 1.15, "against a plain forward")
        engine.clear()
        peaks = [_peak(f, engine.device) / 2**20 for f in (lambda: engine.trace(model, picture), forward)]  # noqa: B023
        yield Row(f"trace peak, {model} 512²", peaks[0], peaks[1], "MiB", 1.25, "against a plain forward")
        engine.clear()


def row_against_matrix(engine: Engine) -> Iterable[Row]:
    """One affinity row at the finest stage, against materialising the whole affinity."""
    stage = engine.trace("qup", scene(512)).stages[-1]
    row, matrix = _alternate(
        lambda: stage.affinity(40, 70), lambda: stage.affinity_block(slice(None)), engine.device, rounds=5
    )
    size = f"{stage.grid[0] * stage.grid[1]} × {stage.source_count}, {stage.heads} heads"
    yield Row(
        "affinity row, qup 512² stride4", 1e3 * row, 1e3 * matrix, "ms", 1 / 200, f"against the matrix {size}"
    )


def second_trace(engine: Engine) -> Iterable[Row]:
    """The second trace of the same image and model, against the first."""
    picture = engine.image(scene(512))

    def first() -> None:
        engine.clear()
        engine.trace("cpt", picture)

    one, two = _alternate(first, lambda: engine.trace("cpt", picture), engine.device, rounds=7)
    yield Row("second trace, cpt 512²", 1e3 * two, 1e3 * one, "ms", 1 / 100, "against the first")


MEASUREMENTS: dict[str, Callable[[Engine], Iterable[Row]]] = {
    "trace": trace_against_forward,
    "row": row_against_matrix,
    "second": second_trace,
}


def _alternate(
    a: Callable[[], object], b: Callable[[], object], device: torch.device, rounds: int
) -> tuple[float, float]:
    """Median seconds of each, the two taking turns; the first turn warms up and is not counted."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for f, kept in zip((a, b), times, strict=True):
            spent = 0.0
            while spent < TURN:  # a call of microseconds is timed many times
                _wait(device)
                start = time.perf_counter()
                f()
                _wait(device)
                took = time.perf_counter() - start
                spent += took
                if turn:
                    kept.append(took)
    return statistics.median(times[0]), statistics.median(times[1])


def _peak(f: Callable[[], object], device: torch.device) -> float:
    """Most bytes that `f` holds at once beyond what was held before, what it leaves in caches included."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        f()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        f()
    results: Any = profiler.profiler.kineto_results  # pyright: ignore[reportOptionalMemberAccess]
    changes = sorted((e.start_ns(), e.nbytes()) for e in results.events() if e.name() == "[memory]")
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
