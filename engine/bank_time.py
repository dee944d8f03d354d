"""How a memory bank came about: the moments of training that engine.training.moments kept. Pure functions of arrays.

    drift of a row   ‖m(T) − m(t)‖ / ‖m(T)‖    m: the row's 50-step mean, T the last step, t the last moment before the last tenth
    path length      Σ ‖m(t_j+1) − m(t_j)‖ / ‖m(T)‖   over the moments: chords, so a lower bound of the way that was gone
    a row is still   its drift is below a tenth of the median row's, or below what fp16 resolves   [choice]
    2-D path         principal components of all 50-step means of all categories of a stage, one projection for all moments

Means over 50 steps, since a bank at μ = 0.1 remembers about ten batches and wanders with each of them. Every batch updates every
row, absent categories' too, so a row that does not move while others do has a live prototype that has stopped varying.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from engine.bank import cosine
from engine.errors import LoupeError

FORMAT = "loupe-memory-1"
LAST = 0.1  # of training: the stretch over which drift is measured
STILL = 0.1  # of the median row's drift: an order of magnitude less than its like  [choice]
RESOLUTION = 2.0**-10  # relative: two rows kept in fp16, each within 2⁻¹¹, may differ by this and be the same

Kind = Literal["bank", "mean"]


@dataclass(frozen=True, eq=False)
class MemoryTime:
    """The moments of one training run.

    checkpoint: file name of the model they belong to. stages: coarse → fine. steps (t,) int64: finished optimiser steps, the
    last is `total_steps`. bank[stage] (t, k, C): the bank as it was; mean[stage]: its mean over the last `window` steps.
    """

    checkpoint: str
    stages: tuple[str, ...]
    steps: np.ndarray
    window: int
    total_steps: int
    bank: dict[str, np.ndarray]
    mean: dict[str, np.ndarray]

    def series(self, stage: str, kind: Kind = "mean") -> np.ndarray:
        """(t, k, C) of a stage. Raises LoupeError: no such stage."""
        if stage not in self.stages:
            raise LoupeError(
                f'the memory moments hold no stage "{stage}": they hold {", ".join(self.stages)}'
            )
        return (self.bank if kind == "bank" else self.mean)[stage]

    def cosine_to_final(self, stage: str, kind: Kind = "mean") -> np.ndarray:
        """(t, k) cosine of each row to the final *bank's* row, whichever kind is asked for; nan where a row is 0."""
        return cosine(self.series(stage, kind), self.series(stage, "bank")[-1])


@dataclass(frozen=True, eq=False)
class Drift:
    """How far the rows of a stage moved, relative to their final norm; nan where it is undefined.

    length (k,): path length over all moments. late (k,): over the last tenth of training, from step `start` to step `end`;
    nan for all rows where the two means share steps (a run too short). still (k,) bool: see the module.
    """

    length: np.ndarray
    late: np.ndarray
    still: np.ndarray
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Every category's way in one fixed plane.

    points (t, k, 2): the 50-step means. explained (2,): share of the variance of all points along each axis, nan where nothing
    varies. centre (C,), axes (2, C): orthonormal; the entry of largest magnitude of each is positive, so that a picture does not
    flip. Distances in the plane are never measured: the numbers come from the original space.
    """

    points: np.ndarray
    explained: np.ndarray
    centre: np.ndarray
    axes: np.ndarray

    def project(self, vectors: np.ndarray) -> np.ndarray:
        """(…, C) vectors of the same space (memory rows, live prototypes of this stage) → (…, 2)."""
        return (np.asarray(vectors, np.float64) - self.centre) @ self.axes.T


def moments_path(checkpoint: str | Path) -> Path:
    """Where the moments of a checkpoint lie: beside it."""
    path = Path(checkpoint)
    return path.with_name(path.stem + ".memory.safetensors")


def read_moments(path: str | Path, banks: dict[str, np.ndarray] | None = None) -> MemoryTime:
    """Reads `<model>.memory.safetensors`.

    Args:
        banks: the model's own banks (engine.bank.banks). The moments must end in them: the file knows its checkpoint by name
            only, and a model trained anew has the same name.

    Raises:
        LoupeError: missing, damaged, of another program or version, or of another training run than `banks`.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise LoupeError(f"there are no memory moments {path.name}")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise LoupeError(f"{path.name} is truncated, damaged or no safetensors file") from error
    if metadata.get("format") != FORMAT:
        raise LoupeError(
            f"{path.name} holds no memory moments of this version (its format is {metadata.get('format', 'unknown')}, "
            f"wanted {FORMAT})"
        )
    try:
        stages = tuple(json.loads(metadata["stages"]))
        window, total = int(metadata["window"]), int(metadata["total_steps"])
        checkpoint = metadata["checkpoint"]
        steps = tensors["steps"]
        bank = {stage: tensors[f"{stage}.bank"].astype(np.float32) for stage in stages}
        mean = {stage: tensors[f"{stage}.mean"].astype(np.float32) for stage in stages}
    except (KeyError, TypeError, ValueError) as error:
        raise LoupeError(f"{path.name} is damaged: it lacks {error}") from error
    time = MemoryTime(checkpoint, stages, steps, window, total, bank, mean)
    if fault := _fault(time):
        raise LoupeError(f"{path.name} is damaged: {fault}")
    if banks is not None:
        _check_end(time, banks, path.name)
    return time


