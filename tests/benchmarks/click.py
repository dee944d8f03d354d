"""Click: from the pointer event to the side panel with the new pixel's numbers, against a bare Streamlit rerun.

    python -m tests.benchmarks.click

The app and a page with one button and one line of text are served side by side, each by a server of its own, and clicked in
turn in one headless Chromium, so that both meet the same load. Each click on the picture pins another pixel of the opening
scene, whose numbers no cache holds. Times in milliseconds, from the browser's time stamp of the pointer event to the frame
after the change of the page.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CLICKS = 24
WARM_UP = 4
TARGET_RATIO = 1.5
BARE = """\
import streamlit as st
st.session_state.setdefault("count", 0)
def more(): st.session_state["count"] += 1
st.button("again", on_click=more)
st.html(f"<p id='said'>count {st.session_state['count']}</p>")
"""
BARE_READY = "#said"
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

GONE = "text => ![...document.querySelectorAll('.lp-panel')].at(-1).textContent.includes(text)"


def run(clicks: int = CLICKS) -> dict[str, Any]:
    """{"click_ms", "bare_ms" (medians), "click_p95_ms", "bare_p95_ms", "ratio" of medians, "target_ratio", "clicks", "image"}.

    Raises LookupError without a browser or without a model.
    """
    from playwright.sync_api import sync_playwright

    from engine import Engine
    from tests.conftest import BROWSER_FLAGS, find_chromium

    executable = find_chromium()
    if executable is None:
        raise LookupError("no Chromium on the path")
    if not Engine(device="cpu").models():
        raise LookupError("no model in assets/models")
    with (
        tempfile.TemporaryDirectory() as folder,
        served("app/main.py", Path(folder) / "app.log") as app,
        served(written_bare(Path(folder)), Path(folder) / "bare.log") as bare,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=executable, args=BROWSER_FLAGS)
        times = _measure(browser, app, bare, clicks + WARM_UP)
        browser.close()
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


def written_bare(folder: Path) -> str:
    script = folder / "bare.py"
    script.write_text(BARE, encoding="utf-8")
    return str(script)


@contextmanager
def served(script: str, log: Path, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Address of a Streamlit script on a server of its own."""
    from tests.conftest import ROOT, free_port, stop, wait_until_healthy

    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", script, "--server.port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"LOUPE_ATLAS": "0"} | (environment or {}),  # nothing is made aside meanwhile
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_until_healthy(f"http://localhost:{port}", process, log)
            yield f"http://localhost:{port}"
        finally:
            stop(process)


def _measure(browser, app: str, bare: str, clicks: int) -> tuple[list[float], list[float]]:
    ours = browser.new_page(viewport={"width": 1440, "height": 1000})
    ours.set_default_timeout(120_000)
    ours.goto(app)
    ours.wait_for_selector("[data-testid=loupe-viewer][data-ready]")
    ours.wait_for_selector(".lp-footer")
    theirs = browser.new_page(viewport={"width": 1440, "height": 1000})
    theirs.goto(bare)
    theirs.wait_for_selector(BARE_READY)
    box = ours.locator(".frame").bounding_box()
    again = theirs.get_by_role("button", name="again")
    times: tuple[list[float], list[float]] = ([], [])
    for index in range(clicks):
        ours.bring_to_front()
        row, col = 90 + (index * 37) % 150, 12 + (index * 61) % 200  # clear of the first pin and its name
        place = f"row {row}, col {col}"
        ours.evaluate(WATCH, [".lp-panel", place])
        ours.mouse.click(
            box["x"] + (col + 0.5) * box["width"] / 256, box["y"] + (row + 0.5) * box["height"] / 256
        )
        times[0].append(ours.evaluate("window.__seen"))
        # At most nine pixels can be pinned: the new one is taken away again, and that run awaited.
        ours.keyboard.press("Delete")
        ours.wait_for_function(GONE, arg=place)
        ours.wait_for_timeout(300)
        theirs.bring_to_front()
        theirs.wait_for_timeout(300)
        theirs.evaluate(WATCH, ["#said", f"count {index + 1}"])
        again.click()
        times[1].append(theirs.evaluate("window.__seen"))
    return times


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
