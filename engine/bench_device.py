"""Images per second on a GPU: traces, atlases and training at 512², each against its floor on the same card.

    floor of a call = max(operations / matrix rate, bytes / copy bandwidth)

The rates are measured in the same run: the faster of a square matrix product and of the same product as a 1×1 convolution (in
fp32 the two may differ, convolutions being allowed TF32), and a copy of a large tensor. Operations are torch's count, two for
each multiply-add; bytes are those that no implementation can avoid: weights, images and what is handed back, once each; for a
training step what the backward pass is left with, the gradients and AdamW's two moments too. With torch.compile the backbone and
the decoder's forward are compiled; the floor stays the uncompiled call's.

Models are a ResNet-50 of 150 categories, untrained; images and labels are noise.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.costs import multiply_adds
from engine.measuring import Row, seconds
from engine.segmenter import Segmenter, SegmenterSpec, build
from engine.trace import tensor_bytes, to_device
from engine.training.batches import Batch
from engine.training.loop import clip_groups, make_optimiser, optimise
from engine.training.objective import SegmentationObjective
from engine.training.recipes import Recipe

if TYPE_CHECKING:
    from engine.runtime import Engine

RESERVOIR = 512  # pixels that an atlas keeps of a category


@dataclass(frozen=True)
class Setup:
    """What is measured. size: pixels of a side; matrix: rows and columns of the products; copied: bytes."""

    backbone: str = "resnet50c"
    classes: int = 150
    channels: int = 256
    size: int = 512
    batch: int = (
        8  # of an atlas and a training step; traces are made one at a time, as a click does, and so many
    )
    rounds: int = 10
    matrix: int = 8192
    copied: int = 1 << 30
    precisions: tuple[str, ...] = ("fp32", "bf16")
    compiled: tuple[str, ...] = ("", "inductor")  # torch.compile's backends; "" for none


@dataclass(frozen=True)
class Rates:
    """operations: a second, of matrix products, by precision; bandwidth: bytes a second, read and written."""

    operations: dict[str, float]
    bandwidth: float


@dataclass(frozen=True, eq=False)
class Call:
    """Something to time: `images` at once. run: in a precision. moved: the bytes that it cannot avoid."""

    run: Callable[[str], object]
    images: int
    moved: float


@dataclass(frozen=True, eq=False)
class Noise:
    """A labelled image as an atlas reads it."""

    image: np.ndarray
    labels: np.ndarray
    id: str
    modes: None = None


def device_against_floor(engine: Engine) -> Iterable[Row]:
    """Nothing without CUDA: a floor of matrix products says little of a CPU that shares its cores."""
    return measure(Setup(), engine.device) if engine.device.type == "cuda" else ()


def measure(setup: Setup, device: torch.device) -> Iterator[Row]:
    """Milliseconds an image of each call, precision and compilation, against the floor's."""
    rates = card_rates(setup, device)
    for name, make in CALLS.items():
        operations = 0.0
        for backend in setup.compiled:
            try:
                call = make(setup, device, backend)
            except ModuleNotFoundError as missing:  # a bare machine has no SciPy, which atlases need
                print(f"{name}: the package {missing.name} is not installed", file=sys.stderr)
                continue
            for precision in setup.precisions:
                run = partial(call.run, precision)
                try:
                    took = _median(run, device, setup.rounds)
                except Exception as error:  # of the compiler: the other rows are worth having
                    if not backend:
                        raise
                    print(
                        f"{name} in {precision}, compiled: {type(error).__name__}: {error}", file=sys.stderr
                    )
                    continue
                operations = operations or 2 * multiply_adds(run)
                floors = operations / rates.operations[precision], call.moved / rates.bandwidth
                yield Row(
                    f"{name}, {setup.backbone} {setup.size}², {precision}{', compiled' if backend else ''}",
                    1e3 * took / call.images,
                    1e3 * max(floors) / call.images,
                    "ms",
                    None,
                    f"{call.images / took:.1f} images/s, {call.images} at once; floor: {operations / 1e9:.0f} GFLOP at "
                    f"{rates.operations[precision] / 1e12:.1f} TFLOP/s {1e3 * floors[0]:.2f} ms, "
                    f"{call.moved / 1e6:.0f} MB at {rates.bandwidth / 1e9:.0f} GB/s {1e3 * floors[1]:.2f} ms",
                )


