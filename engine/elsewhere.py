"""The same pixels at another site: what makes maps of traced images comparable point for point.

A sample of traced images holds the centres of its own site's cells (engine.pixels). At a site on another grid the same pixel lies
in the cell floor((row + ½) · h / H); its purity is counted anew there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import LoupeError
from engine.pixels import ChosenImage, PixelSample

if TYPE_CHECKING:
    from engine.trace import Trace


def elsewhere(
    sample: PixelSample, traces: Sequence[Trace], images: Sequence[ChosenImage], site: str
) -> PixelSample:
    """The sample's pixels with the features of `site`, of traces of the same images by this or another model.

    Args:
        traces, images: those that the sample was drawn from, in its order of images.

    Raises:
        LoupeError: no such site, or traces of other images.
    """
    import torch

    from engine.atlas.sites import level_of, site_maps
    from engine.cell_labels import majority_labels
    from engine.resample import confidence_at

    if len(traces) != len(images) or tuple(each.name for each in images) != sample.names:
        raise LoupeError("the traces are not of the sample's images: their pixels cannot be found in them")
    card = traces[0].model
    count = len(sample)
    predicted, confidence = np.empty(count, np.int64), np.empty(count, np.float32)
    pure, features, level = np.zeros(count, bool), None, 0
    for place, (trace, image) in enumerate(zip(traces, images, strict=True)):
        maps = site_maps(trace)
        if site not in maps:
            raise LoupeError(
                f'{card.id if card else "this model"} has no site "{site}": it has {", ".join(maps)}'
            )
        own = np.flatnonzero(sample.image == place)
        if not len(own):
            continue
        x = maps[site]
        grid = (x.shape[-2], x.shape[-1])
        level = level_of(trace, grid)
        labels = trace.labels.cpu().numpy()
        truth = labels if sample.labels == "prediction" or image.truth is None else image.truth
        at, cells = _at(sample.pixel[own], image.size, labels.shape), _at(sample.pixel[own], image.size, grid)
        predicted[own] = labels[tuple(at.T)]
        confidence[own] = confidence_at(
            trace.logits[None], np.zeros(len(own), np.int64), at, trace.image_size
        )
        majority = majority_labels(truth, grid, trace.logits.shape[0])
        pure[own] = majority[tuple(cells.T)] == sample.category[own]
        rows, cols = (torch.from_numpy(one).to(x.device) for one in cells.T)
        here = x[:, rows, cols].T.cpu().numpy()
        features = np.empty((count, here.shape[1]), np.float32) if features is None else features
        features[own] = here
    if features is None:
        raise LoupeError("there is no pixel to be found at another site")
    return replace(
        sample,
        model=card.id if card else "",
        checkpoint=card.hash if card else "",
        site=site,
        level=level,
        predicted=predicted,
        confidence=confidence,
        pure=pure,
        features=features,
    )


def _at(pixel: np.ndarray, size: tuple[int, int], grid: tuple[int, ...]) -> np.ndarray:
    """(r, 2) cells of a grid that hold pixels (row, col) of an image of `size`."""
    return np.stack(
        [(2 * pixel[:, i].astype(np.int64) + 1) * grid[i] // (2 * size[i]) for i in (0, 1)], axis=1
    )
