"""`python -m tests.soak`: many visitors at once, for minutes, against one server; what it held, as a table.

    python -m tests.soak --sessions 20 --minutes 10 --json runs/soak.json

Every visitor is a real Chromium profile (tests/soak/visitor.py). Held is: no error; no picture of another visitor; the server's
memory afterwards at most 1.1 × before; the time from a click to the panel (P95) while another visitor's long job runs at most
3 × of alone. Memory is the server process's resident set when nobody is there and the Library's "Clear" has emptied the bounded
caches; before means after one visitor has done everything for a while. Exit status 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from playwright.async_api import expect

from tests.browser.pages import MET
from tests.soak.visitor import PATIENCE, VIEWER, Ledger, Visitor

MEMORY, HELD_UP = 1.1, 3.0
CLICKS = 40
# Seconds that the server is left alone before its memory is read: Streamlit keeps what a visit held for two minutes after its
# browser was closed, in case it comes back.
QUIET = float(os.environ.get("SOAK_QUIET", 150))
SETTLED = 5.0  # seconds after a visit
WARM = 90.0  # seconds that one visitor does everything for
ATLAS = 32  # images
KEPT = ("atlases", "scenes")  # on disk, and long to make again
PRESSES = 5  # of a Clear


@dataclass(frozen=True)
class Server:
    """The app on a server of its own."""

    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def memory(self) -> float:
        """MiB that the server process holds resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))) / 1024

    def tracebacks(self) -> int:
        return self.log.read_text(encoding="utf-8", errors="replace").count(
            "Traceback (most recent call last)"
        )


async def emptied(browser: Any, server: Server) -> float:
    """The server's memory when nobody is there and its caches are cleared."""
    await asyncio.sleep(QUIET)
    # Streamlit lets go of closed visits when the next one ends; the visit after it gives back what is free by then.
    for clears in (False, True):
        context = await browser.new_context()
        page = await context.new_page()
        page.set_default_timeout(PATIENCE)
        await page.goto(f"{server.address}/library")
        await page.wait_for_selector("[data-cache]")
        if clears:
            await clear(page)
        await context.close()
        await asyncio.sleep(SETTLED)
    return server.memory()


async def clear(page: Any) -> None:
    """All caches that are bounded, on the Library page, each until the page says that it is empty."""
    for name in await page.evaluate(
        "[...document.querySelectorAll('[data-cache]')].map(each => each.dataset.cache)"
    ):
        if name in KEPT:
            continue
        # Asked of a button that is there: while a page is drawn again its buttons are away for moments.
        button = page.locator(f".st-key-clear-{name} button")
        for _ in range(PRESSES):
            if await button.is_disabled():
                break
            await button.click()
            with suppress(AssertionError):
                await expect(button).to_be_disabled(timeout=20_000)
        else:
            raise RuntimeError(f"the cache {name!r} was not emptied by {PRESSES} presses of its button")


async def clicks(browser: Any, server: Server, count: int) -> list[float]:
    """Seconds from a click to the panel, of a visitor who does nothing else."""
    ledger = Ledger()
    visitor = Visitor(900, browser, server.address, ledger, 0.0)
    context = await browser.new_context(viewport={"width": 1300, "height": 850})
    await context.add_init_script(MET)
    visitor.tab = await context.new_page()
    visitor.tab.set_default_timeout(PATIENCE)
    await visitor.tab.goto(f"{server.address}/?model=cpt")
    await visitor.tab.wait_for_selector(VIEWER)
    for _ in range(count + 3):
        await visitor.click()
        await asyncio.sleep(0.2)
    await context.close()
    return ledger.clicks[3:]


async def held_up(browser: Any, server: Server, count: int) -> tuple[list[float], bool]:
    """The same while another visitor's edits are repeated over a split, by the server itself; whether that ran all the while."""
    context = await browser.new_context()
    page = await context.new_page()
    page.set_default_timeout(PATIENCE)
    await page.goto(f"{server.address}/surgery?model=cpt&edits=ablate,tree")
    await page.wait_for_selector(VIEWER.replace("loupe-viewer", "loupe-surgery") + ", " + VIEWER)
    await page.locator(".st-key-start-consequences button").click()
    stop = page.locator(".st-key-stop-surgery-consequences button")
    await stop.wait_for()
    found = await clicks(browser, server, count)
    running = bool(await stop.count())
    await context.close()
    return found, running


