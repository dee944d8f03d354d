"""A page whose script has ended is opened anew, with all that it showed."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.pages import VIEWER, elsewhere, parse, wait_for_address

# As Streamlit's script ends: thrown amid a message, or in a promise that nobody waits for.
THROWN = {
    "an error": "setTimeout(() => { throw new Error('Cannot set a node at a delta path [0, 3, 1]'); })",
    "a promise": "void Promise.reject(new Error(\"Bad 'setIn' index 3 (should be between [0, 1])\"))",
}
MARK = "window.before = true"
IS_ANEW = "() => window.before === undefined"


@pytest.mark.parametrize("how", THROWN)
def test_a_broken_page_is_opened_anew_once(browser: Browser, app_server: str, how: str):
    with elsewhere(browser) as page:
        page.goto(f"{app_server}/?model=qup&pins=40,50")
        page.wait_for_selector(VIEWER)
        wait_for_address(page, pins="40,50", stage="stride4")
        shown = parse(page.url)
        page.evaluate(MARK)
        page.evaluate(THROWN[how])
        page.wait_for_function(IS_ANEW)
        page.wait_for_selector(VIEWER)
        expect(page.locator(".lp-panel").first).to_contain_text("row 40, col 50")
        assert parse(page.url) == shown
        page.evaluate(MARK)
        page.evaluate(THROWN[how])  # at once again: opening it anew does not help
        page.evaluate("setTimeout(() => { throw new Error('of something else'); })")
        page.wait_for_timeout(500)
        assert not page.evaluate(IS_ANEW)
