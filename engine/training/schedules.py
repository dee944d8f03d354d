"""What changes with the step: learning rate and memory share, as pure functions of the step.

    rate(t)   = t < w:  (t + 1) / w            otherwise  (1 − t / T)^p       × the group's base rate
    share(t)  = constant: μ0                   poly: (1 − t / T)^0.9 (μ0 − 0.009) + 0.009      [author]

t counts finished optimiser steps, T is their total, w the warm-up, p the power. The poly value at the end of the
warm-up continues where the warm-up stops (the factor is the smaller of the two), so there is no jump.
"""

from __future__ import annotations

MEMORY_SCHEDULES = ("constant", "poly")
FLOOR_SHARE = 0.009
"""Where the poly memory schedule ends. [author]"""


def rate_factor(step: int, steps: int, warmup: int, power: float) -> float:
    """Factor on the base learning rate of optimiser step `step` (0-based), in (0, 1]."""
    poly = max(0.0, 1.0 - step / max(1, steps)) ** power
    return min((step + 1) / warmup, poly) if step < warmup else poly


def rate(step: int, steps: int, warmup: int, power: float, base: float, floor: float) -> float:
    """The learning rate itself: the poly part ends at `floor` instead of 0, where that is below `base`."""
    factor, low = rate_factor(step, steps, warmup, power), min(floor, base)
    return base * factor if step < warmup else (base - low) * factor + low


def memory_share(schedule: str, step: int, steps: int, initial: float) -> float:
    """Blend weight μ during step `step` (0-based): constant, or poly with power 0.9 down to 0.009. [author]"""
    if schedule == "constant":
        return initial
    return (1.0 - step / max(1, steps)) ** 0.9 * (initial - FLOOR_SHARE) + FLOOR_SHARE
