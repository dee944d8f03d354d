"""Patches as pictures: the right part of the image, the right cell framed, colours that begin above uniform."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from app.patches import SIDE, box_of, concentration, crop_of, cutouts, painted, top_of
from engine.atlas.records import Patch


def patch(
    cell: tuple[int, int],
    grid: tuple[int, int],
    origin: tuple[int, int],
    window: np.ndarray,
    size: tuple[int, int] = (96, 160),
    index: int = 0,
) -> Patch:
    row, col = ((2 * c + 1) * s // (2 * g) for c, s, g in zip(cell, size, grid, strict=True))
    return Patch(index, str(index), cell, grid, (row, col), size, 3.5, 40.0, window, origin, 1, 2, True)


def decoded(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


@pytest.mark.parametrize(
    ("cell", "grid", "origin", "shape", "size"),
    [
        ((3, 7), (12, 20), (0, 2), (8, 9), (96, 160)),
        ((11, 19), (12, 20), (4, 11), (8, 9), (96, 160)),
        ((0, 0), (8, 8), (0, 0), (8, 8), (256, 256)),
        ((4, 2), (7, 9), (1, 0), (5, 6), (100, 131)),
    ],
)
def test_the_cell_lies_in_the_crop_where_the_box_says(cell, grid, origin, shape, size):
    one = patch(cell, grid, origin, np.ones(shape, np.float32), size)
    top, bottom, left, right = crop_of(one, size)
    assert 0 <= top < bottom <= size[0] and 0 <= left < right <= size[1]
    x, y, wide, high = box_of(one)
    # The box's centre in pixels of the image is the patch's pixel, to half a cell's rounding.
    row = top + (y + high / 2) / 100 * (bottom - top)
    col = left + (x + wide / 2) / 100 * (right - left)
    assert row == pytest.approx(one.pixel[0] + 0.5, abs=1.5) and col == pytest.approx(
        one.pixel[1] + 0.5, abs=1.5
    )
    assert top <= one.pixel[0] < bottom and left <= one.pixel[1] < right


def test_a_planted_square_is_where_the_box_is():
    size, grid = (128, 256), (16, 32)
    image = np.zeros((*size, 3), np.uint8)
    image[5 * 8 : 6 * 8, 20 * 8 : 21 * 8] = 255  # the patch's own cell
    one = patch((5, 20), grid, (0, 12), np.ones((16, 16), np.float32), size)
    (cut,) = cutouts([one], lambda _: image, "cividis")
    photo = decoded(cut.photo).astype(float).mean(-1)
    assert max(photo.shape) == SIDE
    left, top, wide, high = (v / 100 for v in cut.box)
    h, w = photo.shape
    inside = photo[
        round(h * (top + 0.2 * high)) : round(h * (top + 0.8 * high)),
        round(w * (left + 0.2 * wide)) : round(w * (left + 0.8 * wide)),
    ]
    assert inside.mean() > 200 and photo.mean() < 12


def test_what_is_not_above_uniform_is_clear_and_the_peak_is_strongest():
    window = np.array([[0.0, 0.5, 1.0], [np.nan, 30.0, 100.0]])
    rgba = painted(window, 100.0, "viridis")
    assert (rgba[0, :, 3] == 0).all() and rgba[1, 0, 3] == 0
    assert 0 < rgba[1, 1, 3] < rgba[1, 2, 3] and rgba.shape == (2, 3, 4)


def test_all_shown_patches_share_a_scale_that_holds_them():
    patches = [patch((1, 1), (4, 4), (0, 0), np.full((4, 4), peak)) for peak in (3.0, 120.0)]
    assert top_of(patches) == 1000.0 and top_of(patches[:1]) == 10.0 and top_of([]) == 10.0
    assert top_of([patch((1, 1), (4, 4), (0, 0), np.full((4, 4), 1000.0))]) == 1000.0


def test_concentration_is_the_median_share_of_the_cell():
    patches = [patch((1, 1), (4, 5), (0, 0), np.ones((4, 5))) for _ in range(3)]
    assert concentration(patches) == pytest.approx(40 / 20) and concentration([]) is None


def test_two_dozen_patches_stay_small():
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    soft = np.asarray(Image.fromarray(noise).resize((64, 64)).resize((256, 256), Image.Resampling.BICUBIC))
    patches = [patch((9, 9), (32, 32), (1, 1), np.ones((16, 16)), (256, 256), i) for i in range(24)]
    cuts = cutouts(patches, lambda _: soft, "cividis")
    assert sum(len(cut.photo) + len(cut.overlay) for cut in cuts) < 400_000
