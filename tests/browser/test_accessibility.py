"""Every page as axe-core judges it (WCAG 2.1 AA and its best practices), in both themes and at two widths."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.pages import TOO_WIDE

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

# What a theme can change; all else is the same page.
OF_COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}


def settle(page: Page) -> None:
    expect(page.locator("[data-testid=stStatusWidget]")).to_have_count(0)
    page.wait_for_timeout(600)  # fades end: colours half way are nobody's


def said(finding: dict) -> list[str]:
    """One line for each element that a rule finds fault with."""
    return [
        f"{finding['impact']}: {finding['id']}: {node['html'][:160]}: "
        + " ".join(check["message"] for check in node["any"] + node["all"] + node["none"])[:240]
        for node in finding["nodes"]
    ]


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_in_either_theme(name: str, served: Page, app_server: str):
    path, drawn = PAGES[name]
    served.set_viewport_size({"width": 1280, "height": 900})
    served.goto(app_server + path)
    served.locator(drawn).first.wait_for()
    for theme, paper, rules in (
        ("light", "rgb(255, 255, 255)", None),
        ("dark", "rgb(22, 24, 27)", OF_COLOURS),
    ):
        served.emulate_media(color_scheme=theme)
        expect(served.get_by_test_id("stApp")).to_have_css("background-color", paper)
        settle(served)
        found = Axe().run(served, options=rules).response["violations"]
        wrong = [line for finding in found for line in said(finding)]
        assert wrong == [], f"{theme}:\n" + "\n".join(wrong)
    for width in (1280, 1920):
        served.set_viewport_size({"width": width, "height": 900})
        assert served.evaluate(TOO_WIDE) <= 0, f"scrolls sideways at {width}"
