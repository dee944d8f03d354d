"""Compare's viewers, locked together: tiny untrained decoders of four methods, on a page without Streamlit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from app import viewer
from engine.images import cell, load_image
from engine.influence import sites_of
from tests.browser.viewer_harness.server import Harness, serve

CLASSES = ("sky", "water", "grass", "house", "tree")
MODELS: dict[str, dict[str, Any]] = {
    "memory": {"sources": "memory"},
    "bilinear": {"sources": "bilinear"},
    "qup": {"sources": "pixels"},
    "hfgd": {"method": "hfgd"},
    "dilated": {"method": "dilated", "output_stride": 8},
}
H, W = 180, 236  # the original; it is traced smaller
VIEW = {
    "stage": "stride8",
    "shows": ["affinity"] * 4,
    "site": "f3",
    "marks": "prediction",
    "smooth": False,
    "opacity": 0.85,
    "colours": "cividis",
    "hold": False,
}


class World:
    """The harness, its engine, and what the engine says."""

    def __init__(self, harness: Harness, folder) -> None:
        import torch

        from engine import Engine, checkpoints
        from engine.segmenter import SegmenterSpec, build

        self.harness = harness
        for name, fields in MODELS.items():
            torch.manual_seed(4)
            spec = SegmenterSpec(
                backbone="mobilenetv4_conv_small_050", classes=CLASSES, channels=16, **fields
            )
            checkpoints.save(folder / f"{name}.safetensors", build(spec), provenance={"recipe": "tiny"})
        self.engine = Engine(device="cpu", models_dir=folder)
        rng = np.random.default_rng(2)
        smooth = np.kron(rng.integers(0, 255, (10, 12, 3)), np.ones((18, 20, 1)))[:H, :W].astype(np.uint8)
        self.image = load_image(smooth, long_side=160, name="noise")
        harness.ask = lambda trace, pixel, site: self.engine.influence(
            trace.model.path, self.image, pixel, site
        )

    def trace(self, name: str):
        return self.engine.trace(name, self.image)

    def add(self, page: str, models: list[str], **view: Any) -> None:
        truth = np.zeros(self.image.size, np.uint8)
        truth[:, 40:] = 3
        panes: list[dict[str, Any]] = []
        for name in models:
            if name not in MODELS:
                panes.append({"title": name, "error": f"There is no model “{name}”."})
                continue
            trace = self.trace(name)
            key = self.harness.store.put(trace, truth)
            classes = [{"name": one, "colour": "#808080"} for one in CLASSES]
            panes.append(viewer.pane(trace, key, classes, sites_of(self.engine.segmenter(name))))
        first = next(one for one in panes if "error" not in one)
        self.harness.modules[page] = "compare"
        self.harness.data[page] = {
            "image": {
                "url": f"tensors/{first['key']}/image.png",
                "height": self.image.size[0],
                "width": self.image.size[1],
                "original": [H, W],
                "name": "noise",
                "hash": self.image.hash,
            },
            "marks": ["#2f6da8", "#d08a1e", "#7d848b", "#8a5a9e"],
            "panes": panes,
            "view": {**VIEW, **view},
            "pins": [[90, 100]],
            "active": 0,
            "revision": None,
        }

    def affinity(self, name: str, pixel: tuple[int, int], stage: str) -> np.ndarray:
        """× uniform, from the engine."""
        found = self.trace(name).stage(stage)
        values = found.pixel_affinity(*cell(*pixel, (H, W), found.grid)).numpy()
        return values.ravel() * values.size

    def influence(self, name: str, pixel: tuple[int, int], site: str) -> np.ndarray:
        values = self.engine.influence(name, self.image, pixel, site).shares.numpy()
        return values.ravel() * values.size


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serve() as harness:
        world = World(harness, tmp_path_factory.mktemp("models"))
        world.add("four", ["memory", "bilinear", "qup", "hfgd"])
        world.add("auto", ["memory", "hfgd", "dilated"], shows=["auto"] * 3)
        world.add("broken", ["memory", "gone"])
        yield world


class Board:
    """The page with the viewers, and what a person does to them."""

    def __init__(self, page, world: World) -> None:
        self.page, self.world = page, world
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, name: str, **view: Any) -> Board:
        self.page.goto(self.world.harness.url(name, **view))
        self.page.wait_for_selector("[data-testid=loupe-compare][data-ready][data-loaded]")
        self.settle()
        return self

    def point(self, pane: int, row: int, col: int) -> tuple[float, float]:
        box = self.page.locator(".frame").nth(pane).bounding_box()
        return box["x"] + (col + 0.5) / W * box["width"], box["y"] + (row + 0.5) / H * box["height"]

    def hover(self, pane: int, row: int, col: int) -> None:
        self.page.mouse.move(*self.point(pane, row, col))
        self.settle()

    def settle(self) -> None:
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def values(self, pane: int) -> np.ndarray:
        return np.array(self.page.evaluate(f"Array.from(__loupe.panes[{pane}].values ?? [])"))

    def wait_for_values(self, pane: int, mode: str) -> np.ndarray:
        self.page.wait_for_function(
            f"__loupe.panes[{pane}]?.mode === '{mode}' && __loupe.panes[{pane}].values"
        )
        return self.values(pane)

    def each(self, selector: str, expression: str) -> list[Any]:
        return self.page.locator(selector).evaluate_all(f"(nodes) => nodes.map((node) => {expression})")

    def caption(self, pane: int) -> str:
        return self.page.locator(".pane-caption").nth(pane).inner_text()

    def sent(self) -> list[dict[str, Any]]:
        return [one["value"] for one in self.page.evaluate("sent")]


@pytest.fixture
def board(page, world) -> Iterator[Board]:
    board = Board(page, world)
    yield board
    assert board.errors == []


def close(got: np.ndarray, expected: np.ndarray) -> bool:
    """Within half precision's share of the largest value."""
    return got.shape == expected.shape and bool(np.abs(got - expected).max() <= 4e-3 * expected.max())


