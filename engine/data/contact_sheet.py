"""A sheet of images beside their labels, to see at a glance whether a dataset is read as it is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.data.check import spread
from engine.data.datasets import Dataset, Sample
from engine.data.label_files import IGNORED
from engine.errors import LoupeError

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

SIDE = 192  # pixels; the box of one picture
GAP = 8
COLUMNS = 3  # pairs a row
LINE = 20  # pixels; a row of the legend
ENTRY = 200  # pixels; the width of an entry of the legend
TEXT = 13
PAPER, INK, NOTHING = (255, 255, 255), (32, 32, 32), (200, 200, 200)


def contact_sheet(dataset: Dataset, count: int = 12) -> Image.Image:
    """RGB: up to `count` images, evenly spread over the dataset, each beside its labels, and the categories that occur.

    Ignored pixels are grey. Images that cannot be read are left out. The same dataset gives the same sheet.

    Raises:
        LoupeError: a count below 1, or no image that can be read.
    """
    from PIL import Image, ImageDraw

    if count < 1:
        raise LoupeError(f"a sheet of {count} images: at least 1 is needed")
    pairs, seen, reason = [], np.zeros(IGNORED + 1, bool), "it is empty"
    palette = np.full((IGNORED + 1, 3), NOTHING, np.uint8)
    palette[: len(dataset.classes)] = dataset.colours
    for index in spread(len(dataset), count):
        try:
            sample = dataset[index]
        except LoupeError as error:
            reason = str(error)
            continue
        seen[np.unique(sample.labels)] = True
        pairs.append(
            _drawn(sample, palette)
        )  # small at once: whole images of a split need not fit into memory
    if not pairs:
        raise LoupeError(f"{dataset.name} gives no sheet: {reason}")
    columns = min(COLUMNS, len(pairs))
    rows = -(-len(pairs) // columns)
    width = GAP + columns * (2 * SIDE + 2 * GAP)
    entries = [(dataset.classes[k], k) for k in np.flatnonzero(seen[: len(dataset.classes)])]
    entries += [("ignored", IGNORED)] if seen[IGNORED] else []
    across = max(1, (width - GAP) // ENTRY)
    top = GAP + rows * (SIDE + GAP)
    sheet = Image.new("RGB", (width, top + -(-len(entries) // across) * LINE + GAP), PAPER)
    for place, (image, labels) in enumerate(pairs):
        x = GAP + place % columns * (2 * SIDE + 2 * GAP)
        y = GAP + place // columns * (SIDE + GAP)
        sheet.paste(image, (x, y))
        sheet.paste(labels, (x + image.width + 2, y))
    draw = ImageDraw.Draw(sheet)
    for place, (name, k) in enumerate(entries):
        x, y = GAP + place % across * ENTRY, top + place // across * LINE
        _entry(draw, x, y, name, tuple(palette[k].tolist()))
    return sheet


def _drawn(sample: Sample, palette: np.ndarray) -> tuple[Image.Image, Image.Image]:
    """Image and labels, brought into the box; labels by nearest, so that no colour is mixed."""
    from PIL import Image

    height, width = sample.labels.shape
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = Image.fromarray(sample.image).resize(size, Image.Resampling.BILINEAR)
    return image, Image.fromarray(palette[sample.labels]).resize(size, Image.Resampling.NEAREST)


def _entry(draw: ImageDraw.ImageDraw, x: int, y: int, name: str, colour: tuple[int, ...]) -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(TEXT)
    draw.rectangle((x, y + 3, x + 13, y + 16), fill=colour, outline=INK)
    while len(name) > 1 and draw.textlength(name, font=font) > ENTRY - 28:
        name = name[:-2] + "…"
    draw.text((x + 20, y + 2), name, fill=INK, font=font)
