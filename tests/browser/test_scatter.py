"""The scatter in a real Chromium, without Streamlit: the points that Python finds, hovering, keys."""

from __future__ import annotations

import numpy as np
import pytest

from app import scatter as python
from app import viewer
from tests.browser.scatter_harness import points as made
from tests.browser.scatter_harness.driver import LOOP


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
    points, _ = scatter.shown()
    index = scatter.lonely()
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
    index = scatter.lonely()
    scatter.page.mouse.move(*scatter.place(index))
    scatter.settle()
    scatter.page.keyboard.down("Alt")
    scatter.page.mouse.down()
    scatter.page.mouse.up()
    scatter.page.keyboard.up("Alt")
    points, _ = scatter.shown()
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
    box, (x, y) = scatter.box(), scatter.place(scatter.lonely())
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
    _, (panel,) = scatter.shown()
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
