"""What pages would otherwise compute again on every run: the only calls of st.cache_*.

Keys name contents, never ids or paths: the checkpoint's hash, the image's hash, device and dtype of the trace, and what was
asked. Results are frozen and small; several sessions hold the same objects. Traces themselves are cached by the engine, in bytes.
A process has one engine, and so one precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch

from engine.affinity import Reading, Sink, reading, sinks
from engine.branches import BranchMeasures, measures, outcome_counts, token_angles, token_order
from engine.cell_labels import CellLabels, cell_labels
from engine.gradients import GradientMatrix
from engine.trace import Trace

THREADS = torch.get_num_threads()  # before anyone here changes it


def key_of(trace: Trace, truth: np.ndarray | None) -> tuple[str, ...]:
    """What a trace's numbers depend on. Where labels are known they belong to the image, so one flag is enough."""
    assert trace.model is not None and trace.image is not None
    return (
        trace.model.hash,
        trace.image.hash,
        str(trace.logits.device),
        str(trace.logits.dtype),
        "truth" if truth is not None else "",
    )


def reading_of(trace: Trace, truth: np.ndarray | None, stage: str, pixel: tuple[int, int]) -> Reading:
    """`engine.affinity.reading` of a pixel of the original image."""
    return _reading(key_of(trace, truth), stage, pixel, trace, truth)


def sinks_of(trace: Trace, stage: str) -> tuple[Sink, ...]:
    """`engine.affinity.sinks` of a stage."""
    return _sinks(key_of(trace, None), stage, trace)


@dataclass(frozen=True, eq=False)
class Branches:
    """What the Guidance page says of one image: see engine.branches. measures and counts need ground truth."""

    measures: tuple[BranchMeasures, BranchMeasures] | None
    counts: np.ndarray | None  # (3, 4)
    cosines: np.ndarray  # (k, k) between class tokens
    order: tuple[int, ...]  # in which alike tokens are neighbours
    angles: dict[str, np.ndarray]  # "high", "upsampled": (k,) degrees
    by: str  # what the class means go by


def branches_of(trace: Trace, truth: np.ndarray | None) -> Branches:
    """Both branches of a guided model on one image, against ground truth where it is known."""
    return _branches(key_of(trace, truth), trace, truth)


def gradients_of(trace: Trace, truth: np.ndarray, make: Callable[[], GradientMatrix]) -> GradientMatrix:
    """`Engine.gradients` of the trace's model and image; `make` runs it."""
    return _gradients(key_of(trace, truth), make)


@st.cache_resource(max_entries=256, show_spinner=False)
def _branches(key: tuple[str, ...], _trace: Trace, _truth: np.ndarray | None) -> Branches:
    assert _trace.guidance is not None
    cosines = _trace.guidance.token_cosines().cpu().numpy()
    return Branches(
        None if _truth is None else measures(_trace, _truth),
        None if _truth is None else outcome_counts(_trace, _truth),
        cosines,
        tuple(token_order(cosines)),
        token_angles(_trace, _truth),
        "prediction" if _truth is None else "ground truth",
    )


@st.cache_resource(max_entries=256, show_spinner="Following both losses back through the model …")
def _gradients(key: tuple[str, ...], _make: Callable[[], GradientMatrix]) -> GradientMatrix:
    return _make()


@st.cache_resource(max_entries=4096, show_spinner=False)
def _reading(
    key: tuple[str, ...], stage: str, pixel: tuple[int, int], _trace: Trace, _truth: np.ndarray | None
) -> Reading:
    labels = _labels(key, stage, _trace, _truth)
    with _one_thread():
        return reading(_trace, stage, pixel=pixel, truth=_truth, labels=labels)


@st.cache_resource(max_entries=192, show_spinner=False)
def _labels(key: tuple[str, ...], stage: str, _trace: Trace, _truth: np.ndarray | None) -> CellLabels:
    return cell_labels(_trace, stage, _truth)


@st.cache_resource(
    max_entries=192, show_spinner="Looking for sinks …"
)  # shown only where it takes half a second
def _sinks(key: tuple[str, ...], stage: str, _trace: Trace) -> tuple[Sink, ...]:
    return sinks(_trace, stage)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Tensors of a few kilobytes: on a busy machine torch's threads wait for each other longer than they work.

    torch keeps the number per thread, and a thread that begins takes the last one set anywhere. What stands here on entry may
    therefore be another thread's 1: the number put back is the constant, so that no overlap can leave the process with one.
    Only a thread whose first use of torch falls inside another's reading keeps 1 while it lives: slower and not wrong.
    """
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(THREADS)
