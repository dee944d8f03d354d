"""Findings in a real Chromium: kept on a page, noted, reordered, exported, opened again."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.browser.pages import VIEWER, address, elsewhere, go_to, keep


def test_a_state_is_kept_reordered_exported_and_opened_again(
    served: Page, app_server: str, browser: Browser, tmp_path: Path
):
    page = served  # its page may be in the browser's cache already, while its cookies are gone
    page.goto(app_server)
    page.wait_for_selector(VIEWER)
    page.wait_for_selector(".lp-footer")
    first = address(page)
    keep(page, "reads <b>across</b> the water")
    go_to(page, "Findings")
    expect(page.locator("a.lp-shot img")).to_have_count(1)
    expect(page.locator("textarea")).to_have_value("reads <b>across</b> the water")
    go_to(page, "Compare")
    page.wait_for_selector(".lp-footer")
    keep(page, "two decoders")

    page.goto(f"{app_server}/findings")  # another session: only the cookie says whose list it is
    expect(page.locator("h2.lp-finding-title")).to_have_count(2)
    page.get_by_role("button", name="↓").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("h2.lp-finding-title").first).to_contain_text("compared")
    page.get_by_role("button", name="Export", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="HTML").click()
    path = tmp_path / "findings.html"
    download.value.save_as(path)
    text = path.read_text(encoding="utf-8")
    assert text.index("two decoders") < text.index("reads &lt;b&gt;across&lt;/b&gt; the water")

    with elsewhere(browser) as other:
        other.goto(f"{app_server}/findings")
        expect(other.get_by_text("Nothing is kept yet")).to_be_visible()  # somebody else sees none of it
        other.goto(path.as_uri())
        assert (
            other.evaluate("[...document.images].map(i => i.complete && i.naturalWidth > 0)").count(True) >= 2
        )

    page.keyboard.press("Escape")
    page.get_by_role("link", name="Open", exact=True).last.click()
    page.wait_for_selector(VIEWER)
    page.wait_for_selector(".lp-footer")
    assert address(page) == first
