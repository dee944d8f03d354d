"""How a page arrives: its parts come one after another, and nothing jumps."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from app.first_paint import SCRIPT
from tests.browser.pages import elsewhere
from tests.browser.test_accessibility import PAGES, settle

GOOD = 0.1  # by web.dev's Cumulative Layout Shift; without what is tested here the pages have 0.18 to 0.94
TRIES = 3  # what comes late from a busy server is shown meanwhile, and may move something then
ROOMY = ("inspect", "variance", "guidance", "compare", "surgery")  # whose style sheet keeps room by the width

# The score of every shift since the page began, with what moved.
SHIFTS = """() => new Promise(answer => {
  new PerformanceObserver(list => answer(list.getEntries().map(({ value, sources }) => [
    value, sources.map(({ node }) => (node?.innerText ?? node?.nodeName ?? "gone").slice(0, 60)).join(" / ")
  ]))).observe({ type: "layout-shift", buffered: true });
  setTimeout(answer, 500, []);
})"""

# The page as Streamlit has it while a first run of our script works and has drawn one thing.
WORKING = """<!doctype html><script>%s</script><body><div data-testid="stApp" data-test-script-state="running">
<div data-testid="stSidebar"></div><main data-testid="stMain">so far</main></div>"""
SPINNER = '<div data-testid="stSpinner">tracing</div>'


@pytest.mark.parametrize(
    ("name", "width"), [*((name, 1280) for name in PAGES), *((name, 1920) for name in ROOMY)]
)
def test_nothing_jumps(name: str, width: int, served: Page, app_server: str):
    path, drawn = PAGES[name]
    served.set_viewport_size({"width": width, "height": 900})
    found: list[list] = []
    for _ in range(TRIES):
        served.goto(app_server + path)
        served.locator(drawn).first.wait_for()
        settle(served)
        found = served.evaluate(SHIFTS)
        if sum(value for value, _ in found) <= GOOD:
            return
    pytest.fail("\n".join(f"{value:.4f} {said}" for value, said in sorted(found, reverse=True)))


@pytest.mark.parametrize(("added", "until"), [("", 5_000), (SPINNER, 1_500)])
def test_what_takes_long_is_shown_meanwhile(added: str, until: int, browser: Browser):
    with elsewhere(browser) as page:
        page.set_content(WORKING % SCRIPT.read_text(encoding="utf-8") + added)
        arriving = page.locator("html.lp-arriving")
        expect(arriving).to_have_count(1)
        page.wait_for_timeout(until - 1_000)
        expect(arriving).to_have_count(1)
        expect(arriving).to_have_count(0, timeout=3_000)


def test_what_is_whole_is_shown_at_once(browser: Browser):
    with elsewhere(browser) as page:
        page.set_content(WORKING.replace("running", "notRunning") % SCRIPT.read_text(encoding="utf-8"))
        expect(page.locator("html.lp-arriving")).to_have_count(0, timeout=1_000)
