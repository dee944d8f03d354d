"""Matching by name: hand-made label maps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from app import comparison
from app.comparison import OTHER, UNKNOWN


def test_common_names_keep_the_first_ones_order():
    assert comparison.common_names([("c", "a", "b"), ("b", "x", "a")]) == ("a", "b")
    assert comparison.common_names([("a",), ("b",)]) == ()
    assert comparison.common_names([]) == ()


def test_models_that_were_not_trained_alike_are_told_apart():
    recipe = {"steps": 3000, "optimiser": "muon", "spec": {"sources": "memory"}, "title": "one"}
    alike = {
        "a": {"recipe": recipe},
        "b": {"recipe": recipe | {"spec": {}, "title": "two"}},
        "c": {"mIoU": 3.0},
    }
    assert comparison.trained_apart(alike) is None
    older = {"recipe": {"steps": 5000}}
    assert comparison.trained_apart(alike | {"old": older}) == (
        "Not trained alike, so differences in accuracy are not the decoder's alone: steps 3000 (a, b) / 5000 (old); "
        "optimiser muon (a, b) / adamw (old)."
    )
    assert comparison.trained_apart({"x": {"recipe": "by hand"}, "y": {}}) is None


def test_labels_are_renamed_by_name_and_unknown_stays_unknown():
    labels = np.array([[0, 1, 2, 255]], np.uint8)
    got = comparison.renamed(labels, ("sea", "lamp", "sky"), ("sky", "sea"))
    np.testing.assert_array_equal(got, [[1, OTHER, 0, UNKNOWN]])


def test_distinct_categories_are_counted_where_all_are_common():
    maps = [np.array([[0, 0, 1, 2]]), np.array([[0, 1, 1, OTHER]]), np.array([[0, 2, 0, 2]])]
    np.testing.assert_array_equal(comparison.distinct([m.astype(np.uint8) for m in maps]), [[1, 3, 2, 0]])


def test_two_models_differ_only_where_both_are_common():
    a = np.array([[0, 1, 2, OTHER]], np.uint8)
    b = np.array([[0, 2, OTHER, OTHER]], np.uint8)
    np.testing.assert_array_equal(comparison.differs(a, b), [[False, True, False, False]])
    assert comparison.share_of(a, b) == 0.5
    assert math.isnan(comparison.share_of(np.full((1, 2), OTHER, np.uint8), b[:, :2]))


def test_iou_of_an_image_counts_a_prediction_that_is_not_common_as_a_miss():
    truth = np.array([[0, 0, 0, 1, OTHER, UNKNOWN]], np.uint8)
    predicted = np.array([[0, 0, OTHER, 0, 1, 1]], np.uint8)
    got = comparison.image_iou(truth, predicted, 3)
    assert got[0] == pytest.approx(100 * 2 / 4) and got[1] == 0 and math.isnan(got[2])
    assert comparison.right_share(truth, predicted) == 0.5


def test_a_difference_has_its_gap_where_truth_is_known():
    truth = np.array([[0, 1]], np.uint8)
    found = comparison.difference(truth, np.array([[0, 0]], np.uint8), truth, 2)
    assert found.share == 0.5 and found.mious == (100.0, 25.0) and found.gap == -75.0
    assert comparison.difference(truth, truth, None, 2).gap is None
