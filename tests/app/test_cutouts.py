"""Cut-outs: centred on their pixel, empty beyond the image, averaged where they reach; images are held within a limit."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from app.cutouts import EMPTY, SHARE, Photos, Spot, evenly, mean_patch, sprite, tiles, window
from engine.errors import LoupeError

SIZE = (120, 200)


def photo(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (*SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize("pixel", [(60, 100), (0, 0), (119, 199), (3, 190)])
def test_a_cut_out_is_centred_and_empty_beyond_the_image(pixel):
    image = np.zeros((*SIZE, 3), np.uint8)
    image[pixel] = 255
    half = SHARE * 200 / 2
    cut = window(image, Spot("x", pixel, SIZE), 95)
    scale = 95 / (2 * half)
    rows, cols = np.nonzero(cut[..., 0] * (cut[..., 3] > 0))
    assert abs(rows.mean() - 47) < scale and abs(cols.mean() - 47) < scale
    inside = cut[..., 3] > 0
    y, x = pixel[0] + 0.5, pixel[1] + 0.5
    share = (
        (min(y + half, 120) - max(y - half, 0)) * (min(x + half, 200) - max(x - half, 0)) / (2 * half) ** 2
    )
    assert inside.mean() == pytest.approx(share, abs=0.03)
    assert (cut[..., :3][~inside] == EMPTY).all()


def test_a_reduced_image_shows_the_same_place():
    image = np.zeros((240, 400, 3), np.uint8)
    image[100:140, 200:280] = 200
    small = image[::2, ::2]
    spot = Spot("x", (120, 240), (240, 400))
    a, b = (window(one, spot, 64)[..., 0].astype(float) for one in (image, small))
    assert np.abs(a - b).mean() < 6


def test_the_mean_patch_is_the_mean_where_cut_outs_reach():
    images = {"a": np.full((*SIZE, 3), 40, np.uint8), "b": np.full((*SIZE, 3), 240, np.uint8)}
    photos = Photos(images.__getitem__)
    middle, corner = Spot("a", (60, 100), SIZE), Spot("b", (0, 0), SIZE)
    patch = mean_patch(photos, [middle, corner], 40)
    assert patch[35, 35].tolist() == [140] * 3  # both reach there
    assert patch[2, 2].tolist() == [40] * 3  # beyond b's corner there is only a
    assert mean_patch(photos, [], 8).tolist() == np.full((8, 8, 3), EMPTY).tolist()


def test_a_sprite_holds_its_tiles_in_order():
    photos = Photos(lambda name: np.full((*SIZE, 3), int(name), np.uint8))
    source = sprite(tiles(photos, [Spot(str(v), (60, 100), SIZE) for v in (10, 130, 250)], 32))
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))
    assert picture.shape == (32, 96, 3)
    np.testing.assert_allclose([picture[16, 16 + 32 * i].mean() for i in range(3)], [10, 130, 250], atol=6)
    assert sprite([]) == ""


def test_images_are_held_within_the_limit_and_read_aside():
    read: list[str] = []

    def reader(name: str) -> np.ndarray:
        read.append(name)
        if name == "bad":
            raise LoupeError("it cannot be read")
        return photo(int(name))

    size = photo().nbytes
    photos = Photos(reader, most=3 * size)
    for name in "0120":
        photos.get(name)
    assert read == ["0", "1", "2"]
    photos.get("3")  # the least recently used one goes
    photos.get("1")
    assert read == ["0", "1", "2", "3", "1"]
    photos = Photos(reader, most=100 * size)
    read.clear()
    photos.warm(["5", "bad", "6"])
    photos.wait(10)
    assert read == ["5", "bad", "6"]
    photos.get("6")
    assert read == ["5", "bad", "6"]
    with pytest.raises(LoupeError, match="cannot be read"):
        photos.get("bad")


@pytest.mark.parametrize(("count", "most"), [(0, 5), (3, 5), (5, 5), (17, 5), (1000, 24)])
def test_evenly_spread(count, most):
    found = evenly(count, most)
    assert len(found) == min(count, most) == len(set(found.tolist()))
    assert not len(found) or found[0] == 0
    if count > most:
        assert np.diff(found).min() >= count // most and np.diff(found).max() <= -(-count // most)
