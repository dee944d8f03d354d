"""Image files become the same upright 8-bit RGB whatever they were stored as, or are refused in one sentence."""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import LoupeError
from engine.images import MAX_PIXELS, ImageError, cell, centre, load_image, photographs

HEIGHT, WIDTH = 40, 60


@pytest.fixture
def picture() -> np.ndarray:
    """(40, 60, 3) uint8: smooth, so that JPEG keeps it, and different in every corner and channel."""
    rows, cols = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack(
        [rows * 255 / HEIGHT, cols * 255 / WIDTH, (rows + cols) * 255 / (HEIGHT + WIDTH)], -1
    ).astype(np.uint8)


def encode(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()


def refusal(source: object, **options: object) -> str:
    """The sentence with which a source is refused; it must be one line."""
    with pytest.raises(ImageError) as caught:
        load_image(source, **options)  # pyright: ignore[reportArgumentType]
    message = str(caught.value)
    assert "\n" not in message and message
    return message


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
        ("PPM", {}),
    ],
)
def test_lossless_formats_give_back_every_pixel(picture, format, options):
    loaded = load_image(encode(Image.fromarray(picture), format, **options))
    assert np.array_equal(loaded.pixels, picture)
    assert loaded.size == loaded.original_size == (HEIGHT, WIDTH) and not loaded.reduced


def test_jpeg_is_close_to_what_was_stored(picture):
    loaded = load_image(encode(Image.fromarray(picture), "JPEG", quality=95))
    assert np.abs(loaded.pixels.astype(int) - picture).mean() < 3


