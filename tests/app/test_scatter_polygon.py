"""Points in polygons: against a winding count and a plain loop; the edge rule; what is drawn ⇄ text and reports."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from app.scatter import Lasso, Panel, Points, Stroke, chosen, inside, read, unknown, write
from app.scatter.strokes import describe, read_report

GRID = st.integers(-4, 4).map(float)  # few values: points lie on edges, edges on each other, corners coincide
VERTICES = st.lists(st.tuples(GRID, GRID), min_size=0, max_size=12)
ANY = st.floats(-1e6, 1e6, width=32)


def even_odd(x: float, y: float, polygon) -> bool:
    """The rule in exact arithmetic: crossings to the right of the point, an edge with its lower end and without its upper."""
    odd = False
    for (bx, by), (ax, ay) in zip(polygon, [*polygon[-1:], *polygon[:-1]], strict=True):
        if (by > y) != (ay > y):
            at = Fraction(bx - ax) * Fraction(y - ay) / Fraction(by - ay) + Fraction(ax)
            odd ^= Fraction(x) < at
    return odd


@given(VERTICES, st.lists(st.tuples(GRID, GRID), min_size=1, max_size=30))
@settings(deadline=None)
def test_it_is_the_even_odd_rule_on_edges_and_corners_too(polygon, points):
    """Convex, concave, crossing itself, degenerate; whole numbers, so that rounding decides nothing."""
    expected = [len(polygon) >= 3 and even_odd(x, y, polygon) for x, y in points]
    assert inside(np.array(points), polygon).tolist() == expected


@given(
    st.lists(st.tuples(ANY, ANY), min_size=3, max_size=20),
    st.lists(st.tuples(ANY, ANY), min_size=1, max_size=20),
)
@settings(deadline=None)
def test_the_sorted_way_is_the_plain_loop_bit_for_bit(polygon, points):
    low, high = np.min(polygon, 0), np.max(polygon, 0)
    expected = []
    for x, y in points:
        odd = False
        for (bx, by), (ax, ay) in zip(polygon, [*polygon[-1:], *polygon[:-1]], strict=True):
            if (by > y) != (ay > y):
                odd ^= x < (bx - ax) * (y - ay) / (by - ay) + ax
        expected.append(odd and low[0] <= x <= high[0] and low[1] <= y <= high[1])
    assert inside(np.array(points), polygon).tolist() == expected


def test_against_matplotlib_on_a_shape_without_crossings():
    rng = np.random.default_rng(0)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 40))
    star = np.stack([np.cos(angle), np.sin(angle)], 1) * rng.uniform(0.3, 1, (40, 1))
    xy = rng.uniform(-1, 1, (20_000, 2)).astype(np.float32)
    found = inside(xy, star)
    assert 2000 < found.sum() < 18_000
    assert np.array_equal(found, Outline(np.vstack([star, star[:1]]), closed=True).contains_points(xy))


def test_every_point_belongs_to_one_of_two_halves():
    """Two polygons that share an edge never share a point and never lose one."""
    xy = np.array([[x, y] for x in range(-3, 4) for y in range(-3, 4)], float)
    left, right = [(-9, -9), (0, -9), (0, 9), (-9, 9)], [(0, -9), (9, -9), (9, 9), (0, 9)]
    assert (inside(xy, left) ^ inside(xy, right)).all()


def test_a_figure_of_eight_leaves_out_what_it_encloses_twice():
    pentagram = [(np.cos(a), np.sin(a)) for a in np.pi / 2 + 4 * np.pi / 5 * np.arange(5)]
    assert inside(np.array([[0.0, 0.0], [0.0, 0.7]]), pentagram).tolist() == [False, True]


@pytest.mark.parametrize(
    "polygon", [[], [(0, 0)], [(0, 0), (1, 1)], [(0, 0), (1, np.nan), (1, 1)], [(2, 2)] * 5]
)
def test_what_encloses_nothing_takes_nothing(polygon):
    assert not inside(np.array([[0.5, 0.5], [2.0, 2.0]]), polygon).any()


def test_points_without_a_place_are_never_inside():
    xy = np.array([[np.nan, 0.5], [0.5, np.inf], [0.5, np.nan], [0.5, 0.5]])
    assert inside(xy, [(0, 0), (1, 0), (1, 1), (0, 1)]).tolist() == [False, False, False, True]


# ---------------------------------------------------------------------------------------------- parts


def pair() -> tuple[Points, list[Panel]]:
    points = Points(
        category=np.array([0, 0, 1, 1, 2]),
        image=np.array([0, 0, 0, 1, 1]),
        pixel=np.array([[5, 5], [5, 9], [20, 5], [5, 5], [0, 0]]),
        classes=[{"name": n, "colour": "#808080"} for n in "abc"],
        images=["one", "two"],
        mode=np.array([0, 1, 0, 255, 0]),
    )
    xy = np.array([[0, 0], [1, 0], [2, 0], [3, 0], [4, 0]], np.float32)
    panels = [
        Panel("first", "m0", xy, predicted=np.array([0, 1, 1, 1, 0])),
        Panel("second", "m1", -xy, predicted=np.array([0, 0, 0, 0, 0])),
    ]
    return points, panels


def strip(low: float, high: float, mode="set", which="m0", only=None) -> Lasso:
    return Lasso(which, ((low, -1), (high, -1), (high, 1), (low, 1)), mode, only)


def test_parts_act_one_after_the_other():
    points, panels = pair()

    def take(*parts, base=None):
        return chosen(points, panels, parts, base).astype(int).tolist()

    assert take() == [0, 0, 0, 0, 0]
    assert take(strip(0.5, 2.5)) == [0, 1, 1, 0, 0]
    assert take(strip(0.5, 2.5), strip(2.5, 9, "add")) == [0, 1, 1, 1, 1]
    assert take(strip(-1, 9), strip(0.5, 1.5, "remove")) == [1, 0, 1, 1, 1]
    assert take(strip(-1, 9), strip(0.5, 1.5)) == [0, 1, 0, 0, 0]
    assert take(strip(-3.5, -1.5, which="m1")) == [0, 0, 1, 1, 0]
    assert take(strip(0.5, 1.5, "remove")) == [0, 0, 0, 0, 0]
    base = np.array([1, 1, 0, 0, 0], bool)
    assert take(base=base) == [1, 1, 0, 0, 0]
    assert take(strip(3.5, 9, "add"), base=base) == [1, 1, 0, 0, 1]
    assert take(strip(3.5, 9), base=base) == [0, 0, 0, 0, 1]
    assert base.tolist() == [True, True, False, False, False]


def test_only_what_was_isolated_is_taken():
    points, panels = pair()
    for only, expected in [
        (("category", (1,)), [0, 0, 1, 1, 0]),
        (("category", (0, 2)), [1, 1, 0, 0, 1]),
        (("mode", (0, 512)), [1, 0, 0, 0, 1]),
        (("mode", (256 + 255,)), [0, 0, 0, 1, 0]),
        (("right", (1,)), [1, 0, 1, 1, 0]),
        (("right", (0,)), [0, 1, 0, 0, 1]),
    ]:
        assert chosen(points, panels, [strip(-1, 9, only=only)]).astype(int).tolist() == expected, only


def test_a_stroke_takes_its_image_within_its_radius():
    points, panels = pair()

    def take(path, radius, image="one"):
        return chosen(points, panels, [Stroke(image, path, radius)]).astype(int).tolist()

    assert take(((5, 5),), 0) == [1, 0, 0, 0, 0]
    assert take(((5, 5),), 3) == [1, 0, 0, 0, 0]
    assert take(((5, 5),), 4) == [1, 1, 0, 0, 0]  # exactly the radius
    assert take(((5, 7), (20, 7)), 2) == [1, 1, 1, 0, 0]  # beside the line, not near a corner
    assert take(((5, 5),), 4, "two") == [0, 0, 0, 1, 0]
    assert take(((0, 0), (0, 0)), 0, "two") == [0, 0, 0, 0, 1]


def test_parts_of_other_maps_and_photos_take_nothing_and_are_named():
    points, panels = pair()
    parts = [strip(-1, 9), strip(-1, 9, which="gone"), Stroke("three", ((5, 5),), 9, "add")]
    assert unknown(points, panels, parts) == parts[1:]
    assert chosen(points, panels, parts).all()


NUMBERS = st.decimals(-1000, 1000, places=5).map(float)
LASSOS = st.builds(
    Lasso,
    st.text(min_size=1, max_size=12),
    st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=64).map(tuple),
    st.sampled_from(["set", "add", "remove"]),
    st.none()
    | st.tuples(
        st.sampled_from(["category", "mode", "right"]), st.lists(st.integers(0, 9999), max_size=4).map(tuple)
    ),
)
STROKES = st.builds(
    Stroke,
    st.text(min_size=1, max_size=20),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 4000)), min_size=1, max_size=64).map(tuple),
    st.integers(0, 200),
    st.sampled_from(["set", "add", "remove"]),
)


@given(st.lists(LASSOS | STROKES, max_size=8).map(tuple))
@settings(deadline=None, max_examples=50)
def test_links_and_reports_hold_everything(parts):
    assert read(write(parts)) == parts
    assert read_report(describe(parts)) == parts


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "sl:m:",
        "sl:m::1,2,3,4",
        "sl:m::1,2,3,4,5",
        "sl:m::1,2,3,nan,5,6",
        "ql:m::1,2,3,4,5,6",
        "sb:i:x:1,2",
        "sb:i:2:",
        "sl:m:colour.1:1,2,3,4,5,6",
    ],
)
def test_a_damaged_link_is_refused(text):
    with pytest.raises(ValueError, match="drawn"):
        read(text)


def test_too_many_strokes_are_refused():
    with pytest.raises(ValueError, match="at most 8"):
        read(";".join(["sb:i:2:1,2"] * 9))


@pytest.mark.parametrize(
    "raw",
    [None, 3, "x", [None], [{"mode": "set"}], [{"mode": "draw", "map": "m", "polygon": [[0, 0], [1, 1], [1, 0]]}],
     [{"mode": "set", "map": "m", "polygon": [[0, 0], [1, "x"], [1, 0]]}], [{"mode": "set", "map": "m", "polygon": 7}],
     [{"mode": "set", "image": "i", "radius": 1e400, "path": [[0, 0]]}]],
)  # fmt: skip
def test_malformed_reports_are_left_out(raw):
    assert read_report(raw) == ()
