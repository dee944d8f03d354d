"""What a decoder costs: parameters and multiply-adds by counting, time and memory by measuring on this device.

GMACs: torch's flop counter, halved, of one forward pass in evaluation mode. It counts convolutions, matrix products and
attention, and leaves out norms, activations and resizing; so do the figures that papers give.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch

from engine.measuring import peak_bytes, seconds
from engine.segmenter import Segmenter, SegmenterSpec, build

ROUNDS = 5


@dataclass(frozen=True)
class Costs:
    """Of one forward pass of one image."""

    size: tuple[int, int]  # (H, W) pixels
    parameters: int
    gmacs: float  # 10⁹ multiply-adds
    milliseconds: float  # median of `ROUNDS` passes on `device`, after one to warm up
    peak_bytes: float  # held at once beyond what was held before
    device: str


def gmacs(segmenter: Segmenter, size: tuple[int, int]) -> float:
    """10⁹ multiply-adds of one forward pass of an image of `size` = (H, W)."""
    image = torch.zeros(1, 3, *size, device=segmenter.mean.device)
    with torch.no_grad():
        return multiply_adds(lambda: segmenter(image)) / 1e9


def multiply_adds(f: Callable[[], object]) -> float:
    """Of whatever `f` runs on tensors."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter:
        f()
    return counter.get_total_flops() / 2


def gmacs_of(spec: SegmenterSpec, size: tuple[int, int]) -> float:
    """The same from a spec alone: the model is built without memory for its weights."""
    with torch.device("meta"):
        return gmacs(build(spec).eval(), size)


def costs(segmenter: Segmenter, size: tuple[int, int]) -> Costs:
    """Counts and measures one forward pass; the segmenter must be in evaluation mode. The pixels do not matter: noise."""
    device = segmenter.mean.device
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0)).to(device)

    def forward() -> None:
        with torch.no_grad():
            segmenter(image)

    forward()
    times = [seconds(forward, device) for _ in range(ROUNDS)]
    parameters = sum(p.numel() for p in segmenter.parameters())
    return Costs(
        size,
        parameters,
        gmacs(segmenter, size),
        1e3 * statistics.median(times),
        peak_bytes(forward, device),
        str(device),
    )
