"""What pages would otherwise compute again on every run: the only calls of st.cache_*.

Keys name contents, never ids or paths: the checkpoint's hash, the image's hash, device and dtype of the trace, and what was
asked. Results are frozen; several sessions hold the same objects. What may be large is bounded in bytes (`made`), the rest is
small and bounded in number. Traces themselves are cached by the engine, in bytes. A process has one engine, and so one precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import streamlit as st
import torch

from app.computed import Computed
from engine.affinity import Reading, Sink, reading, sinks
from engine.bank import banks
from engine.bank_time import MemoryTime, moments_path, read_moments
from engine.branches import BranchMeasures, measures, outcome_counts, token_angles
from engine.cache import host_budget
from engine.cell_labels import CellLabels, cell_labels
from engine.decoders.cpt import CPTDecoder
from engine.decoders.hfgd import HFGDDecoder
from engine.edits import edits_key
from engine.errors import LoupeError
from engine.gradients import GradientMatrix
from engine.ordering import alike_order
from engine.segmenter import Segmenter
from engine.trace import Trace

Made = TypeVar("Made")

THREADS = torch.get_num_threads()  # before anyone here changes it

# Pixels with their features are some tens of megabytes each, hundreds where there are 150 categories.  [choice]
_computed = Computed(host_budget() // 2)


def key_of(trace: Trace, truth: np.ndarray | None) -> tuple[str, ...]:
    """What a trace's numbers depend on. Where labels are known they belong to the image, so one flag is enough."""
    assert trace.model is not None and trace.image is not None
    return (
        trace.model.hash,
        trace.image.hash,
        str(trace.logits.device),
        str(trace.logits.dtype),
        "truth" if truth is not None else "",
        edits_key(trace.edits) if trace.edits else "",
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


@dataclass(frozen=True, eq=False)
class Parts:
    """What the Prototypes page needs of a model's own weights and moments, without its atlas.

    key: names all of it. stages: with prototypes, coarse → fine. banks: stage → (k, C), empty without memory. time: moments of
    training, or None, and `time_why` says why. tokens, classifier (k, c): of a guided model, what classifies F_h and F_u; None
    elsewhere.
    """

    key: str
    stages: tuple[str, ...]
    heads: int
    banks: dict[str, np.ndarray]
    time: MemoryTime | None
    time_why: str
    tokens: np.ndarray | None
    classifier: np.ndarray | None


def parts_of(checkpoint: str, load: Callable[[], Segmenter], path: Path) -> Parts:
    """The parts of a model. checkpoint: its SHA-256; path: of its file, beside which the moments lie."""
    moments = moments_path(path)
    state = moments.stat() if moments.is_file() else None
    stamp = None if state is None else (state.st_mtime_ns, state.st_size)
    return _parts(checkpoint, stamp, load, moments)


@st.cache_resource(max_entries=64, show_spinner="Reading the model …")
def _parts(
    checkpoint: str, stamp: tuple[int, int] | None, _load: Callable[[], Segmenter], _moments: Path
) -> Parts:
    segmenter = _load()
    decoder, spec = segmenter.decoder, segmenter.spec
    found = banks(segmenter) if isinstance(decoder, CPTDecoder) else {}
    time, why = None, ""
    if found and stamp is None:
        why = f"The moments of its training were not kept: there is no file {_moments.name} beside the checkpoint."
    elif found:
        try:
            time = read_moments(_moments, found)
        except LoupeError as error:
            why = f"Its moments cannot be shown: {error}."
    stages = ()
    if isinstance(decoder, CPTDecoder) and spec.sources in ("prototypes", "memory"):
        stages = tuple(str(block.name) for block in reversed(list(decoder.blocks)))
    tokens = classifier = None
    if isinstance(decoder, HFGDDecoder) and decoder.guided:
        tokens, classifier = (
            one.weight.detach().float().cpu().numpy() for one in (decoder.tokens, decoder.classifier)
        )
    key = f"{checkpoint} {stamp}"
    return Parts(key, stages, spec.heads, found, time, why, tokens, classifier)


def made(key: tuple, make: Callable[[], Made]) -> Made:
    """What `make` gives, kept under a key that names all that it depends on; bounded in bytes."""
    return _computed.get(key, make)


def used() -> int:
    """Bytes that `made` holds."""
    return _computed.used


def limit() -> int:
    """Bytes that `made` holds at most."""
    return _computed.limit


def clear() -> None:
    """Forgets all that is kept here, for every page."""
    _computed.clear()
    for function in (_parts, _branches, _gradients, _reading, _labels, _sinks):
        function.clear()


@st.cache_resource(max_entries=256, show_spinner=False)
def _branches(key: tuple[str, ...], _trace: Trace, _truth: np.ndarray | None) -> Branches:
    assert _trace.guidance is not None
    cosines = _trace.guidance.token_cosines().cpu().numpy()
    return Branches(
        None if _truth is None else measures(_trace, _truth),
        None if _truth is None else outcome_counts(_trace, _truth),
        cosines,
        tuple(alike_order(cosines)),
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
