"""Maps of pixels: their features at one site, (r, c), laid out in two dimensions to be looked at.

Four methods, each fixed by its seed: PCA (linear, at once, the only one whose axes mean something), UMAP (neighbourhoods),
densMAP (neighbourhoods and how dense they are: the honest one for variance), aligned UMAP (the same pixels in several spaces:
models, stages or moments, drawn so that their maps can be compared point for point).

What a map may not be asked: sizes of clusters and distances between them (densMAP: sizes say something, distances do not).
Cluster, measure and test in the original space only; beside every map stand the numbers of `engine.projection_quality`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.errors import LoupeError
from engine.projection_input import (
    ALIGNED_MOST,
    METHODS,
    METRICS,
    MIN_DIST,
    NEIGHBOURS,
    checked,
    finite,
    in_metric,
    key_of,
    panels,
    parameters,
)
from engine.projection_quality import Quality, measure
from engine.projection_umap import (
    LAYOUT,
    SEARCH,
    Progress,
    fit,
    fit_aligned,
    fit_gpu,
    made_by,
    nearest,
    silent,
    transform,
)

__all__ = [
    "ALIGNED_MOST",
    "METHODS",
    "METRICS",
    "MIN_DIST",
    "NEIGHBOURS",
    "Projection",
    "aligned",
    "densmap",
    "measured",
    "pca",
    "place",
    "umap",
]


@dataclass(frozen=True, eq=False)
class Projection:
    """A finished map.

    method: one of METHODS. params: what it was made with, only what matters to the method. seed: None where nothing is drawn
    (PCA). maps: (r, 2) float32 each, one; of aligned UMAP one a panel, in the order asked for. qualities: one a map, or none
    where they were not measured. explained: PCA's shares of variance along its two axes. by: the library and its version.
    key: a digest of all that the map depends on. centre (c,), axes (2, c) of PCA: xy = (x − centre) · axesᵀ.
    """

    method: str
    params: Mapping[str, Any]
    seed: int | None
    maps: tuple[np.ndarray, ...]
    qualities: tuple[Quality, ...]
    explained: tuple[float, float] | None
    by: str
    seconds: float
    key: str
    centre: np.ndarray | None = None
    axes: np.ndarray | None = None

    @property
    def xy(self) -> np.ndarray:
        """The map, (r, 2), where there is one."""
        if len(self.maps) != 1:
            raise LoupeError(f"an aligned projection has {len(self.maps)} maps: name one")
        return self.maps[0]

    @property
    def quality(self) -> Quality | None:
        """Of the first map, where it was measured."""
        return self.qualities[0] if self.qualities else None


def pca(x: np.ndarray) -> Projection:
    """The two principal components of x (r, c). Each axis points to where its largest loading is positive.

    The neighbours on the map are not measured here (see `measured`): the picture comes at once.

    Raises:
        LoupeError: fewer than 10 pixels, fewer than two channels, values that are not finite, constant features.
    """
    started = time.perf_counter()
    from sklearn.decomposition import PCA

    x = checked(x)
    key = key_of("pca", [x], {}, None)
    centre = x.mean(axis=0, dtype=np.float64)
    wide = x.shape[1] > 1000  # then the whole decomposition would take seconds
    model = PCA(2, svd_solver="arpack" if wide else "covariance_eigh", random_state=0)
    # In double precision: a mean far above the spread, or two axes of nearly one variance, cost single precision its digits.
    centred = x - centre
    model.fit(centred)
    axes = np.asarray(model.components_)
    axes = axes * np.where(axes[np.arange(2), np.abs(axes).argmax(axis=1)] < 0, -1.0, 1.0)[:, None]
    first, second = (float(share) for share in np.asarray(model.explained_variance_ratio_))
    return Projection(
        "pca",
        {},
        None,
        ((centred @ axes.T).astype(np.float32),),
        (),
        (first, second),
        made_by("pca"),
        time.perf_counter() - started,
        key,
        centre.astype(np.float32),
        axes.astype(np.float32),
    )


def umap(
    x: np.ndarray,
    n_neighbours: int = NEIGHBOURS,
    min_dist: float = MIN_DIST,
    metric: str = "euclidean",
    seed: int = 0,
    progress: Progress = silent,
) -> Projection:
    """UMAP of x (r, c), McInnes et al. 2018; the same seed gives the same map. progress: (share done, what is being done).

    Raises:
        LoupeError: as `pca`; fewer pixels than n_neighbours + 1; a parameter out of range; a pixel without length by cosine.
    """
    return _laid_out("umap", x, n_neighbours, min_dist, metric, seed, progress)


def densmap(
    x: np.ndarray,
    n_neighbours: int = NEIGHBOURS,
    min_dist: float = MIN_DIST,
    metric: str = "euclidean",
    seed: int = 0,
    progress: Progress = silent,
) -> Projection:
    """densMAP of x (r, c), Narayan et al. 2021: UMAP that also keeps how dense the pixels lie. Raises as `umap`."""
    return _laid_out("densmap", x, n_neighbours, min_dist, metric, seed, progress)


def aligned(
    xs: Sequence[np.ndarray],
    n_neighbours: int = NEIGHBOURS,
    metric: str = "euclidean",
    seed: int = 0,
    progress: Progress = silent,
) -> Projection:
    """Aligned UMAP of the same r pixels in several spaces, xs: (r, c) each with a c of its own, row i the same pixel in all.

    Raises:
        LoupeError: as `umap`; fewer than two spaces, different numbers of pixels, or more than 3000.
    """
    started = time.perf_counter()
    params = parameters("aligned", n_neighbours=n_neighbours, metric=metric, seed=seed)
    given = panels(xs, n_neighbours)
    key = key_of("aligned", given, params, seed)
    spaces = [in_metric(x, metric) for x in given]
    maps = fit_aligned(spaces, n_neighbours, seed, progress=progress)
    return _finished(
        Projection(
            "aligned", params, seed, tuple(maps), (), None, made_by("aligned"), 0.0, key
        ), started
    )  # fmt: skip


def measured(projection: Projection, xs: Sequence[np.ndarray]) -> Projection:
    """The same with its qualities; xs: what it was made of, one a map."""
    metric = projection.params.get("metric", "euclidean")
    pairs = zip(xs, projection.maps, strict=True)
    return replace(projection, qualities=tuple(measure(in_metric(x, metric), xy) for x, xy in pairs))


def place(projection: Projection, x: np.ndarray, new: np.ndarray, progress: Progress = silent) -> np.ndarray:
    """(n, 2) float32: where new pixels (n, c) fall on a finished map of x (r, c), which stays as it is.

    Raises:
        LoupeError: densMAP and aligned UMAP, which cannot; another number of channels; values that are not finite.
    """
    if projection.method not in ("pca", "umap"):
        name = {"densmap": "densMAP", "aligned": "aligned UMAP"}[projection.method]
        raise LoupeError(f"{name} has no place for new pixels: choose PCA or UMAP, or make the map with them")
    new = finite(new)
    if new.shape[1] != x.shape[1]:
        raise LoupeError(f"the new pixels have {new.shape[1]} channels, those of the map {x.shape[1]}")
    if not len(new):
        return np.empty((0, 2), np.float32)
    if projection.method == "pca":
        assert projection.centre is not None and projection.axes is not None
        return ((new - projection.centre) @ projection.axes.T).astype(np.float32)
    metric, params = projection.params["metric"], projection.params
    return transform(
        in_metric(checked(x), metric),
        projection.xy,
        in_metric(new, metric),
        params["n_neighbours"],
        params["min_dist"],
        progress,
    )


def _laid_out(
    method: str, x: np.ndarray, n_neighbours: int, min_dist: float, metric: str, seed: int, progress: Progress
) -> Projection:
    started = time.perf_counter()
    params = parameters(method, n_neighbours=n_neighbours, min_dist=min_dist, metric=metric, seed=seed)
    x = checked(x, n_neighbours)
    key, by = key_of(method, [x], params, seed), made_by(method)
    space = in_metric(x, metric)
    xy = None
    if by.startswith("cuml"):
        progress(0.0, "laying out the map on the GPU")
        try:
            xy = fit_gpu(space, n_neighbours, min_dist, seed)
        except Exception:  # no GPU, or one that is full or too old: cuML has many words for it
            by = made_by("densmap")
    if xy is None:
        found = nearest(space, n_neighbours, progress=lambda done, said: progress(SEARCH * done, said))
        progress(SEARCH, "preparing the layout")

        def laying(done: float, said: str) -> None:
            progress(SEARCH + (LAYOUT - SEARCH) * done, said)

        told = silent if progress is silent else laying
        xy = fit(space, found, min_dist, seed, dense=method == "densmap", progress=told).embedding_
    return _finished(
        Projection(method, params, seed, (np.array(xy, np.float32),), (), None, by, 0.0, key), started
    )


def _finished(projection: Projection, started: float) -> Projection:
    if not all(np.isfinite(xy).all() for xy in projection.maps):
        raise LoupeError("the layout lost some pixels: try more neighbours or another seed")
    return replace(projection, seconds=time.perf_counter() - started)
