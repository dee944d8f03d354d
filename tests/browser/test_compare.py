"""Compare in a real Chromium, as it is served: links, pins that are kept, the engine's numbers, downloads, disagreement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page

from engine.images import cell
from tests.browser.pages import VIEWER, address, elsewhere, point, wait_for_address
from tests.browser.viewer_harness.compared import close

READY = "[data-testid=loupe-compare][data-ready][data-loaded]"


@pytest.fixture
def compare(served: Page, app_server: str) -> Page:
    """The page with three models."""
    served.goto(f"{app_server}/compare?models=cpt,bilinear,qup&stage=stride8")
    served.wait_for_selector(READY)
    served.wait_for_selector(".lp-footer")
    return served


def press(page: Page, pane: int, row: int, col: int) -> None:
    page.mouse.click(*point(page, row, col, pane))


def test_a_link_opens_the_same_elsewhere(compare, browser):
    before = address(compare)["pins"]
    press(compare, 1, 120, 60)
    wait_for_address(compare, pins=f"{before};120,60", active="2")
    compare.locator(".pane-switch").nth(2).get_by_role("button", name="influence").click()
    wait_for_address(compare, shows="auto,auto,influence")
    compare.get_by_role("group", name="Drawn over the picture").get_by_role("button", name="error").click()
    wait_for_address(compare, marks="error")
    compare.wait_for_function("__loupe.panes[2].mode === 'influence' && __loupe.panes[2].values")
    shown = compare.evaluate("__loupe.panes.map((one) => Array.from(one.values).slice(0, 50))")
    with elsewhere(browser) as other:
        other.goto(compare.url)
        other.wait_for_selector(READY)
        other.wait_for_function("__loupe.panes.length === 3 && __loupe.panes.every((one) => one.values)")
        assert other.evaluate("__loupe.panes.map((one) => Array.from(one.values).slice(0, 50))") == shown
        assert address(other) == address(compare)


def test_image_and_pins_are_kept_when_the_page_changes(compare):
    press(compare, 0, 200, 30)
    compare.wait_for_url(lambda url: "200%2C30" in url, wait_until="commit")
    before = address(compare)
    compare.get_by_role("link", name="Inspect").click()
    compare.wait_for_selector(VIEWER)
    wait_for_address(compare, pins=before["pins"], image=before["image"], model="cpt")
    compare.get_by_role("link", name="Compare").click()
    compare.wait_for_selector(READY)
    wait_for_address(compare, pins=before["pins"], image=before["image"], models=before["models"])


def test_the_viewers_numbers_are_the_engines(compare, engine):
    from app.gallery import Gallery
    from app.process import ROOT

    press(compare, 0, 64, 128)
    compare.mouse.move(2, 2)
    compare.wait_for_url(lambda url: "64%2C128" in url, wait_until="commit")
    picture = Gallery(ROOT / "assets" / "scenes").get(address(compare)["image"])
    for index, name in enumerate(("cpt", "bilinear", "qup")):
        stage = engine.trace(name, picture.image).stage("stride8")
        values = stage.pixel_affinity(*cell(64, 128, picture.image.original_size, stage.grid)).numpy()
        got = np.array(compare.evaluate(f"Array.from(__loupe.panes[{index}].values)"))
        assert close(got, values.ravel() * values.size)
        card = engine.card(name)
        compare.wait_for_selector(f".lp-caption:has-text('{card.hash[:8]}')")


def test_downloads_arrive(compare):
    compare.get_by_role("button", name="Download").click()
    for kind, start in (("SVG", b"<?xml"), ("NPZ", b"PK")):
        with compare.expect_download() as waiting:
            compare.get_by_role("button", name=kind, exact=True).first.click()
        assert Path(waiting.value.path()).read_bytes().startswith(start)


def test_the_equations_open(compare):
    compare.get_by_role("button", name="Measure the shown models again").wait_for()  # no rerun is under way
    compare.locator(".st-key-header").get_by_role("button", name="?").click()
    compare.get_by_text("How to read it").wait_for()
    assert compare.locator(".katex").count() >= 2 and compare.locator(".katex-error").count() == 0


def test_the_samples_that_differ_most_are_one_click_away(compare):
    before = address(compare)["image"]
    compare.get_by_role("button", name="Compare on all samples").click()
    compare.get_by_text("Click one to see it above").wait_for()
    compare.get_by_role("button", name="Stop").wait_for(state="detached")  # the order is the last one
    other = compare.locator("ul.noted button[aria-pressed=false]").first
    other.wait_for()
    chosen = other.get_attribute("data-id")
    other.click()
    wait_for_address(compare, image=str(chosen))
    assert chosen != before
    compare.wait_for_selector(READY)