@pytest.mark.parametrize("format", ["GIF", "WEBP", "TIFF", "PNG"])
def test_the_first_frame_counts(picture, format):
    first = Image.fromarray(picture // 64 * 64)
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(
        first, format, save_all=True, append_images=[Image.new("RGB", first.size, (9, 99, 199))], **options
    )
    assert np.abs(load_image(data).pixels.astype(int) - np.asarray(first)).mean() < 3  # GIF: 256 colours


# EXIF orientation, as stored → upright; written out by hand from the EXIF table (2.3, tag 274)
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied_once(picture, orientation, format):
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    loaded = load_image(encode(Image.fromarray(picture), format, exif=exif, **options))
    expected = UPRIGHT[orientation](picture)
    assert np.array_equal(loaded.pixels, expected)
    assert loaded.original_size == expected.shape[:2]


@pytest.mark.parametrize("orientation", [1, 6])
def test_exif_orientation_of_jpeg_and_of_an_opened_image(picture, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    data = encode(Image.fromarray(picture), "JPEG", exif=exif, quality=95)
    loaded = load_image(data)
    assert np.abs(loaded.pixels.astype(int) - UPRIGHT[orientation](picture)).mean() < 3
    with Image.open(io.BytesIO(data)) as opened:
        assert load_image(opened).hash == loaded.hash


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_counts_as_none(picture):
    data = encode(Image.fromarray(picture), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xffnonsense")
    assert load_image(data).size == (HEIGHT, WIDTH)


def test_alpha_is_composed_over_white(picture):
    alpha = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    alpha[:, 20:40], alpha[:, 40:] = 128, 255
    pixels = load_image(encode(Image.fromarray(np.concatenate([picture, alpha], -1)), "PNG")).pixels.astype(
        int
    )
    assert (pixels[:, :20] == 255).all()
    half = (picture[:, 20:40].astype(float) * 128 + 255 * 127) / 255
    assert np.abs(pixels[:, 20:40] - half).max() <= 1
    assert np.array_equal(pixels[:, 40:], picture[:, 40:])


@pytest.mark.parametrize("transparency", [0, bytes([0, 255])])
def test_palettes_keep_their_colours_and_their_holes(transparency):
    image = Image.new("P", (WIDTH, HEIGHT), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(1, (0, 0, WIDTH // 2, HEIGHT))
    pixels = load_image(encode(image, "PNG", transparency=transparency)).pixels
    assert (pixels[:, : WIDTH // 2] == (200, 100, 50)).all()
    assert (pixels[:, WIDTH // 2 :] == 255).all()
    opaque = load_image(encode(image, "PNG")).pixels
    assert (opaque[:, WIDTH // 2 :] == (10, 20, 30)).all()


def test_grey_with_alpha_and_one_bit(picture):
    grey = Image.fromarray(picture[..., 0])
    assert np.array_equal(load_image(encode(grey, "PNG")).pixels, np.repeat(picture[..., :1], 3, -1))
    veiled = grey.convert("LA")
    veiled.putalpha(0)
    assert (load_image(encode(veiled, "PNG")).pixels == 255).all()
    bits = Image.fromarray(picture[..., 0] > 128)
    assert np.array_equal(
        load_image(encode(bits, "PNG")).pixels[..., 2], np.where(picture[..., 0] > 128, 255, 0)
    )


def test_cmyk_keeps_its_colours():
    red = Image.new("CMYK", (WIDTH, HEIGHT), (0, 255, 255, 0))
    for format in ("JPEG", "TIFF"):
        assert np.abs(load_image(encode(red, format)).pixels.astype(int) - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_keeps_its_scale(format):
    values = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    image = Image.fromarray(values) if format != "PPM" else Image.fromarray(values.astype(np.int32))
    pixels = load_image(encode(image, format)).pixels
    assert np.array_equal(pixels[..., 0], np.rint(values / 257).astype(np.uint8))
    dark = load_image(encode(Image.fromarray(values // 256), format if format != "PPM" else "PNG")).pixels
    assert dark.max() <= 1  # 16 bit is not stretched: a dark image stays dark


def test_floats_and_wide_integers():
    ramp = np.linspace(0, 1, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    expected = np.rint(ramp.astype(np.float64) * 255)
    assert np.array_equal(load_image(encode(Image.fromarray(ramp), "TIFF")).pixels[..., 0], expected)
    stretched = load_image(encode(Image.fromarray(ramp * 300 - 7), "TIFF")).pixels[..., 0]
    assert np.abs(stretched - expected).max() <= 1
    wide = Image.fromarray((ramp * 1e6).astype(np.int32))
    assert np.abs(load_image(encode(wide, "TIFF")).pixels[..., 0] - expected).max() <= 1
    assert (load_image(encode(Image.fromarray(ramp * 0 + 5), "TIFF")).pixels == 0).all()
    assert "not finite" in refusal(encode(Image.fromarray(ramp * np.float32(np.nan)), "TIFF"))


def test_reduced_to_the_long_side(picture):
    large = np.asarray(Image.fromarray(picture).resize((2000, 1000)))
    loaded = load_image(large)
    assert loaded.size == (512, 1024) and loaded.original_size == (1000, 2000) and loaded.reduced
    assert load_image(large, long_side=None).size == (1000, 2000)
    assert load_image(np.ascontiguousarray(large.transpose(1, 0, 2)), long_side=500).size == (500, 250)
    assert np.array_equal(load_image(picture, long_side=64).pixels, picture)  # never enlarged
    assert "long side 8" in refusal(picture, long_side=8)
    assert "each side must keep at least 32" in refusal(np.zeros((40, 4000, 3), np.uint8))


def test_the_hash_is_of_the_content(picture):
    png = load_image(encode(Image.fromarray(picture), "PNG"), name="a")
    assert png.hash == load_image(picture).hash == load_image(Image.fromarray(picture), name="b").hash
    other = picture.copy()
    other[3, 5, 1] ^= 1
    turned = np.ascontiguousarray(picture.reshape(WIDTH, HEIGHT, 3))  # the same bytes in another shape
    hashes = {load_image(array).hash for array in (picture, other, turned)} | {
        load_image(picture, long_side=50).hash
    }
    assert len(hashes) == 4 and all(len(text) == 64 for text in hashes)


def test_the_result_is_owned_and_read_only(picture):
    loaded = load_image(picture)
    before = loaded.pixels.copy()
    picture[:] = 0
    assert np.array_equal(loaded.pixels, before)
    with pytest.raises(ValueError, match="read-only"):
        loaded.pixels[0, 0] = 0


def test_refuses_what_is_no_image(tmp_path, picture):
    text = tmp_path / "notes.png"
    text.write_text("not a picture at all, only words")
    message = refusal(text)
    assert str(text) in message and "not an image" in message
    empty = tmp_path / "empty.png"
    empty.touch()
    assert "empty" in refusal(empty) and str(empty) in refusal(empty)
    assert "empty" in refusal(b"")
    assert "no such file" in refusal(tmp_path / "absent.png")
    assert "folder" in refusal(tmp_path)
    assert "no such file" in refusal("a\0b.png")
    assert "int" in refusal(7)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "regular file" in refusal(pipe)
    assert "holiday.png" in refusal(b"%PDF-1.4", name="holiday.png")
    assert issubclass(ImageError, LoupeError) and issubclass(LoupeError, ValueError)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="whoever runs this may read every file")
def test_refuses_a_file_that_may_not_be_read(tmp_path, picture):
    path = tmp_path / "locked.png"
    path.write_bytes(encode(Image.fromarray(picture), "PNG"))
    path.chmod(0)
    assert "permission" in refusal(path)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_every_truncation_is_refused_or_harmless(format):
    """Cut anywhere, a file is refused as damaged; never another error, never a picture of half the pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), format)
    for part in (0.02, 0.1, 0.3, 0.5, 0.8, 0.9):
        assert "cut.img" in refusal(data[: int(len(data) * part)], name="cut.img")


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(30000, 30000), (10000, 9500), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_from_the_header(width, height):
    message = refusal(png_header(width, height), name="bomb.png")
    assert "bomb.png" in message and f"at most {MAX_PIXELS // 1_000_000} million" in message
    assert f"{width * height / 1e6:.0f} million" in message


def test_refuses_what_is_too_small(picture):
    message = refusal(encode(Image.new("RGB", (1, 1)), "PNG"), name="dot.png")
    assert "dot.png" in message and "1×1" in message and "32" in message
    assert "60×31" in refusal(picture[:31])
    assert "0×40" in refusal(np.zeros((40, 0, 3), np.uint8))


@pytest.mark.parametrize(
    "array", [np.zeros((40, 60)), np.zeros((40, 60, 4), np.uint8), np.zeros((40, 60, 3), np.float32)]
)
def test_refuses_arrays_of_another_kind(array):
    message = refusal(array)
    assert "uint8" in message and str(array.dtype) in message


def test_many_threads_agree(picture):
    good, bad = encode(Image.fromarray(picture), "WEBP", lossless=True), png_header(30000, 30000)
    seen: list[object] = []

    def work() -> None:
        for _ in range(5):
            seen.append(load_image(good).hash)
            seen.append(refusal(bad))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 80 and len(set(seen)) == 2


def test_cells_hold_their_pixels():
    assert cell(0, 0, (100, 70), (7, 5)) == (0, 0)
    assert cell(99, 69, (100, 70), (7, 5)) == (6, 4)
    size, grid = (53, 41), (13, 5)
    for row in range(size[0]):
        r, _ = cell(row, 0, size, grid)
        assert r == int(np.floor((row + 0.5) * grid[0] / size[0]))
    for grid in [(13, 5), (53, 41), (1, 1), (52, 3)]:
        for r in range(grid[0]):
            for c in range(grid[1]):
                assert cell(*centre(r, c, grid, size), size, grid) == (r, c)


@pytest.mark.parametrize(("row", "col"), [(-1, 0), (0, -1), (53, 0), (0, 41)])
def test_pixels_and_cells_outside_are_refused(row, col):
    with pytest.raises(
        ImageError, match=rf"pixel {row},{col} is outside the image: rows 0 to 52, columns 0 to 40"
    ):
        cell(row, col, (53, 41), (5, 4))
    with pytest.raises(ImageError, match="outside the grid"):
        centre(row, col, (53, 41), (106, 82))


def test_photographs_are_there_without_importing_their_package():
    found = photographs()
    assert set(found) == {"china", "flower"}
    for path in found.values():
        assert isinstance(path, Path) and load_image(path).original_size == (427, 640)
