"""The Audit page in a real Chromium: it opens on a small audit, a score is chosen, a case leads to its pixel in Inspect."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

PATIENCE = 120_000  # milliseconds; the small audit is made on the spot
OTHER = "AUC of profile similarity"


@pytest.fixture
def audit(served: Page, app_server: str) -> Page:
    """The page over a few images."""
    served.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    served.goto(f"{app_server}/audit?images=12")
    served.wait_for_selector("[data-sheet=distribution]")
    return served


def parse(link: str) -> dict[str, str]:
    return {
        name: values[0] for name, values in parse_qs(urlsplit(link).query, keep_blank_values=True).items()
    }


def wait_for_address(page: Page, **expected: str) -> None:
    page.wait_for_url(
        lambda url: all(parse(url).get(name) == value for name, value in expected.items()),
        wait_until="commit",
    )


def choose(page: Page, label: str, option: str) -> None:
    box = page.get_by_test_id("stSidebar").get_by_test_id("stSelectbox").filter(has_text=label)
    box.locator("input").click()
    page.get_by_role("option", name=option, exact=True).click()


def test_a_score_is_chosen_and_a_case_leads_to_its_pixel(audit):
    expect(audit.locator("[data-overall]")).to_contain_text("AUC of affinity is")
    choose(audit, "Score", OTHER)
    wait_for_address(audit, score="auc_profile", images="12", model="cpt")
    expect(audit.locator("[data-sheet=distribution] h2")).to_contain_text(OTHER)
    tiles = audit.locator("[data-cases=worst] a.lp-case")
    expect(audit.locator("a.lp-case .lp-ring")).to_have_count(18)  # all have been traced
    audit.wait_for_selector(".st-key-audit-cases", state="detached")
    # The strips are drawn: the mean of all pixels stands where its number says.
    strip = audit.locator(".lp-strip").first.bounding_box()
    dot = audit.locator(".lp-strip .lp-dot").first.bounding_box()
    said = audit.locator(".lp-strip-said").first.inner_text()
    mean = float(re.split(r"[ (]", said)[0])
    assert strip and dot
    assert abs((dot["x"] + dot["width"] / 2 - strip["x"]) / strip["width"] - mean) < 0.02
    first = tiles.first
    assert first.locator("img.lp-over").evaluate("(image) => image.complete && image.naturalWidth > 100")
    row, col = (first.get_attribute("data-pixel") or "").split(",")
    image = first.get_attribute("data-image")
    first.click()
    audit.wait_for_selector("[data-testid=loupe-viewer][data-ready]")
    wait_for_address(
        audit, image=f"data-scenes-val-{image}", pins=f"{row},{col}", reading="reads-alike", stage="stride4", model="cpt"
    )  # fmt: skip
