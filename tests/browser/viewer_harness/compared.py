"""Compare's viewers on a page without Streamlit: tiny untrained decoders of four methods, and what a person does to them."""

from __future__ import annotations

from typing import Any

import numpy as np

from app import viewer
from engine import Engine
from engine.images import cell, load_image
from engine.influence import sites_of
from tests.browser.viewer_harness.server import Harness
from tests.stand_ins import save

CLASSES = ("sky", "water", "grass", "house", "tree")
MODELS: dict[str, dict[str, Any]] = {
    "memory": {"sources": "memory"},
    "bilinear": {"sources": "bilinear"},
    "qup": {"sources": "pixels"},
    "hfgd": {"method": "hfgd"},
    "dilated": {"method": "dilated", "output_stride": 8},
}
H, W = 180, 236  # the original; it is traced smaller
VIEW = {
    "stage": "stride8",
    "shows": ["affinity"] * 4,
    "site": "f3",
    "marks": "prediction",
    "smooth": False,
    "opacity": 0.85,
    "colours": "cividis",
    "hold": False,
}


class World:
    """The harness, its engine, and what the engine says."""

    def __init__(self, harness: Harness, folder) -> None:
        self.harness = harness
        for name, fields in MODELS.items():
            save(folder, name, seed=4, classes=CLASSES, **fields)
        self.engine = Engine(device="cpu", models_dir=folder)
        rng = np.random.default_rng(2)
        smooth = np.kron(rng.integers(0, 255, (10, 12, 3)), np.ones((18, 20, 1)))[:H, :W].astype(np.uint8)
        self.image = load_image(smooth, long_side=160, name="noise")
        harness.ask = lambda trace, pixel, site: self.engine.influence(
            trace.model.path, self.image, pixel, site
        )

    def trace(self, name: str):
        return self.engine.trace(name, self.image)

    def add(self, page: str, models: list[str], **view: Any) -> None:
        truth = np.zeros(self.image.size, np.uint8)
        truth[:, 40:] = 3
        panes: list[dict[str, Any]] = []
        for name in models:
            if name not in MODELS:
                panes.append({"title": name, "error": f"There is no model “{name}”."})
                continue
            trace = self.trace(name)
            key = self.harness.store.put(trace, truth)
            classes = [{"name": one, "colour": "#808080"} for one in CLASSES]
            panes.append(viewer.pane(trace, key, classes, sites_of(self.engine.segmenter(name))))
        first = next(one for one in panes if "error" not in one)
        self.harness.modules[page] = "compare"
        self.harness.data[page] = {
            "image": {
                "url": f"tensors/{first['key']}/image.png",
                "height": self.image.size[0],
                "width": self.image.size[1],
                "original": [H, W],
                "name": "noise",
                "hash": self.image.hash,
            },
            "marks": ["#2f6da8", "#d08a1e", "#7d848b", "#8a5a9e"],
            "panes": panes,
            "view": {**VIEW, **view},
            "pins": [[90, 100]],
            "active": 0,
            "revision": None,
        }

    def affinity(self, name: str, pixel: tuple[int, int], stage: str) -> np.ndarray:
        """× uniform, from the engine."""
        found = self.trace(name).stage(stage)
        values = found.pixel_affinity(*cell(*pixel, (H, W), found.grid)).numpy()
        return values.ravel() * values.size

    def influence(self, name: str, pixel: tuple[int, int], site: str) -> np.ndarray:
        values = self.engine.influence(name, self.image, pixel, site).shares.numpy()
        return values.ravel() * values.size


class Board:
    """The page with the viewers, and what a person does to them."""

    def __init__(self, page, world: World) -> None:
        self.page, self.world = page, world
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, name: str, **view: Any) -> Board:
        self.page.goto(self.world.harness.url(name, **view))
        self.page.wait_for_selector("[data-testid=loupe-compare][data-ready][data-loaded]")
        self.settle()
        return self

    def point(self, pane: int, row: int, col: int) -> tuple[float, float]:
        box = self.page.locator(".frame").nth(pane).bounding_box()
        return box["x"] + (col + 0.5) / W * box["width"], box["y"] + (row + 0.5) / H * box["height"]

    def hover(self, pane: int, row: int, col: int) -> None:
        self.page.mouse.move(*self.point(pane, row, col))
        self.settle()

    def settle(self) -> None:
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def values(self, pane: int) -> np.ndarray:
        return np.array(self.page.evaluate(f"Array.from(__loupe.panes[{pane}].values ?? [])"))

    def wait_for_values(self, pane: int, mode: str) -> np.ndarray:
        self.page.wait_for_function(
            f"__loupe.panes[{pane}]?.mode === '{mode}' && __loupe.panes[{pane}].values"
        )
        return self.values(pane)

    def each(self, selector: str, expression: str) -> list[Any]:
        return self.page.locator(selector).evaluate_all(f"(nodes) => nodes.map((node) => {expression})")

    def caption(self, pane: int) -> str:
        return self.page.locator(".pane-caption").nth(pane).inner_text()

    def sent(self) -> list[dict[str, Any]]:
        return [one["value"] for one in self.page.evaluate("sent")]


def close(got: np.ndarray, expected: np.ndarray) -> bool:
    """Within half precision's share of the largest value."""
    return got.shape == expected.shape and bool(np.abs(got - expected).max() <= 4e-3 * expected.max())
