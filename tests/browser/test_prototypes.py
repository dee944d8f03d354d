"""The Prototypes page in a real Chromium: it opens, a patch leads to Inspect, the bank plays, links come back."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from app.words import number
from engine.atlas import Atlas
from engine.bank import banks
from engine.bank_time import moments_path, read_moments
from tests.browser.conftest import IMAGES
from tests.browser.pages import TOO_WIDE, VIEWER, elsewhere, go_to, parse, wait_for_address

PLAYER = "[data-testid=loupe-time][data-ready]"


@pytest.fixture
def prototypes(served: Page, app_server: str, shipped_atlas: Atlas) -> Page:
    """The page, opened without a link."""
    served.goto(f"{app_server}/prototypes")
    served.wait_for_selector("a.lp-patch")
    return served


def choose_category(page: Page, name: str) -> None:
    box = page.get_by_test_id("stSidebar").get_by_test_id("stSelectbox").filter(has_text="Category")
    box.locator("input").click()
    page.get_by_role("option", name=name, exact=True).click()
    wait_for_address(page, category=name)


def test_a_category_is_chosen_and_its_patches_lead_to_inspect(prototypes, shipped_atlas):
    atlas = shipped_atlas
    names = atlas.manifest.classes
    expect(prototypes.locator("a.lp-patch")).to_have_count(12)
    choose_category(prototypes, "boat")
    found = atlas.patches("stride4", names.index("boat"))
    first = prototypes.locator("a.lp-patch", has_text=f"{number(found[0].logit)}").first
    expect(first).to_contain_text(found[0].id)
    # The pictures were decoded, and the cell's frame lies over the cut-out.
    assert first.locator("img").first.evaluate("(image) => image.complete && image.naturalWidth > 100")
    cut, cell = first.locator(".lp-cut").bounding_box(), first.locator(".lp-cell").bounding_box()
    assert cut and cell and cut["x"] <= cell["x"] < cut["x"] + cut["width"]
    first.click()
    prototypes.wait_for_selector(VIEWER)
    row, col = found[0].pixel
    wait_for_address(
        prototypes, image=f"data-scenes-val-{found[0].id}", pins=f"{row},{col}", reading="made-of",
        stage="stride4", source=str(names.index("boat")), model="cpt",
    )  # fmt: skip
    expect(prototypes.locator(".lp-current")).to_contain_text(found[0].id)
    expect(prototypes.locator(".lp-caption").first).to_contain_text("What the prototype “boat” averages")
    # The other pages share the picture, and come back to this one.
    go_to(prototypes, "Prototypes")
    prototypes.wait_for_selector("a.lp-patch")
    go_to(prototypes, "Inspect")
    prototypes.wait_for_selector(VIEWER)
    wait_for_address(prototypes, image=f"data-scenes-val-{found[0].id}", pins=f"{row},{col}")


def test_more_patches_other_views_and_the_link_again(prototypes, browser):
    prototypes.get_by_role("button", name=f"Show {IMAGES}").click()
    wait_for_address(prototypes, patches="24")
    expect(prototypes.locator("a.lp-patch")).to_have_count(IMAGES)
    views = prototypes.locator(".st-key-prototype-views")
    for name, view, sheet in (
        ("Memory", "memory", "live"),
        ("Shadow", "shadow", "noise"),
        ("Price", "price", "price"),
    ):
        views.get_by_role("radio", name=re.compile(name)).or_(
            views.get_by_role("button", name=re.compile(name))
        ).first.click()
        wait_for_address(prototypes, view=view)
        expect(prototypes.locator(f"[data-sheet={sheet}]")).to_be_visible()
    link = prototypes.url
    with elsewhere(browser, viewport={"width": 900, "height": 900}, color_scheme="dark") as other:
        other.goto(link)
        other.wait_for_selector("[data-sheet=price]")
        assert parse(other.url) == parse(link)
        expect(other.locator("a.lp-patch")).to_have_count(IMAGES)
        assert other.evaluate(TOO_WIDE) <= 0  # nothing hangs over at the side


def test_the_bank_plays_in_the_browser_and_the_moment_is_kept(served, shipped_atlas, app_server, engine):
    prototypes = served
    time = read_moments(moments_path(engine.card("cpt").path), banks(engine.segmenter("cpt")))
    prototypes.goto(f"{app_server}/prototypes?view=time&category=tree&moment=5")
    prototypes.wait_for_selector(PLAYER)
    player = prototypes.locator(PLAYER)
    cosines = time.cosine_to_final("stride4", "bank")
    tree = engine.card("cpt").classes.index("tree")
    slider = player.locator("input[type=range]")

    def says(moment: int) -> None:
        expect(player.locator("output")).to_contain_text(f"step {time.steps[moment]} ")
        shown = re.findall(r"[−0-9.]+", player.locator("output").inner_text().replace("step", ""))
        values = [float(one.replace("−", "-")) for one in shown[1:]]
        expected = [float(np.median(cosines[moment])), float(cosines[moment, tree])]
        np.testing.assert_allclose(values, expected, rtol=0.006)

    says(5)
    prototypes.wait_for_load_state("networkidle")
    # While it is dragged nothing is asked of the server, and each step is redrawn at once.
    took = slider.evaluate(
        """(node) => { const began = performance.now();
        for (let i = 0; i < 40; i++) { node.value = i; node.dispatchEvent(new Event("input")); }
        return (performance.now() - began) / 40; }"""
    )
    assert took < 100 and parse(prototypes.url)["moment"] == "5"
    says(39)
    slider.focus()
    slider.press("Home")
    wait_for_address(prototypes, moment="0")
    says(0)
    player.get_by_role("button").click()
    expect(player.locator("output")).to_contain_text(f"step {time.steps[-1]} ")
    wait_for_address(prototypes, moment=str(len(time.steps) - 1))
    expect(player.get_by_role("button")).to_have_text("▶ play")


def test_a_matrix_says_its_values_under_the_pointer(prototypes, shipped_atlas):
    atlas = shipped_atlas
    names, rate = atlas.manifest.classes, atlas.usage("stride4").rate
    row, col = (int(i) for i in np.argwhere(np.isfinite(rate))[5])
    said = f"{names[row]} → {names[col]} {number(float(rate[row, col]))}, "
    cell = prototypes.locator(f'[data-sheet=reads] td[data-said^="{said}"]')
    cell.hover()
    content = cell.evaluate("(node) => getComputedStyle(node, '::after').content")
    assert said in content
