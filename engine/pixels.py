"""Labelled pixels with their features at one site of one model: what is measured, projected and drawn as points.

    sample = from_atlas(atlas, "stride8.value", count=3000)     from the atlas's reservoir: a uniform draw of each category
    sample = from_traces(traces, images, "f2")                  from images that were traced just now
    a, b = shared([a, b])                                       the pixels that both have, in one order

Rows are in the order of their draw, one of each category in turn, so that a smaller sample is the beginning of a larger one and
no category is drawn on top of another. The atlas draws by a hash of image and pixel that knows no model: samples of several
models over the same data hold the same pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from engine.errors import LoupeError

if TYPE_CHECKING:
    from engine.atlas.reading import Atlas
    from engine.trace import Trace

NO_MODE = 255
COUNT = 20_000
PER_IMAGE = 512
FEWEST_SHARED = 10  # pixels below which several samples are not the same pixels in any useful sense  [choice]

ROWS = ("image", "pixel", "category", "predicted", "confidence", "mode", "pure", "features")


@dataclass(frozen=True, eq=False)
class PixelSample:
    """r pixels of i images at one site of one model.

    data: the dataset's name, or "images chosen now". level: whose grid the site is on, 0..3 as the backbone's f0..f3, −1 finer.
    labels: where `category` comes from; by prediction where the truth of an image is not known. pure: the pixel's cell is at
    least 75 % of its category.
    """

    model: str  # catalogue id
    checkpoint: str  # SHA-256 of its file, hex
    data: str
    site: str
    level: int
    classes: tuple[str, ...]
    names: tuple[str, ...]  # ids of the images; `image` indexes them
    sizes: np.ndarray  # (i, 2) int64 height, width of the original images
    image: np.ndarray  # (r,) int64 place in `names`
    pixel: np.ndarray  # (r, 2) int32 row, col of the original image
    category: np.ndarray  # (r,) int64
    predicted: np.ndarray  # (r,) int64
    confidence: np.ndarray  # (r,) float32, 0..1
    mode: np.ndarray  # (r,) uint8 planted mode within the category, 255 where none is known
    pure: np.ndarray  # (r,) bool
    features: np.ndarray  # (r, c) float32, in units of the site
    labels: Literal["truth", "prediction"] = "truth"

    def __len__(self) -> int:
        return len(self.image)

    def take(self, rows: np.ndarray) -> PixelSample:
        """The rows of a mask or of indices; images without a row keep their names."""
        return replace(self, **{name: getattr(self, name)[rows] for name in ROWS})

    def key(self) -> str:
        """32 hexadecimal digits over everything that the sample says: the same pixels and features, the same key."""
        return self._key

    @cached_property
    def _key(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                digest.update(f"{field.name}:{value.dtype.str}:{value.shape}".encode())
                digest.update(np.ascontiguousarray(value).view(np.uint8).data if value.size else b"")
            else:
                digest.update(f"{field.name}={value!r}".encode())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class ChosenImage:
    """An image beside its trace. name: unique; size: (H, W) of the original. truth (H, W) category, 255 unknown, and modes (H, W)
    where they are known."""

    name: str
    size: tuple[int, int]
    truth: np.ndarray | None = None
    modes: np.ndarray | None = None


def from_atlas(
    atlas: Atlas,
    site: str,
    *,
    categories: Sequence[int] | None = None,
    count: int = COUNT,
    pure_only: bool = True,
) -> PixelSample:
    """At most `count` pixels of the atlas's reservoir, one of each category in turn while it has any.

    Args:
        categories: those wanted; None for all that were met.
        pure_only: leave out pixels whose cell is less than 75 % of their category.

    Raises:
        LoupeError: no such site or category, fewer than one pixel asked for, or none there.
    """
    if count < 1:
        raise LoupeError(f"{count} pixels: ask for at least 1")
    manifest = atlas.manifest
    for category in categories if categories is not None else ():
        if not 0 <= category < len(manifest.classes):
            raise LoupeError(f"category {category} is not one of the {len(manifest.classes)} of this atlas")
    rows = atlas.reservoir(site)
    kept = rows.pure if pure_only else np.ones(len(rows.pure), bool)
    if categories is not None:
        kept = kept & np.isin(rows.category, np.asarray(categories, np.int64))
    chosen = in_turn(rows.category, np.flatnonzero(kept))[:count]
    if not len(chosen):
        wanted = "" if categories is None else " of " + ", ".join(manifest.classes[c] for c in categories)
        raise LoupeError(f"the atlas has no pixel{wanted} whose cell at {site} is of one category")
    images = atlas.images
    order = np.argsort(images.index)
    place = order[np.searchsorted(images.index, rows.image[chosen], sorter=order)]
    return PixelSample(
        model=manifest.model,
        checkpoint=manifest.checkpoint,
        data=manifest.data,
        site=site,
        level=manifest.sites[site].level,
        classes=manifest.classes,
        names=images.id,
        sizes=np.asarray(images.size, np.int64),
        image=place.astype(np.int64),
        pixel=rows.pixel[chosen].astype(np.int32),
        category=rows.category[chosen].astype(np.int64),
        predicted=rows.predicted[chosen].astype(np.int64),
        confidence=rows.confidence[chosen].astype(np.float32),
        mode=rows.mode[chosen].astype(np.uint8),
        pure=rows.pure[chosen].astype(bool),
        features=rows.features[chosen].astype(np.float32),
    )


def in_turn(category: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`rows` with one of each category in turn, in their order within it: the first n are a draw balanced over categories."""
    groups = category[rows]
    order = np.argsort(groups, kind="stable")
    _, start, count = np.unique(groups[order], return_index=True, return_counts=True)
    turn = np.empty(len(rows), np.int64)
    turn[order] = np.arange(len(rows)) - np.repeat(start, count)
    return rows[np.lexsort((groups, turn))]


