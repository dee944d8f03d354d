"""What the scatter is given: points and maps as safetensors behind addresses, and one JSON object that names them.

    points   {"url", "classes": [{"name", "colour"}], "images": [name], "links": [text], "labels",
              "modes": {category: [name]}, "count"}
             tensors: category i16 (r) · image i32 (r) · pixel i32 (r, 2) · mode u8 (r), 255 where none
    panels   [{"url", "title", "note", "map", "axes": [name, name] | null, "href",
               "value": {"name", "unit", "low", "high"} | null}]
             tensors: xy f32 (r, 2) · where known predicted i16 (r), confidence f32 (r), value f32 (r) ·
             markers f32 (n, 2), marker_kind u8 (n), marker_category i16 (n)
    colour   "category" | "image" | "right" | "confidence" | "value" | "mode" · colours: name of the sequential map
    linked   the panels share one coordinate system: same axes, zoom and pan together
    select   null, or {"url"} of a tensor mask u8 (r): points that are lit from outside
    sprite   null, or {"url", "tile": side in pixels, "columns", "places": null | [index of the point of each tile]}
    view     {"parts": see strokes.py, "isolated": null | {"by", "codes"}} · revision as for the viewer
Point i is the same pixel in every panel. Bodies are named by their content: the same points give the same address.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image
from safetensors.numpy import save

from app.held import Body, Held
from engine.errors import LoupeError

if TYPE_CHECKING:
    from app.scatter.strokes import Part

KINDS = ("prototype", "memory", "token")  # ★ ◆ ▲, as their place in this tuple
COLOURS = ("category", "image", "right", "confidence", "value", "mode")
MOST_PANELS = 4
UNKNOWN = 255


@dataclass(frozen=True, eq=False)
class Points:
    """What is known of each point in every panel. category, image, mode (r,); pixel (r, 2): row and column of the original.

    labels: what `category` is. modes: names of a category's planted modes. links: what `{image}` in a panel's href becomes.
    """

    category: np.ndarray
    image: np.ndarray
    pixel: np.ndarray
    classes: Sequence[Mapping[str, str]]
    images: Sequence[str]
    mode: np.ndarray | None = None
    labels: Literal["truth", "prediction"] = "truth"
    modes: Mapping[int, Sequence[str]] = field(default_factory=dict)
    links: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.category)

    def groups(self, by: str, panel: Panel) -> np.ndarray | None:
        """(r,) codes of the groups that a legend isolates: a category, 256 · category + mode, or 1 where right, 0 where wrong."""
        if by == "category":
            return np.asarray(self.category)
        if by == "mode" and self.mode is not None:
            return np.asarray(self.category).astype(np.int64) * 256 + self.mode
        if by == "right" and panel.predicted is not None:
            return (np.asarray(panel.predicted) == self.category).astype(np.int64)
        return None


@dataclass(frozen=True)
class Value:
    """A column of numbers, (r,), to colour points by. low, high: the ends of its scale (None: 1st and 99th percentile)."""

    values: np.ndarray
    name: str
    unit: str = ""
    low: float | None = None
    high: float | None = None

    def ends(self) -> tuple[float, float]:
        known = self.values[np.isfinite(self.values)]
        low, high = np.percentile(known, (1, 99)) if len(known) else (0.0, 1.0)
        low, high = (low if self.low is None else self.low), (high if self.high is None else self.high)
        return float(low), float(high if high > low else low + 1)


@dataclass(frozen=True, eq=False)
class Panel:
    """One map of the points, and what one model says of them.

    map: a short name of this very map (a digest of points, method and parameters): lassos are drawn on it, and hold for no other.
    xy (r, 2), not finite where a point has no place; predicted, confidence (r,); markers: (x, y, index into KINDS, category).
    axes: names of both axes; None where they have no units (UMAP). href: a link with {image}, {row} and {col} in it.
    """

    title: str
    map: str
    xy: np.ndarray
    note: str = ""
    axes: tuple[str, str] | None = None
    predicted: np.ndarray | None = None
    confidence: np.ndarray | None = None
    value: Value | None = None
    markers: Sequence[tuple[float, float, int, int]] = ()
    href: str = ""


def describe(
    plots: Held[Body],
    points: Points,
    panels: Sequence[Panel],
    *,
    colour: str = "category",
    colours: str = "cividis",
    linked: bool = False,
    parts: Sequence[Part] = (),
    isolated: Mapping[str, Any] | None = None,
    select: np.ndarray | None = None,
    sprite: Mapping[str, Any] | None = None,
    revision: str | None = None,
) -> dict[str, Any]:
    """The scatter's data; bodies go into `plots`, from which the routes serve. Raises LoupeError where sizes do not fit.

    select: (r,) bool, points lit from outside, before any of `parts`.
    """
    from app.scatter.strokes import describe as describe_parts

    r = len(points)
    if not 1 <= len(panels) <= MOST_PANELS:
        raise LoupeError(f"a scatter shows one to {MOST_PANELS} panels, not {len(panels)}")
    for panel in panels:
        if panel.xy.shape != (r, 2):
            raise LoupeError(
                f"“{panel.title}” places {len(panel.xy)} points, and {r} are to be shown: the panels must show the same pixels"
            )
    if colour not in COLOURS:
        raise LoupeError(f"points are coloured by {', '.join(COLOURS)}, not by {colour}")
    return {
        "points": {
            "url": _keep(plots, _points(points)),
            "classes": [{"name": one["name"], "colour": one["colour"]} for one in points.classes],
            "images": list(points.images),
            "links": list(points.links or points.images),
            "labels": points.labels,
            "modes": {str(category): list(names) for category, names in points.modes.items()},
            "count": r,
        },
        "panels": [_describe_panel(plots, panel) for panel in panels],
        "colour": colour,
        "colours": colours,
        "linked": linked,
        "select": None if select is None else {"url": _keep(plots, {"mask": np.asarray(select, np.uint8)})},
        "sprite": None if sprite is None else dict(sprite),
        "view": {"parts": describe_parts(parts), "isolated": None if isolated is None else dict(isolated)},
        "revision": revision,
    }


def describe_photo(
    plots: Held[Body], group: str, image: str, pixels: np.ndarray, size: tuple[int, int], caption: str = ""
) -> dict[str, Any]:
    """The photo pane's data. group: the scatter's key; image: its name among the points; pixels (H, W, 3) uint8, perhaps reduced;
    size: height and width of the oriented original, in whose pixels strokes are drawn."""
    digest = hashlib.sha256(pixels.tobytes()).hexdigest()

    def make() -> tuple[Body, int]:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
        return Body(buffer.getvalue(), "image/png"), buffer.tell()

    key = plots.keep(make, ("photo", digest))
    return {
        "group": group,
        "image": image,
        "url": f"plots/{key}",
        "size": [int(size[0]), int(size[1])],
        "caption": caption,
    }


def keep_sprite(plots: Held[Body], content: bytes, media_type: str = "image/jpeg") -> str:
    """The address of a picture of cut-outs, for `sprite["url"]`."""
    key = plots.keep(
        lambda: (Body(content, media_type), len(content)), ("sprite", hashlib.sha256(content).hexdigest())
    )
    return f"plots/{key}"


def _points(points: Points) -> dict[str, np.ndarray]:
    mode = np.full(len(points), UNKNOWN) if points.mode is None else points.mode
    return {
        "category": np.asarray(points.category, np.int16),
        "image": np.asarray(points.image, np.int32),
        "pixel": np.asarray(points.pixel, np.int32),
        "mode": np.asarray(mode, np.uint8),
    }


def _describe_panel(plots: Held[Body], panel: Panel) -> dict[str, Any]:
    tensors: dict[str, np.ndarray] = {"xy": np.asarray(panel.xy, np.float32)}
    if panel.predicted is not None:
        tensors["predicted"] = np.asarray(panel.predicted, np.int16)
    if panel.confidence is not None:
        tensors["confidence"] = np.asarray(panel.confidence, np.float32)
    value = None
    if panel.value is not None:
        tensors["value"] = np.asarray(panel.value.values, np.float32)
        low, high = panel.value.ends()
        value = {"name": panel.value.name, "unit": panel.value.unit, "low": low, "high": high}
    if panel.markers:
        marks = np.asarray(panel.markers, np.float64)
        tensors["markers"] = marks[:, :2].astype(np.float32)
        tensors["marker_kind"] = marks[:, 2].astype(np.uint8)
        tensors["marker_category"] = marks[:, 3].astype(np.int16)
    return {
        "url": _keep(plots, tensors),
        "title": panel.title,
        "note": panel.note,
        "map": panel.map,
        "axes": None if panel.axes is None else list(panel.axes),
        "value": value,
        "href": panel.href,
    }


def _keep(plots: Held[Body], tensors: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    for name, array in arrays.items():
        digest.update(json.dumps([name, array.shape, array.dtype.str]).encode())
        digest.update(array.tobytes())

    def make() -> tuple[Body, int]:
        content = save(arrays)
        return Body(content), len(content)

    return f"plots/{plots.keep(make, ('tensors', digest.hexdigest()))}"
