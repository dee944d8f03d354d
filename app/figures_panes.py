"""What is drawn onto the panes of a printed figure: overlays, hatched areas, numbered rings, and the ramps that explain them.

As the viewers draw it (app/viewer). Neither streamlit nor torch.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from matplotlib.colors import LogNorm, Normalize

from app.figures import opacity_of
from app.figures_guidance import DIVERGING
from app.figures_page import INK


class Drawn(Protocol):
    """How a sheet of panes is drawn, and what is pinned in it."""

    @property
    def photo(self) -> np.ndarray: ...
    @property
    def original(self) -> tuple[int, int]: ...
    @property
    def pins(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def opacity(self) -> float: ...
    @property
    def smooth(self) -> bool: ...


def overlay_onto(
    axes: Any, values: np.ndarray, norm: Normalize, colours: str, sheet: Drawn, size: tuple[int, int]
) -> None:
    """A map over the photo; its opacity follows the value, or the distance from 0 of a difference and from ×1 of multiples."""
    scale = "relative" if colours == DIVERGING else "uniform" if isinstance(norm, LogNorm) else "linear"
    t = np.asarray(norm(values.astype(np.float64)), dtype=np.float64)
    axes.imshow(
        values,
        cmap=colours,
        norm=norm,
        alpha=sheet.opacity * opacity_of(t, scale),
        extent=(0, size[1], size[0], 0),
        interpolation="bilinear" if sheet.smooth else "nearest",
    )


def hatch_onto(axes: Any, mask: np.ndarray, hatch: str, size: tuple[int, int]) -> None:
    """Hatches where a mask (H, W) of the picture holds."""
    padded = np.pad(mask.astype(float), 1)
    if not padded.any():
        return
    rows, cols = (np.arange(-1, n + 1) + 0.5 for n in mask.shape)
    scale = (size[0] / mask.shape[0], size[1] / mask.shape[1])
    drawn = axes.contourf(
        cols * scale[1], rows * scale[0], padded, levels=[0.5, 1.5], colors="none", hatches=[hatch]
    )
    drawn.set_edgecolor(INK)
    drawn.set_linewidth(0)


def rings_onto(axes: Any, sheet: Drawn) -> None:
    """The pinned pixels."""
    height, width = sheet.photo.shape[:2]
    for number, (row, col) in enumerate(sheet.pins, 1):
        y, x = (row + 0.5) * height / sheet.original[0], (col + 0.5) * width / sheet.original[1]
        for line, colour in ((2.2, "black"), (1.0, "white")):
            axes.plot(x, y, "o", ms=6, mfc="none", mec=colour, mew=line)
        axes.annotate(
            str(number), (x, y), xytext=(5, 4), textcoords="offset points", fontsize=7, color="white",
            bbox={"boxstyle": "round,pad=0.15", "fc": "black", "ec": "none", "alpha": 0.65},
        )  # fmt: skip


def ramp_onto(axes: Any, norm: Normalize, colours: str, unit: str) -> None:
    """A scale with its unit."""
    low, high = float(norm.vmin or 0.0), float(norm.vmax or 0.0)
    ends = norm.inverse(np.linspace(0, 1, 257))
    axes.pcolormesh(ends, [0, 1], np.linspace(0, 1, 256)[None], cmap=colours, rasterized=True)
    if isinstance(norm, LogNorm):
        axes.set_xscale("log")
        tens = [value for value in (0.01, 0.1, 1, 10, 100, 1000) if low <= value <= high]
        axes.set_xticks(tens, [f"×{value:g}" for value in tens])
        axes.minorticks_off()
    else:
        axes.locator_params(axis="x", nbins=5)
    axes.set_xlim(low, high)
    axes.set_yticks([])
    axes.tick_params(length=2, width=0.5, labelsize=6, pad=1.5)
    axes.set_xlabel(unit, fontsize=6.5, labelpad=1.5)
