"""The maps as files: colours that can be told from paper, the browser's hues, legends, dimmed points, linked maps."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import rc_context

from app.figures import STYLE
from app.figures_variance import draw, map_figure
from app.sheets_prototypes import Names
from app.sheets_variance import (
    LEAST_CONTRAST,
    MUTED,
    MapPanel,
    MapSheet,
    Ramp,
    _luminance,
    _rgb,
    by_category,
    by_image,
    by_mode,
    by_outcome,
    hashed,
    hue_colour,
    visible,
)

NAMES = Names(("sky", "cloud", "boat"), ("#a0d2fb", "#f5f5ef", "#ffa41b"))
COUNT = 90
DRAW = np.random.default_rng(2)
XY = DRAW.normal(size=(COUNT, 2)).astype(np.float32)
CATEGORY = np.arange(COUNT) % 3


def sheet_of(*panels: MapPanel, **options) -> MapSheet:
    defaults = {"selected": None, "names": NAMES, "caption": "a caption", "said": "what may not be asked"}
    return MapSheet("maps", "PCA, coloured by category", panels, **{**defaults, **options})


def panel(**options) -> MapPanel:
    given = {
        "title": "cpt · f2", "xy": XY, "axes": ("component 1 · 28 % of the variance", "component 2"),
        "groups": by_category(CATEGORY, NAMES), "ramp": None, "markers": ((0.1, 0.2, 0, 1), (0.3, -0.2, 1, 2)),
    }  # fmt: skip
    return MapPanel(**{**given, **options})


@pytest.mark.parametrize("colour", ["#ffffff", "#f5f5ef", "#000000", "#ffa41b", "#d6d000"])
def test_every_colour_can_be_told_from_paper(colour):
    shown = visible(colour)
    contrast = 1.05 / (_luminance(_rgb(shown)) + 0.05)
    assert contrast >= LEAST_CONTRAST or shown == "#20242a"
    if 1.05 / (_luminance(_rgb(colour)) + 0.05) >= LEAST_CONTRAST:
        assert shown == colour


def test_hues_are_the_browser_s():
    # What app/scatter/colouring.js gives for these names and places.
    assert len({hue_colour(place) for place in range(24)}) == 24
    assert [hashed(name) for name in ("", "a", "1000085")] == [
        expected(name) for name in ("", "a", "1000085")
    ]


def expected(name: str) -> int:
    """FNV-1a with JavaScript's 32-bit products, written out another way."""
    value = np.uint32(0x811C9DC5)
    for letter in name.encode():
        value = np.uint32((int(value) ^ letter) * 0x01000193 % 2**32)
    return (int(value) ^ int(value) >> 15) % 24


def test_groups_are_a_partition():
    image = np.arange(COUNT) % 7
    mode = np.where(CATEGORY == 2, 255, np.arange(COUNT) % 2).astype(np.uint8)
    predicted = np.where(np.arange(COUNT) % 5 == 0, 0, CATEGORY)
    for groups in (
        by_category(CATEGORY, NAMES),
        by_image(image, [f"image {i}" for i in range(7)]),
        by_outcome(CATEGORY, predicted),
        by_mode(CATEGORY, mode, NAMES, {0: ("day", "dusk")}, 255),
    ):
        rows = np.sort(np.concatenate([group.rows for group in groups]))
        np.testing.assert_array_equal(rows, np.arange(COUNT))
    right, wrong = by_outcome(CATEGORY, predicted)
    assert (right.shape, wrong.shape) == ("o", "x") and len(wrong.rows) == (predicted != CATEGORY).sum()
    names = [group.name for group in by_mode(CATEGORY, mode, NAMES, {0: ("day", "dusk")}, 255)]
    assert "sky · day 15" in names and "cloud · mode 1 15" in names and "" in names
    single = by_mode(np.zeros(4, int), np.array([0, 0, 1, 255]), NAMES, {0: ("day", "dusk")}, 255)
    assert [(g.name, g.colour == MUTED) for g in single] == [("day 2", False), ("dusk 1", False), ("", True)]


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_map_is_drawn_as_every_kind_of_file_and_the_same_each_time(kind):
    sheet = sheet_of(panel(), panel(title="cpt · fused", axes=None))
    first = draw(sheet, kind, "cividis")
    assert first.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind])
    assert first == draw(sheet, kind, "cividis")


def test_text_stays_text_and_says_what_is_drawn():
    text = draw(sheet_of(panel(), panel(axes=None)), "svg", "cividis").decode()
    found = re.sub(r"<[^>]+>", " ", text)
    for said in (
        "sky 30",
        "boat 30",
        "live prototype",
        "memory row",
        "axes have no units",
        "component 1",
        "a caption",
    ):
        assert said in found
    assert "★" not in found


def test_values_have_a_bar_with_their_name():
    values = np.where(np.arange(COUNT) == 4, np.nan, np.linspace(0, 1, COUNT))
    ramp = Ramp(values, "1 − cosine to the live prototype ★ of its category", 0.0, 1.0)
    text = draw(sheet_of(panel(groups=(), ramp=ramp)), "svg", "magma").decode()
    assert "1 − cosine to the live prototype of its category" in text


def test_unselected_points_stay_visible_and_linked_maps_share_one_square():
    selected = CATEGORY == 1
    far = panel(xy=XY + 40)
    with rc_context(STYLE):
        figure = map_figure(sheet_of(panel(), far, selected=selected, linked=True), "cividis")
    left, right = figure.axes[:2]
    assert left.get_xlim() == right.get_xlim() and left.get_ylim() == right.get_ylim()
    drawn = {round(float(one.get_alpha() or 1), 2): 0 for one in left.collections}
    for one in left.collections:
        drawn[round(float(one.get_alpha() or 1), 2)] += len(one.get_offsets())
    assert drawn == {0.12: int((~selected).sum()), 0.95: int(selected.sum())}


def test_rows_of_the_table_are_the_points():
    rows = list(sheet_of(replace(panel(), xy=XY[:3])).rows_of_table())
    assert [row["value"] for row in rows] == [float(v) for v in XY[:3].ravel()]
