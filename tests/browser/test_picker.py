"""The thumbnails that are chosen from, on a page without Streamlit: their order waits while the pointer is over them."""

from __future__ import annotations

import json

from playwright.sync_api import Page

from app.views.picker import _CSS, _JS

SRC = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


def show(page: Page, *ids: str) -> None:
    """As a run of the page does."""
    pictures = [{"id": each, "title": each, "src": SRC, "note": "1 %"} for each in ids]
    page.evaluate(
        "([data]) => pick({ data, parentElement: document.body, setTriggerValue: (_, id) => (window.got = id) })",
        [{"pictures": pictures, "chosen": ids[-1]}],
    )


def order(page: Page) -> list[str]:
    return page.evaluate("[...document.querySelectorAll('button')].map((each) => each.dataset.id)")


def test_nothing_moves_under_the_pointer_and_the_latest_order_comes_when_it_leaves(page: Page):
    page.set_content(f"<!doctype html><style>{_CSS}</style><body></body>")
    page.evaluate(
        f"import('data:text/javascript,' + encodeURIComponent({json.dumps(_JS)})).then((m) => {{ window.pick = m.default; }})"
    )
    show(page, "a", "b", "c")
    page.locator("[data-id=b]").hover()
    show(page, "b", "c", "a")
    assert order(page) == ["a", "b", "c"]
    page.locator("[data-id=b]").click()
    assert page.evaluate("window.got") == "b"
    show(page, "c", "b", "a")
    page.mouse.move(700, 700)
    assert order(page) == ["c", "b", "a"]

    page.locator("[data-id=b]").hover()
    show(page, "a", "b", "c")
    show(page, "c", "b", "a")  # back to what is on show: nothing waits any more
    page.mouse.move(700, 700)
    assert order(page) == ["c", "b", "a"]
