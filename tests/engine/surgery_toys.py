"""A planted decoder, whose every answer is known, and small datasets: what tests of surgery are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine import checkpoints
from engine.decoders.decoder import Rerun
from engine.edits import Plan
from engine.segmenter import SegmenterSpec, build
from engine.trace import Stage, Trace

CLASSES = ("sky", "water", "grass")
SIZE = 16


@dataclass(frozen=True)
class Picture:
    image: np.ndarray
    labels: np.ndarray
    id: str


class Pictures:
    """Samples in memory; classes None: any model's."""

    def __init__(self, samples: list[Picture], classes: tuple[str, ...] | None = CLASSES) -> None:
        self.samples, self.name = samples, "pictures"
        if classes is not None:
            self.classes = classes

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Picture:
        return self.samples[index]

    def __iter__(self) -> Iterator[Picture]:
        return iter(self.samples)


def blocks(count: int, seed: int = 0, categories: int = 3) -> Pictures:
    """Images whose red channel says what the planted decoder predicts; the truth differs in some pixels, a few are ignored."""
    random = np.random.default_rng(seed)
    samples = []
    for j in range(count):
        truth = np.kron(random.integers(0, categories, (4, 4)), np.ones((4, 4), int)).astype(np.uint8)
        said = np.where(random.random(truth.shape) < 0.1, (truth + 1) % categories, truth)
        truth[0, :3] = 255
        image = np.zeros((SIZE, SIZE, 3), np.uint8)
        image[..., 0] = said
        samples.append(Picture(image, truth, f"p{j}"))
    return Pictures(samples)


def photographs(sizes: list[tuple[int, int]], categories: int, seed: int = 0) -> Pictures:
    """Squares of random colours with random labels, for tiny untrained models."""
    random = np.random.default_rng(seed)
    samples = []
    for j, (height, width) in enumerate(sizes):
        image = np.kron(random.integers(0, 256, (8, 8, 3)), np.ones((height // 8, width // 8, 1), int))
        labels = np.kron(random.integers(0, categories, (4, 4)), np.ones((height // 4, width // 4), int))
        samples.append(Picture(image.astype(np.uint8), labels.astype(np.uint8), f"n{j}"))
    return Pictures(samples, None)


def talkative(path: Path) -> Path:
    """Writes a small untrained CPT with memory whose prediction varies over an image, and with what is read."""
    torch.manual_seed(0)
    names = ("sky", "water", "grass", "house", "tree")
    made = build(SegmenterSpec(backbone="mobilenetv4_conv_small_050", classes=names, channels=16)).eval()
    decoder: Any = made.decoder
    with torch.no_grad():
        for block in decoder.blocks:
            block.update.weights.pointwise.weight *= 20
            block.update.weights.key_value.weight *= 20
            block.update.weights.output.weight *= 5
        pixels = np.stack([s.image for s in photographs([(64, 64)] * 4, len(names), seed=9)])
        decoder.classifier.bias -= made(made.normalise(pixels)).mean((0, 2, 3))
    checkpoints.save(path, made, provenance={"recipe": "talkative", "seed": 0})
    return path


class PlantedDecoder(nn.Module):
    """One that reads the answer from the image. Prototype c masked at stride4: its pixels become category c + 1."""

    def parts(self, base: Trace) -> tuple[Tensor, ...]:
        return (base.laterals[3],)

    def rerun(self, base: Trace, plan: Plan, parts: Any = None) -> Rerun:
        edit = plan.stages.get("stride4")
        if edit is None or edit.unread is None:
            return Rerun(base, ())
        said = parts[0]
        for c in torch.nonzero(edit.unread[0])[:, 0].tolist():
            said = torch.where(said == c, (c + 1) % len(CLASSES), said)
        return Rerun(_trace(said), ("stride4",))


class Planted(nn.Module):
    """Its segmenter."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = SegmenterSpec(backbone="planted", classes=CLASSES, channels=4)
        self.decoder = PlantedDecoder()

    def normalise(self, images: Tensor) -> Tensor:
        return images

    def trace(self, images: Tensor) -> Trace:
        return _trace(images[..., 0].long())


def _trace(said: Tensor) -> Trace:
    """said (b, H, W): as the logits' argmax, and hidden in the coarsest lateral for the rerun."""
    logits = torch.nn.functional.one_hot(said, len(CLASSES)).permute(0, 3, 1, 2).float()
    one = torch.zeros(len(said), 1, 1, 1)
    names = ("stride16", "stride8", "stride4")
    return Trace(logits, (), tuple(_stage(n, one) for n in names), (SIZE, SIZE), laterals=(*(one,) * 3, said))


def _stage(name: str, one: Tensor) -> Stage:
    none = dict.fromkeys(("query", "key", "aligned", "assignment", "prototypes", "mask_logits", "memory"))
    some = dict.fromkeys(("value", "blended", "residual", "update", "out", "value_weight", "value_bias"), one)
    weights = {"output_weight": one, "output_bias": one}
    return Stage(name, "memory", (1, 1), (1, 1), 1, 0.1, **none, **some, **weights)
