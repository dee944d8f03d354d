"""Cut-outs of many points in one picture, for the tooltips of the scatter: made aside, once the sample has been read."""

from __future__ import annotations

import io
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from PIL import Image

from app import process, scatter
from app.cutouts import Photos, Spot, evenly, tiles
from app.views.variance_look import Look
from app.views.variance_selection import spots

MOST = 1536  # points with a cut-out
TILE = 40  # pixels
COLUMNS = 48
QUALITY = 72


def sprite_of(look: Look, busy: bool) -> dict[str, Any] | None:
    """What the scatter takes, None until it is there. busy: the page still computes what somebody waits for."""
    sample = look.sample
    if sample is None:
        return None
    key: Hashable = ("sprite", sample.key(), look.drawn)
    job = process.jobs().find(key)
    if job is None:
        if not busy:
            rows = evenly(len(sample), MOST)
            step = _step(process.photos(), spots(look, sample, rows), rows)
            process.jobs().start(key, {key: step})
        return None
    found = job.results.get(key)
    if found is None:
        return None
    content, places = found
    url = scatter.keep_sprite(process.plots(), content)
    return {"url": url, "tile": TILE, "columns": COLUMNS, "places": places}


def _step(photos: Photos, where: list[Spot], rows: np.ndarray) -> Callable[[], tuple[bytes, list[int]]]:
    def make() -> tuple[bytes, list[int]]:
        photos.wait(60)  # they are being read aside: not twice
        return montage(tiles(photos, where, TILE)), rows.tolist()

    return make


def montage(cuts: list[np.ndarray]) -> bytes:
    """The cut-outs (side, side, 3) row by row as one JPEG, `COLUMNS` in a row."""
    side = len(cuts[0])
    down = -(-len(cuts) // COLUMNS)
    picture = np.full((down * side, COLUMNS * side, 3), 128, np.uint8)
    for place, cut in enumerate(cuts):
        y, x = divmod(place, COLUMNS)
        picture[y * side : (y + 1) * side, x * side : (x + 1) * side] = cut
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
