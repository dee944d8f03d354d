"""The Variance page in a real Chromium: a lasso reaches the strip and the link, points and cut-outs lead to Inspect, a brush in
the photo lights up points, a projection can be cancelled."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from app import scatter
from app.views.variance_panels import EVERY, first_of
from engine.atlas import Atlas
from engine.pixels import PixelSample, from_atlas, shared
from engine.projection import pca
from tests.browser.pages import TOO_WIDE, VIEWER, elsewhere, parse, wait_for_address

READY = "[data-testid=loupe-scatter][data-ready='1']"
SITES = ("f2", "fused")
COUNT = 700


@pytest.fixture
def samples(shipped_atlas: Atlas) -> tuple[PixelSample, ...]:
    """What the page's panels show."""
    return first_of(shared([from_atlas(shipped_atlas, site, count=EVERY) for site in SITES]), COUNT)


@pytest.fixture
def variance(served: Page, app_server: str, shipped_atlas: Atlas) -> Page:
    """The page with two maps."""
    served.goto(f"{app_server}/variance?sites={','.join(SITES)}&pixels={COUNT}")
    settle(served)
    return served


def settle(page: Page) -> None:
    """Until the maps are drawn and the numbers beside them are there."""
    page.wait_for_selector(READY)
    page.wait_for_selector("[data-sheet=variance]")
    page.wait_for_selector(".st-key-numbers-walk", state="detached")
    page.wait_for_load_state("networkidle")


def draw_lasso(page: Page, panel: int) -> None:
    """Around the middle of a map."""
    plot = page.locator(".panel-plot").nth(panel)
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    x, y, side = box["x"] + 0.35 * box["width"], box["y"] + 0.2 * box["height"], 0.45 * box["width"]
    page.mouse.move(x, y)
    page.mouse.down()
    for dx, dy in ((side, 0), (side, side), (0, side), (0, 5)):
        page.mouse.move(x + dx, y + dy, steps=4)
    page.mouse.up()


def taken(page: Page) -> int:
    page.wait_for_function(
        "() => document.querySelector('[data-taken]') && document.querySelector('[data-taken]').dataset.taken !== '0'"
    )
    return int(page.locator("[data-taken]").get_attribute("data-taken") or 0)


def test_a_lasso_reaches_the_strip_the_other_panel_and_the_link(variance, samples, browser):
    draw_lasso(variance, 1)
    count = taken(variance)
    variance.wait_for_url(lambda url: parse(url).get("lasso", "") != "", wait_until="commit")
    (part,) = scatter.read(parse(variance.url)["lasso"])
    inside = scatter.inside(pca(samples[1].features).xy, part.polygon)
    assert count == inside.sum() > 5
    expect(variance.locator(".selected-count").first).to_contain_text(str(count))
    rows = np.flatnonzero(inside)
    tiles = variance.locator("a.lp-tile")
    expect(tiles).to_have_count(min(24, len(rows)))
    assert {int(tile.get_attribute("data-row")) for tile in tiles.all()} <= set(rows.tolist())
    # The same link elsewhere selects the same pixels.
    with elsewhere(browser, viewport={"width": 900, "height": 900}, color_scheme="dark") as other:
        other.goto(variance.url)
        settle(other)
        assert taken(other) == count and parse(other.url) == parse(variance.url)
        assert other.evaluate(TOO_WIDE) <= 0  # nothing hangs over at the side


def test_a_cut_out_opens_inspect_at_its_pixel(variance, samples):
    tile = variance.locator("a.lp-tile").nth(3)
    row = int(tile.get_attribute("data-row") or -1)
    assert (
        tile.locator("i")
        .first.evaluate("(node) => getComputedStyle(node).backgroundImage")
        .startswith('url("data:')
    )
    tile.click()
    variance.wait_for_selector(VIEWER)
    sample = samples[0]
    y, x = sample.pixel[row].tolist()
    wait_for_address(
        variance, image=f"data-scenes-val-{sample.names[int(sample.image[row])]}", pins=f"{y},{x}"
    )


