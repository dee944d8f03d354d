"""Hover over four viewers locked together: from the pointer event to the last painted, in headless Chromium.

    python -m tests.benchmarks.compare

As tests.benchmarks.hover, with four demo models side by side at the finest stage of a 512×512 scene, every one of them computed
live: the prediction's outlines, the numbers and the legend are drawn too. All viewers are painted in one frame of the browser.
"""

from __future__ import annotations

import json
from typing import Any

from tests.benchmarks.hover import MOVES, WARM_UP, spent

SIZE = 512
MODELS = ("cpt", "bilinear", "qup", "hfgd")
STAND_IN = "cpt-image"  # for one that is not in the catalogue
TARGET_MS = 20.0


def run(moves: int = MOVES, size: int = SIZE) -> dict[str, Any]:
    """{"painted_ms", "work_ms", "waited_ms", "moves", "requests_per_move", "models", "target_ms"}.

    Raises LookupError without a browser or with too few models.
    """
    from playwright.sync_api import sync_playwright

    from engine import Engine
    from tests.browser.viewer_harness.server import serve
    from tests.conftest import BROWSER_FLAGS, find_chromium

    executable = find_chromium()
    if executable is None:
        raise LookupError("no Chromium on the path")
    engine = Engine()
    known = engine.models()
    names = [name if name in known else STAND_IN for name in MODELS]
    if any(name not in known for name in names):
        raise LookupError(f"Compare is measured with {', '.join(MODELS)}: they are not all in assets/models")
    with serve() as harness, sync_playwright() as playwright:
        _add(harness, engine, names, size)
        browser = playwright.chromium.launch(executable_path=executable, args=BROWSER_FLAGS)
        measured = _measure(browser, harness, moves)
        browser.close()
    return {**measured, "models": names, "size": size, "target_ms": TARGET_MS}


def _add(harness, engine, names: list[str], size: int) -> None:
    from app import viewer
    from app.palette import colours
    from engine.bench import scene

    panes = []
    for name in names:
        trace = engine.trace(name, scene(size))
        assert trace.model is not None and trace.image is not None
        named = zip(trace.model.classes, colours(trace.model.classes), strict=True)
        classes = [{"name": category, "colour": colour} for category, colour in named]
        panes.append(viewer.pane(trace, harness.store.put(trace), classes, ("f3",)))
    image = viewer.describe(trace, panes[-1]["key"], classes)["image"]
    harness.modules["compare"] = "compare"
    harness.data["compare"] = {
        "image": image,
        "marks": ["#2f6da8"] * len(panes),
        "panes": panes,
        "view": {"stage": "stride4", "shows": ["affinity"] * len(panes), "marks": "prediction"},
        "pins": [],
        "active": 0,
        "revision": None,
    }


def _measure(browser, harness, moves: int) -> dict[str, Any]:
    page = browser.new_page(viewport={"width": 1400, "height": 950})
    requests: list[str] = []
    page.goto(harness.url("compare"))
    page.wait_for_selector("[data-ready][data-loaded]")
    page.wait_for_timeout(500)
    box = page.locator(".frame").nth(1).bounding_box()

    def move(index: int) -> None:
        u, v = (index * 0.0137 + 0.05) % 0.9 + 0.05, (index * 0.0071 + 0.1) % 0.9 + 0.05
        page.mouse.move(box["x"] + u * box["width"], box["y"] + v * box["height"])
        page.wait_for_timeout(40)

    for index in range(WARM_UP):
        move(index)
    shown = page.evaluate("__loupe.panes.filter((one) => one.values).length")
    if shown != len(MODELS):
        raise LookupError(f"only {shown} of {len(MODELS)} viewers follow the pointer")
    page.evaluate("__loupe.timings.length = 0")
    page.on("request", lambda request: requests.append(request.url))
    for index in range(moves):
        move(WARM_UP + index)
    timings = page.evaluate("__loupe.timings.filter((one) => one.painted)")
    page.close()
    return {
        "moves": len(timings),
        "painted_ms": spent(timings, "handled", "painted"),
        "work_ms": spent(timings, "began", "drawn"),
        "waited_ms": spent(timings, "event", "painted"),
        "requests_per_move": len(requests) / max(1, len(timings)),
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