def card_rates(setup: Setup, device: torch.device) -> Rates:
    """What the device reaches at best, measured."""
    side = setup.matrix
    operations = {}
    for precision in setup.precisions:
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        a, b = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
        pixels = a.view(1, 1, side, side).permute(0, 3, 1, 2)  # channels last: the same memory
        kernel = b[:, :, None, None]
        times = [
            _median(f, device, setup.rounds)
            for f in (partial(torch.mm, a, b), partial(F.conv2d, pixels, kernel))
        ]
        operations[precision] = 2 * side**3 / min(times)
    source = torch.ones(setup.copied // 4, device=device)
    target = torch.empty_like(source)
    took = _median(lambda: target.copy_(source), device, setup.rounds)
    return Rates(operations, 2 * setup.copied / took)


def autocast(device: torch.device, precision: str) -> Any:
    """As the engine and the loop run a model of that precision."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def _trace(setup: Setup, device: torch.device, backend: str, images: int) -> Call:
    segmenter = _segmenter(setup, device, backend).eval()
    pixels = torch.from_numpy(_images(setup, images)).to(device)

    @torch.no_grad()
    def run(precision: str) -> Any:
        with autocast(device, precision):
            return segmenter.trace(segmenter.normalise(pixels))

    plain = _segmenter(setup, device, "").eval()
    with torch.no_grad():
        kept = tensor_bytes(plain.trace(plain.normalise(pixels)))
    return Call(run, images, _bytes(segmenter.parameters()) + pixels.nbytes + kept)


def _atlas(setup: Setup, device: torch.device, backend: str) -> Call:
    """A group of images of an atlas that has seen as many before, so that its bounds are known."""
    from engine.atlas.collect import Bounds, Collector  # not at the top: it needs SciPy

    segmenter = _segmenter(setup, device, backend).eval()
    pixels, labels = _images(setup, setup.batch), _labels(setup)
    group = [(i, Noise(pixels[i], labels[i], str(i))) for i in range(setup.batch)]
    plain = Collector(_segmenter(setup, device, "").eval(), RESERVOIR, seed=0, device=device)
    bounds = Bounds.of(plain.collect(group)[0], setup.classes)
    subject = _Cast(segmenter, device)
    collector = Collector(subject, RESERVOIR, seed=0, device=device)

    def run(precision: str) -> Any:
        subject.precision = precision
        return collector.collect(group, bounds)

    return Call(run, setup.batch, _bytes(segmenter.parameters()) + pixels.nbytes)


def _training(setup: Setup, device: torch.device, backend: str) -> Call:
    step = TrainingStep(_segmenter(setup, device, backend), setup.batch, setup.size, device)
    batch = Batch(_images(setup, setup.batch), _labels(setup))
    plain = TrainingStep(_segmenter(setup, device, ""), setup.batch, setup.size, device)
    # Weights are read in both passes and by the optimiser, and written; so are gradients once each, and AdamW's two moments.
    weights = (2 + 2 + 2 + 4) * _bytes(plain.objective.parameters())
    saved = saved_bytes(lambda: plain(batch), plain.objective)
    return Call(
        partial(step, batch), setup.batch, weights + batch.images.nbytes + batch.labels.nbytes + 2 * saved
    )


CALLS: dict[str, Callable[[Setup, torch.device, str], Call]] = {
    "trace": partial(_trace, images=1),
    "traces, a batch": lambda setup, device, backend: _trace(setup, device, backend, setup.batch),
    "atlas": _atlas,
    "training": _training,
}


class _Cast:
    """A segmenter that runs in `precision`; its traces are in fp32 then, the only one that atlases are collected in."""

    precision = "fp32"

    def __init__(self, segmenter: Segmenter, device: torch.device) -> None:
        self.segmenter, self.device = segmenter, device
        self.spec, self.normalise = segmenter.spec, segmenter.normalise

    def trace(self, images: Tensor) -> Any:
        with autocast(self.device, self.precision):
            trace = self.segmenter.trace(images)
        return trace if self.precision == "fp32" else to_device(trace, torch.float32)


class TrainingStep:
    """One step of `engine.training.loop` after the other, of one process, without the loop's data and files.

    segmenter: trained from now on. batch, size: of the batches (b, S, S).
    """

    def __init__(self, segmenter: Segmenter, batch: int, size: int, device: torch.device) -> None:
        self.device = device
        self.objective = SegmentationObjective(segmenter).train()
        self.recipe = Recipe("bench", batch=batch, crop=size, optimiser="adamw", learning_rate=1e-5)
        self.optimiser = make_optimiser(self, self.recipe)  # pyright: ignore[reportArgumentType]
        self.clipped = clip_groups(self)  # pyright: ignore[reportArgumentType]

    def __call__(self, batch: Batch, precision: str = "fp32") -> Mapping[str, Tensor]:
        """Runs one step and returns its losses. precision: of the forward pass, as a Fabric sets it."""

        def objective(*given: Any) -> Any:
            with autocast(self.device, precision):
                return self.objective(*given)

        return optimise(self, objective, self.optimiser, batch, self.recipe, 0, self.clipped)  # pyright: ignore[reportArgumentType]

    # What is asked of a task

    def backbone_parameters(self) -> Iterable[nn.Parameter]:
        return self.objective.segmenter.backbone.parameters()

    def separate_parameters(self) -> list[nn.Parameter]:
        return self.objective.segmenter.decoder.separate_parameters()

    # What is asked of a Fabric

    global_rank = 0

    @staticmethod
    def backward(loss: Tensor) -> None:
        loss.backward()

    @staticmethod
    def no_backward_sync(module: nn.Module, enabled: bool) -> Any:
        return nullcontext()


def saved_bytes(f: Callable[[], object], module: nn.Module) -> int:
    """Of the distinct tensors that `f` leaves to its backward pass, without the module's parameters."""
    own = {p.untyped_storage().data_ptr() for p in module.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        f()
    return sum(kept.values())


def _segmenter(setup: Setup, device: torch.device, backend: str) -> Segmenter:
    torch.manual_seed(0)
    spec = SegmenterSpec(
        setup.backbone, tuple(f"category {i}" for i in range(setup.classes)), channels=setup.channels
    )
    segmenter = build(spec).to(device)
    if backend:
        segmenter.backbone.compile(backend=backend)
        decoder: Any = segmenter.decoder  # its forward, its trace and what training asks of it all run this
        decoder._run = torch.compile(decoder._run, backend=backend)
    return segmenter


def _images(setup: Setup, count: int) -> np.ndarray:
    """(count, S, S, 3) uint8."""
    shape = (count, setup.size, setup.size, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _labels(setup: Setup) -> np.ndarray:
    """(b, S, S) uint8 in squares of 32 pixels, so that cells of every stride belong to a category."""
    side = -(-setup.size // 32)
    squares = np.random.default_rng(1).integers(0, setup.classes, (setup.batch, side, side), dtype=np.uint8)
    return squares.repeat(32, 1).repeat(32, 2)[:, : setup.size, : setup.size].copy()


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _median(f: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Seconds; the first two calls, which compile and choose kernels, are not counted."""
    times = [seconds(f, device) for _ in range(rounds + 2)]
    return statistics.median(times[2:])
