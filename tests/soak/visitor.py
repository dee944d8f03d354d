"""One visitor: a browser profile that hovers, clicks, switches models and pages, uploads pictures, asks for projections.

Everything that goes wrong is written down, nothing stops the visitor: errors of the page and of the network, tracebacks, and
pictures that belong to somebody else.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image
from playwright.async_api import TimeoutError as PlaywrightTimeout

from tests.browser.pages import MET, VIEWER

if TYPE_CHECKING:
    from playwright.async_api import Browser, ConsoleMessage, Page, Response

MODELS = ("cpt", "qup", "cpt-image", "bilinear")  # a visitor begins with
# Page → what its address and its title begin with: a page has come when both are its own.
PAGES = {
    "Inspect": ("", "Where does this pixel"),
    "Prototypes": ("prototypes", "What has a prototype"),
    "Variance": ("variance", "How varied is"),
    "Guidance": ("guidance", "Do tokens guide"),
    "Compare": ("compare", "Which decoder looks"),
    "Surgery": ("surgery", "What does this prototype"),
    "Library": ("library", "What have I loaded"),
}
GONE_TO = ("Prototypes", "Guidance", "Compare", "Surgery", "Library")
PATIENCE = 60_000  # milliseconds: twenty visitors share two cores
SIDE = 192  # of an uploaded picture
# Of the address as it is by then: where the first of two clicks came late, the panel goes on to the second's pixel.
LAST_PIN_IS_TOLD = """() => {
  const [row, col] = (new URLSearchParams(location.search).get("pins") ?? "").split(";").at(-1).split(",");
  const panels = [...document.querySelectorAll(".lp-panel")];
  return panels.some((each) => each.textContent.includes(`row ${row}, col ${col}`));
}"""
THINKING = (0.5, 3.0)  # seconds between two actions


def pixels_of(number: int, turn: int) -> np.ndarray:
    """A picture that nobody else uploads: noise around a colour of its own."""
    rng = np.random.default_rng(1000 * number + turn)
    colour = np.random.default_rng(number).integers(40, 216, 3)
    return np.clip(colour + rng.normal(0, 12, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)


def print_of(pixels: np.ndarray) -> str:
    """What a picture is recognised by."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


@dataclass
class Ledger:
    """What all visitors saw. owners: print of an uploaded picture → whose it is."""

    owners: dict[str, int] = field(default_factory=dict)
    actions: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    pictures: int = 0  # photos of viewers that were looked at
    own: int = 0  # of them uploads, seen by their owner
    renewed: int = 0  # keys that had gone and were asked for anew
    clicks: list[float] = field(default_factory=list)  # seconds from a click to the panel

    def did(self, action: str) -> None:
        self.actions[action] = self.actions.get(action, 0) + 1