@pytest.mark.parametrize("pane", [0, 1, 3])
def test_one_hover_moves_all_and_asks_for_nothing(board, world, pane):
    board.open("four")
    board.requests.clear()
    for pixel in ((10, 20), (90, 200), (170, 5)):
        board.hover(pane, *pixel)
        for index, name in enumerate(["memory", "bilinear", "qup"]):
            assert close(board.values(index), world.affinity(name, pixel, "stride8")), (name, pixel)
        guidance = world.trace("hfgd").guidance
        expected = guidance.context_affinity(*cell(*pixel, (H, W), guidance.grid)).numpy()
        assert close(board.values(3), expected.ravel() * expected.size)
        places = board.each(".cross", "[node.hidden, node.style.transform]")
        assert len(places) == 4 and len({tuple(place) for place in places}) == 1 and places[0][0] is False
        assert f"row {pixel[0]} · col {pixel[1]}" in board.page.locator(".place-note").inner_text()
    assert board.requests == []


def test_numbers_under_a_pane_are_the_engines(board, world):
    board.open("four").hover(2, 60, 50)
    values = world.affinity("qup", (60, 50), "stride8")
    text = board.page.locator(".pane-values").nth(2).inner_text()
    said = float(re.search(r"max ×([\d.]+)", text)[1])
    assert said == pytest.approx(values.max(), rel=0.01)
    rows, cols = world.trace("qup").stage("stride8").source_grid
    here = values.reshape(rows, cols)[cell(60, 50, (H, W), (rows, cols))]
    assert float(re.search(r"here ×([\d.]+)", text)[1]) == pytest.approx(here, rel=0.01)
    trace = world.trace("qup")
    label = int(trace.labels[cell(60, 50, (H, W), trace.image_size)])
    assert board.page.locator(".pane-line").nth(2).inner_text().startswith(CLASSES[label])