def from_traces(
    traces: Sequence[Trace],
    images: Sequence[ChosenImage],
    site: str,
    *,
    per_image: int = PER_IMAGE,
    seed: int = 0,
    pure_only: bool = True,
) -> PixelSample:
    """Cells of a site's grid, of images traced now by one model; each is its centre's pixel.

    Categories are the ground truth's where every image has one, otherwise the prediction's, for all of them.

    Args:
        traces: without a batch axis, as `Engine.trace` gives them; one for each of `images`.
        per_image: most cells of an image, drawn by a hash of its name and the cell; nested in it.

    Raises:
        LoupeError: no image, traces of several models, images of one name, an unknown site, or no pixel left.
    """
    if not traces or len(traces) != len(images):
        raise LoupeError(
            f"{len(traces)} traces of {len(images)} images: there must be one each, and at least one"
        )
    if per_image < 1:
        raise LoupeError(f"{per_image} cells of an image: ask for at least 1")
    names = tuple(each.name for each in images)
    if len(set(names)) < len(names):
        raise LoupeError("two of the images have the same name: their pixels could not be told apart")
    cards = {None if trace.model is None else (trace.model.id, trace.model.hash) for trace in traces}
    if len(cards) > 1:
        raise LoupeError("the traces are of several models: pixels of one sample share a model")
    model, checkpoint = cards.pop() or ("", "")
    by_truth = all(each.truth is not None for each in images)
    parts = [
        _cells(trace, each, site, by_truth, per_image, seed)
        for trace, each in zip(traces, images, strict=True)
    ]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns["image"] = np.repeat(np.arange(len(parts)), [len(part["category"]) for part in parts])
    kept = np.flatnonzero(columns["pure"]) if pure_only else np.arange(len(columns["pure"]))
    if not len(kept):
        raise LoupeError(f"no cell of {site} in these images is of one known category")
    # One image after the other would put the first one's pixels at the beginning: by draw, then by category in turn.
    kept = kept[np.argsort(columns.pop("draw")[kept], kind="stable")]
    kept = in_turn(columns["category"], kept)
    level = columns.pop("level")
    known = traces[0].model
    return PixelSample(
        model=model,
        checkpoint=checkpoint,
        data="images chosen now",
        site=site,
        level=int(level[0]),
        classes=known.classes if known is not None else tuple(map(str, range(traces[0].logits.shape[0]))),
        names=names,
        sizes=np.array([each.size for each in images], np.int64),
        labels="truth" if by_truth else "prediction",
        **{name: column[kept] for name, column in columns.items()},
    )


