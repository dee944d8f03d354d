"""Which pixels are drawn, and what the truth says of them: by hand on small maps, as laws on painted scenes."""

from __future__ import annotations

import numpy as np
import pytest

from engine.audit.sample import boundary_distances, draw, object_shares, quota
from engine.audit.slices import SLICES, groups_of
from engine.data.scenes import render

UNKNOWN = 255


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return render(1_000_003).labels


def test_every_category_gives_equally_many_pixels_while_it_has_any(truth):
    counts = np.bincount(truth.ravel(), minlength=14)
    drawn = draw(truth, "a", 60, 14, seed=0)
    assert np.array_equal(drawn.counts, counts) and len(drawn.row) == 60
    assert np.array_equal(truth[drawn.row, drawn.col], drawn.category)
    assert len(set(zip(drawn.row.tolist(), drawn.col.tolist(), strict=True))) == 60
    given = np.bincount(drawn.category, minlength=14)[counts > 0]
    assert given.max() - given.min() <= 1


def test_the_draw_hangs_on_image_and_seed_alone_and_is_nested(truth):
    few, many = draw(truth, "a", 20, 14, 0), draw(truth, "a", 50, 14, 0)
    assert np.array_equal(many.row[:20], few.row) and np.array_equal(many.col[:20], few.col)
    others = draw(truth, "b", 20, 14, 0), draw(truth, "a", 20, 14, 1)
    assert not any(np.array_equal(each.row, few.row) for each in others)


def test_no_category_is_left_out_where_an_image_gives_less_than_one_pixel_of_each(truth):
    present = np.unique(truth[::2, ::2])
    met = {int(c) for name in range(40) for c in draw(truth[::2, ::2], str(name), 3, 14, 0).category}
    assert met == set(present.tolist())


def test_a_small_category_gives_all_that_it_has_and_the_unknown_gives_none():
    truth = np.full((20, 20), UNKNOWN, np.uint8)
    truth[:, :10], truth[3, 4] = 1, 0
    truth[19, 19] = 7  # beyond the categories
    drawn = draw(truth, "a", 50, 3, 0)
    assert np.bincount(drawn.category, minlength=3).tolist() == [1, 49, 0]
    assert len(draw(np.full((9, 9), UNKNOWN), "a", 5, 3, 0).row) == 0
    assert len(draw(truth, "a", 0, 3, 0).row) == 0


def test_quotas_add_up_and_differ_by_one_at_most():
    given = [quota(2000, 333, place) for place in range(333)]
    assert sum(given) == 2000 and max(given) - min(given) == 1


def test_distance_to_the_boundary_by_hand():
    truth = np.zeros((7, 9), np.uint8)
    truth[:, 5:] = 1
    found = boundary_distances(truth, 2)
    assert found[3].tolist() == [4, 3, 2, 1, 0, 0, 1, 2, 3]
    truth[:, 5:] = UNKNOWN  # where knowledge ends is no boundary
    assert np.isnan(boundary_distances(truth, 2)).all()
    truth[:, :] = 0
    truth[0, 0] = 1
    assert boundary_distances(truth, 2)[3, 5] == pytest.approx(np.hypot(3, 4))


def test_objects_are_connected_by_their_sides():
    truth = np.zeros((4, 5), np.uint8)
    truth[0, 0] = truth[1, 1] = truth[1, 2] = 1
    found = object_shares(truth, np.array([0, 1, 1, 3]), np.array([0, 1, 2, 4]))
    np.testing.assert_allclose(found, np.array([1, 2, 2, 17]) / 20, rtol=1e-6)


def test_slices_hold_every_pixel_once_and_leave_out_what_is_not_known():
    columns = {
        "image": np.zeros(6, int),
        "right": np.array([True, False] * 3),
        "category": np.array([0, 1, 1, 2, 2, 2]),
        "boundary_distance": np.array([0, 2, 4.9, 5, 300, np.nan]),
        "object_share": np.array([0, 0.005, 0.02, 0.0199, 1, 0.5]),
        "rarity": np.array([0.001, 0.01, 0.02, 0.5, 0.1, 0.3]),
    }
    found = groups_of("boundary", columns, "abc")
    assert [rows.tolist().index(True) for rows in found.values()] == [0, 1, 3, 4]
    assert found[SLICES["boundary"][1]].tolist() == [False, True, True, False, False, False]
    assert sum(rows.sum() for rows in found.values()) == 5  # the pixel without a boundary is in none
    for by, title in (("object", "0.5–2 % of the image"), ("rarity", "1–3 % of the split")):
        groups = groups_of(by, columns, "abc")
        assert sum(rows.astype(int) for rows in groups.values()).tolist() == [1] * 6
        assert groups[title].sum() == 2
    assert list(groups_of("category", columns, "abcd")) == ["a", "b", "c"]
