"""The same pixels at another site: features of the cell that holds the pixel, whatever the grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine import Engine, LoupeError
from engine.atlas.sites import site_maps
from engine.cell_labels import majority_labels
from engine.data.scenes import render
from engine.elsewhere import elsewhere
from engine.pixels import ChosenImage, from_traces

SEEDS = (1, 2)
CLASSES = 5


@pytest.fixture(scope="module")
def traced(tiny_checkpoint: Path):
    engine = Engine(device="cpu")
    scenes = [render(seed, 96) for seed in SEEDS]
    traces = [engine.trace(str(tiny_checkpoint), scene.image) for scene in scenes]
    truths = [np.where(scene.labels < CLASSES, scene.labels, 255).astype(np.uint8) for scene in scenes]
    images = [
        ChosenImage(str(seed), (96, 96), truth, scene.modes)
        for seed, scene, truth in zip(SEEDS, scenes, truths, strict=True)
    ]
    return traces, images


@pytest.mark.parametrize("site", ["f0", "f1", "f3", "stride8.value", "stride8.update", "fused"])
def test_features_are_those_of_the_cell_that_holds_the_pixel(traced, site):
    traces, images = traced
    base = from_traces(traces, images, "f2")
    found = elsewhere(base, traces, images, site)
    np.testing.assert_array_equal(found.pixel, base.pixel)
    np.testing.assert_array_equal(found.category, base.category)
    assert (found.site, found.names, found.data) == (site, base.names, base.data)
    for row in range(0, len(base), 7):
        image = int(base.image[row])
        x = site_maps(traces[image])[site]
        height, width = x.shape[-2:]
        r, c = base.pixel[row].tolist()
        cell = int((r + 0.5) * height / 96), int((c + 0.5) * width / 96)
        np.testing.assert_array_equal(found.features[row], x[:, cell[0], cell[1]].numpy())
        majority = majority_labels(images[image].truth, (height, width), CLASSES)
        assert found.pure[row] == (majority[cell] == base.category[row])
        assert found.predicted[row] == traces[image].labels.numpy()[r, c]


def test_at_its_own_site_nothing_changes(traced):
    traces, images = traced
    base = from_traces(traces, images, "f2")
    assert elsewhere(base, traces, images, "f2").key() == base.key()


def test_what_cannot_be_found_is_one_sentence(traced):
    traces, images = traced
    base = from_traces(traces, images, "f2")
    with pytest.raises(LoupeError, match='no site "high"'):
        elsewhere(base, traces, images, "high")
    with pytest.raises(LoupeError, match="not of the sample's images"):
        elsewhere(base, traces[:1], images[:1], "f1")