def test_the_scale_is_one_for_all(board):
    board.open("four").hover(0, 60, 50)
    assert board.page.locator(".legend").count() == 1
    most = max(board.values(index).max() for index in range(4))
    text = board.page.locator(".above").inner_text()
    assert float(text.removeprefix("max ×")) == pytest.approx(most, rel=0.01)


def test_zoom_and_pan_move_all(board):
    board.open("four").hover(1, 90, 118)
    board.page.keyboard.down("Control")
    board.page.mouse.wheel(0, -400)
    board.page.keyboard.up("Control")
    board.settle()
    styles = board.each(".scene", "node.style.cssText")
    assert len(set(styles)) == 1 and "100%" not in styles[0].split("width")[1]
    x, y = board.point(1, 90, 118)
    board.page.mouse.move(x, y)
    board.page.mouse.down()
    board.page.mouse.move(x + 30, y + 20, steps=4)
    board.page.mouse.up()
    board.settle()
    moved = board.each(".scene", "node.style.cssText")
    assert len(set(moved)) == 1 and moved[0] != styles[0]
    assert len(board.page.evaluate("__loupe.state.pins")) == 1  # a drag pins nothing
    board.page.locator(".unzoom").first.click()
    board.settle()
    assert all("width: 100%" in style for style in board.each(".scene", "node.style.cssText"))


def test_a_pin_set_in_one_stands_in_all_and_is_reported_once(board):
    board.open("four")
    before = len(board.sent())
    board.page.mouse.click(*board.point(3, 40, 60))
    board.settle()
    assert board.page.locator(".ring").count() == 8
    (report,) = board.sent()[before:]
    assert report["pins"] == [[90, 100], [40, 60]] and report["active"] == 1
    board.page.keyboard.press("Delete")
    board.settle()
    assert board.page.locator(".ring").count() == 4


def test_keys_move_the_pin_in_all(board):
    board.open("four").page.locator(".frame").nth(2).focus()
    board.page.keyboard.press("ArrowRight")
    board.settle()
    assert board.page.evaluate("__loupe.state.pins[0]")[1] > 100
    assert len({tuple(one) for one in board.each(".ring", "[node.style.transform]")}) == 1
    board.page.keyboard.press("]")
    board.settle()
    assert board.page.evaluate("__loupe.state.view.stage") == "stride4"


def test_influence_is_the_engines_for_every_decoder_and_asked_for_once(board, world):
    board.open("four")
    board.page.mouse.move(2, 2)
    board.page.get_by_role("group", name="All viewers show").get_by_role("button", name="influence").click()
    for index, name in enumerate(["memory", "bilinear", "qup", "hfgd"]):
        got = board.wait_for_values(index, "influence")
        np.testing.assert_allclose(got, world.influence(name, (90, 100), "f3"), rtol=1e-3, atol=1e-4)
        found = world.engine.influence(name, world.image, (90, 100), "f3")
        assert f"{CLASSES[found.category]} over {CLASSES[found.rival]}" in board.caption(index)
    asked = [url for url in board.requests if "/influence" in url]
    assert len(asked) == 4
    board.hover(0, 20, 20)
    board.hover(1, 150, 200)
    assert [url for url in board.requests if "/influence" in url] == asked  # it stays with the pin
    board.page.mouse.click(*board.point(0, 20, 20))
    while (
        len([url for url in board.requests if "/influence" in url]) < 8
    ):  # the values are the last pin's until then
        board.page.wait_for_timeout(50)
    board.page.wait_for_function("__loupe.panes.every((one) => one.values?.length)")
    np.testing.assert_allclose(
        board.values(0), world.influence("memory", (20, 20), "f3"), rtol=1e-3, atol=1e-4
    )


def test_one_pane_can_be_switched_alone(board, world):
    board.open("four")
    board.page.locator(".pane-switch").nth(0).get_by_role("button", name="influence").click()
    got = board.wait_for_values(0, "influence")
    np.testing.assert_allclose(got, world.influence("memory", (90, 100), "f3"), rtol=1e-3, atol=1e-4)
    assert board.page.evaluate("__loupe.panes.map((one) => one.mode)") == [
        "influence",
        "affinity",
        "affinity",
        "context",
    ]
    assert board.sent()[-1]["view"]["shows"] == ["influence", "affinity", "affinity", "affinity"]


