"""The Library page in a real Chromium: a model uploaded, renamed and removed; an image of a dataset leads to Inspect."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from engine.catalogue import ASSETS
from tests.browser.pages import TOO_WIDE, VIEWER, go_to, wait_for_address


def test_a_model_comes_and_goes(page: Page, app_server: str, tmp_path: Path):
    content = (ASSETS / "models" / "bilinear.safetensors").read_bytes()
    (tmp_path / "browser-test.safetensors").write_bytes(content)
    page.goto(f"{app_server}/library")
    expect(page.locator("[data-model=cpt]")).to_contain_text("14 categories")
    page.get_by_text("Add a model").click()
    page.locator("input[type=file]").set_input_files(tmp_path / "browser-test.safetensors")
    card = page.locator("[data-model=browser-test]")
    expect(card).to_contain_text("recipe bilinear")
    page.locator(".st-key-lp-model-browser-test").get_by_test_id("stPopoverButton").click()
    page.get_by_label("Name", exact=True).fill("browser-other")
    page.get_by_label("Name", exact=True).press("Enter")
    page.get_by_role("button", name="Rename").click()
    other = page.locator("[data-model=browser-other]")
    expect(other).to_be_visible()
    expect(card).to_have_count(0)
    page.locator(".st-key-lp-model-browser-other").get_by_test_id("stPopoverButton").click()
    page.get_by_role("button", name="Remove the file").click()
    expect(other).to_have_count(0)
    assert page.evaluate(TOO_WIDE) <= 0


def test_an_image_of_a_dataset_leads_to_inspect(page: Page, app_server: str):
    page.goto(f"{app_server}/library?data=scenes-val&sheet=2")
    tile = page.locator("a.lp-case:has(img.lp-over)").nth(3)
    tile.wait_for()
    name = tile.get_attribute("data-image")
    tile.click()
    page.wait_for_selector(VIEWER)
    wait_for_address(page, image=f"data-scenes-val-{name}")


def test_what_is_said_above_builds_nothing_below_anew(page: Page, app_server: str):
    page.goto(app_server)
    page.wait_for_selector(VIEWER)
    go_to(page, "Library")
    served = page.locator(".st-key-clear-served button")
    expect(served).to_be_enabled()
    served.evaluate("button => { button.same = true; }")
    page.locator(".st-key-clear-host button").click()
    expect(page.get_by_text("cleared:")).to_be_visible()
    assert served.evaluate("button => button.same === true")
    served.click()
    expect(page.locator("[data-cache=served]")).to_contain_text("0 bytes")
