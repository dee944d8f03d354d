"""A dataset's images as small pictures with their labels drawn over them. Neither streamlit nor torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from app.patches import data_uri

SIDE = 200  # pixels of the longer side
QUALITY = 80  # of its JPEG
OPACITY = 150  # of the labels' colours, of 255
IGNORED = 255


@dataclass(frozen=True)
class Tile:
    """photo, over: data URIs; over: the labels' colours, clear where there is no label. shape: width ÷ height.

    categories: places of those that occur, the largest first.
    """

    photo: str
    over: str
    shape: float
    categories: tuple[int, ...]


def tile(image: np.ndarray, labels: np.ndarray, colours: np.ndarray) -> Tile:
    """image (H, W, 3) and labels (H, W) uint8; colours (k, 3) uint8."""
    height, width = labels.shape
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    photo = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
    # First small, then coloured: no colour of two labels mixed.
    small = np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
    table = np.zeros((IGNORED + 1, 4), np.uint8)
    table[: len(colours), :3], table[: len(colours), 3] = colours, OPACITY
    counts = np.bincount(labels.ravel(), minlength=IGNORED + 1)[: len(colours)]
    order = np.argsort(-counts, kind="stable")
    return Tile(
        data_uri(photo, "JPEG", quality=QUALITY),
        data_uri(Image.fromarray(table[small]), "PNG", optimize=True),
        size[0] / size[1],
        tuple(int(k) for k in order if counts[k]),
    )
