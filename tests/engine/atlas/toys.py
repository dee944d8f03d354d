"""Small models and datasets for the atlas: a backbone that only pools, decoders as they are, images of coloured blocks.

Nothing is trained; scores are scaled up, so that affinities and assignments are far from uniform and a mistake shows.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.atlas.reading import Atlas
from engine.atlas.walk import build
from engine.backbones import Backbone
from engine.catalogue import ModelCard
from engine.data.datasets import Sample
from engine.decoders.cpt import CPTDecoder
from engine.decoders.hfgd import HFGDDecoder
from engine.errors import LoupeError
from engine.segmenter import Segmenter, SegmenterSpec
from engine.trace import Pyramid

CLASSES = ("sky", "water", "grass", "house", "tree")
K = len(CLASSES)
KINDS = ("memory", "prototypes", "pixels", "bilinear", "hfgd")
ODD = (37, 53)  # grids 10×14, 5×7, 3×4, 2×2: some cut the finer one's cells, some are blocks of them
OTHER = (48, 72)
COUNT = 10  # images of a walk in the tests of bad input: two whole chunks and a ragged one of two


class Pooled(Backbone):
    """Means of squares of the image, through a 1×1 each: grids of any size, rounded up."""

    channels = (8, 12, 16, 20)
    stride2_channels = 0
    local = threading.local()  # a walk runs batches side by side

    def __init__(self) -> None:
        nn.Module.__init__(self)  # not timm's
        self.mix = nn.ModuleList(nn.Conv2d(3, c, 1) for c in self.channels)

    @property
    def seen(self) -> Tensor:
        """What this thread showed it last."""
        return self.local.images

    def forward(self, images: Tensor) -> Pyramid:
        self.local.images = images
        levels = [
            torch.tanh(2 * mix(F.avg_pool2d(images, 4 << i, ceil_mode=True)))
            for i, mix in enumerate(self.mix)
        ]
        return Pyramid(
            (levels[0], levels[1], levels[2], levels[3]), (images.shape[-2], images.shape[-1]), images
        )


def toy(kind: str = "memory", seed: int = 0, classes: tuple[str, ...] = CLASSES) -> Segmenter:
    """A segmenter whose sources are `kind`, or HFGD; in evaluation mode."""
    torch.manual_seed(seed)
    backbone = Pooled()
    if kind == "hfgd":
        spec = SegmenterSpec("toy", classes, method="hfgd", channels=16, level_channels=8)
        decoder = HFGDDecoder(
            backbone.channels, len(classes), 16, 8, context_channels=12, context_keys=4, dropout=0.0
        )
    else:
        spec = SegmenterSpec("toy", classes, sources=kind, channels=16)
        decoder = CPTDecoder(backbone.channels, len(classes), kind, 16, memory_share=0.3)
    segmenter = Segmenter(spec, backbone, decoder)
    with torch.no_grad():
        for name, weight in segmenter.named_parameters():
            if name.endswith(("pointwise.weight", "key_value.weight", "mask.logits.weight", "align.weight")):
                weight.mul_(4)
        for bank in segmenter.decoder.memory_banks():
            bank.bank.mul_(3)
    return segmenter.eval().requires_grad_(False)


def card_of(segmenter: Segmenter, hash: str = "a" * 64, id: str = "toy") -> ModelCard:
    spec = segmenter.spec
    return ModelCard(
        id=id,
        title=id,
        method=spec.method,
        sources=spec.sources if spec.method == "cpt" else None,
        backbone=spec.backbone,
        classes=spec.classes,
        parameters=1,
        mIoU=None,
        boundary_IoU=None,
        memory_share=spec.memory_share if spec.remembers else None,
        path=Path("toy.safetensors"),
        hash=hash,
        provenance={},
    )


@dataclass
class Toys:
    """A dataset in memory; `broken`: what reading an image raises instead; `reads`: the indices that were asked for."""

    samples: list[Sample]
    name: str = "toys"
    classes: tuple[str, ...] = CLASSES
    broken: dict[int, Exception] = field(default_factory=dict)
    reads: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self.samples):
            raise IndexError(index)
        self.reads.append(index)
        if index in self.broken:
            raise self.broken[index]
        return self.samples[index]

    def id_of(self, index: int) -> str:
        return f"id-{index}"


def blocks(index: int, size: tuple[int, int], classes: int = K, unlabelled: bool = True) -> Sample:
    """Blocks of categories, coloured and noisy. With `unlabelled`: two corners without a label, 255 and beyond the classes."""
    random = np.random.default_rng([7, index])
    height, width = size
    coarse = random.integers(0, classes, (4, 5))
    coarse[coarse == index % classes] = (index + 1) % classes  # every image lacks one
    labels = coarse[np.arange(height)[:, None] * 4 // height, np.arange(width) * 5 // width].astype(np.uint8)
    colours = np.random.default_rng(3).integers(0, 256, (classes, 3))
    image = np.clip(colours[labels] + random.normal(0, 40, (height, width, 3)), 0, 255).astype(np.uint8)
    if unlabelled:
        labels[: height // 5, : width // 4] = 255
        labels[-(height // 6) :, -(width // 5) :] = classes + index % 3
    modes = None if index % 2 else random.integers(0, 3, size).astype(np.uint8)
    return Sample(image, labels, modes, f"id-{index}")


def toys(count: int, unlabelled: bool = True) -> Toys:
    """Two sizes in turns of three; the sixth image has no label at all."""
    samples = [blocks(i, OTHER if i % 6 >= 3 else ODD, unlabelled=unlabelled) for i in range(count)]
    if unlabelled and count > 5:
        at = samples[5]
        samples[5] = Sample(at.image, np.full_like(at.labels, 255), at.modes, at.id)
    return Toys(samples)


def files_of(folder: Path) -> dict[str, bytes]:
    """What the manifest lists, and the manifest."""
    manifest = (folder / "manifest.json").read_bytes()
    return {"manifest.json": manifest} | {
        name: (folder / name).read_bytes() for name in json.loads(manifest)["files"]
    }


def assert_equal(folder: Path, reference: Path) -> None:
    mine, yours = files_of(folder), files_of(reference)
    assert mine.keys() == yours.keys()
    for name in yours:
        assert mine[name] == yours[name], name
    assert not list(folder.glob("**/*.partial"))


class Nods:
    """Says yes when it is asked for the n-th time."""

    def __init__(self, at: int) -> None:
        self.at, self.asked = at, 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.asked == self.at


def one_sentence(error: BaseException | str) -> str:
    """The message, checked: one line, no traceback."""
    text = str(error)
    assert text and "\n" not in text and "Traceback" not in text and len(text) < 600
    return text


def again(segmenter, folder: Path, dataset: Toys | None = None, **given):
    """Builds, or builds again."""
    return build(segmenter, card_of(segmenter), toys(COUNT) if dataset is None else dataset, folder, **given)


def said(call) -> str:
    """The sentence with which a call is refused."""
    with pytest.raises(LoupeError) as caught:
        call()
    return one_sentence(caught.value)


def read_everything(atlas: Atlas) -> None:
    """Every answer an atlas gives."""
    _ = atlas.confusion, atlas.confusions, atlas.images, atlas.price, atlas.effects
    for site in atlas.manifest.sites:
        atlas.moments(site)
        atlas.reservoir(site)
    for stage in atlas.manifest.stages:
        _ = atlas.usage(stage).rate, atlas.parts(stage), atlas.prototype_means(stage), atlas.pairs(stage)
        _ = atlas.live(stage), list(atlas.prototypes(stage))
        for category in range(len(atlas.manifest.classes)):
            atlas.patches(stage, category)
