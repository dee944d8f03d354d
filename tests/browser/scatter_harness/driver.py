"""What a person does to the scatter, and what can be seen of it."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from app.scatter import Panel, Part, Points, chosen
from app.scatter.strokes import read_report
from tests.browser.scatter_harness.points import SIZE
from tests.browser.scatter_harness.server import ScatterHarness

# A line around a good part of a map, in CSS pixels of its frame.
LOOP = [(250, 60), (620, 40), (670, 350), (500, 530), (220, 380)]
READY = "[data-testid=loupe-scatter][data-ready]"


class Scatter:
    def __init__(self, page, harness: ScatterHarness) -> None:
        self.page, self.harness = page, harness
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, name: str, **given: Any) -> Scatter:
        self.name = name
        self.page.goto(self.harness.url(name, **given))
        self.page.wait_for_selector(READY)
        if name in self.harness.photos:
            self.page.wait_for_selector("[data-testid=loupe-photo][data-ready]")
        self.settle()
        return self

    def shown(self) -> tuple[Points, list[Panel]]:
        """What the page was given."""
        return self.harness.shown[self.name]

    def lonely(self) -> int:
        """A point of the first panel with no other, and no marker, near it."""
        _, panels = self.shown()
        xy = panels[0].xy.astype(float)
        others = np.vstack([xy, [marker[:2] for marker in panels[0].markers]])
        away = np.linalg.norm(xy[:, None] - others[None], axis=-1)
        return int(np.sort(away, 1)[:, 1].argmax())

    def settle(self) -> None:
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def box(self, panel: int = 0) -> dict[str, float]:
        plot = self.page.locator(".panel-plot").nth(panel)
        plot.scroll_into_view_if_needed()
        return plot.bounding_box()

    def photo_box(self) -> dict[str, float]:
        self.page.locator(".photo-frame").scroll_into_view_if_needed()
        return self.page.locator(".photo-frame").bounding_box()

    def around(self, panel: int = 0) -> list[tuple[float, float]]:
        """A line around everything in the panel's frame."""
        box = self.box(panel)
        right, bottom = box["width"] - 6, box["height"] - 6
        return [(6, 6), (right, 6), (right, bottom), (6, bottom)]

    def drag(self, line: Sequence[tuple[float, float]], panel: int = 0, key: str | None = None) -> None:
        """Along points of the panel's frame, in CSS pixels."""
        box = self.box(panel)
        at = [(box["x"] + x, box["y"] + y) for x, y in line]
        self.page.mouse.move(*at[0])
        if key:
            self.page.keyboard.down(key)
        self.page.mouse.down()
        for x, y in at[1:]:
            self.page.mouse.move(x, y, steps=3 if len(at) < 20 else 1)
        self.page.mouse.up()
        if key:
            self.page.keyboard.up(key)
        self.settle()

    def paint(self, line: Sequence[tuple[int, int]], key: str | None = None) -> None:
        """Along pixels (row, col) of the photo."""
        box = self.photo_box()
        at = [
            (box["x"] + (c + 0.5) / SIZE[1] * box["width"], box["y"] + (r + 0.5) / SIZE[0] * box["height"])
            for r, c in line
        ]
        self.page.mouse.move(*at[0])
        if key:
            self.page.keyboard.down(key)
        self.page.mouse.down()
        for x, y in at[1:]:
            self.page.mouse.move(x, y, steps=4)
        self.page.mouse.up()
        if key:
            self.page.keyboard.up(key)
        self.settle()

    def place(self, index: int, panel: int = 0) -> tuple[float, float]:
        """CSS pixels of the page at which a point lies."""
        box = self.box(panel)
        x, y = self.page.evaluate(
            "([p, i]) => { const it = __loupe.board.panels[p]; return it.toFrame(it.data.xy[2 * i], it.data.xy[2 * i + 1]); }",
            [panel, index],
        )
        return box["x"] + x, box["y"] + y

    def lit(self) -> np.ndarray | None:
        mask = self.page.evaluate("__loupe.scatter.mask && Array.from(__loupe.scatter.mask)")
        return None if mask is None else np.array(mask, bool)

    def sent(self) -> list[dict[str, Any]]:
        return [one["value"] for one in self.page.evaluate("sent")]

    def parts(self) -> tuple[Part, ...]:
        """What Python was last told."""
        return read_report(self.sent()[-1]["view"]["parts"])

    def python(self, base: np.ndarray | None = None) -> np.ndarray:
        """The points that Python finds for what it was told."""
        points, panels = self.shown()
        return chosen(points, panels, self.parts(), base)

    def agrees(self) -> bool:
        lit = self.lit()
        return lit is not None and np.array_equal(lit, self.python())

    def pixels(self, panel: int = 0) -> np.ndarray:
        """(height, width, 3) as it is drawn."""
        found = self.page.evaluate("(p) => document.querySelectorAll('canvas.points')[p].toDataURL()", panel)
        with Image.open(io.BytesIO(base64.b64decode(found.partition(",")[2]))) as image:
            return np.asarray(image.convert("RGB"))
