"""Traces of real, untrained decoders over grids whose sizes differ pairwise: what pair tests compare the browser with."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch

from app import viewer
from engine.decoders.cpt import CPTDecoder
from engine.images import load_image
from engine.runtime import ModelCard
from engine.stage import SourceKind, Stage
from engine.trace import Trace
from tests.browser.viewer_harness.server import Harness

KINDS: tuple[SourceKind, ...] = ("bilinear", "pixels", "prototypes", "memory")
K, C, HEADS, MU = 7, 24, 3, 0.3
GRIDS = [(21, 29), (11, 15), (6, 8), (3, 4)]  # no exact halvings
CHANNELS = [5, 9, 10, 13]
ORIGINAL, TRACED = (170, 234), (84, 116)  # the photo was reduced before it was traced
CLASSES = [{"name": f"category {j}", "colour": f"#{40 + 30 * j:02x}{200 - 25 * j:02x}80"} for j in range(K)]
SPREAD = 3.0  # standard deviation of the scores, so that affinities have peaks


def trace(kind: SourceKind) -> Trace:
    """A trace with its image, no batch axis."""
    torch.manual_seed(5)
    decoder = CPTDecoder(CHANNELS, K, sources=kind, channels=C, heads=HEADS, memory_share=MU).eval()
    features = [torch.randn(1, c, *g) for c, g in zip(CHANNELS, GRIDS, strict=True)]
    with torch.no_grad():
        traced = decoder.trace(features)[0]
    pixels = np.random.default_rng(0).integers(0, 255, (*ORIGINAL, 3), dtype=np.uint8)
    image = load_image(pixels, long_side=TRACED[1], name="noise")
    assert image.pixels.shape[:2] == TRACED
    card = cast(ModelCard, SimpleNamespace(id=kind, title=kind, hash=kind))
    stages = tuple(map(_sharp, traced.stages))
    # Labels in blocks: with an untrained decoder's noise no source cell would belong to a category.
    logits = torch.nn.functional.interpolate(torch.randn(1, K, 3, 4), traced.logits.shape[-2:])[0]
    return replace(traced, stages=stages, logits=logits, image_size=TRACED, image=image, model=card)


def _sharp(stage: Stage) -> Stage:
    if stage.query is None or stage.key is None:
        return stage
    return replace(stage, query=stage.query * (SPREAD / (stage.query @ stage.key.transpose(-1, -2)).std()))


def add(harness: Harness, kind: SourceKind, **kwargs) -> Trace:
    """Puts the trace into the harness under its kind; truth is the prediction with a stripe of another category."""
    traced = harness.traces[kind] = trace(kind)
    truth = traced.labels.numpy().astype(np.uint8).copy()
    truth[:, 30:40] = 3
    harness.data[kind] = viewer.describe(traced, harness.store.put(traced, truth), CLASSES, **kwargs)
    return traced
