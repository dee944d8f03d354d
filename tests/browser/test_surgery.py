"""The Surgery page in a real Chromium: both runs under one pointer, the engine's numbers, edits and undo, the brush, links."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from app import surgery_links
from app.gallery import Gallery
from app.process import ROOT
from engine import Engine
from engine.edits import HideRegion
from engine.trace import Trace

READY = "[data-testid=loupe-surgery][data-ready][data-loaded]"
SIDE = 256


@pytest.fixture
def surgery(served: Page, app_server: str) -> Page:
    """The page, opened without a link."""
    open_page(served, f"{app_server}/surgery")
    return served


@pytest.fixture(scope="module")
def runs() -> tuple[Trace, Trace]:
    """Before and after what the page opens on."""
    from app.views.surgery_look import OPENING_EDITS, OPENING_MODEL, OPENING_SCENE

    engine = Engine(device="cpu")
    picture = next(one for one in Gallery(ROOT / "assets" / "scenes").samples() if one.title == OPENING_SCENE)
    edits = surgery_links.read(OPENING_EDITS[0])[0]
    before = engine.trace(OPENING_MODEL, picture.image)
    return before, engine.trace(OPENING_MODEL, picture.image, edits=edits)


def open_page(page: Page, link: str) -> None:
    page.goto(link)
    page.wait_for_selector(READY)
    page.wait_for_selector(".lp-footer")


def parameters(page: Page) -> dict[str, str]:
    return {
        name: values[0] for name, values in parse_qs(urlsplit(page.url).query, keep_blank_values=True).items()
    }


def wait_for_edits(page: Page, expected: str | re.Pattern[str]) -> None:
    def met(url: str) -> bool:
        found = parse_qs(urlsplit(url).query, keep_blank_values=True).get("edits", [""])[0]
        return found == expected if isinstance(expected, str) else bool(expected.fullmatch(found))

    page.wait_for_url(met, wait_until="commit")
    page.wait_for_selector(READY)


def point(page: Page, pane: int, row: int, col: int) -> tuple[float, float]:
    frame = page.locator(".frame").nth(pane)
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    assert box is not None
    return box["x"] + (col + 0.5) * box["width"] / SIDE, box["y"] + (row + 0.5) * box["height"] / SIDE


def hover(page: Page, pane: int, row: int, col: int) -> None:
    page.mouse.move(*point(page, pane, row, col))
    expect(page.locator(READY).locator(".place")).to_contain_text(re.compile(rf"row {row} . col {col}"))


def shown(page: Page, name: str) -> np.ndarray:
    """What the viewer computed last."""
    return np.array(page.evaluate(f"Array.from(__loupe.surgery.{name})"))


def pick(page: Page, name: str) -> None:
    page.locator(READY).get_by_role("group", name="Shown of both runs").get_by_role(
        "button", name=name
    ).click()


def test_hover_moves_in_all_panes_and_says_what_both_runs_say(surgery, runs):
    heads = surgery.locator(".pane-name").all_inner_texts()
    assert heads == ["before", "after", "difference"]
    surgery.wait_for_load_state("networkidle")
    requests: list[str] = []
    surgery.on("request", lambda request: requests.append(request.url))
    for pane, (row, col) in zip((0, 1, 2), ((209, 124), (30, 60), (120, 200)), strict=True):
        hover(surgery, pane, row, col)
        for index, run in enumerate(runs):
            likely = run.logits.softmax(dim=0)[:, row * 64 // SIDE, col * 64 // SIDE]
            np.testing.assert_allclose(shown(surgery, f"likely[{index}]"), likely, atol=0.01)
            read = run.stage("stride4").affinity(row * 64 // SIDE, col * 64 // SIDE).mean(dim=0)
            np.testing.assert_allclose(shown(surgery, f"reads[{index}]"), read, atol=2e-3)
        names = [run.model.classes[int(run.labels[row, col])] for run in runs]
        assert surgery.evaluate("__loupe.surgery.said")[:2] == names
        assert surgery.locator(".cross:not([hidden])").count() == 3
    assert requests == []
    share = float((runs[0].labels != runs[1].labels).float().mean())
    assert surgery.evaluate("__loupe.surgery.share") == pytest.approx(share)


def test_maps_and_their_difference_are_the_engines(surgery, runs):
    pick(surgery, "probability")
    expect(surgery.locator(".pane-note").first).to_contain_text("of grass")
    index = runs[0].model.classes.index("grass")
    one, two = (run.logits.softmax(dim=0)[index].flatten().numpy() for run in runs)
    np.testing.assert_allclose(shown(surgery, "after"), two, atol=0.01)
    np.testing.assert_allclose(shown(surgery, "difference"), two - one, atol=0.02)
    pick(surgery, "affinity")
    hover(surgery, 0, 100, 100)
    for name, run in zip(("before", "after"), runs, strict=True):
        read = run.stage("stride4").pixel_affinity(25, 25).flatten()
        np.testing.assert_allclose(shown(surgery, name), read * read.numel(), rtol=0.02, atol=0.02)
    surgery.wait_for_url(lambda url: "what=affinity" in url, wait_until="commit")


def test_an_edit_changes_what_comes_after_and_undo_brings_it_back(surgery):
    first = parameters(surgery)["edits"]
    share = surgery.evaluate("__loupe.surgery.share")
    surgery.get_by_role("button", name="Update off at stride4").click()
    wait_for_edits(surgery, f"{first};update,,stride4")
    surgery.wait_for_function(f"__loupe.surgery.share > 1.2 * {share}")
    expect(surgery.locator(".lp-edit").nth(1)).to_contain_text("update ← 0 at stride4")
    link = surgery.url
    surgery.get_by_test_id("stMain").get_by_role("button", name="undo").click()
    wait_for_edits(surgery, first)
    surgery.wait_for_function(f"Math.abs(__loupe.surgery.share - {share}) < 1e-9")
    open_page(surgery, link)
    surgery.wait_for_function(f"__loupe.surgery.share > 1.2 * {share}")
    expect(surgery.locator(".lp-edit")).to_have_count(2)


def test_a_region_is_painted_and_can_no_longer_be_read(surgery):
    surgery.get_by_role("button", name="paint", exact=True).click()
    surgery.mouse.move(*point(surgery, 0, 150, 100))
    surgery.mouse.down()
    surgery.mouse.move(*point(surgery, 0, 200, 180), steps=6)
    surgery.mouse.up()
    surgery.wait_for_url(lambda url: "region=64x64-" in url, wait_until="commit")
    region = surgery_links.read_region(parameters(surgery)["region"])
    cells = np.array([int(bit) for bit in region.bits]).reshape(64, 64)
    assert cells[37, 25] and cells[43, 35] and not cells[10, 10] and 0.01 < cells.mean() < 0.2
    expect(surgery.locator(".loupe .ring")).to_have_count(3)  # one pin in three panes: painting pins nothing
    surgery.get_by_text("Add another edit").click()
    kinds = surgery.locator(".st-key-lp-add").get_by_role("combobox").first
    kinds.click()
    surgery.get_by_role("option", name="Hide the painted region").click()
    surgery.get_by_role("button", name="Add", exact=True).click()
    wait_for_edits(surgery, re.compile(r".*;hide-region,64x64-[0-9a-z.]+"))
    (_, hidden), problems = surgery_links.read(parameters(surgery)["edits"])
    assert hidden == HideRegion(region) and not problems and parameters(surgery)["region"] == ""
