"""Hover over four viewers locked together: from the pointer event to the last painted, in headless Chromium.

    python -m tests.benchmarks.compare

As tests.benchmarks.hover, with four demo models side by side at the finest stage of a 512×512 scene, every one of them computed
live: the prediction's outlines, the numbers and the legend are drawn too. All viewers are painted in one frame of the browser.
"""

from __future__ import annotations

import json
from typing import Any

from tests.benchmarks.hover import MOVES, follow
from tests.benchmarks.serving import chromium

SIZE = 512
MODELS = ("cpt", "bilinear", "qup", "hfgd")
STAND_IN = "cpt-image"  # for one that is not in the catalogue
TARGET_MS = 20.0


def run(moves: int = MOVES, size: int = SIZE) -> dict[str, Any]:
    """{"painted_ms", "work_ms", "waited_ms", "moves", "requests_per_move", "models", "target_ms"}.

    Raises LookupError without a browser or with too few models.
    """
    from engine import Engine
    from tests.browser.viewer_harness.server import serve

    engine = Engine()
    known = engine.models()
    names = [name if name in known else STAND_IN for name in MODELS]
    if any(name not in known for name in names):
        raise LookupError(f"Compare is measured with {', '.join(MODELS)}: they are not all in assets/models")
    with chromium() as browser, serve() as harness:
        _add(harness, engine, names, size)
        measured = _measure(browser, harness, moves)
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
    page.goto(harness.url("compare"))
    page.wait_for_selector("[data-ready][data-loaded]")
    page.wait_for_timeout(500)
    box = page.locator(".frame").nth(1).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_timeout(500)
    shown = page.evaluate("__loupe.panes.filter((one) => one.values).length")
    if shown != len(MODELS):
        raise LookupError(f"only {shown} of {len(MODELS)} viewers follow the pointer")
    found = follow(page, box, moves, pause_ms=40)
    page.close()
    return found


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
