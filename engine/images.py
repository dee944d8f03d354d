"""Any image file → the pixels that a model sees, and back from a pixel to a cell of a grid.

What is done to an image, in this order (`VERSION` changes whenever a step does, so that no cache outlives it):

1. the first frame of what holds several (GIF, animated WebP, TIFF pages);
2. EXIF orientation, the mirrored ones included; EXIF that cannot be read counts as none;
3. to 8 bit: 16-bit grey / 257, so that 65535 is white; floats in [0, 1] × 255; other floats and wider integers
   are stretched from their own minimum to their maximum. 16-bit colour loses its low byte.    [choice]
4. to RGB: palettes, grey, CMYK, 1-bit; alpha is composed over white, as browsers show it.     [choice]
   Colour profiles are not applied: models are trained on files that are read without them.    [choice]
5. the long side is brought down to `long_side` with Lanczos, never up.                        [choice]

What is not known here: the model. Normalising by its mean and deviation is the segmenter's business.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from engine.errors import LoupeError

VERSION = 1
LONG_SIDE = 1024  # pixels; the default limit of the long side
MIN_SIDE = 32  # pixels; below this the coarsest map (stride 32) has not one whole cell
MAX_PIXELS = (
    89_000_000  # read from the header, before anything is decoded; just under where Pillow begins to warn
)

Source = str | os.PathLike[str] | bytes | Image.Image | np.ndarray

# Formats that people have photographs in. EPS, PDF and the like stay out: they start programs, or draw at any size.
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "PPM", "DIB")

_UNNAMED = "the image"

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# The header is checked against MAX_PIXELS below, in a sentence that names the file; Pillow's own warning would be
# another. Set once here, since `warnings.catch_warnings` around each call is not safe with several threads.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class ImageError(LoupeError):
    """An image that cannot be used, or a pixel outside it; names the file or the value, and the reason."""


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """An image as a model sees it: upright, 8-bit RGB, perhaps reduced.

    pixels         (H, W, 3) uint8, read-only
    original_size  (H0, W0) pixels of the upright image before it was reduced; pixels in URLs and on the command
                   line are rows and columns of this size
    name           what to call it: the file's name, or what the caller gave
    hash           sha256, 64 hexadecimal digits, over `pixels`, `original_size` and `VERSION`: two sources with
                   the same hash are the same image to every model
    """

    pixels: np.ndarray
    original_size: tuple[int, int]
    name: str
    hash: str = field(repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of `pixels`."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def reduced(self) -> bool:
        """Whether the model sees fewer pixels than the file has."""
        return self.size != self.original_size


def load_image(source: Source, long_side: int | None = LONG_SIDE, name: str | None = None) -> LoadedImage:
    """Reads an image: a path, the bytes of a file, a PIL image, or an (H, W, 3) uint8 array.

    long_side: pixels that the longer side may have, None for no limit. name: what to call the image; by default the
    file's name. A PIL image that carries an EXIF orientation is turned upright, as its file would be.
    Raises ImageError, in one sentence, for what is not an image, is damaged, too small or too large.
    """
    if long_side is not None and (isinstance(long_side, bool) or long_side < MIN_SIDE):
        raise ImageError(f"long side {long_side}: must be at least {MIN_SIDE} pixels")
    if isinstance(source, np.ndarray):
        place = name or "the array"
        image = _from_array(source, place)
    elif isinstance(source, Image.Image):
        place = name or _short(getattr(source, "filename", "")) or _UNNAMED
        _check_size(source, place)
        image = _decode(source, place)
    elif isinstance(source, bytes | bytearray | memoryview):
        place = name or _UNNAMED
        if not len(source):
            raise ImageError(f"{place}: the file is empty")
        image = _from_file(io.BytesIO(source), place)
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        place = name or path.name
        image = _from_path(path, str(path) if name is None else name)
    else:
        raise ImageError(
            f"{name or _UNNAMED}: a {type(source).__name__} is not a path, bytes, PIL image or array"
        )
    original_size = (image.height, image.width)
    image = _reduce(image, long_side, place)
    pixels = np.array(image, dtype=np.uint8)
    pixels.setflags(write=False)
    return LoadedImage(pixels, original_size, place, _content_hash(pixels, original_size))


def smaller(image: LoadedImage, long_side: int) -> LoadedImage:
    """The same image with fewer pixels; pixels of the original mean the same in both.

    Raises:
        ImageError: a side would fall below the smallest.
    """
    pixels = np.array(_reduce(Image.fromarray(image.pixels), long_side, image.name), dtype=np.uint8)
    pixels.setflags(write=False)
    return LoadedImage(pixels, image.original_size, image.name, _content_hash(pixels, image.original_size))


def cell(row: int, col: int, image_size: tuple[int, int], grid: tuple[int, int]) -> tuple[int, int]:
    """The cell of a grid that holds the centre of a pixel: floor((row + ½) · h / H), and so for columns.

    image_size: (H, W) pixels; row, col: a pixel of that image; grid: (h, w) cells. Raises ImageError for a pixel
    outside.
    """
    height, width = image_size
    if not (0 <= row < height and 0 <= col < width):
        raise ImageError(
            f"pixel {row},{col} is outside the image: rows 0 to {height - 1}, columns 0 to {width - 1}"
        )
    return (2 * row + 1) * grid[0] // (2 * height), (2 * col + 1) * grid[1] // (2 * width)


def centre(row: int, col: int, grid: tuple[int, int], image_size: tuple[int, int]) -> tuple[int, int]:
    """The pixel at the centre of a cell; `cell` leads back to it wherever the grid is no finer than the image.

    row, col: a cell of grid (h, w); image_size: (H, W) pixels. Raises ImageError for a cell outside the grid.
    """
    h, w = grid
    if not (0 <= row < h and 0 <= col < w):
        raise ImageError(f"cell {row},{col} is outside the grid: rows 0 to {h - 1}, columns 0 to {w - 1}")
    return (2 * row + 1) * image_size[0] // (2 * h), (2 * col + 1) * image_size[1] // (2 * w)


def photographs() -> dict[str, Path]:
    """The two photographs that scikit-learn ships, by name; found without importing it, {} without it."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        return {}
    folder = Path(package.origin).parent / "datasets" / "images"
    found = {"china": folder / "china.jpg", "flower": folder / "flower.jpg"}
    return {name: path for name, path in found.items() if path.is_file()}