class Visitor:
    """Acts until `end` (of time.monotonic)."""

    def __init__(self, number: int, browser: Browser, address: str, ledger: Ledger, end: float) -> None:
        self.number, self.browser, self.address, self.ledger, self.end = number, browser, address, ledger, end
        self.choose = random.Random(number)
        self.turn = 0
        self.looking: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        context = await self.browser.new_context(viewport={"width": 1300, "height": 850})
        await context.add_init_script(MET)
        self.tab: Page = await context.new_page()
        self.tab.set_default_timeout(PATIENCE)
        self.tab.on("pageerror", lambda error: self.wrong(f"page error: {error}"))
        self.tab.on("console", self.said)
        self.tab.on("response", self.answered)
        try:
            await self.attempt("open", self.open)
            while time.monotonic() < self.end:
                action = self.choose.choices(
                    ("hover", "click", "model", "upload", "page", "projection"), (6, 6, 2, 2, 2, 1)
                )[0]
                await self.attempt(action, getattr(self, action))
                await asyncio.sleep(self.choose.uniform(*THINKING))
        finally:
            await asyncio.gather(*self.looking, return_exceptions=True)
            await context.close()

    async def attempt(self, name: str, act: Any) -> None:
        try:
            await act()
            self.ledger.did(name)
        except Exception as error:  # written down, and the visitor goes on as a person would: from the start
            self.wrong(f"{name}: {' '.join(str(error).split())[:300]} (at {self.tab.url[-300:]})")
            try:
                await self.open()
            except Exception as again:
                self.wrong(f"open again: {' '.join(str(again).split())[:200]}")
        if await self.tab.locator("[data-testid=stException]").count():
            self.wrong(f"a traceback on {urlsplit(self.tab.url).path} after {name}")

    def said(self, message: ConsoleMessage) -> None:
        """Chromium repeats failed requests on its console: those are told from by `answered`."""
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.wrong(f"console: {message.text}")

    def wrong(self, text: str) -> None:
        self.ledger.errors.append(f"visitor {self.number}: {text}")

    # ------------------------------------------------------------------ what a visitor does

    async def open(self) -> None:
        await self.tab.goto(f"{self.address}/?model={self.choose.choice(MODELS)}")
        await self.tab.wait_for_selector(VIEWER)

    async def inspect(self) -> None:
        if urlsplit(self.tab.url).path.strip("/"):
            await self.go_to("Inspect")
        await self.tab.wait_for_selector(VIEWER)

    async def go_to(self, name: str) -> None:
        """By the sidebar, until the page is there: what is asked of a page before it has come would be asked of the last one."""
        await self.tab.get_by_test_id("stSidebarNav").get_by_text(name, exact=True).click()
        await self.arrived(name)

    async def arrived(self, name: str) -> None:
        path, title = PAGES[name]
        await self.tab.wait_for_url(lambda url: urlsplit(url).path.strip("/") == path, wait_until="commit")
        await self.tab.wait_for_function(
            "title => document.querySelector('h1.lp-question')?.textContent.startsWith(title)", arg=title
        )

    async def spot(self) -> tuple[float, float]:
        await self.inspect()
        frame = self.tab.locator(".frame").first
        box = await frame.bounding_box()
        assert box is not None
        return (
            box["x"] + box["width"] * self.choose.uniform(0.1, 0.9),
            box["y"] + box["height"] * self.choose.uniform(0.1, 0.9),
        )

    async def hover(self) -> None:
        await self.inspect()
        for _ in range(12):
            await self.tab.mouse.move(*await self.spot())
            await asyncio.sleep(0.05)

    async def click(self) -> None:
        """To the panel with the new pixel's numbers; the pin is taken away again."""
        await self.inspect()
        before = (parse_qs(urlsplit(self.tab.url).query).get("pins") or [None])[0]
        for attempt in (True, False):
            start = time.monotonic()
            await self.tab.mouse.click(*await self.spot())
            try:
                await self.tab.wait_for_function(
                    "before => new URLSearchParams(location.search).get('pins') !== before",
                    arg=before,
                    timeout=10_000 if attempt else PATIENCE,
                )
                break
            except PlaywrightTimeout:  # a pin that was there already: a click on it changes nothing
                if not attempt:
                    raise
        if "pins" not in parse_qs(urlsplit(self.tab.url).query):
            return  # an upload that arrived late: it has no pin yet
        await self.tab.wait_for_function(LAST_PIN_IS_TOLD)
        self.ledger.clicks.append(time.monotonic() - start)
        await self.tab.keyboard.press("Delete")
        await asyncio.sleep(0.2)

    async def model(self) -> None:
        await self.inspect()
        now = parse_qs(urlsplit(self.tab.url).query).get("model", [""])
        await self.tab.get_by_test_id("stSidebar").get_by_role("combobox").first.click()
        options = self.tab.locator('[role=option][aria-selected="false"]')
        await options.first.wait_for()
        await options.nth(self.choose.randrange(await options.count())).click()
        await self.tab.wait_for_url(
            lambda url: parse_qs(urlsplit(url).query).get("model") != now, wait_until="commit"
        )
        await self.tab.wait_for_selector(VIEWER)

    async def upload(self) -> None:
        """A new picture of this visitor's own; the address must name it."""
        from engine.images import load_image

        await self.inspect()
        self.turn += 1
        pixels = pixels_of(self.number, self.turn)
        self.ledger.owners[print_of(pixels)] = self.number
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        expected = load_image(buffer.getvalue()).hash[:16]
        await self.tab.get_by_text("Change image").click()
        await self.tab.locator("input[type=file]").set_input_files(
            {
                "name": f"of visitor {self.number}, {self.turn}.png",
                "mimeType": "image/png",
                "buffer": buffer.getvalue(),
            }
        )
        await self.tab.wait_for_url(
            lambda url: "image=" in url and f"image={expected}" in url, wait_until="commit"
        )
        await self.tab.keyboard.press("Escape")
        said = f"of visitor {self.number}, {self.turn}.png"
        await self.tab.wait_for_function("said => document.body.innerText.includes(said)", arg=said)
        await self.tab.wait_for_selector(VIEWER)
        others = await self.tab.evaluate("document.body.innerText.match(/of visitor \\d+/g) ?? []")
        if any(other != f"of visitor {self.number}" for other in others):
            self.ledger.foreign.append(f"visitor {self.number} reads {sorted(set(others))}")

    async def page(self) -> None:
        await self.go_to(self.choose.choice(GONE_TO))
        await self.tab.wait_for_function("() => !document.querySelector('[data-testid=stStatusWidget]')")

    async def projection(self) -> None:
        """UMAP of what the atlas holds: in the process for projections, in turn with others'."""
        await self.tab.goto(
            f"{self.address}/variance?model=cpt&projection=umap&neighbours={self.choose.choice((10, 15, 20, 30))}"
        )
        await self.arrived("Variance")
        await asyncio.sleep(2)

    # ------------------------------------------------------------------ what it is answered

    def answered(self, response: Response) -> None:
        path = urlsplit(response.url).path
        if response.status == 410:
            self.ledger.renewed += 1
        elif response.status == 404 and path.count("/_stcore/"):
            pass  # opened below a page's path, Streamlit's script looks for its server there first, then at the root
        elif response.status >= 400:
            self.wrong(f"{response.status} for {path}")
        elif path.startswith("/tensors/") and path.endswith("/image.png"):
            task = asyncio.ensure_future(self.look(response))
            self.looking.add(task)
            task.add_done_callback(self.looking.discard)

    async def look(self, response: Response) -> None:
        """Whose photo that is."""
        try:
            body = await response.body()
        except Exception:  # the page has moved on meanwhile
            return
        self.ledger.pictures += 1
        owner = self.ledger.owners.get(print_of(np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))))
        if owner is None:
            return  # a sample that everybody may see
        if owner == self.number:
            self.ledger.own += 1
        else:
            self.ledger.foreign.append(f"visitor {self.number} was given a picture of visitor {owner}")
