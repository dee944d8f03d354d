"""The scatter keeps its state over reruns and links, and answers the photo beside it."""

from __future__ import annotations

import numpy as np
import pytest

from app import scatter as python
from app.scatter.strokes import describe as describe_parts
from tests.browser.scatter_harness import points as made
from tests.browser.scatter_harness.driver import LOOP, Scatter

# ── state ──


def test_state_survives_a_rerun_and_python_can_change_it(scatter):
    scatter.open("one")
    scatter.drag(LOOP)
    lit = scatter.lit()
    scatter.page.evaluate(
        "rerun({colour: 'confidence', revision: sent.at(-1).value.revision, view: sent.at(-1).value.view})"
    )
    scatter.settle()
    assert np.array_equal(scatter.lit(), lit) and len(scatter.sent()) == 1
    other = python.Lasso("map0", ((-3.0, -3.0), (3.0, -3.0), (3.0, 3.0)))
    scatter.page.evaluate("(parts) => rerun({view: {parts, isolated: null}})", describe_parts([other]))
    scatter.settle()
    points, panels = scatter.shown()
    assert np.array_equal(scatter.lit(), python.chosen(points, panels, [other]))


def test_a_link_opens_with_its_selection(scatter):
    parts = python.read("sl:map0::-3,-3,4.25,-3,3,3.5;ab:scene-3:20:40,60,50,90")
    scatter.open("one", view={"parts": describe_parts(parts), "isolated": None})
    points, panels = scatter.shown()
    assert np.array_equal(scatter.lit(), python.chosen(points, panels, parts)) and scatter.lit().any()


def test_points_lit_from_outside(scatter, scatters):
    points, panels = scatters.shown["one"]
    mask = points.category == 3
    scatters.data["lit"] = python.describe(scatters.plots, points, panels, select=mask)
    scatters.shown["lit"] = points, panels
    scatter.open("lit")
    assert np.array_equal(scatter.lit(), mask)
    scatter.drag(LOOP, key="Shift")
    assert np.array_equal(scatter.lit(), scatter.python(base=mask))
    scatter.drag(LOOP)
    assert scatter.agrees()
    scatter.page.locator(".clear").click()
    scatter.settle()
    assert scatter.lit() is None and scatter.parts() == ()


def test_another_map_brings_its_own_selection(scatter, scatters):
    """PCA gives way to UMAP: what was drawn on the one holds for it alone, and it says so."""
    scatter.open("one")
    scatter.drag(LOOP)
    points, _ = scatters.shown["one"]
    later = made.panel(points, "umap", 7)
    data = python.describe(scatters.plots, points, [later])
    scatter.page.evaluate("(panels) => rerun({panels})", data["panels"])
    scatter.page.wait_for_selector("[data-testid=loupe-scatter][data-ready]")
    scatter.settle()
    assert scatter.lit() is None
    assert "another map" in scatter.page.locator(".selected-count").inner_text()
    assert scatter.page.locator("polygon.lasso").count() == 0


def test_zoom_and_pan_go_together_when_linked(scatter):
    scatter.open("three")
    box = scatter.box()
    before = scatter.place(0, 1)
    scatter.page.mouse.move(box["x"] + 150, box["y"] + 150)
    scatter.page.keyboard.down("Control")
    scatter.page.mouse.wheel(0, -200)
    scatter.page.keyboard.up("Control")
    scatter.settle()
    zoomed, held = scatter.place(0, 1), scatter.place(0)
    assert zoomed != before and scatter.page.locator(".fit").is_visible()
    scatter.page.locator("[data-tool=move]").click()
    scatter.drag([(150, 150), (170, 155), (190, 160)])
    assert scatter.place(0)[0] == pytest.approx(held[0] + 40, abs=1.5)
    assert scatter.place(0, 1)[0] > zoomed[0] + 30
    assert scatter.sent() == []
    scatter.drag([(100, 100)])
    scatter.page.mouse.dblclick(box["x"] + 100, box["y"] + 100)
    scatter.settle()
    assert scatter.place(0, 1) == pytest.approx(before, abs=0.5)


def test_a_plain_wheel_scrolls_the_page(scatter):
    scatter.open("three")
    before = scatter.place(0)
    box = scatter.box()
    scatter.page.mouse.move(box["x"] + 50, box["y"] + 50)
    scatter.page.mouse.wheel(0, 100)
    scatter.page.wait_for_timeout(100)
    scroll = scatter.page.evaluate("scrollY")
    assert scatter.place(0)[0] == pytest.approx(before[0]) and scatter.place(0)[1] == pytest.approx(
        before[1] - scroll, abs=1
    )


def test_the_theme_is_followed(scatter):
    scatter.open("one")
    assert scatter.pixels()[30, 70].tolist() == [255, 255, 255]
    scatter.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    scatter.page.wait_for_timeout(200)
    assert scatter.pixels()[30, 70].tolist() == [14, 17, 23]


