"""Scatter: a lasso of 20 000 of 50 000 points, from letting go to the painted selection; hovers; a frame while the map moves.

    python -m tests.benchmarks.scatter

In headless Chromium, on a page without Streamlit: nothing of it takes part. Each lasso is drawn by pointer events around a half
plane that holds 20 000 of the points, in two panels of the same pixels. Times in milliseconds, median and 95th percentile:
    lasso   from the moment the page gets the event that ends the line until the main thread has painted all panels: simplifying,
            finding the points, report, drawing
    hover   nearest point, ring and words, of one pointer event
    frame   drawing all panels while they are dragged (what does not fit into a frame is drawn once they rest)
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tests.benchmarks.hover import spent
from tests.benchmarks.serving import chromium

COUNT = 50_000
TAKEN = 20_000
LASSOS = 24
WARM_UP = 4
HOVERS = 150
LASSO_MS = 50.0
HOVER_MS = 2.0


def run(lassos: int = LASSOS) -> dict[str, Any]:
    """{"lasso_ms", "hover_ms", "frame_ms": {"p50", "p95"}, "taken", "count", …}; raises LookupError without a browser."""
    from tests.browser.scatter_harness import points
    from tests.browser.scatter_harness.server import ScatterHarness
    from tests.browser.viewer_harness.server import serving

    with chromium() as browser, serving(ScatterHarness()) as harness:
        points.add(harness, "bench", COUNT, 2)
        page = browser.new_page(viewport={"width": 1400, "height": 950})
        page.goto(harness.url("bench"))
        page.wait_for_selector("[data-testid=loupe-scatter][data-ready]")
        page.wait_for_timeout(500)
        edge = float(np.quantile(harness.shown["bench"][1][0].xy[:, 0], TAKEN / COUNT))
        taken = _lassos(page, edge, lassos)
        timings = page.evaluate("__loupe.timings.filter((one) => one.painted && one.kind === 'lasso')")
        hovers, frames = _hovers(page), _frames(page)
    return {
        "lasso_ms": spent(timings[WARM_UP:], "handled", "painted"),
        "hover_ms": spent(hovers, "began", "drawn"),
        "frame_ms": {
            "p50": round(float(np.median(frames)), 2),
            "p95": round(float(np.percentile(frames, 95)), 2),
        },
        "lassos": len(timings) - WARM_UP,
        "hovers": len(hovers),
        "count": COUNT,
        "taken": taken,
        "lasso_target_ms": LASSO_MS,
        "hover_target_ms": HOVER_MS,
    }


def _lassos(page, edge: float, lassos: int) -> int:
    """Draws them around everything left of `edge` in the first panel; the number of points that they take, on average."""
    box = page.locator(".panel-plot").first.bounding_box()
    taken = []
    to_frame = "(x) => { const p = __loupe.board.panels[0]; return p.toFrame(x, 0)[0]; }"
    at = page.evaluate(to_frame, edge)
    for index in range(lassos + WARM_UP):
        rng = np.random.default_rng(index)
        right = np.stack([at + rng.normal(0, 2, 30), np.linspace(6, box["height"] - 6, 30)], 1)
        line = [(3, 3), *right, (3, box["height"] - 3), (2, box["height"] / 2), (3, 5)]
        page.mouse.move(box["x"] + line[0][0], box["y"] + line[0][1])
        page.mouse.down()
        for x, y in line[1:]:
            page.mouse.move(box["x"] + float(x), box["y"] + float(y))
        page.mouse.up()
        page.wait_for_timeout(120)
        taken.append(page.evaluate("__loupe.scatter.count"))
    return round(float(np.mean(taken)))


def _hovers(page) -> list[dict[str, float]]:
    box = page.locator(".panel-plot").first.bounding_box()
    page.keyboard.press("Escape")
    for index in range(HOVERS + 20):
        u, v = (index * 0.0137 + 0.05) % 0.7 + 0.15, (index * 0.0071 + 0.1) % 0.7 + 0.15
        page.mouse.move(box["x"] + u * box["width"], box["y"] + v * box["height"])
        page.wait_for_timeout(8)
    return page.evaluate("__loupe.hovers.slice(-" + str(HOVERS) + ")")


def _frames(page) -> list[float]:
    box = page.locator(".panel-plot").first.bounding_box()
    page.locator("[data-tool=move]").click()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    found = []
    for index in range(40):
        page.mouse.move(box["x"] + box["width"] / 2 + 3 * index, box["y"] + box["height"] / 2 + index)
        page.wait_for_timeout(20)
        found.append(page.evaluate("__loupe.scatter.spent"))
    page.mouse.up()
    return found[5:]


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
