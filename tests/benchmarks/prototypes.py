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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.serving import (
    CLICKED,
    PAUSE_MS,
    WATCH,
    Bare,
    chromium,
    shipped_atlas,
    side_by_side,
    visit,
    visit_inspect,
)

IMAGES = 96
VISITS = 4
WARM_UP = 2
FIRST_MS = 1000
CHANGE_MS = 300  # beyond a bare rerun
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
    with chromium() as browser, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        categories = shipped_atlas(folder / "atlases", IMAGES).manifest.classes
        with side_by_side(folder, {"LOUPE_ATLASES": str(folder / "atlases")}) as (app, bare):
            cold, *first = [_visit(browser, app) for _ in range(VISITS)]
            changes, reruns = _changes(browser, f"{app}/prototypes", bare, categories)
    return {
        "cold_ms": round(cold, 1),
        "first_ms": round(statistics.median(first), 1),
        "change_ms": round(statistics.median(changes), 1),
        "bare_ms": round(statistics.median(reruns), 1),
        "first_target_ms": FIRST_MS,
        "change_target_ms": CHANGE_MS,
        "images": IMAGES,
    }


def _visit(browser, address: str) -> float:
    """From the click on the page's name, in an app that is open on Inspect, to the frame with all cut-outs."""
    page = visit_inspect(browser, address)
    page.wait_for_load_state("networkidle")
    page.evaluate(CLICKED)
    page.get_by_test_id("stSidebarNav").get_by_text("Prototypes").click()
    drawn = page.wait_for_function(DRAWN, polling="raf").json_value()
    taken = drawn - page.evaluate("window.__clicked")
    page.context.close()
    return taken


def _changes(browser, app: str, address: str, categories: Sequence[str]) -> tuple[list[float], list[float]]:
    page, bare = visit(browser, app), Bare(browser, address)
    page.wait_for_function(DRAWN)
    page.wait_for_load_state("networkidle")
    box = page.get_by_test_id("stSidebar").get_by_test_id("stSelectbox").filter(has_text="Category")
    times: tuple[list[float], list[float]] = ([], [])
    shown = page.locator(".lp-heading").first.inner_text().replace("\n", " ")
    for name in (name for name in categories if f"of {name} " not in shown):
        page.bring_to_front()
        box.locator("input").click()
        option = page.get_by_role("option", name=name, exact=True)
        option.wait_for()
        page.wait_for_timeout(PAUSE_MS)
        page.evaluate(WATCH, [".lp-heading", f"prototype of {name}"])
        option.click()
        times[0].append(page.evaluate("window.__seen"))
        page.wait_for_timeout(500)
        times[1].append(bare.again())
    return times[0][WARM_UP:], times[1][WARM_UP:]


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