def test_expired_points_are_asked_for_again(scatter, scatters):
    name = "short-lived"
    made.add(scatters, name, 300)
    scatters.plots.clear()
    scatter.page.goto(scatters.url(name))
    scatter.page.wait_for_function("triggered.length")
    assert scatter.page.evaluate("triggered") == [{"id": "host", "name": "expired", "value": True}]
    assert "asked for again" in scatter.page.locator(".wait").first.inner_text()
    made.add(scatters, name, 300)
    scatter.page.evaluate("(data) => rerun(data)", scatters.data[name])
    scatter.page.wait_for_selector("[data-testid=loupe-scatter][data-ready]")
    assert scatter.page.locator(".wait").first.is_hidden()
    for other in ("one", "three", "apart"):  # for the tests after this one
        points, panels = scatters.shown[other]
        scatters.data[other] = python.describe(scatters.plots, points, panels, linked=other == "three")
    made.add(scatters, "one", 2000, photo=True)


def test_nothing_stays_when_it_goes(scatter):
    scatter.open("one")
    scatter.page.evaluate("document.getElementById('host').remove(); unmount()")
    scatter.page.wait_for_timeout(100)
    assert scatter.page.locator("[data-testid=loupe-scatter]").count() == 0
    assert scatter.page.evaluate("__loupe.board.panels.length") == 0
    assert scatter.page.locator(".photo-count").inner_text() == ""


# ── photo ──


def test_painting_in_the_photo_lights_up_its_points(scatter):
    scatter.open("one")
    points, _ = scatter.shown()
    here = points.image == 3
    assert (
        scatter.page.locator(".photo-count").inner_text() == f"{here.sum()} of the pixels lie in this image"
    )
    scatter.page.locator(".photo-tools input").fill("6")  # 16 pixels
    scatter.paint([(30, 30), (60, 90), (20, 110)])
    (part,) = scatter.parts()
    assert isinstance(part, python.Stroke) and part.image == "scene-3" and part.radius == 16
    assert scatter.agrees() and 0 < scatter.lit().sum() < here.sum()
    assert not (scatter.lit() & ~here).any()
    scatter.paint([(80, 20)], key="Shift")  # a click
    assert [len(one.path) for one in scatter.parts()][-1] == 1 and scatter.agrees()
    scatter.drag(scatter.around(), key="Shift")
    scatter.paint([(10, 10), (90, 120)], key="Alt")
    assert scatter.agrees() and (~scatter.lit()).sum() > 0
    scatter.page.locator(".photo-frame").focus()
    scatter.page.keyboard.press("Escape")
    scatter.page.wait_for_function("!__loupe.scatter.mask")


def test_the_photo_by_keys(scatter):
    scatter.open("one")
    scatter.page.locator(".photo-frame").focus()
    for key in ("ArrowRight", "Shift+ArrowDown", "Enter"):
        scatter.page.keyboard.press(key)
    (part,) = scatter.parts()
    assert isinstance(part, python.Stroke)
    step = max(1, round(part.radius / 2))
    assert part.path == ((made.SIZE[0] // 2 + 4 * step, made.SIZE[1] // 2 + step),)
    assert scatter.agrees()


def test_pointing_at_a_pixel_of_the_photo_rings_it_in_the_map(scatter):
    scatter.open("one")
    points, _ = scatter.shown()
    index = int(np.flatnonzero(points.image == 3)[0])
    row, col = points.pixel[index]
    box = scatter.photo_box()
    scatter.page.mouse.move(
        box["x"] + (col + 0.5) / made.SIZE[1] * box["width"],
        box["y"] + (row + 0.5) / made.SIZE[0] * box["height"],
    )
    scatter.settle()
    assert scatter.page.evaluate("__loupe.board.attention.i") == index
    assert scatter.page.locator(".point-ring").is_visible()


def test_touch_draws_and_two_fingers_zoom(browser, scatters):
    context = browser.new_context(viewport={"width": 600, "height": 900}, has_touch=True)
    scatter = Scatter(context.new_page(), scatters).open("apart")
    below = scatter.page.locator(".panel-plot").nth(1).bounding_box()
    box = scatter.box()
    assert below["y"] > box["y"] + box["height"]  # one below the other where it is narrow
    session = context.new_cdp_session(scatter.page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        session.send(
            "Input.dispatchTouchEvent",
            {
                "type": kind,
                "touchPoints": [
                    {"x": box["x"] + x, "y": box["y"] + y, "id": i} for i, (x, y) in enumerate(places)
                ],
            },
        )

    touch("touchStart", (60, 60))
    for place in [(200, 60), (400, 80), (400, 400), (60, 400)]:
        touch("touchMove", place)
    touch("touchEnd")
    scatter.settle()
    assert scatter.agrees() and scatter.lit().any()
    touch("touchStart", (200, 200), (300, 300))
    touch("touchMove", (150, 150), (350, 350))
    touch("touchEnd")
    scatter.settle()
    assert scatter.page.evaluate("__loupe.board.panels[0].camera.zoom") == pytest.approx(2, rel=0.05)
    assert len(scatter.sent()) == 1 and scatter.errors == []
    context.close()
