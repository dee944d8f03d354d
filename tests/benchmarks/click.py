"""Click: from the pointer event to the side panel with the new pixel's numbers, against a bare Streamlit rerun.

    python -m tests.benchmarks.click

The app and a page with one button and one line of text are served side by side, each by a server of its own, and clicked in
turn in one headless Chromium, so that both meet the same load. Each click on the picture pins another pixel of the opening
scene, whose numbers no cache holds. Times in milliseconds, from the browser's time stamp of the pointer event to the frame
after the change of the page.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.serving import PAUSE_MS, WATCH, Bare, chromium, side_by_side, visit_inspect

CLICKS = 24
WARM_UP = 4
TARGET_RATIO = 1.5
GONE = "text => ![...document.querySelectorAll('.lp-panel')].at(-1).textContent.includes(text)"


def run(clicks: int = CLICKS) -> dict[str, Any]:
    """{"click_ms", "bare_ms" (medians), "click_p95_ms", "bare_p95_ms", "ratio" of medians, "target_ratio", "clicks", "image"}.

    Raises LookupError without a browser or without a model.
    """
    from engine import Engine

    if not Engine(device="cpu").models():
        raise LookupError("no model in assets/models")
    with (
        chromium() as browser,
        tempfile.TemporaryDirectory() as folder,
        side_by_side(Path(folder)) as (app, bare),
    ):
        times = _measure(browser, app, bare, clicks + WARM_UP)
    ours, theirs = (sorted(column[WARM_UP:]) for column in times)
    return {
        "click_ms": round(statistics.median(ours), 1),
        "bare_ms": round(statistics.median(theirs), 1),
        "click_p95_ms": round(_p95(ours), 1),
        "bare_p95_ms": round(_p95(theirs), 1),
        "ratio": round(statistics.median(ours) / statistics.median(theirs), 3),
        "target_ratio": TARGET_RATIO,
        "clicks": clicks,
        "image": "256×256, three stages in the panel",
    }


def _p95(ordered: list[float]) -> float:
    return ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]


def _measure(browser, app: str, address: str, clicks: int) -> tuple[list[float], list[float]]:
    page, bare = visit_inspect(browser, app), Bare(browser, address)
    box = page.locator(".frame").bounding_box()
    times: tuple[list[float], list[float]] = ([], [])
    for index in range(clicks):
        page.bring_to_front()
        row, col = 90 + (index * 37) % 150, 12 + (index * 61) % 200  # clear of the first pin and its name
        place = f"row {row}, col {col}"
        page.evaluate(WATCH, [".lp-panel", place])
        page.mouse.click(
            box["x"] + (col + 0.5) * box["width"] / 256, box["y"] + (row + 0.5) * box["height"] / 256
        )
        times[0].append(page.evaluate("window.__seen"))
        # At most nine pixels can be pinned: the new one is taken away again, and that run awaited.
        page.keyboard.press("Delete")
        page.wait_for_function(GONE, arg=place)
        page.wait_for_timeout(PAUSE_MS)
        times[1].append(bare.again())
    return times


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
