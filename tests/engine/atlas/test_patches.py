"""A planted pattern is found where it was put, in one image of many, and a patch points back to its pixel."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.atlas import open_atlas
from engine.atlas.patches import MOST, WINDOW, PatchCollector, around
from engine.atlas.walk import build
from engine.cell_labels import majority_labels
from engine.data.datasets import Sample
from engine.images import cell
from engine.stage import Stage
from tests.engine.atlas.toys import CLASSES, ODD, K, Toys, blocks, card_of, toy

pytestmark = pytest.mark.usefixtures("small_walks")

LARGE = (150, 203)
PLANTED = 3  # the category whose mask logit is the redness of a cell
IMAGES = 30
WHERE = 21  # which image holds the pattern …
AT = (
    slice(92, 108),
    slice(136, 152),
)  # … and where: cell (3, 4) at stride 32, (6, 9) … at stride 16, (12, 18) at stride 8


class Redness(nn.Module):
    """A mask head whose logits of one category are how red the image is in each cell; of the others how bright, and how not."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = [backbone]  # in a list: not a part of this module

    def forward(self, high: Tensor) -> Tensor:
        image = self.backbone[0].seen
        r, g, b = F.adaptive_avg_pool2d(image, high.shape[-2:]).unbind(1)
        logits = torch.stack([r + g + b, -(r + g + b), g - b, 5 * (2 * r - g - b), b - g], 1)
        return logits[:, torch.tensor([0, 1, 2, PLANTED, 4])]


