"""Out of memory on the device: caches are given back, and what was asked is tried once more, then in smaller pieces.

Who holds memory that can be had again (an `Engine`: its traces, its models) registers; `give_back` asks all of them. What is
tried again runs outside the handler of the error: its traceback holds every tensor of the attempt that failed.
"""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import torch

from engine.errors import LoupeError

T = TypeVar("T")
R = TypeVar("R")
LOG = logging.getLogger("loupe")
# What torch says where it has no type of its own for it: its allocator on a CPU, oneDNN, Metal.
_SAID = ("can't allocate memory", "out of memory", "could not create a memory", "bad_alloc")


class OutOfMemory(LoupeError):
    """What was asked for does not fit into the device's memory, not even with every cache given back."""


class Holder(Protocol):
    def give_back(self) -> None:
        """Lets go of what can be had again."""


_holders: weakref.WeakSet[Holder] = weakref.WeakSet()


def register(holder: Holder) -> None:
    """Asked to `give_back` whenever memory is short, as long as it lives."""
    _holders.add(holder)


def is_shortage(error: BaseException) -> bool:
    """Whether an error means that memory did not suffice, on whatever device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error).lower() for said in _SAID)


def give_back() -> None:
    """Caches of every holder, and what torch keeps of the device for later."""
    for holder in list(_holders):
        holder.give_back()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def attempt(work: Callable[[], R]) -> tuple[R] | None:
    """(what `work` gives,); None where memory did not suffice. Everything else that is raised goes on."""
    try:
        return (work(),)
    except Exception as error:
        if not is_shortage(error):
            raise
    return None


def twice(work: Callable[[], R], what: str) -> R:
    """`work`, once more after everything was given back.

    Raises:
        OutOfMemory: "`what` did not fit …".
    """
    if (done := attempt(work)) is not None:
        return done[0]
    give_back()
    if (done := attempt(work)) is not None:
        LOG.warning("The device's memory was full: caches were given back.")
        return done[0]
    give_back()
    raise OutOfMemory(
        f"{what} did not fit into the device's memory, not even after all caches were given back"
    )


def in_pieces(work: Callable[[Sequence[T]], R], items: Sequence[T]) -> list[R]:
    """`work` of all items, or of its halves in order where that does not fit, down to one item.

    Raises:
        OutOfMemory: one item does not fit.
    """
    if len(items) == 1:
        return [twice(lambda: work(items), "one image")]
    if (done := attempt(lambda: work(items))) is not None:
        return [done[0]]
    give_back()
    half = len(items) // 2
    LOG.warning(
        "The device's memory does not hold %d images at once: caches were given back, %d go on.",
        len(items),
        half,
    )
    return [*in_pieces(work, items[:half]), *in_pieces(work, items[half:])]
