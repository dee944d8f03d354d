"""How long something takes and how much memory it holds: the two clocks of the bench and of the pages, and the bench's rows."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

TURN = 0.03  # seconds that one side measures before the other has its turn


@dataclass(frozen=True)
class Row:
    """One line of the bench's table: what was measured, against what, and the bound that the project sets itself."""

    name: str
    measured: float
    against: float
    unit: str  # of both
    bound: float | None  # on ratio; None: stated, without a bound
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.measured / self.against

    @property
    def held(self) -> bool | None:
        return None if self.bound is None else self.ratio <= self.bound

    def json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio, "held": self.held}


def alternate(
    a: Callable[[], object], b: Callable[[], object], device: torch.device, rounds: int
) -> tuple[float, float]:
    """Median seconds of each, the two taking turns; the first turn warms up and is not counted."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for f, kept in zip((a, b), times, strict=True):
            spent = 0.0
            while spent < TURN:  # a call of microseconds is timed many times
                took = seconds(f, device)
                spent += took
                if turn:
                    kept.append(took)
    return statistics.median(times[0]), statistics.median(times[1])


def seconds(f: Callable[[], object], device: torch.device) -> float:
    """What one call takes, the device's queue emptied before and after."""
    wait(device)
    start = time.perf_counter()
    f()
    wait(device)
    return time.perf_counter() - start


def peak_bytes(f: Callable[[], object], device: torch.device) -> float:
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


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
