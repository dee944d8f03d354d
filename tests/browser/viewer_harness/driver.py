"""What a person does to the viewer, and what can be seen of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from engine.stage import Stage
from tests.browser.viewer_harness import decoded
from tests.browser.viewer_harness.server import Harness

H, W = decoded.ORIGINAL


class Viewer:
    """A page with the viewer, and what a person does to it."""

    def __init__(self, page, harness: Harness) -> None:
        self.page, self.harness = page, harness
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, kind: str = "memory", **view: Any) -> Viewer:
        self.kind = kind
        self.page.goto(self.harness.url(kind, **view))
        self.page.wait_for_selector(".loupe[data-ready='1'][data-loaded='1']")
        return self

    def stage(self, name: str = "stride4") -> Stage:
        return self.harness.traces[self.kind].stage(name)

    def point(self, row: int, col: int) -> tuple[float, float]:
        box = self.page.locator(".frame").bounding_box()
        return box["x"] + (col + 0.5) / W * box["width"], box["y"] + (row + 0.5) / H * box["height"]

    def hover(self, row: int, col: int) -> None:
        self.page.mouse.move(*self.point(row, col))
        self.settle()

    def click(self, row: int, col: int) -> None:
        self.page.mouse.click(*self.point(row, col))
        self.settle()

    def settle(self) -> None:
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def map(self) -> np.ndarray:
        return np.array(self.page.evaluate("Array.from(__loupe.map ?? [])"))

    def state(self) -> dict[str, Any]:
        self.settle()
        return self.page.evaluate("__loupe.state")

    def sent(self) -> list[dict[str, Any]]:
        return [one["value"] for one in self.page.evaluate("sent")]

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.inner_text()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()


def close(got: np.ndarray, expected: torch.Tensor) -> bool:
    """Within one step of an 8-bit colour."""
    wanted = expected.numpy().ravel()
    return bool(got.size == wanted.size and np.abs(got - wanted).max() / wanted.max() < 1 / 255)