def _cells(
    trace: Trace, image: ChosenImage, site: str, by_truth: bool, per_image: int, seed: int
) -> dict[str, np.ndarray]:
    """Columns of one image's drawn cells; `draw`: their hashes, `level`: the site's, once a row."""
    import torch

    from engine.atlas.hashing import pixel_hashes
    from engine.atlas.sites import level_of, site_maps
    from engine.cell_labels import majority_labels
    from engine.resample import confidence_at

    maps = site_maps(trace)
    if site not in maps:
        raise LoupeError(
            f'{trace.model.id if trace.model else "this model"} has no site "{site}": it has {", ".join(maps)}'
        )
    features = maps[site]
    grid = (features.shape[-2], features.shape[-1])
    classes = trace.logits.shape[0]
    predicted = trace.labels.cpu().numpy()
    truth = image.truth if by_truth and image.truth is not None else predicted
    hashes = pixel_hashes(seed, image.name, grid[0] * grid[1])
    cells = np.argsort(hashes, kind="stable")
    labelled = _at_centres(truth, cells, grid) < classes
    cells = cells[labelled][:per_image]
    category = _at_centres(truth, cells, grid).astype(np.int64)
    at = centres(cells, grid, predicted.shape)
    modes = np.full(len(cells), NO_MODE, np.uint8)
    if by_truth and image.modes is not None:
        modes = _at_centres(image.modes, cells, grid).astype(np.uint8)
    drawn = torch.from_numpy(cells).to(features.device)
    return {
        "pixel": centres(cells, grid, image.size).astype(np.int32),
        "category": category,
        "predicted": _at_centres(predicted, cells, grid).astype(np.int64),
        "confidence": confidence_at(trace.logits[None], np.zeros(len(at), np.int64), at, trace.image_size),
        "mode": modes,
        "pure": majority_labels(truth, grid, classes).ravel()[cells] == category,
        "features": features.flatten(1)[:, drawn].T.cpu().numpy(),
        "draw": hashes[cells],
        "level": np.full(len(cells), level_of(trace, grid)),
    }


def _at_centres(labels: np.ndarray, cells: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """(r,) what a map (H, W) of any size over the image says at the cells' centres."""
    return labels[tuple(centres(cells, grid, labels.shape).T)]


def centres(cells: np.ndarray, grid: tuple[int, int], size: tuple[int, ...]) -> np.ndarray:
    """(r, 2) row, col of the pixels at the centres of cells (flat, r) of a grid over an image (H, W)."""
    y, x = np.divmod(cells, grid[1])
    return np.stack([(2 * y + 1) * size[0] // (2 * grid[0]), (2 * x + 1) * size[1] // (2 * grid[1])], axis=1)


def shared(samples: Sequence[PixelSample]) -> tuple[PixelSample, ...]:
    """The samples cut down to the pixels (image id, row, col) that all have, in the order and with the images of the first.

    Raises:
        LoupeError: no sample, samples of different data, or fewer than `FEWEST_SHARED` pixels in common.
    """
    if not samples:
        raise LoupeError("there is no sample to share pixels")
    first = samples[0]
    for other in samples[1:]:
        if other.data != first.data or other.classes != first.classes:
            raise LoupeError(
                f"{first.model} over {first.data} and {other.model} over {other.data} have no pixels in common: "
                "they must be of the same data and categories"
            )
    places = [_places(sample) for sample in samples]
    common = [key for key in places[0] if all(key in other for other in places[1:])]
    if len(common) < FEWEST_SHARED:
        sites = ", ".join(f"{sample.model} {sample.site}" for sample in samples)
        raise LoupeError(
            f"{sites} have only {len(common)} pixels in common: at least {FEWEST_SHARED} are needed"
        )
    rows = [np.array([place[key] for key in common], np.int64) for place in places]
    image = first.image[rows[0]]  # models may have skipped different images: places are then not the same
    return tuple(
        replace(sample.take(at), image=image, names=first.names, sizes=first.sizes)
        for sample, at in zip(samples, rows, strict=True)
    )


def _places(sample: PixelSample) -> dict[tuple[str, int, int], int]:
    rows = zip(sample.image.tolist(), sample.pixel.tolist(), strict=True)
    return {(sample.names[image], row, col): at for at, (image, (row, col)) in enumerate(rows)}
