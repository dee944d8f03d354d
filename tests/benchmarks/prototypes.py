"""Prototypes: the first picture from a finished atlas, and a change of the category, against a bare Streamlit rerun.

    python -m tests.benchmarks.prototypes

The app is served over an atlas made just before. First picture: from the click on the page's name, in an app that is open on
Inspect, to the frame in which all cut-outs are decoded; for the first visitor of a server, who waits for the atlas to be opened,
and for later ones. Change: from the click on another category to the frame after its patches
stand there; every category is met once, so no cache holds it.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.click import BARE_READY, WATCH, served, written_bare

IMAGES = 96
VISITS = 4
WARM_UP = 2
FIRST_MS = 1000
CHANGE_MS = 300  # beyond a bare rerun
CLICKED = """
() => addEventListener("pointerup", (event) => (window.__clicked = event.timeStamp), { capture: true, once: true })
"""
DRAWN = """
() => {
  const images = [...document.querySelectorAll("a.lp-patch img")];
  return images.length > 0 && images.every((image) => image.complete && image.naturalWidth) ? performance.now() : 0;
}
"""


def run() -> dict[str, Any]:
    """{"cold_ms" (one), "first_ms", "change_ms", "bare_ms" (medians), "first_target_ms", "change_target_ms", "images"}.

    Raises LookupError without a browser.
    """
    from playwright.sync_api import sync_playwright

    from tests.conftest import BROWSER_FLAGS, find_chromium

    executable = find_chromium()
    if executable is None:
        raise LookupError("no Chromium on the path")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        categories = _atlas(folder / "atlases")
        environment = {"LOUPE_ATLASES": str(folder / "atlases")}
        with (
            served("app/main.py", folder / "app.log", environment) as app,
            served(written_bare(folder), folder / "bare.log") as bare,
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(executable_path=executable, args=BROWSER_FLAGS)
            cold, *first = [_visit(browser, app) for _ in range(VISITS)]
            changes, reruns = _changes(browser, f"{app}/prototypes", bare, categories)
            browser.close()
    return {
        "cold_ms": round(cold, 1),
        "first_ms": round(statistics.median(first), 1),
        "change_ms": round(statistics.median(changes), 1),
        "bare_ms": round(statistics.median(reruns), 1),
        "first_target_ms": FIRST_MS,
        "change_target_ms": CHANGE_MS,
        "images": IMAGES,
    }


def _atlas(root: Path) -> list[str]:
    """An atlas of the shipped cpt where the app will look for it; the names of its categories."""
    from app.atlases import DATA
    from engine import Engine
    from engine.atlas.folder import default_folder
    from engine.atlas.walk import build
    from engine.data.datasets import open_dataset

    engine = Engine()
    card = engine.card("cpt")
    build(
        engine.segmenter("cpt"),
        card,
        open_dataset(DATA),
        default_folder(card, DATA, root),
        limit=IMAGES,
        device=engine.device,
        memory_effects=False,
    )
    return list(card.classes)


def _visit(browser, address: str) -> float:
    """From the click on the page's name, in an app that is open on Inspect, to the frame with all cut-outs."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(address)
    page.wait_for_selector("[data-testid=loupe-viewer][data-ready]")
    page.wait_for_selector(".lp-footer")
    page.wait_for_load_state("networkidle")
    page.evaluate(CLICKED)
    page.get_by_test_id("stSidebarNav").get_by_text("Prototypes").click()
    drawn = page.wait_for_function(DRAWN, polling="raf").json_value()
    taken = drawn - page.evaluate("window.__clicked")
    context.close()
    return taken


def _changes(browser, address: str, bare: str, categories: list[str]) -> tuple[list[float], list[float]]:
    ours = browser.new_page(viewport={"width": 1440, "height": 1000})
    theirs = browser.new_page(viewport={"width": 1440, "height": 1000})
    for page in (ours, theirs):
        page.set_default_timeout(120_000)
    ours.goto(address)
    ours.wait_for_function(DRAWN)
    ours.wait_for_load_state("networkidle")
    theirs.goto(bare)
    theirs.wait_for_selector(BARE_READY)
    box = ours.get_by_test_id("stSidebar").get_by_test_id("stSelectbox").filter(has_text="Category")
    again = theirs.get_by_role("button", name="again")
    times: tuple[list[float], list[float]] = ([], [])
    shown = ours.locator(".lp-heading").first.inner_text()
    for index, name in enumerate(
        name for name in categories if f"of {name} " not in shown.replace("\n", " ")
    ):
        ours.bring_to_front()
        box.locator("input").click()
        option = ours.get_by_role("option", name=name, exact=True)
        option.wait_for()
        ours.wait_for_timeout(300)
        ours.evaluate(WATCH, [".lp-heading", f"prototype of {name}"])
        option.click()
        times[0].append(ours.evaluate("window.__seen"))
        ours.wait_for_timeout(500)
        theirs.bring_to_front()
        theirs.wait_for_timeout(300)
        theirs.evaluate(WATCH, ["#said", f"count {index + 1}"])
        again.click()
        times[1].append(theirs.evaluate("window.__seen"))
    return times[0][WARM_UP:], times[1][WARM_UP:]


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