def _from_path(path: Path, place: str) -> Image.Image:
    try:
        if path.is_dir():
            raise ImageError(f"{place}: is a folder, not an image")
        if not path.exists():
            raise ImageError(f"{place}: no such file")
        if not path.is_file():  # a pipe would be waited for without end
            raise ImageError(f"{place}: is not a regular file")
        if path.stat().st_size == 0:
            raise ImageError(f"{place}: the file is empty")
        with path.open("rb") as file:
            return _from_file(file, place)
    except PermissionError:
        raise ImageError(f"{place}: no permission to read the file") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{place}: cannot be read ({_reason(error)})") from error


def _from_file(file: io.BufferedIOBase | io.BufferedReader, place: str) -> Image.Image:
    try:
        image = Image.open(file, formats=_FORMATS)  # pyright: ignore[reportArgumentType]
    except Image.UnidentifiedImageError:
        raise ImageError(f"{place}: is not an image in a format that can be read") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        count = re.search(r"\((\d+) pixels\)", str(error))
        raise _too_large(place, int(count[1]) if count else None) from None
    except Exception as error:  # a damaged header makes Pillow's readers raise nearly anything
        raise ImageError(f"{place}: the image is damaged ({_reason(error)})") from error
    with image:
        _check_size(image, place)
        return _decode(image, place)


def _decode(image: Image.Image, place: str) -> Image.Image:
    """Upright 8-bit RGB of an opened image; the opened image is read, not changed."""
    try:
        image.load()
        turn = _UPRIGHT.get(
            _orientation(image)
        )  # after load: the TIFF reader turns its images by itself, while loading
        image = _to_rgb(image, place)
        return image if turn is None else image.transpose(turn)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # as above
        raise ImageError(f"{place}: the image is damaged or cut short ({_reason(error)})") from error


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a picture is worth showing whatever its metadata are
        return 1


def _to_rgb(image: Image.Image, place: str) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_to_8_bit(np.asarray(image), image.mode, place)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _to_8_bit(values: np.ndarray, mode: str, place: str) -> np.ndarray:
    """(H, W) grey of more than 8 bit → uint8, as step 3 above says. mode: Pillow's, "I;16…", "I" or "F"."""
    if not np.isfinite(values).all():
        raise ImageError(f"{place}: holds values that are not finite numbers")
    values = values.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if mode.startswith("I;16") or (mode == "I" and low >= 0 and high <= 65535):  # 16-bit PGM arrives as "I"
        scaled = values / 257
    elif mode == "F" and low >= 0 and high <= 1:
        scaled = values * 255
    else:
        scaled = (values - low) * (255 / (high - low)) if high > low else np.zeros_like(values)
    return np.rint(scaled).astype(np.uint8)


def _from_array(array: np.ndarray, place: str) -> Image.Image:
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        shape = "×".join(map(str, array.shape)) or "a scalar"
        raise ImageError(
            f"{place}: is {shape} of {array.dtype}; an array must be (height, width, 3) of uint8"
        )
    _check_sides(array.shape[0], array.shape[1], place)
    return Image.fromarray(np.ascontiguousarray(array))


def _check_size(image: Image.Image, place: str) -> None:
    _check_sides(image.height, image.width, place)


def _check_sides(height: int, width: int, place: str) -> None:
    if height * width > MAX_PIXELS:
        raise _too_large(place, height * width)
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"{place}: is {width}×{height} pixels; each side must have at least {MIN_SIDE}")


def _too_large(place: str, count: int | None) -> ImageError:
    has = "too many" if count is None else f"{count / 1e6:.0f} million"
    return ImageError(f"{place}: has {has} pixels; at most {MAX_PIXELS // 1_000_000} million are read")


def _reduce(image: Image.Image, long_side: int | None, place: str) -> Image.Image:
    longest = max(image.size)
    if long_side is None or longest <= long_side:
        return image
    width, height = (max(1, round(side * long_side / longest)) for side in image.size)
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"{place}: is {image.width}×{image.height} pixels, which a long side of {long_side} makes "
            f"{width}×{height}; each side must keep at least {MIN_SIDE}"
        )
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _content_hash(pixels: np.ndarray, original_size: tuple[int, int]) -> str:
    digest = hashlib.sha256(f"loupe image {VERSION} {original_size} {pixels.shape}".encode())
    digest.update(pixels.data)
    return digest.hexdigest()


def _short(filename: str | bytes) -> str:
    return Path(os.fsdecode(filename)).name


def _reason(error: Exception) -> str:
    """The first line of a library's message, to stand in brackets at the end of a sentence."""
    text = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0].rstrip(".").lower()