async def soak(server: Server, sessions: int, minutes: float) -> dict[str, Any]:
    """All phases, one after the other."""
    from playwright.async_api import async_playwright

    from tests.conftest import BROWSER_FLAGS, find_chromium

    executable = find_chromium()
    if executable is None:
        raise LookupError("no Chromium on the path")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=BROWSER_FLAGS)
        one = Ledger()
        await Visitor(0, browser, server.address, one, time.monotonic() + WARM).run()
        print(f"one visitor: {sum(one.actions.values())} actions, {len(one.errors)} errors", file=sys.stderr)
        alone = await clicks(browser, server, CLICKS)
        beside, ran = await held_up(browser, server, CLICKS)
        before = await emptied(browser, server)
        await browser.close()
        print(
            f"memory before: {before:.0f} MiB; now {sessions} visitors for {minutes:g} min", file=sys.stderr
        )

        browser = await playwright.chromium.launch(executable_path=executable, args=BROWSER_FLAGS)
        ledger, end = Ledger(), time.monotonic() + 60 * minutes
        most, watching = [server.memory()], True

        async def watch() -> None:
            while watching:
                most.append(server.memory())
                await asyncio.sleep(2)

        watcher = asyncio.create_task(watch())
        await asyncio.gather(
            *(Visitor(n + 1, browser, server.address, ledger, end).run() for n in range(sessions))
        )
        watching = False
        await watcher
        await browser.close()
        browser = await playwright.chromium.launch(executable_path=executable, args=BROWSER_FLAGS)
        after = await emptied(browser, server)
        await browser.close()
    quantile = {
        name: np.percentile(values, [50, 95]).tolist()
        for name, values in (("alone", alone), ("beside", beside), ("all", ledger.clicks))
    }
    return {
        "sessions": sessions,
        "minutes": minutes,
        "actions": ledger.actions,
        "errors": [*one.errors, *ledger.errors],
        "tracebacks": server.tracebacks(),
        "foreign": ledger.foreign,
        "pictures": ledger.pictures,
        "own_uploads_seen": ledger.own,
        "keys_renewed": ledger.renewed,
        "memory_mib": {"before": before, "most": max(most), "after": after, "ratio": after / before},
        "click_s": quantile,
        "held_up": quantile["beside"][1] / quantile["alone"][1],
        "job_ran_all_the_while": ran,
    }


def verdicts(found: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    """(what, seen, bound, held)."""
    memory, click = found["memory_mib"], found["click_s"]
    return [
        (
            "errors on pages, of the network, in the log",
            f"{len(found['errors']) + found['tracebacks']}",
            "0",
            not found["errors"] and not found["tracebacks"],
        ),
        (
            "pictures of other visitors",
            f"{len(found['foreign'])} of {found['pictures']}",
            "0",
            not found["foreign"],
        ),
        (
            "memory after ÷ before",
            f"{memory['after']:.0f} ÷ {memory['before']:.0f} MiB = {memory['ratio']:.2f}",
            f"≤ {MEMORY}",
            memory["ratio"] <= MEMORY,
        ),
        (
            "click P95 beside a long job ÷ alone",
            f"{click['beside'][1]:.2f} ÷ {click['alone'][1]:.2f} s = {found['held_up']:.2f}",
            f"≤ {HELD_UP:g}",
            found["held_up"] <= HELD_UP and found["job_ran_all_the_while"],
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Many visitors at once.")
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument(
        "--json", type=Path, default=Path("runs/soak.json"), help="where the figures are written"
    )
    asked = parser.parse_args()
    from tests.benchmarks.serving import shipped_atlas
    from tests.conftest import launched

    with tempfile.TemporaryDirectory(prefix="loupe-soak-") as name:
        folder = Path(name)
        shipped_atlas(folder / "atlases", ATLAS)
        settings = {f"LOUPE_{each.upper()}": str(folder / each) for each in ("atlases", "cache", "findings")}
        with launched("app/main.py", folder / "log.txt", settings) as (address, process):
            found = asyncio.run(
                soak(Server(address, process, folder / "log.txt"), asked.sessions, asked.minutes)
            )
        log = (folder / "log.txt").read_text(encoding="utf-8", errors="replace")
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if found["tracebacks"]:
        print(log[-6000:], file=sys.stderr)
    for error in found["errors"][:20] + found["foreign"][:5]:
        print(error, file=sys.stderr)
    rows = verdicts(found)
    click, memory = found["click_s"]["all"], found["memory_mib"]
    print(
        f"{found['sessions']} visitors, {found['minutes']:g} min, {sum(found['actions'].values())} actions:"
    )
    print("  " + ", ".join(f"{count} × {name}" for name, count in found["actions"].items()))
    print(f"clicks with all at once: P50 {click[0]:.2f} s, P95 {click[1]:.2f} s")
    print(f"most memory {memory['most']:.0f} MiB; keys asked for anew: {found['keys_renewed']}")
    for what, seen, bound, held in rows:
        print(f"{what:46}{seen:34}{bound:8}{'' if held else 'missed'}")
    return 0 if all(held for *_, held in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
