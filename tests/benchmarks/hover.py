"""Hover: from the pointer event to the painted overlay, in headless Chromium, bars and numbers drawn.

    python -m tests.benchmarks.hover

The viewer runs on a page without Streamlit (nothing of Streamlit runs during a hover: the run counts requests), over
traces of two demo models: finest stage, 4 heads. One pointer event at a time, each in a frame of its own, along a path
over the whole picture. Times in milliseconds, median and 95th percentile:
    painted  from the moment the page gets the pointer event until the main thread has painted the frame: what the target is about
    work     of that, the viewer's own script: mathematics, overlay, bars, numbers
    waited   as painted, but from the browser's time stamp of the event: with the wait for the browser's next frame, which comes
             every 16.7 ms and which no page can shorten
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tests.benchmarks.serving import chromium

MOVES = 300
WARM_UP = 40
SIZES = (512, 1024)
MODELS = ("cpt", "qup")  # 14 sources, and every coarse pixel
TARGET_MS = 8.0


def run(moves: int = MOVES, sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """{"rows": [one dict for each size and model], "target_ms": 8.0}; raises LookupError without a browser."""
    from engine import Engine
    from tests.browser.viewer_harness.server import serve

    with chromium() as browser, serve() as harness:
        engine = Engine()
        for size in sizes:
            for model in MODELS:
                _add(harness, engine, f"{model} {size}²", model, size)
        rows = [_measure(browser, harness, name, moves) for name in harness.data]
    return {"rows": rows, "target_ms": TARGET_MS}


def _add(harness, engine, name: str, model: str, size: int) -> None:
    from app import viewer
    from app.palette import colours
    from engine.bench import scene

    trace = engine.trace(model, scene(size))
    assert trace.model is not None
    named = zip(trace.model.classes, colours(trace.model.classes), strict=True)
    classes = [{"name": category, "colour": colour} for category, colour in named]
    harness.data[name] = viewer.describe(trace, harness.store.put(trace), classes)


def _measure(browser, harness, name: str, moves: int) -> dict[str, Any]:
    page = browser.new_page(viewport={"width": 1400, "height": 950})
    page.goto(harness.url(name))
    page.wait_for_selector('[data-loaded="1"]')
    page.wait_for_timeout(500)
    found = follow(page, page.locator(".frame").bounding_box(), moves, pause_ms=20)
    page.close()
    return {"name": name, **found}


def follow(page, box: dict[str, float], moves: int, pause_ms: int) -> dict[str, Any]:
    """Moves the pointer over the whole box, `pause_ms` between two moves, and reads what the page has noted of each.

    {"moves", "painted_ms", "work_ms", "waited_ms", "requests_per_move"}; the first moves warm up and are left out.
    """
    requests: list[str] = []

    def move(index: int) -> None:
        u, v = (index * 0.0137 + 0.05) % 0.9 + 0.05, (index * 0.0071 + 0.1) % 0.9 + 0.05
        page.mouse.move(box["x"] + u * box["width"], box["y"] + v * box["height"])
        page.wait_for_timeout(pause_ms)

    for index in range(WARM_UP):
        move(index)
    page.evaluate("__loupe.timings.length = 0")
    page.on("request", lambda request: requests.append(request.url))
    for index in range(moves):
        move(WARM_UP + index)
    timings = page.evaluate("__loupe.timings.filter((one) => one.painted)")
    return {
        "moves": len(timings),
        "painted_ms": spent(timings, "handled", "painted"),
        "work_ms": spent(timings, "began", "drawn"),
        "waited_ms": spent(timings, "event", "painted"),
        "requests_per_move": len(requests) / max(1, len(timings)),
    }


def spent(timings: list[dict[str, float]], start: str, end: str) -> dict[str, float]:
    """Median and 95th percentile of the milliseconds between two moments."""
    values = np.array([one[end] - one[start] for one in timings])
    return {"p50": round(float(np.median(values)), 2), "p95": round(float(np.percentile(values, 95)), 2)}


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
