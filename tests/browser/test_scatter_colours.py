"""What the scatter's points, legend and tooltip show."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from app import scatter as python
from tests.browser.scatter_harness import points as made


def test_legend_counts_and_isolation(scatter):
    scatter.open("one")
    points, _ = scatter.shown()
    counts = np.bincount(points.category)
    assert scatter.page.locator(".entry").count() == (counts > 0).sum()
    entry = scatter.page.locator(".entry", has_text="tree")
    tree = [one["name"] for one in made.CLASSES].index("tree")
    assert entry.locator(".entry-count").inner_text() == str(counts[tree])
    entry.click()
    scatter.settle()
    assert scatter.sent()[-1]["view"]["isolated"] == {"by": "category", "codes": [tree]}
    scatter.drag(scatter.around())
    assert np.array_equal(scatter.lit(), points.category == tree) and scatter.agrees()
    scatter.page.locator(".entry", has_text="road").click(modifiers=["Shift"])
    assert len(scatter.sent()[-1]["view"]["isolated"]["codes"]) == 2
    assert scatter.agrees()  # what was drawn keeps what was isolated then
    entry.click()
    entry.click()
    assert scatter.sent()[-1]["view"]["isolated"] is None


def test_right_and_wrong_by_shape(scatter):
    scatter.open("one", colour="right")
    points, (panel,) = scatter.shown()
    wrong = int((panel.predicted != points.category).sum())
    labels = scatter.page.locator(".entry").all_inner_texts()
    assert [label.split("\n")[0].strip() for label in labels] == ["right", "wrong"]
    assert scatter.page.locator(".entry-count").nth(1).inner_text() == str(wrong)
    grey = scatter.pixels().astype(int)
    marks = np.ptp(grey, axis=-1) > 24
    assert marks.mean() < 0.01  # shape and grey tell it; markers alone are coloured
    scatter.page.locator(".entry", has_text="wrong").click()
    scatter.drag(scatter.around())
    assert scatter.lit().sum() == wrong and scatter.agrees()


@pytest.mark.parametrize("colour", python.COLOURS)
def test_every_colouring_draws_every_point(scatter, colour):
    """Each point's colour is that of its group or value: read back from where a lonely point lies."""
    scatter.open("apart", colour=colour)
    _, panels = scatter.shown()
    index = scatter.lonely()
    box, (x, y) = scatter.box(), scatter.place(index)
    drawn = scatter.pixels()[round(y - box["y"]), round(x - box["x"])].astype(int)
    style = scatter.page.evaluate(
        "(i) => { const l = __loupe.board.panels[0].looks; return l.table[l.looks[i]]; }", index
    )
    assert np.abs(drawn - style["rgb"]).max() < 40 and np.abs(drawn - 255).max() > 40
    if colour == "value":
        value = panels[0].value
        assert value is not None
        low, high = value.ends()
        step = round(255 * np.clip((value.values[index] - low) / (high - low), 0, 1))
        table = (colormaps["cividis"](np.arange(256))[:, :3] * 255).round()
        assert np.abs(table[max(0, step - 1) : step + 2] - style["rgb"]).max(1).min() <= 1


def test_the_cut_out_of_a_point_is_shown(scatter, scatters):
    points, panels = scatters.shown["apart"]
    buffer = io.BytesIO()
    Image.new("RGB", (96, 64), (200, 30, 30)).save(buffer, "PNG")
    index = 17
    sprite = {
        "tile": 32,
        "columns": 3,
        "places": [4, 9, 11, 30, index],
        "url": python.keep_sprite(scatters.plots, buffer.getvalue(), "image/png"),
    }
    scatters.data["cut"], scatters.shown["cut"] = (
        python.describe(scatters.plots, points, panels, sprite=sprite),
        (points, panels),
    )
    scatter.open("cut")
    scatter.page.evaluate("(i) => { const b = __loupe.board; b.attention.look(b.panels[0], i); }", index)
    cut = scatter.page.locator(".tip-cut")
    assert cut.is_visible()
    assert cut.evaluate("(node) => getComputedStyle(node).backgroundPosition") == "-32px -32px"
    scatter.page.evaluate("{ const b = __loupe.board; b.attention.look(b.panels[0], 18); }")
    assert cut.is_hidden()


def test_planted_modes(scatter):
    scatter.open("one", colour="mode")
    points, _ = scatter.shown()
    assert points.mode is not None
    pairs = {(c, m) for c, m in zip(points.category.tolist(), points.mode.tolist(), strict=True) if m != 255}
    assert scatter.page.locator(".entry").count() == min(40, len(pairs))
    assert (
        f"{(points.mode == 255).sum()} points without a planted mode"
        in scatter.page.locator(".legend-note").inner_text()
    )


def test_a_value_has_a_scale_with_its_unit(scatter):
    scatter.open("one", colour="value")
    _, (panel,) = scatter.shown()
    assert panel.value is not None
    low, high = panel.value.ends()
    assert scatter.page.locator(".ramp-box .unit").inner_text() == "distance to the prototype, cosine"
    ticks = scatter.page.locator(".ramp-tick").all_inner_texts()
    assert float(ticks[-2].removeprefix("≤ ")) == pytest.approx(low, rel=0.01)
    assert float(ticks[-1].removeprefix("≥ ")) == pytest.approx(high, rel=0.01)
    assert ticks[-1].startswith("≥")  # the highest percent lies beyond


def test_a_panel_without_the_numbers_says_so(scatter):
    scatter.open("one")
    scatter.page.evaluate("rerun({colour: 'right', points: {...given.points, labels: 'prediction'}})")
    scatter.settle()
    scatter.page.evaluate(
        "__loupe.board.table.labels = 'prediction'; __loupe.board.panels[0].looks = null; __loupe.board.refresh()"
    )
    assert "not known" in scatter.page.locator(".legend-note").inner_text()