def test_a_click_on_a_point_opens_inspect_at_its_pixel(variance, samples):
    plot = variance.locator(".panel-plot").first
    box = plot.bounding_box()
    assert box is not None
    found = None
    for step in range(0, 100, 2):  # where it is drawn is the scatter's business: look for its tooltip
        for over in range(0, 100, 4):
            variance.mouse.move(box["x"] + box["width"] * over / 100, box["y"] + box["height"] * step / 100)
            link = variance.locator("a[href*='pins=']:not(.lp-tile, [href*='tour='])")
            if link.count():
                found = parse(link.first.get_attribute("href") or "")
                break
        if found:
            break
    assert found is not None
    places = {
        (f"data-scenes-val-{samples[0].names[int(image)]}", f"{row},{col}")
        for image, (row, col) in zip(samples[0].image, samples[0].pixel.tolist(), strict=True)
    }
    assert (found["image"], found["pins"]) in places and found["model"] == "cpt"
    variance.mouse.down()
    variance.mouse.up()
    variance.wait_for_selector(VIEWER)
    wait_for_address(variance, image=found["image"], pins=found["pins"])


def test_a_brush_in_the_photo_lights_up_its_points(variance, samples):
    frame = variance.locator("[data-testid=loupe-photo] .photo-frame")
    frame.scroll_into_view_if_needed()
    variance.wait_for_timeout(500)
    box = frame.bounding_box()
    assert box is not None
    sample = samples[0]
    image = int(np.bincount(sample.image).argmax())
    row, col = sample.pixel[np.flatnonzero(sample.image == image)[0]].tolist()
    height, width = sample.sizes[image].tolist()
    x, y = box["x"] + (col + 0.5) / width * box["width"], box["y"] + (row + 0.5) / height * box["height"]
    variance.mouse.move(x - 2, y)
    variance.mouse.down()
    variance.mouse.move(x + 2, y, steps=3)
    variance.mouse.up()
    count = taken(variance)
    variance.wait_for_url(lambda url: parse(url).get("lasso", "") != "", wait_until="commit")
    (part,) = scatter.read(parse(variance.url)["lasso"])
    assert isinstance(part, scatter.Stroke) and part.image == sample.names[image]
    points = scatter.Points(sample.category, sample.image, sample.pixel, [], sample.names)
    assert count == scatter.chosen(points, [], [part]).sum() >= 1


@pytest.mark.slow
def test_a_projection_is_cancelled_and_the_page_goes_on(variance):
    variance.get_by_role("radio", name="UMAP", exact=True).click()
    wait_for_address(variance, projection="umap")
    cancel = variance.get_by_role("button", name="Cancel")
    cancel.wait_for()
    expect(variance.locator("[data-may-not]")).to_contain_text("PCA is a shadow")
    cancel.click()
    wait_for_address(variance, projection="pca")
    cancel.wait_for(state="detached")
    settle(variance)


def test_clusters_of_the_selection_are_named_in_the_link(served: Page, app_server: str, shipped_atlas: Atlas):
    served.goto(f"{app_server}/variance?sites=stride8.aligned&pixels={COUNT}")
    settle(served)
    draw_lasso(served, 0)
    taken(served)
    served.get_by_role("button", name="Cluster the selection").click()
    served.wait_for_selector("[data-clusters]")
    served.wait_for_url(lambda url: parse(url)["clusters"] != "0", wait_until="commit")
    smallest = served.get_by_label("Smallest cluster, pixels")
    smallest.fill("5")
    smallest.press("Enter")
    wait_for_address(served, clusters="5")
    served.wait_for_selector(".lp-cluster")
    shown = int(served.locator("[data-clusters]").get_attribute("data-clusters") or 0)
    expect(served.locator(".lp-cluster")).to_have_count(min(12, shown))
    name = served.get_by_label("Name of 1", exact=True)
    name.fill("what it is")
    name.press("Enter")
    wait_for_address(served, names="what it is")
    expect(served.locator(".lp-cluster").first).to_contain_text("what it is")
    served.get_by_role("button", name=re.compile("No clusters")).click()
    wait_for_address(served, clusters="0")
