"""The two branches compared: small cases equal what is counted by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from engine import branches
from engine.branches import BOTH_RIGHT, BOTH_WRONG, GUIDE_ALONE, UPSAMPLER_ALONE
from engine.errors import LoupeError
from engine.guidance import CLOSED, Guidance
from engine.trace import Trace

SURE = 9.0


def logits_of(labels: np.ndarray, classes: int) -> torch.Tensor:
    """Logits (k, h, w) that say `labels` and nothing else."""
    return (
        SURE * torch.nn.functional.one_hot(torch.from_numpy(labels).long(), classes).permute(2, 0, 1).float()
    )


def made(guide: torch.Tensor, upsampler: torch.Tensor, size: tuple[int, int], **fields: Any) -> Trace:
    """A trace with these logits and features of two channels."""
    classes = len(guide)
    guidance = Guidance(
        tokens=torch.eye(classes, 2),
        classifier=torch.eye(classes, 2),
        guide_logits=guide,
        upsampler_logits=upsampler,
        high=torch.zeros(2, *guide.shape[-2:]),
        upsampled=torch.zeros(2, *upsampler.shape[-2:]),
        context_query=None,
        context_key=None,
        cuts=CLOSED,
        own_tokens=False,
    )
    return Trace(upsampler, (), (), size, guidance=replace(guidance, **fields))


TRUTH = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 255, 1]])
GUIDE = np.array([[0, 1, 1, 0], [0, 0, 0, 1], [2, 0, 2, 1]])
UPSAMPLER = np.array([[0, 0, 0, 0], [0, 2, 1, 1], [2, 2, 2, 1]])


@pytest.fixture
def small() -> Trace:
    """Both branches on the image's own grid, so that nothing is resized."""
    return made(logits_of(GUIDE, 3), logits_of(UPSAMPLER, 3), (3, 4))


def test_outcomes_say_pixel_by_pixel_which_branch_is_right(small):
    expected = [
        [BOTH_RIGHT, UPSAMPLER_ALONE, GUIDE_ALONE, BOTH_WRONG],
        [BOTH_RIGHT, GUIDE_ALONE, UPSAMPLER_ALONE, BOTH_RIGHT],
        [BOTH_RIGHT, UPSAMPLER_ALONE, 255, BOTH_RIGHT],
    ]
    found = branches.outcomes(small, TRUTH)
    assert found.dtype == np.uint8 and found.tolist() == expected
    assert len(branches.OUTCOMES) == 4 and branches.OUTCOMES[GUIDE_ALONE] == "guide alone right"


def test_both_wrong_is_so_also_where_the_branches_disagree():
    trace = made(logits_of(np.array([[1]]), 3), logits_of(np.array([[2]]), 3), (1, 1))
    assert branches.outcomes(trace, np.array([[0]])).tolist() == [[BOTH_WRONG]]


def test_whole_iou_is_intersection_over_union(small):
    guide, upsampler = branches.measures(small, TRUTH.astype(np.uint8))
    assert (guide.branch, upsampler.branch) == ("guide", "upsampler")
    # guide, category 0: right at (0,0), (1,0), (1,1); missed (0,1); claimed (0,3), (1,2), (2,1)
    assert guide.iou == pytest.approx([100 * 3 / 7, 100 * 3 / 6, 100 * 1 / 2])
    # upsampler: 0 right three times, missed (1,1), claimed (0,2), (0,3); 2 right twice, claimed (1,1)
    assert upsampler.iou == pytest.approx([100 * 3 / 6, 100 * 3 / 5, 100 * 2 / 3])
    assert guide.miou == pytest.approx(np.mean(guide.iou))


def test_band_and_inside_part_the_pixels():
    """16 columns, the edge between columns 7 and 8, d = 1: the band is columns 7 and 8."""
    truth = np.repeat([[0] * 8 + [1] * 8], 4, axis=0).astype(np.uint8)
    wrong_far, wrong_near = truth.copy(), truth.copy()
    wrong_far[:, 0], wrong_near[:, 7] = 1, 1
    trace = made(logits_of(wrong_near, 2), logits_of(wrong_far, 2), (4, 16))
    guide, upsampler = branches.measures(trace, truth)
    assert upsampler.band_iou == pytest.approx([100, 100])
    assert upsampler.inside_iou == pytest.approx(
        [100 * 24 / 28, 100 * 28 / 32]
    )  # 7 columns each, one of them wrong
    assert guide.inside_iou == pytest.approx([100, 100])
    assert guide.band_iou == pytest.approx([0, 50])
    assert guide.band_miou == pytest.approx(25)
    counts = branches.outcome_counts(trace, truth)
    assert counts.sum(1).tolist() == [64, 8, 56]
    order = [BOTH_RIGHT, GUIDE_ALONE, UPSAMPLER_ALONE, BOTH_WRONG]
    assert counts[:, order].tolist() == [[56, 4, 4, 0], [4, 0, 4, 0], [52, 4, 0, 0]]


def test_unknown_pixels_are_counted_nowhere(small):
    counts = branches.outcome_counts(small, TRUTH.astype(np.uint8))
    assert counts[0].sum() == 11 and (counts[1] + counts[2] == counts[0]).all()


def test_a_category_that_is_nowhere_is_nan_and_in_no_mean():
    truth = np.zeros((4, 4), np.uint8)
    guide, _ = branches.measures(made(logits_of(truth, 3), logits_of(truth, 3), (4, 4)), truth)
    assert guide.iou[0] == 100 and np.isnan(guide.iou[1:]).all() and guide.miou == 100
    assert math.isnan(guide.band_miou)  # one category: no edge


