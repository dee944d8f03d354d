"""What every decoder is to those who use one: three ways to run the same path, and which maps it reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

from engine.edits.plan import Plan
from engine.errors import LoupeError
from engine.guidance import Cuts
from engine.shapes import Float
from engine.trace import Pyramid, Trace

if TYPE_CHECKING:
    from engine.decoders.prototypes import MemoryBank


class Prediction(NamedTuple):
    """What training needs of a forward pass."""

    logits: Float[Tensor, "b k h w"]
    mask_logits: tuple[
        Tensor, ...
    ] = ()  # per block, coarse → fine, (b, k, y_i, x_i); empty without a mask head
    guide_logits: Float[Tensor, "b k y x"] | None = None  # of the guide branch, where there is one


Parts = tuple[Tensor, ...]
"""What a decoder keeps of an unedited run, beyond its trace, so that edited ones are cheap; its own to read."""


class Rerun(NamedTuple):
    """An edited run."""

    trace: Trace
    anew: tuple[str, ...]  # what was computed anew; the rest is the unedited run's


class Decoder(nn.Module):
    """A pyramid → logits. `forward`, `predict` and `trace` run the same path; they differ in what they keep."""

    classes: int
    reads: tuple[str, ...] = ("f0", "f1", "f2", "f3")
    """The maps that the logits depend on: "f0".."f3" (strides 4 to 32), "f-1" (stride 2), "image"."""

    def forward(self, features: Pyramid | Sequence[Tensor]) -> Float[Tensor, "b k h w"]:
        """Logits at the decoder's own stride. Keeps nothing."""
        return self.predict(features).logits

    def predict(self, features: Pyramid | Sequence[Tensor], cuts: Cuts | None = None) -> Prediction:
        """Logits and what else is supervised. `cuts` replaces the gradient cuts of a decoder that has any."""
        raise NotImplementedError

    def trace(self, features: Pyramid | Sequence[Tensor]) -> Trace:
        """The same path, with everything kept."""
        raise NotImplementedError

    def parts(self, base: Trace) -> Parts:
        """What `rerun` profits from being given; empty where there is nothing."""
        return ()

    def rerun(self, base: Trace, plan: Plan, parts: Parts | None = None) -> Rerun:
        """An edited run from an unedited batched one: only what comes after the edits is computed.

        Raises:
            LoupeError: no edit reaches this decoder.
        """
        raise LoupeError(
            "this decoder has neither stages that read sources nor class tokens: nothing can be edited"
        )

    def separate_parameters(self) -> list[nn.Parameter]:
        """Parameters that a loss of their own trains, and no other loss; empty where every loss reaches everything."""
        return []

    def memory_banks(self) -> list[MemoryBank]:
        """The memory banks, coarse → fine like a trace's stages; empty without memory."""
        return []

    def set_memory_share(self, memory_share: float) -> None:
        """Set μ of every block (the schedule does, each step)."""
        for bank in self.memory_banks():
            bank.memory_share = float(memory_share)
