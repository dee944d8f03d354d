"""What pages would otherwise compute again on every run: the only calls of st.cache_*.

Keys name contents, never ids or paths: the checkpoint's hash, the image's hash, device and dtype of the trace, and what was
asked. Results are frozen and small; several sessions hold the same objects. Traces themselves are cached by the engine, in bytes.
A process has one engine, and so one precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import streamlit as st
import torch

from engine.affinity import Reading, Sink, reading, sinks
from engine.cell_labels import CellLabels, cell_labels
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
