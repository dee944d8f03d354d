"""`python -m tests.pictures`: takes README's pictures of the pages anew, on the shipped models and scenes.

    python -m tests.pictures [--only inspect] [--out docs]

Each page as the step of the tour, or the link below, opens it: light theme, 1440 pixels wide, an atlas of the whole validation
split. Takes some minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.serving import chromium, shipped_atlas
from tests.browser.pages import MET, keep

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 1440
IMAGES = 500  # of the atlas
PATIENCE = 600_000  # milliseconds
QUIET = "() => !document.querySelector('[data-testid=stStatusWidget], [data-testid=stProgress], [data-testid=stSpinner]')"
SETTLED = 1500  # milliseconds without any of these
AUDIT = "audit?model=cpt&beside=qup&images=120&stage=stride4&score=auc_profile"
INSPECT_NOTE = (
    "On grass by the near shore the decoder reads grass across the water, not only its own surroundings."
)
COMPARE_NOTE = "All four say grass here. HFGD has no affinity: its map is influence, and hangs on cells around the pixel."


@dataclass(frozen=True)
class Picture:
    """What README shows. at: a step of the tour, or a link; ready: what is there when the page is; height: in CSS pixels.

    begins: the button of a walk over a dataset, which is waited for.
    """

    name: str
    at: int | str
    ready: str
    height: int
    begins: str = ""


PICTURES = (
    Picture("inspect", 1, "[data-testid=loupe-viewer][data-ready]", 900),
    Picture("prototypes", 2, "[data-sheet=reads]", 1300),
    Picture("variance", 4, "[data-sheet]", 1250),
    Picture("guidance", 5, "[data-testid=loupe-guidance][data-ready][data-loaded]", 1180),
    Picture("compare", 6, "[data-testid=loupe-compare][data-ready][data-loaded]", 1180),
    Picture("surgery", 7, "[data-testid=loupe-surgery][data-ready][data-loaded]", 1180),
    Picture("audit", AUDIT, "[data-overall]", 1250, ".st-key-begin-audit button"),
    Picture("findings", "findings", "h2.lp-finding-title", 900),
    Picture("library", "library", "h1.lp-question", 1100),
)


def links() -> dict[int, str]:
    """Step of the tour → its link, without the tour's card."""
    from app import process, tour

    images = {picture.title: picture.id for picture in process.gallery().samples()}
    steps = tour.steps(process.engine().models(), images)
    found = {number + 1: tour.link(steps, number + 1, images) for number in range(len(steps))}
    return {
        number: (link or "").removeprefix("./").replace(f"{tour.PARAMETER}={number}&", "")
        for number, link in found.items()
    }


def settle(page: Page) -> None:
    """Until nothing is under way any more, and stays so."""
    for _ in range(2):
        page.wait_for_function(QUIET)
        page.wait_for_timeout(SETTLED)


def take(page: Page, address: str, picture: Picture, link: Callable[[int | str], str], out: Path) -> Path:
    """One picture."""
    page.set_viewport_size({"width": WIDTH, "height": picture.height})
    if picture.name == "findings":
        for other, ready, note in (
            (1, "[data-testid=loupe-viewer][data-ready]", INSPECT_NOTE),
            (6, "[data-testid=loupe-compare][data-ready][data-loaded]", COMPARE_NOTE),
        ):
            page.goto(f"{address}/{link(other)}")
            page.wait_for_selector(ready)
            settle(page)
            keep(page, note)
    page.goto(f"{address}/{link(picture.at)}")
    page.wait_for_selector(picture.ready)
    if picture.begins:
        page.locator(picture.begins).first.click()
        page.wait_for_selector("[data-meanwhile]", state="detached")
    settle(page)
    page.mouse.move(WIDTH - 4, 4)  # over nothing
    path = out / f"{picture.name}.png"
    page.screenshot(path=path)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description="README's pictures.")
    parser.add_argument("--only", choices=[each.name for each in PICTURES])
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    asked = parser.parse_args()
    from tests.conftest import served_app

    wanted = [each for each in PICTURES if asked.only in (None, each.name)]
    asked.out.mkdir(parents=True, exist_ok=True)
    at = links()
    with tempfile.TemporaryDirectory(prefix="loupe-pictures-") as name:
        folder = Path(name)
        if any(each.name in ("prototypes", "variance") for each in wanted):
            shipped_atlas(folder / "atlases", IMAGES, memory_effects=True)
        settings = {f"LOUPE_{each.upper()}": str(folder / each) for each in ("atlases", "cache", "findings")}
        with served_app(folder, **settings) as address, chromium() as browser:
            page = browser.new_context(color_scheme="light").new_page()
            page.add_init_script(MET)
            page.set_default_timeout(PATIENCE)
            for each in wanted:
                print(take(page, address, each, lambda to: at[to] if isinstance(to, int) else to, asked.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
