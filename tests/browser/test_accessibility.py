"""Every page as axe-core judges it (WCAG 2.1 AA and its best practices), in both themes and at two widths."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.pages import PATIENCE, TOO_WIDE

# Each page on its opening, by what says that its slowest part is drawn.
PAGES = {
    "inspect": ("/", "[data-testid=loupe-viewer][data-ready]"),
    "prototypes": ("/prototypes", "table.lp-matrix"),
    "variance": ("/variance", "[data-testid=loupe-scatter][data-ready='1']"),
    "guidance": ("/guidance", "[data-testid=loupe-guidance][data-ready][data-loaded]"),
    "compare": ("/compare", "[data-testid=loupe-compare][data-ready][data-loaded]"),
    "surgery": ("/surgery", "[data-testid=loupe-surgery][data-ready][data-loaded]"),
    "audit": ("/audit?images=12", "h1.lp-question"),
    "findings": ("/findings", "h1.lp-question"),
    "library": ("/library", ".lp-table"),
}
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module", params=["light", "dark"])
def themed(request, browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=request.param)
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


def opened(page: Page, address: str, drawn: str) -> Page:
    page.goto(address)
    page.locator(drawn).first.wait_for()
    expect(page.locator("[data-testid=stStatusWidget]")).to_have_count(0)
    page.wait_for_timeout(600)  # fades end: colours half way are nobody's
    return page


def said(finding: dict) -> list[str]:
    """One line for each element that a rule finds fault with."""
    return [
        f"{finding['impact']}: {finding['id']}: {node['html'][:160]}: "
        + " ".join(check["message"] for check in node["any"] + node["all"] + node["none"])[:240]
        for node in finding["nodes"]
    ]


@pytest.mark.parametrize("name", PAGES)
def test_axe_has_no_serious_finding(name: str, themed: BrowserContext, app_server: str):
    path, drawn = PAGES[name]
    page = opened(themed.new_page(), app_server + path, drawn)
    try:
        found = Axe().run(page).response["violations"]
        serious = [line for finding in found if finding["impact"] in SERIOUS for line in said(finding)]
        assert serious == [], "\n".join(serious)
        for width in (1280, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(TOO_WIDE) <= 0, f"scrolls sideways at {width}"
    finally:
        page.close()
