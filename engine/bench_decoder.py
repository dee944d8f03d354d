"""The decoder at published size, against the same decoder with explicit attention: softmax(q·kᵀ) made, then multiplied by v.

Both are one module with one set of weights; only the function that reads sources is exchanged. Features are noise of the shapes
and signs of a ResNet-50's: convolutions, norms and attention take as long for any numbers but zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.costs import gmacs_of
from engine.decoders import block
from engine.decoders.cpt import CPTDecoder
from engine.measuring import Row, alternate, peak_bytes
from engine.segmenter import SegmenterSpec, build

if TYPE_CHECKING:
    from engine.runtime import Engine

CHANNELS = (256, 512, 1024, 2048)  # of a ResNet-50 at strides 4, 8, 16, 32
CLASSES = 150
SIZE = 512
ROUNDS = 7


def noise(size: int, device: torch.device, batch: int = 1) -> list[Tensor]:
    """A ResNet-50's pyramid of a `size` × `size` image: (b, c, size / stride, size / stride) each, half of it zeros as after
    its ReLU."""
    random = torch.Generator().manual_seed(0)
    return [
        torch.randn(batch, channels, size // stride, size // stride, generator=random).relu_().to(device)
        for channels, stride in zip(CHANNELS, (4, 8, 16, 32), strict=True)
    ]


def plain_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(…, q, e) from queries (…, q, d), keys (…, m, d) and values (…, m, e): the (q, m) matrix exists."""
    return (query @ key.transpose(-1, -2)).softmax(dim=-1) @ value


@contextmanager
def explicit() -> Iterator[None]:
    """Inside, every block of every CPT decoder of this process reads its sources by `plain_attention`."""
    fused = block.attend
    block.attend = plain_attention
    try:
        yield
    finally:
        block.attend = fused


def decoder_against_plain(engine: Engine, size: int = SIZE, rounds: int = ROUNDS) -> Iterable[Row]:
    """Time and peak memory of a forward pass for prototypes with memory and for pixels; multiply-adds of the whole model."""
    features = noise(size, engine.device)
    for kind in ("memory", "pixels"):
        torch.manual_seed(0)
        decoder = CPTDecoder(CHANNELS, CLASSES, kind).eval().to(engine.device)

        def ours(decoder: CPTDecoder = decoder) -> None:
            with torch.no_grad(), engine.autocast():
                decoder(features)

        def plain(ours=ours) -> None:
            with explicit():
                ours()

        name = f"{kind}, {CLASSES} classes, {decoder.channels} channels, {size}²"
        note = "against explicit attention in the same decoder"
        times = alternate(ours, plain, engine.device, rounds)
        yield Row(f"decoder, {name}", 1e3 * times[0], 1e3 * times[1], "ms", 1.0, note)
        peaks = [peak_bytes(f, engine.device) / 2**20 for f in (ours, plain)]
        yield Row(f"decoder peak, {name}", peaks[0], peaks[1], "MiB", 1.0, note)
    spec = SegmenterSpec("resnet50c", tuple(f"category {i}" for i in range(CLASSES)))
    with torch.device("meta"):
        parameters = sum(p.numel() for p in build(spec).parameters())
    fused = gmacs_of(spec, (size, size))
    with explicit():
        against = gmacs_of(spec, (size, size))
    yield Row(
        f"multiply-adds, R50 {size}², {CLASSES} classes",
        fused,
        against,
        "GMACs",
        1.0,
        f"against explicit attention; {parameters / 1e6:.2f} M parameters in either",
    )
