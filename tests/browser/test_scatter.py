"""The scatter in a real Chromium, without Streamlit: the points that Python finds, colours, hovering, keys, photo, refusals."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from app import scatter as python
from app import viewer
from app.scatter.strokes import describe as describe_parts
from tests.browser.scatter_harness import points as made
from tests.browser.scatter_harness.driver import Scatter
from tests.browser.scatter_harness.server import ScatterHarness
from tests.browser.viewer_harness.server import serving

LOOP = [(250, 60), (620, 40), (670, 350), (500, 530), (220, 380)]


@pytest.fixture(scope="module")
def harness() -> Iterator[ScatterHarness]:
    with serving(ScatterHarness()) as harness:
        made.add(harness, "one", 2000, photo=True)
        made.add(harness, "three", 1500, 3, linked=True)
        made.add(harness, "apart", 600, 2)
        yield harness


@pytest.fixture
def scatter(page, harness) -> Iterator[Scatter]:
    scatter = Scatter(page, harness)
    yield scatter
    assert scatter.errors == []


def test_random_polygons_take_the_same_points_here_and_there(scatter):
    """Single-precision points, polygons with few decimals and corners on points: bit for bit."""
    scatter.open("one")
    rng = np.random.default_rng(0)
    xy = np.round(rng.normal(0, 5, (3000, 2)), 1).astype(np.float32)
    xy[:5] = [[np.nan, 1], [1, np.nan], [np.inf, 0], [0, -np.inf], [0, 0]]
    polygons = [
        np.round(rng.normal(0, 5, (size, 2)), 1).tolist()
        for size in (3, 4, 5, 8, 13, 30, 64)
        for _ in range(6)
    ]
    polygons += [[[0, 0], [1, 1], [2, 2]], [[0, 0], [1, 0]], [[-5, -5], [5, -5], [5, 5], [-5, 5]], []]
    polygons += [xy[rng.integers(5, 3000, 9)].astype(float).tolist() for _ in range(6)]
    found = scatter.page.evaluate(
        f"""async ([xy, polygons]) => {{
          const it = await import("/viewer/{viewer.version()}/scatter/polygon.js");
          const bits = Float32Array.from(xy, Number);
          return polygons.map((polygon) => Array.from(it.inside(bits, polygon)));
        }}""",
        [[str(v).replace("inf", "Infinity").replace("nan", "NaN") for v in xy.ravel().tolist()], polygons],
    )
    counts = []
    for polygon, mask in zip(polygons, found, strict=True):
        expected = python.inside(xy, polygon)
        assert np.array_equal(np.array(mask, bool), expected), polygon
        counts.append(expected.sum())
    assert max(counts) > 500


def test_a_lasso_lights_up_what_python_finds(scatter):
    scatter.open("three")
    requests: list[str] = []
    scatter.page.on("request", lambda request: requests.append(request.url))
    before = scatter.pixels(2)
    scatter.drag([(80, 60), (200, 50), (230, 200), (90, 240)])
    assert requests == []  # the browser found them by itself
    assert 20 < scatter.lit().sum() < 1480
    assert scatter.agrees()
    (part,) = scatter.parts()
    assert part.map == "map0" and part.mode == "set" and 3 <= len(part.polygon) <= 64
    assert (before != scatter.pixels(2)).any()  # the other panels show it too
    assert scatter.page.locator(".selected-count").inner_text().startswith(f"{scatter.lit().sum()} of")
    assert len(scatter.sent()) == 1


def test_a_long_line_is_sent_in_few_corners(scatter):
    scatter.open("one")
    angle = np.linspace(0, 2 * np.pi, 300)
    radius = 120 + 25 * np.sin(17 * angle)
    scatter.drag([(300 + r * np.cos(a), 230 + r * np.sin(a)) for r, a in zip(radius, angle, strict=True)])
    (part,) = scatter.parts()
    assert 20 <= len(part.polygon) <= 64
    assert all(
        len(f"{abs(number):.12f}".rstrip("0").split(".")[1]) <= 4 for v in part.polygon for number in v
    )
    assert scatter.agrees()


def test_shift_adds_alt_removes_escape_clears(scatter):
    scatter.open("one")
    scatter.drag(LOOP)
    first = scatter.lit()
    scatter.drag([(600, 60), (920, 60), (920, 500), (600, 500)], key="Shift")
    added = scatter.lit()
    assert (added >= first).all() and added.sum() > first.sum() and scatter.agrees()
    scatter.drag([(240, 50), (600, 50), (600, 400), (240, 400)], key="Alt")
    assert scatter.lit().sum() < added.sum() and scatter.agrees()
    assert [part.mode for part in scatter.parts()] == ["set", "add", "remove"]
    scatter.page.keyboard.press("Escape")  # nothing has the keys: nothing happens
    scatter.page.locator(".panel-plot").focus()
    scatter.page.keyboard.press("Escape")
    scatter.settle()
    assert scatter.lit() is None and scatter.parts() == ()
    scatter.drag(LOOP)
    assert np.array_equal(scatter.lit(), first)
    scatter.page.locator(".clear").click()
    scatter.settle()
    scatter.settle()
    assert scatter.lit() is None and scatter.parts() == ()


def test_at_most_eight_strokes(scatter):
    scatter.open("one")
    for index in range(9):
        scatter.drag([(100 + 50 * index, 100), (160 + 50 * index, 100), (130 + 50 * index, 300)], key="Shift")
    assert len(scatter.parts()) == 8 and scatter.agrees()
    assert "8 strokes" in scatter.page.locator(".scatter-hint").inner_text()


def test_a_rectangle(scatter):
    scatter.open("one")
    scatter.page.locator("[data-tool=rectangle]").click()
    scatter.drag([(200, 80), (300, 200), (450, 300)])
    (part,) = scatter.parts()
    assert len(part.polygon) == 4
    assert len({x for x, _ in part.polygon}) == len({y for _, y in part.polygon}) == 2
    assert scatter.agrees() and scatter.lit().any()


def test_by_keys(scatter):
    """Corners by Space; two make a rectangle. Enter on a point opens it."""
    scatter.open("one")
    scatter.page.locator(".panel-plot").focus()
    for key in (
        "Shift+ArrowLeft",
        "Shift+ArrowUp",
        "Space",
        *["Shift+ArrowRight"] * 2,
        *["Shift+ArrowDown"] * 2,
        "Enter",
    ):
        scatter.page.keyboard.press(key)
    scatter.settle()
    (part,) = scatter.parts()
    assert len(part.polygon) == 4 and scatter.agrees() and scatter.lit().any()
    scatter.page.keyboard.press("Space")
    scatter.page.keyboard.press("Escape")  # drops the corner, then the selection
    assert len(scatter.parts()) == 1
    scatter.page.keyboard.press("Escape")
    assert scatter.parts() == ()
    for key in ("Space", "Shift+ArrowLeft", "Space", "Shift+ArrowUp", "Space", "Shift+ArrowRight", "Enter"):
        scatter.page.keyboard.press(key)
    scatter.settle()
    assert len(scatter.parts()[0].polygon) == 4 and scatter.agrees()
    scatter.page.keyboard.press("r")
    assert scatter.page.locator("[data-tool=rectangle]").get_attribute("aria-pressed") == "true"


def test_a_click_on_a_point_is_a_link_to_its_pixel(scatter):
    scatter.open("apart")
    points, _ = harness_of(scatter)
    index = lonely(scatter)
    scatter.page.mouse.move(*scatter.place(index))
    scatter.settle()
    image, (row, col) = int(points.image[index]), points.pixel[index]
    href = f"inspect?model=cpt&image=demo%3A{image}%20%26&pins={row},{col}"
    ring = scatter.page.locator(".point-ring")
    assert ring.nth(0).get_attribute("href").endswith(f"/{href}")
    assert ring.nth(1).is_visible()  # the same pixel is ringed in the other map
    words = scatter.page.locator(".tip").inner_text()
    assert made.CLASSES[points.category[index]]["name"] in words
    assert f"scene-{image} · row {row} · col {col}" in words
    scatter.page.route(
        "**/inspect*", lambda route: route.fulfill(body="<p>Inspect</p>", content_type="text/html")
    )
    scatter.page.mouse.down()
    scatter.page.mouse.up()
    scatter.page.wait_for_url(f"**/{href}")


def test_alt_click_and_the_key_ask_for_the_photo(scatter):
    scatter.open("apart")
    index = lonely(scatter)
    scatter.page.mouse.move(*scatter.place(index))
    scatter.settle()
    scatter.page.keyboard.down("Alt")
    scatter.page.mouse.down()
    scatter.page.mouse.up()
    scatter.page.keyboard.up("Alt")
    points, _ = harness_of(scatter)
    asked = {
        "id": "host",
        "name": "chosen",
        "value": {"index": index, "image": f"scene-{points.image[index]}"},
    }
    assert scatter.page.evaluate("triggered") == [asked]
    assert scatter.sent() == []


def test_a_drag_that_ends_on_a_point_opens_nothing(scatter):
    scatter.open("apart")
    address = scatter.page.url
    box, (x, y) = scatter.box(), scatter.place(lonely(scatter))
    scatter.page.mouse.move(x, y)
    scatter.settle()
    scatter.drag(
        [
            (x - box["x"], y - box["y"]),
            (x - box["x"] + 40, y - box["y"]),
            (x - box["x"] + 40, y - box["y"] + 40),
            (x - box["x"], y - box["y"]),
        ]
    )
    assert scatter.page.url == address and len(scatter.parts()) == 1


def test_the_nearest_point_is_the_nearest(scatter):
    scatter.open("one")
    rng = np.random.default_rng(3)
    _, (panel,) = harness_of(scatter)
    places = rng.uniform(panel.xy.min(0) - 1, panel.xy.max(0) + 1, (200, 2))
    radii = rng.uniform(0.01, 3, 200)
    found = scatter.page.evaluate(
        "([at, radii]) => at.map(([x, y], i) => __loupe.board.panels[0].data.nearest.find(x, y, radii[i]))",
        [places.tolist(), radii.tolist()],
    )
    for place, radius, index in zip(places, radii, found, strict=True):
        away = np.linalg.norm(panel.xy.astype(float) - place, axis=1)
        if away.min() > radius:
            assert index == -1
        else:
            assert away[index] == pytest.approx(away.min(), rel=1e-6)


def harness_of(scatter: Scatter):
    return scatter.harness.shown[scatter.name]


def lonely(scatter: Scatter) -> int:
    """A point of the first panel with no other, and no marker, near it."""
    _, panels = harness_of(scatter)
    xy = panels[0].xy.astype(float)
    others = np.vstack([xy, [marker[:2] for marker in panels[0].markers]])
    away = np.linalg.norm(xy[:, None] - others[None], axis=-1)
    return int(np.sort(away, 1)[:, 1].argmax())


# ---------------------------------------------------------------------------------------------- colours and legend


def test_legend_counts_and_isolation(scatter):
    scatter.open("one")
    points, _ = harness_of(scatter)
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
    points, (panel,) = harness_of(scatter)
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
    _, panels = harness_of(scatter)
    index = lonely(scatter)
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


def test_the_cut_out_of_a_point_is_shown(scatter, harness):
    points, panels = harness.shown["apart"]
    buffer = io.BytesIO()
    Image.new("RGB", (96, 64), (200, 30, 30)).save(buffer, "PNG")
    index = 17
    sprite = {
        "tile": 32,
        "columns": 3,
        "places": [4, 9, 11, 30, index],
        "url": python.keep_sprite(harness.plots, buffer.getvalue(), "image/png"),
    }
    harness.data["cut"], harness.shown["cut"] = (
        python.describe(harness.plots, points, panels, sprite=sprite),
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
    points, _ = harness_of(scatter)
    assert points.mode is not None
    pairs = {(c, m) for c, m in zip(points.category.tolist(), points.mode.tolist(), strict=True) if m != 255}
    assert scatter.page.locator(".entry").count() == min(40, len(pairs))
    assert (
        f"{(points.mode == 255).sum()} points without a planted mode"
        in scatter.page.locator(".legend-note").inner_text()
    )


def test_a_value_has_a_scale_with_its_unit(scatter):
    scatter.open("one", colour="value")
    _, (panel,) = harness_of(scatter)
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


# ---------------------------------------------------------------------------------------------- state


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
    points, panels = harness_of(scatter)
    assert np.array_equal(scatter.lit(), python.chosen(points, panels, [other]))


def test_a_link_opens_with_its_selection(scatter):
    parts = python.read("sl:map0::-3,-3,4.25,-3,3,3.5;ab:scene-3:20:40,60,50,90")
    scatter.open("one", view={"parts": describe_parts(parts), "isolated": None})
    points, panels = harness_of(scatter)
    assert np.array_equal(scatter.lit(), python.chosen(points, panels, parts)) and scatter.lit().any()


def test_points_lit_from_outside(scatter, harness):
    points, panels = harness.shown["one"]
    mask = points.category == 3
    harness.data["lit"] = python.describe(harness.plots, points, panels, select=mask)
    harness.shown["lit"] = points, panels
    scatter.open("lit")
    assert np.array_equal(scatter.lit(), mask)
    scatter.drag(LOOP, key="Shift")
    assert np.array_equal(scatter.lit(), scatter.python(base=mask))
    scatter.drag(LOOP)
    assert scatter.agrees()
    scatter.page.locator(".clear").click()
    scatter.settle()
    assert scatter.lit() is None and scatter.parts() == ()


def test_another_map_brings_its_own_selection(scatter, harness):
    """PCA gives way to UMAP: what was drawn on the one holds for it alone, and it says so."""
    scatter.open("one")
    scatter.drag(LOOP)
    points, _ = harness.shown["one"]
    later = made.panel(points, "umap", 7)
    data = python.describe(harness.plots, points, [later])
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


def test_expired_points_are_asked_for_again(scatter, harness):
    name = "short-lived"
    made.add(harness, name, 300)
    harness.plots.clear()
    scatter.page.goto(harness.url(name))
    scatter.page.wait_for_function("triggered.length")
    assert scatter.page.evaluate("triggered") == [{"id": "host", "name": "expired", "value": True}]
    assert "asked for again" in scatter.page.locator(".wait").first.inner_text()
    made.add(harness, name, 300)
    scatter.page.evaluate("(data) => rerun(data)", harness.data[name])
    scatter.page.wait_for_selector("[data-testid=loupe-scatter][data-ready]")
    assert scatter.page.locator(".wait").first.is_hidden()
    for other in ("one", "three", "apart"):  # for the tests after this one
        points, panels = harness.shown[other]
        harness.data[other] = python.describe(harness.plots, points, panels, linked=other == "three")
    made.add(harness, "one", 2000, photo=True)


def test_nothing_stays_when_it_goes(scatter):
    scatter.open("one")
    scatter.page.evaluate("document.getElementById('host').remove(); unmount()")
    scatter.page.wait_for_timeout(100)
    assert scatter.page.locator("[data-testid=loupe-scatter]").count() == 0
    assert scatter.page.evaluate("__loupe.board.panels.length") == 0
    assert scatter.page.locator(".photo-count").inner_text() == ""


# ---------------------------------------------------------------------------------------------- photo


def test_painting_in_the_photo_lights_up_its_points(scatter):
    scatter.open("one")
    points, _ = harness_of(scatter)
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
    assert scatter.lit() is None


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
    points, _ = harness_of(scatter)
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


def test_touch_draws_and_two_fingers_zoom(browser, harness):
    context = browser.new_context(viewport={"width": 600, "height": 900}, has_touch=True)
    scatter = Scatter(context.new_page(), harness).open("apart")
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