def drift(time: MemoryTime, stage: str) -> Drift:
    """Path length and late drift of every row of a stage. Raises LoupeError: no such stage."""
    rows = time.series(stage).astype(np.float64)
    final = np.linalg.norm(rows[-1], axis=-1)
    start = int(np.searchsorted(time.steps, (1 - LAST) * time.total_steps + 1e-9, side="right")) - 1
    way = np.linalg.norm(np.diff(rows, axis=0), axis=-1).sum(axis=0)
    moved = np.linalg.norm(rows[-1] - rows[start], axis=-1)
    if time.steps[-1] - time.steps[start] < time.window:
        moved = np.full(len(final), np.nan)
    length, late = (
        np.divide(x, final, out=np.full(len(final), np.nan), where=final > 0) for x in (way, moved)
    )
    known = np.isfinite(late)
    median = float(np.median(late[known])) if known.any() else np.nan
    still = known & ((late < STILL * median) | (late <= RESOLUTION))
    return Drift(length, late, still, int(time.steps[start]), int(time.steps[-1]))


def trajectories(time: MemoryTime, stage: str) -> Trajectories:
    """Principal components of all categories' 50-step means at all moments. Raises LoupeError: no such stage."""
    rows = time.series(stage).astype(np.float64)
    channels = rows.shape[-1]
    flat = rows.reshape(-1, channels)
    centre = flat.mean(axis=0)
    # As scikit-learn's PCA, by the covariance: C is small beside t · k, and importing numpy costs nothing.
    values, vectors = np.linalg.eigh((flat - centre).T @ (flat - centre))
    values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1].T
    axes = np.zeros((2, channels))
    axes[: min(2, channels)] = vectors[:2]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    axes *= np.where(largest < 0, -1.0, 1.0)
    variance = np.zeros(2)
    variance[: min(2, channels)] = values[:2]
    total = values.sum()
    explained = variance / total if total > 0 else np.full(2, np.nan)
    return Trajectories((rows - centre) @ axes.T, explained, centre, axes)


def _fault(time: MemoryTime) -> str:
    """What is wrong with the numbers of a file that could be read; "" if nothing."""
    steps = time.steps
    if not time.stages or not all(isinstance(stage, str) for stage in time.stages):
        return "it names no stages"
    if steps.ndim != 1 or not len(steps) or not np.issubdtype(steps.dtype, np.integer):
        return "its steps are no list of whole numbers"
    if steps[0] != 0 or (np.diff(steps) <= 0).any() or steps[-1] != time.total_steps or time.window < 1:
        return f"its steps do not rise from the start of training to its end at step {time.total_steps}"
    for stage in time.stages:
        bank, mean = time.bank[stage], time.mean[stage]
        if bank.ndim != 3 or bank.shape != mean.shape or len(bank) != len(steps) or 0 in bank.shape:
            return f"the shapes of {stage} do not fit {len(steps)} moments"
        if bank.shape[1] != time.bank[time.stages[0]].shape[1]:
            return "its stages differ in their number of categories"
        if not (np.isfinite(bank).all() and np.isfinite(mean).all()):
            return f"{stage} holds values that are not finite numbers"
    return ""


def _check_end(time: MemoryTime, banks: dict[str, np.ndarray], name: str) -> None:
    if tuple(banks) != time.stages:
        has = ", ".join(banks) or "none"
        raise LoupeError(
            f"{name} is of another model: it has the stages {', '.join(time.stages)}, the model {has}"
        )
    for stage, rows in banks.items():
        final = time.bank[stage][-1]
        # Both were stored in fp16, so they agree exactly; a checkpoint kept in fp32 within its rounding.
        if final.shape != rows.shape or not np.allclose(final, rows, rtol=2**-10, atol=2**-10):
            raise LoupeError(
                f"{name} is of another training run: it does not end in the bank of this checkpoint ({stage})"
            )
