"""The tour in a real Chromium: offered once, walked from step to step, left, and found again."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from app.tour import PARAMETER, STEPS
from tests.browser.pages import PATIENCE, VIEWER, address, elsewhere, parse, wait_for_address

OFFER = "First time here? A two-minute tour"
PICTURES = {"": VIEWER, "variance": "canvas", "guidance": "canvas", "compare": "canvas", "surgery": "canvas"}
# Of every canvas on show, in any shadow root: whether one has been drawn upon.
DRAWN = """() => {
  const roots = [document], all = [];
  for (const root of roots) {
    for (const each of root.querySelectorAll("*")) if (each.shadowRoot) roots.push(each.shadowRoot);
    all.push(...root.querySelectorAll("canvas"));
  }
  return all.some((one) => one.width > 60 && one.height > 60 && one.getContext("2d")
    && one.getContext("2d").getImageData(0, 0, one.width, one.height).data.some((value) => value > 0));
}"""


def card(page: Page) -> Locator:
    return page.get_by_role("region", name="Guided tour")


def arrive(page: Page, number: int) -> None:
    """Until the step is drawn whole, with nothing wrong on it."""
    step = STEPS[number - 1]
    expect(card(page)).to_contain_text(f"step {number} of {len(STEPS)}")
    expect(card(page)).to_contain_text(step.said)
    expect(page.locator("h1.lp-question")).to_be_visible()
    if step.path in PICTURES:
        page.wait_for_selector(PICTURES[step.path])
        page.wait_for_function(DRAWN)
    wait_for_address(page, **{PARAMETER: str(number)})
    assert page.url.partition("?")[0].rstrip("/").rpartition("/")[2] == (step.path or page.url.split("/")[2])
    for wrong in ("stException", "stAlert"):
        expect(page.get_by_test_id(wrong)).to_have_count(0)


@pytest.fixture
def first_time(browser: Browser, app_server: str):
    """The app as it opens for whoever was never here."""
    expect.set_options(timeout=PATIENCE)
    with elsewhere(browser, met=False, color_scheme="light") as page:
        page.goto(app_server)
        page.wait_for_selector(VIEWER)
        yield page


def test_all_steps_are_walked_there_and_back(first_time: Page):
    page = first_time
    page.get_by_role("link", name=OFFER).click()
    places = []
    for number in range(1, len(STEPS) + 1):
        if number > 1:
            page.get_by_role("link", name="Next", exact=True).press("Enter")
        arrive(page, number)
        box = card(page).bounding_box()
        assert box is not None
        places.append((box["y"], box["height"]))
    assert len(set(places)) == 1  # the strip stays where it is
    expect(page.get_by_role("link", name="Next", exact=True)).to_have_count(0)
    page.go_back()  # one entry of the history for each step
    arrive(page, len(STEPS) - 1)
    page.get_by_role("link", name="Back", exact=True).click()
    arrive(page, len(STEPS) - 2)
    page.reload()
    arrive(page, len(STEPS) - 2)
    before = address(page)
    page.get_by_role("button", name="End tour").click()
    expect(card(page)).to_have_count(0)
    page.wait_for_url(lambda url: PARAMETER not in parse(url), wait_until="commit")
    assert address(page) == {name: text for name, text in before.items() if name != PARAMETER}
    expect(page.get_by_role("link", name="Tour", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name=OFFER)).to_have_count(0)


def test_an_invitation_that_was_dismissed_does_not_return(first_time: Page):
    page = first_time
    header = page.locator("h1.lp-question").bounding_box()
    page.get_by_role("button", name="Dismiss").press("Enter")
    expect(page.get_by_role("link", name=OFFER)).to_have_count(0)
    expect(page.get_by_role("link", name="Tour", exact=True)).to_be_focused()
    assert page.locator("h1.lp-question").bounding_box() == header  # nothing moved
    page.reload()
    page.wait_for_selector(VIEWER)
    link = page.get_by_role("link", name="Tour", exact=True)
    expect(link).to_be_visible()
    expect(page.get_by_role("link", name=OFFER)).to_have_count(0)
    link.click()  # it stays within reach
    arrive(page, 1)


def test_an_invitation_that_was_taken_does_not_return(first_time: Page, app_server: str):
    page = first_time
    page.get_by_role("link", name=OFFER).click()
    arrive(page, 1)
    page.goto(app_server)
    page.wait_for_selector(VIEWER)
    expect(page.get_by_role("link", name="Tour", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name=OFFER)).to_have_count(0)


@pytest.mark.parametrize("text", ["99", "0", "-1", "%3Cb%3E", "1e9"])
def test_a_hostile_number_is_ignored(served: Page, app_server: str, text: str):
    served.goto(f"{app_server}/?tour={text}")
    served.wait_for_selector(VIEWER)
    expect(served.get_by_role("link", name="Tour", exact=True)).to_be_visible()
    expect(card(served)).to_have_count(0)
    for wrong in ("stException", "stAlert"):
        expect(served.get_by_test_id(wrong)).to_have_count(0)


def test_what_is_chosen_on_the_way_stays_within_the_step(served: Page, app_server: str):
    served.goto(f"{app_server}/?tour=1")
    served.wait_for_selector(VIEWER)
    frame = served.locator(".frame").first
    frame.click(position={"x": 60, "y": 60})
    served.wait_for_url(lambda url: ";" in parse(url).get("pins", ""), wait_until="commit")
    arrive(served, 1)
