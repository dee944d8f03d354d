"""What the browser tests of all pages of the served app do with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Browser, Page, expect

if TYPE_CHECKING:
    from playwright.sync_api import ViewportSize

PATIENCE = 60_000  # milliseconds; the first answer of a cold process loads torch's kernels
WINDOW: ViewportSize = {"width": 1400, "height": 900}
VIEWER = "[data-testid=loupe-viewer][data-ready]"
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

# As after the first visit: nothing is offered to whoever comes back. Run before a page's own scripts.
MET = "try { localStorage.setItem('loupe-tour', 'met'); } catch { /* a page without storage */ }"


def parse(link: str) -> dict[str, str]:
    """The parameters of a link."""
    return {
        name: values[0] for name, values in parse_qs(urlsplit(link).query, keep_blank_values=True).items()
    }


def address(page: Page) -> dict[str, str]:
    """The parameters of the page's address."""
    return parse(page.url)


def wait_for_address(page: Page, **expected: str) -> None:
    """Until the address says so; other parameters may say anything."""
    page.wait_for_url(lambda url: expected.items() <= parse(url).items(), wait_until="commit")


def point(page: Page, row: int, col: int, pane: int = 0, original: int = 256) -> tuple[float, float]:
    """Where the pixel (row, col) of a square image lies on the screen, in one of the frames."""
    frame = page.locator(".frame").nth(pane)
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    assert box is not None
    return box["x"] + (col + 0.5) * box["width"] / original, box["y"] + (row + 0.5) * box["height"] / original


def go_to(page: Page, name: str) -> None:
    """By the navigation in the sidebar."""
    page.get_by_test_id("stSidebarNav").get_by_text(name).click()


def keep(page: Page, note: str) -> None:
    """What is shown goes on the list of findings."""
    page.get_by_role("button", name="Keep", exact=True).click()
    page.get_by_label("Note").fill(note)
    page.get_by_role("button", name="Keep this").click()
    expect(page.get_by_text("Kept.", exact=False)).to_be_visible()
    page.keyboard.press("Escape")


@contextmanager
def elsewhere(browser: Browser, met: bool = True, **settings: Any) -> Iterator[Page]:
    """A page in a profile of its own: what another person has. met: was here before; `settings` are the context's."""
    context = browser.new_context(**{"viewport": WINDOW, **settings})
    if met:
        context.add_init_script(MET)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    yield page
    context.close()