def test_relative_logits_do_not_change_with_what_softmax_ignores():
    logits = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0))
    shifted = logits + torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(branches.relative_logits(shifted, 2), branches.relative_logits(logits, 2))
    everything = torch.stack([branches.relative_logits(logits, category) for category in range(5)])
    torch.testing.assert_close(everything.softmax(0), logits.softmax(0))
    torch.testing.assert_close(everything.sum(0), torch.zeros(3, 4), rtol=0, atol=1e-6)


def test_the_difference_is_the_upsamplers_minus_the_guides_by_hand():
    guide = torch.tensor([[[4.0, 0.0]], [[0.0, 4.0]]])  # (2, 1, 2): relative of category 0: +2, −2
    upsampler = torch.tensor([[[1.0, 1.0, 3.0, 3.0]], [[1.0, 1.0, 1.0, 1.0]]])  # relative: 0, 0, 1, 1
    coarse, fine, difference = branches.logit_maps(made(guide, upsampler, (1, 4)), 0)
    assert coarse.tolist() == [[2, -2]] and fine.tolist() == [[0, 0, 1, 1]]
    # two cells → four, align_corners=False: 2, 1, −1, −2
    torch.testing.assert_close(difference, torch.tensor([[-2.0, -1.0, 2.0, 3.0]]))
    with pytest.raises(LoupeError, match="category 2"):
        branches.logit_maps(made(guide, upsampler, (1, 4)), 2)


def test_guide_labels_are_at_image_size_and_its_own():
    trace = made(logits_of(np.array([[0, 1]]), 2), logits_of(np.array([[1, 1, 1, 1]]), 2), (2, 4))
    assert branches.guide_labels(trace).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]


def test_token_angles_by_hand():
    """F_h over 2×2 cells: category 0 at 90° to its token, category 1 at 45°; F_u along the tokens."""
    truth = np.repeat(np.repeat(np.array([[0, 0], [1, 1]]), 4, 0), 4, 1)
    high = torch.tensor([[[0.0, 0.0], [1.0, 3.0]], [[1.0, 5.0], [1.0, 3.0]]])  # (c, y, x)
    upsampled = torch.tensor([[[2.0, 2.0], [0.0, 0.0]], [[0.0, 0.0], [7.0, 7.0]]])
    zero = torch.zeros(3, 2, 2)
    trace = made(zero, zero, (8, 8), high=high, upsampled=upsampled)
    angles = branches.token_angles(trace, truth)
    assert angles["high"][:2] == pytest.approx([90, 45], abs=0.05)
    assert angles["upsampled"][:2] == pytest.approx([0, 0], abs=0.05)
    assert np.isnan(angles["high"][2]) and np.isnan(angles["upsampled"][2])  # no cell is of category 2


def test_token_angles_leave_mixed_and_unknown_cells_out():
    truth = np.zeros((8, 8), int)
    truth[:4, 4:6] = 1  # half of a cell
    truth[4:, 4:] = 255
    high = torch.tensor([[[1.0, -50.0], [1.0, -50.0]], [[0.0, 9.0], [0.0, 9.0]]])
    zero = torch.zeros(2, 2, 2)
    trace = made(zero, zero, (8, 8), high=high, upsampled=high)
    assert branches.token_angles(trace, truth)["high"][0] == pytest.approx(0, abs=0.05)


def test_token_angles_go_by_the_prediction_without_truth():
    upsampler = logits_of(np.array([[0, 1]]), 2)
    high = torch.tensor([[[1.0, 1.0]], [[0.0, 1.0]]])
    trace = made(upsampler, upsampler, (4, 8), high=high, upsampled=high)
    assert branches.token_angles(trace)["high"] == pytest.approx([0, 45], abs=0.05)
    swapped = np.repeat([[1] * 4 + [0] * 4], 4, axis=0)
    assert branches.token_angles(trace, swapped)["high"] == pytest.approx([45, 90], abs=0.05)


def test_own_tokens_are_what_f_u_is_measured_to():
    truth = np.zeros((4, 4), int)
    zero, feature = torch.zeros(2, 1, 1), torch.tensor([[[1.0]], [[0.0]]])
    own = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    trace = made(zero, zero, (4, 4), high=feature, upsampled=feature, classifier=own, own_tokens=True)
    angles = branches.token_angles(trace, truth)
    assert angles["high"][0] == pytest.approx(0, abs=0.05) and angles["upsampled"][0] == pytest.approx(
        90, abs=0.05
    )


def test_class_means_count_and_average():
    features = torch.tensor([[[1.0, 3.0, 10.0]], [[0.0, 2.0, 10.0]]])
    means, counts = branches.class_means(features, torch.tensor([[1, 1, 255]]), 3)
    assert counts.tolist() == [0, 2, 0] and means[1].tolist() == [2, 1] and means[0].tolist() == [0, 0]


def test_refusals(small):
    none = replace(small, guidance=None)
    for ask in (branches.guidance_of, branches.guide_labels, branches.token_angles):
        with pytest.raises(LoupeError, match="no guide branch"):
            ask(none)
    for ask in (branches.outcomes, branches.outcome_counts, branches.measures):
        with pytest.raises(LoupeError, match="2×2 pixels"):
            ask(small, np.zeros((2, 2), np.uint8))
        with pytest.raises(LoupeError, match="no guide branch"):
            ask(none, TRUTH)