def planted() -> Toys:
    samples = [blocks(i, LARGE if i % 3 == 0 else ODD) for i in range(IMAGES)]
    grey = [Sample((s.image // 4 + 90).astype(np.uint8), s.labels, s.modes, s.id) for s in samples]
    one = grey[WHERE]
    image, labels = one.image.copy(), one.labels.copy()
    labels[labels == PLANTED] = (PLANTED + 1) % K
    image[AT] = (255, 0, 0)
    grey[WHERE] = Sample(image, labels, one.modes, one.id)
    return Toys(grey)


@pytest.fixture(scope="module")
def atlas(small_walks, tmp_path_factory):
    segmenter = toy("memory")
    for block in segmenter.decoder.blocks:
        block.update.sources.mask = Redness(segmenter.backbone)
    dataset = planted()
    folder = tmp_path_factory.mktemp("planted")
    build(segmenter, card_of(segmenter), dataset, folder)
    return SimpleNamespace(atlas=open_atlas(folder), segmenter=segmenter, dataset=dataset)


def traced(it: Any, index: int, stage: str) -> Stage:
    with torch.no_grad():
        return it.segmenter.trace(it.segmenter.normalise(it.dataset.samples[index].image)).stage(stage)[0]


@pytest.mark.parametrize("stage", ["stride16", "stride8", "stride4"])
def test_the_pattern_is_found_where_it_was_put(atlas, stage: str):
    patches = atlas.atlas.patches(stage, PLANTED)
    best = patches[0]
    middle = (AT[0].start + 8, AT[1].start + 8)
    assert (best.index, best.id, best.size) == (WHERE, f"id-{WHERE}", LARGE)
    assert best.logit > patches[1].logit + 0.1
    top, left = (int(np.floor(AT[i].start * best.grid[i] / LARGE[i])) for i in (0, 1))
    bottom, right = (int(np.floor((AT[i].stop - 1) * best.grid[i] / LARGE[i])) for i in (0, 1))
    assert top <= best.cell[0] <= bottom and left <= best.cell[1] <= right
    if stage == "stride16":  # the pattern lies inside one cell of the coarsest grid
        assert best.cell == cell(*middle, LARGE, best.grid)
    if stage == "stride4":  # and covers whole cells of the finest
        assert AT[0].start <= best.pixel[0] < AT[0].stop and AT[1].start <= best.pixel[1] < AT[1].stop
    assert not best.held


@pytest.mark.parametrize("stage", ["stride16", "stride8", "stride4"])
def test_every_patch_is_the_largest_mask_logit_of_its_image(atlas, stage: str):
    strongest = {
        i: traced(atlas, i, stage).mask_logits.flatten(1).max(1).values.tolist() for i in range(IMAGES)
    }
    for category in range(K):
        patches = atlas.atlas.patches(stage, category)
        assert len(patches) == MOST
        assert len({patch.index for patch in patches}) == MOST
        logits = [patch.logit for patch in patches]
        assert logits == sorted(logits, reverse=True)
        expected = sorted((strongest[i][category] for i in range(IMAGES)), reverse=True)[:MOST]
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stage", ["stride16", "stride8", "stride4"])
def test_a_patch_describes_its_cell(atlas, stage: str):
    for category in (0, PLANTED):
        for patch in atlas.atlas.patches(stage, category)[::5]:
            sample = atlas.dataset.samples[patch.index]
            one = traced(atlas, patch.index, stage)
            assert (
                patch.id == sample.id and patch.size == sample.labels.shape and patch.grid == one.source_grid
            )
            assert cell(*patch.pixel, patch.size, patch.grid) == patch.cell
            assert patch.logit == pytest.approx(float(one.mask_logits[(category, *patch.cell)]), abs=1e-4)
            shares = (one.assignment[category] * np.prod(patch.grid)).numpy()
            assert patch.share == pytest.approx(shares[patch.cell], rel=1e-3)
            (top, left), (tall, wide) = patch.origin, patch.window.shape
            assert (tall, wide) == tuple(min(WINDOW, side) for side in patch.grid)
            np.testing.assert_allclose(
                patch.window, shares[top : top + tall, left : left + wide], rtol=1e-3, atol=1e-6
            )
            assert patch.window[patch.cell[0] - top, patch.cell[1] - left] == pytest.approx(patch.share)
            assert patch.true == majority_labels(sample.labels, patch.grid, K)[patch.cell]
            with torch.no_grad():
                trace = atlas.segmenter.trace(atlas.segmenter.normalise(sample.image))
            assert patch.predicted == majority_labels(trace.labels[0].numpy(), patch.grid, K)[patch.cell]
            assert patch.held == bool((sample.labels == category).any())


def test_no_category_beyond_the_last(atlas):
    from engine.errors import LoupeError

    for category in (-1, K):
        with pytest.raises(LoupeError, match="category"):
            atlas.atlas.patches("stride4", category)


# ── the collector by itself ─────────────────────────────────────────────────────────────────────────────────────────────


def of_logits(logits: Tensor, limits: np.ndarray | None = None) -> Any:
    """Rows of a stage with these mask logits (b, k, y, x)."""
    b, k, y, x = logits.shape
    stage = SimpleNamespace(
        mask_logits=logits, assignment=logits.flatten(2).softmax(-1).view_as(logits), source_grid=(y, x)
    )
    trace = SimpleNamespace(logits=torch.zeros(b, k, y, x))
    labels = SimpleNamespace(majority=lambda grid: np.zeros((b, *grid), np.uint8))
    batch = [(10 + j, None) for j in range(b)]
    held = torch.ones(b, k, dtype=torch.bool)
    collector = PatchCollector(trace, batch, np.zeros((b, 8, 8), np.uint8), labels, held, limits)  # pyright: ignore[reportArgumentType]
    collector.stage(0, stage)  # pyright: ignore[reportArgumentType]
    return collector.rows()


def test_patches_are_ranked_by_mask_logit_never_by_assignment():
    """One image where the category is absent but for a faint peak, which takes the whole assignment; one full of it."""
    logits = torch.full((2, 1, 3, 4), -100.0)
    logits[0, 0, 1, 2] = 0.0
    logits[1] = 5.0
    rows = of_logits(logits)
    rows = rows.merge(of_logits(torch.zeros(0, 1, 3, 4)))
    by_image = dict(zip(rows.order[:, 0].tolist(), rows.key.tolist(), strict=True))
    assert by_image == {10: 0.0, 11: -5.0}
    assert rows.columns["share"][rows.order[:, 0] == 10] == pytest.approx(12)
    assert rows.columns["share"][rows.order[:, 0] == 11] == pytest.approx(1)
    both = rows.merge(of_logits(logits[1:] - 9))
    assert both.order[0, 0] == 11 and len(both.key) == 3


def test_limits_of_patches_leave_out_only_the_weaker():
    logits = torch.tensor([[1.0, 2.0], [3.0, 0.0]]).view(2, 2, 1, 1)
    rows = of_logits(logits, np.array([-1.0, -1.0]))
    assert sorted(zip(rows.order[:, 0].tolist(), rows.group.tolist(), strict=True)) == [
        (10, 0),
        (10, 1),
        (11, 0),
    ]


@pytest.mark.parametrize("at", [(0, 0), (0, 39), (29, 0), (29, 39), (8, 8), (15, 20), (22, 31)])
@pytest.mark.parametrize("size", [(30, 40), (3, 40), (30, 5), (1, 1), (16, 16)])
def test_windows_stay_inside_and_hold_their_cell(at: tuple[int, int], size: tuple[int, int]):
    at = (min(at[0], size[0] - 1), min(at[1], size[1] - 1))
    shares = np.arange(size[0] * size[1], dtype=np.float32).reshape(size) + 1
    window, origin = around(shares, at)
    tall, wide = min(WINDOW, size[0]), min(WINDOW, size[1])
    assert window.shape == (WINDOW, WINDOW)
    assert 0 <= origin[0] <= size[0] - tall and 0 <= origin[1] <= size[1] - wide
    np.testing.assert_array_equal(
        window[:tall, :wide], shares[origin[0] : origin[0] + tall, origin[1] : origin[1] + wide]
    )
    assert window[at[0] - origin[0], at[1] - origin[1]] == shares[at]
    assert not window[tall:].any() and not window[:, wide:].any()


def test_the_names_of_the_categories_are_the_models(atlas):
    assert atlas.atlas.manifest.classes == CLASSES
