"""What several measurements of pages share: a browser, the app and a bare page side by side, an atlas, the moments waited for.

A page is compared with the barest one that Streamlit can serve, a button and a line of text, in the same browser and in turn, so
that both meet the same load. Times in milliseconds, from the browser's time stamp of the pointer event to the frame after the
change of the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from engine.atlas import Atlas

PATIENCE = 180_000  # milliseconds; the first answer of a cold process loads torch's kernels
WINDOW = {"width": 1440, "height": 1000}
VIEWER = "[data-testid=loupe-viewer][data-ready]"
PAUSE_MS = 300  # between two pages that take turns

BARE = """\
import streamlit as st
st.session_state.setdefault("count", 0)
def more(): st.session_state["count"] += 1
st.button("again", on_click=more)
st.html(f"<p id='said'>count {st.session_state['count']}</p>")
"""
# When the next pointer event happened.
CLICKED = """
() => addEventListener("pointerup", (event) => (window.__clicked = event.timeStamp), { capture: true, once: true })
"""
# Waits for `text` inside `selector`; resolves with the time from the last pointer event to the frame after the change.
WATCH = """
([selector, text]) => {
  window.__seen = new Promise((resolve) => {
    let start = 0;
    addEventListener("pointerup", (event) => (start = event.timeStamp), { capture: true, once: true });
    const look = () => {
      const found = [...document.querySelectorAll(selector)].some((node) => node.textContent.includes(text));
      if (!found || !start) return;
      observer.disconnect();
      requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - start)));
    };
    const observer = new MutationObserver(look);
    observer.observe(document.body, { childList: true, subtree: true, characterData: true });
  });
}
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium; LookupError without one on the path."""
    from playwright.sync_api import sync_playwright

    from tests.conftest import BROWSER_FLAGS, find_chromium

    executable = find_chromium()
    if executable is None:
        raise LookupError("no Chromium on the path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=BROWSER_FLAGS)
        yield browser
        browser.close()


@contextmanager
def served(script: str, log: Path, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Address of a Streamlit script on a server of its own; nothing is made aside meanwhile."""
    from tests.conftest import launched

    with launched(script, log, environment or {}) as (address, _):
        yield address


@contextmanager
def side_by_side(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[tuple[str, str]]:
    """Addresses of the app and of the bare page, each on a server of its own; the folder gets the script and the logs."""
    script = folder / "bare.py"
    script.write_text(BARE, encoding="utf-8")
    with (
        served("app/main.py", folder / "app.log", environment) as app,
        served(str(script), folder / "bare.log") as bare,
    ):
        yield app, bare


def visit(browser: Browser, address: str) -> Page:
    """The address in a profile of its own."""
    from tests.browser.pages import MET

    context = browser.new_context(viewport=WINDOW)  # pyright: ignore[reportArgumentType]
    context.add_init_script(MET)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    return page


def visit_inspect(browser: Browser, address: str) -> Page:
    """The app as it opens, drawn to its end."""
    page = visit(browser, address)
    page.wait_for_selector(VIEWER)
    page.wait_for_selector(".lp-footer")
    return page


class Bare:
    """The bare page, and its button."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.page, self.count = visit(browser, address), 0
        self.page.wait_for_selector("#said")

    def again(self) -> float:
        """Milliseconds from a click on the button to the frame after the line's change."""
        self.count += 1
        self.page.bring_to_front()
        self.page.wait_for_timeout(PAUSE_MS)
        self.page.evaluate(WATCH, ["#said", f"count {self.count}"])
        self.page.get_by_role("button", name="again").click()
        return self.page.evaluate("window.__seen")


def shipped_atlas(root: Path, images: int, memory_effects: bool = False, **settings: Any) -> Atlas:
    """An atlas of the shipped cpt where an app that is told `root` looks for it; memory_effects: with the bank's effects."""
    from app.datasets import DEMO as DATA
    from engine import Engine
    from engine.atlas import open_atlas
    from engine.atlas.folder import default_folder
    from engine.atlas.walk import build
    from engine.data.datasets import open_dataset

    engine = Engine()
    card = engine.card("cpt")
    folder = default_folder(card, DATA, root)
    build(
        engine.segmenter("cpt"), card, open_dataset(DATA), folder, limit=images, device=engine.device,
        memory_effects=memory_effects, **settings,
    )  # fmt: skip
    return open_atlas(folder, card.hash)