def test_a_decoder_without_an_affinity_shows_its_influence_and_says_what_it_does_not_read(board, world):
    board.open("auto")
    for index, name in ((1, "hfgd"), (2, "dilated")):
        got = board.wait_for_values(index, "influence")
        np.testing.assert_allclose(got, world.influence(name, (90, 100), "f3"), rtol=1e-3, atol=1e-4)
    board.page.get_by_role("group", name="Site").get_by_role("button", name="f1").click()
    expected = world.influence("hfgd", (90, 100), "f1")
    board.page.wait_for_function(f"__loupe.panes[1].values?.length === {expected.size}")
    np.testing.assert_allclose(board.values(1), expected, rtol=1e-3, atol=1e-4)
    assert "does not read f1" in board.caption(2) and "f3" in board.caption(2)
    assert board.values(2).size == 0


def test_errors_are_hatched_and_truth_outlined(board):
    board.open("four")
    marks = board.page.get_by_role("group", name="Drawn over the picture")
    marks.get_by_role("button", name="error").click()
    board.settle()
    drawn = board.each(
        ".hatch",
        "!node.hidden && node.getContext('2d').getImageData(0, 0, node.width, node.height).data.some((v) => v)",
    )
    assert drawn == [True] * 4
    assert board.page.locator(".hatch-swatch").is_visible()
    marks.get_by_role("button", name="truth").click()
    board.settle()
    assert board.each(".hatch", "node.hidden") == [True] * 4
    assert board.page.locator(".outline-name", has_text="truth").is_visible()


def test_a_model_that_is_not_there_says_why_and_the_other_lives(board, world):
    board.open("broken")
    assert "There is no model “gone”" in board.page.locator(".pane").nth(1).inner_text()
    board.hover(0, 30, 40)
    assert close(board.values(0), world.affinity("memory", (30, 40), "stride8"))


def test_an_engine_that_fails_is_one_sentence_in_the_pane(board, world):
    before, world.harness.ask = world.harness.ask, None
    try:
        board.open("auto")
        board.page.wait_for_function("document.querySelectorAll('.wait:not([hidden]) .stop').length === 2")
        assert "no engine" in board.page.locator(".wait").nth(1).inner_text()
        asked = [url for url in board.requests if "/influence" in url]
        board.page.wait_for_timeout(300)
        assert [url for url in board.requests if "/influence" in url] == asked  # not again by itself
    finally:
        world.harness.ask = before
    board.page.locator(".stop", has_text="Try again").first.click()
    board.wait_for_values(1, "influence")


@pytest.mark.parametrize("width", [1440, 900, 420])
def test_nothing_overflows(board, width):
    board.page.set_viewport_size({"width": width, "height": 900})
    board.open("four")
    assert board.page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1")
    heights = board.each(".panes .frame", "Math.round(node.getBoundingClientRect().top)")
    assert len(set(heights)) == (1 if width == 1440 else 2 if width == 900 else 4)


# ---------------------------------------------------------------------- the page, as it is served

READY = "[data-testid=loupe-compare][data-ready][data-loaded]"


