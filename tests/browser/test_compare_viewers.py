"""Compare's viewers, locked together: tiny untrained decoders of four methods, on a page without Streamlit."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import expect

from engine.images import cell
from tests.browser.viewer_harness.compared import CLASSES, Board, H, W, World, close
from tests.browser.viewer_harness.server import serve


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serve() as harness:
        world = World(harness, tmp_path_factory.mktemp("models"))
        world.add("four", ["memory", "bilinear", "qup", "hfgd"])
        world.add("auto", ["memory", "hfgd", "dilated"], shows=["auto"] * 3)
        world.add("broken", ["memory", "gone"])
        yield world


@pytest.fixture
def board(page, world) -> Iterator[Board]:
    board = Board(page, world)
    yield board
    assert board.errors == []


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
        expect(board.page.locator(".wait:not([hidden]) .stop", has_text="Try again")).to_have_count(2)
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