@pytest.fixture
def served(page, app_server) -> Iterator[Any]:
    page.set_default_timeout(90_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{app_server}/compare?models=cpt,bilinear,qup&stage=stride8")
    page.wait_for_selector(READY)
    page.wait_for_selector(".lp-footer")
    yield page
    assert errors == []


def written(page) -> dict[str, str]:
    query = parse_qs(urlsplit(page.url).query, keep_blank_values=True)
    return {name: values[0] for name, values in query.items()}


def wait_for(page, **expected: str) -> None:
    def there(url: str) -> bool:
        found = parse_qs(urlsplit(url).query, keep_blank_values=True)
        return all(found.get(name) == [value] for name, value in expected.items())

    page.wait_for_url(there, wait_until="commit")


def press(page, pane: int, row: int, col: int) -> None:
    frame = page.locator(".frame").nth(pane)
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    page.mouse.click(
        box["x"] + (col + 0.5) * box["width"] / 256, box["y"] + (row + 0.5) * box["height"] / 256
    )


def test_a_link_opens_the_same_elsewhere(served, browser):
    before = written(served)["pins"]
    press(served, 1, 120, 60)
    wait_for(served, pins=f"{before};120,60", active="2")
    served.locator(".pane-switch").nth(2).get_by_role("button", name="influence").click()
    wait_for(served, shows="auto,auto,influence")
    served.get_by_role("group", name="Drawn over the picture").get_by_role("button", name="error").click()
    wait_for(served, marks="error")
    served.wait_for_function("__loupe.panes[2].mode === 'influence' && __loupe.panes[2].values")
    shown = served.evaluate("__loupe.panes.map((one) => Array.from(one.values).slice(0, 50))")
    other = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
    other.set_default_timeout(90_000)
    other.goto(served.url)
    other.wait_for_selector(READY)
    other.wait_for_function("__loupe.panes.length === 3 && __loupe.panes.every((one) => one.values)")
    assert other.evaluate("__loupe.panes.map((one) => Array.from(one.values).slice(0, 50))") == shown
    assert written(other) == written(served)
    other.context.close()


def test_image_and_pins_are_kept_when_the_page_changes(served):
    press(served, 0, 200, 30)
    served.wait_for_url(lambda url: "200%2C30" in url, wait_until="commit")
    before = written(served)
    served.get_by_role("link", name="Inspect").click()
    served.wait_for_selector("[data-testid=loupe-viewer][data-ready]")
    wait_for(served, pins=before["pins"], image=before["image"], model="cpt")
    served.get_by_role("link", name="Compare").click()
    served.wait_for_selector(READY)
    wait_for(served, pins=before["pins"], image=before["image"], models=before["models"])


def test_the_viewers_numbers_are_the_engines(served):
    from app.gallery import Gallery
    from app.process import ROOT
    from engine import Engine

    press(served, 0, 64, 128)
    served.mouse.move(2, 2)
    served.wait_for_url(lambda url: "64%2C128" in url, wait_until="commit")
    picture = Gallery(ROOT / "assets" / "scenes").get(written(served)["image"])
    engine = Engine(device="cpu")
    for index, name in enumerate(("cpt", "bilinear", "qup")):
        stage = engine.trace(name, picture.image).stage("stride8")
        values = stage.pixel_affinity(*cell(64, 128, picture.image.original_size, stage.grid)).numpy()
        got = np.array(served.evaluate(f"Array.from(__loupe.panes[{index}].values)"))
        assert close(got, values.ravel() * values.size)
        card = engine.card(name)
        served.wait_for_selector(f".lp-caption:has-text('{card.hash[:8]}')")


def test_downloads_arrive(served):
    served.get_by_role("button", name="Download").click()
    for kind, start in (("SVG", b"<?xml"), ("NPZ", b"PK")):
        with served.expect_download() as waiting:
            served.get_by_role("button", name=kind, exact=True).first.click()
        assert Path(waiting.value.path()).read_bytes().startswith(start)


def test_the_equations_open(served):
    served.get_by_role("button", name="Measure the shown models again").wait_for()  # no rerun is under way
    served.locator(".st-key-header").get_by_role("button", name="?").click()
    served.get_by_text("How to read it").wait_for()
    assert served.locator(".katex").count() >= 2 and served.locator(".katex-error").count() == 0


def test_the_samples_that_differ_most_are_one_click_away(served):
    before = written(served)["image"]
    served.get_by_role("button", name="Compare on all samples").click()
    served.get_by_text("Click one to see it above").wait_for()
    other = served.locator("ul.noted button[aria-pressed=false]").first
    other.wait_for()
    chosen = other.get_attribute("data-id")
    other.click()
    wait_for(served, image=str(chosen))
    assert chosen != before
    served.wait_for_selector(READY)
