"""UMAP, densMAP and aligned UMAP as umap-learn computes them, made repeatable, quicker and talkative.

McInnes, Healy and Melville 2018 (UMAP); Narayan, Berger and Cho 2021 (densMAP). What differs from umap-learn's defaults [choice]:
* the nearest neighbours are exact (scikit-learn, brute force, all cores). A fixed seed forces umap-learn's own search and
  layout into one thread; of 20 000 × 256 on one core the exact search takes 5 to 6 s, and two runs agree.
* the first positions are the two principal components, not the spectrum of the neighbour graph: large distances on the map
  then mean a little more (Kobak and Linderman 2021).
* cosine is the Euclidean distance of features of unit length, which orders neighbours alike.
The layout, its epochs and its graph are umap-learn's. With NVIDIA's cuML installed, UMAP runs there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib import metadata
from typing import Any

import numpy as np

Progress = Callable[[float, str], None]  # share done, what is being done
BLOCK = 1024  # pixels whose neighbours are looked for at once
COMPILED = {
    "umap_": ("smooth_knn_dist", "compute_membership_strengths", "init_graph_transform"),
    "layouts": ("_nb_optimize_layout_euclidean_single_epoch",),
    "aligned_umap": ("build_neighborhood_similarities", "procrustes_align", "in1d"),
}
SEARCH, LAYOUT = 0.35, 0.95  # share of a fit's time after which the neighbours, the layout are done


def silent(fraction: float, said: str) -> None:
    """Nobody listens."""


def made_by(method: str) -> str:
    """The library and its version that a map of that method is made by here; it belongs to the map's key."""
    if method == "pca":
        return f"scikit-learn {metadata.version('scikit-learn')}"
    if method == "umap" and (version := gpu_version()) is not None:
        return f"cuml {version}"
    return f"umap-learn {metadata.version('umap-learn')}"


def gpu_version() -> str | None:
    """Of cuML, or None where it is not installed."""
    if importlib.util.find_spec("cuml") is None:
        return None
    names = metadata.packages_distributions().get("cuml") or ["cuml"]
    try:
        return metadata.version(names[0])
    except metadata.PackageNotFoundError:
        return "of an unknown version"


def unit_length(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def nearest(
    x: np.ndarray, count: int, queries: np.ndarray | None = None, progress: Progress = silent
) -> tuple[np.ndarray, np.ndarray]:
    """The exact nearest rows of x by Euclidean distance: indices (q, count) int32, distances (q, count) float32.

    Without queries: of x's own rows, each its own nearest, at distance 0, also where others are the same.
    """
    from sklearn.neighbors import NearestNeighbors

    asked = x if queries is None else queries
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(x)
    indices = np.empty((len(asked), count), np.int32)
    distances = np.empty((len(asked), count), np.float32)
    for start in range(0, len(asked), BLOCK):
        part = slice(start, start + BLOCK)
        distances[part], indices[part] = search.kneighbors(asked[part])
        progress(min(1.0, (start + BLOCK) / len(asked)), "looking for each pixel's nearest neighbours")
    if queries is None:
        _itself_first(indices, distances)
    return indices, distances


def _itself_first(indices: np.ndarray, distances: np.ndarray) -> None:
    own = np.arange(len(indices))
    mine = indices == own[:, None]
    mine[~mine.any(axis=1), -1] = True  # lost among its doubles: it takes the last one's place
    order = np.argsort(~mine, axis=1, kind="stable")
    indices[:] = np.take_along_axis(indices, order, axis=1)
    distances[:] = np.take_along_axis(distances, order, axis=1)
    indices[:, 0], distances[:, 0] = own, 0.0


def fit(
    x: np.ndarray,
    neighbours: tuple[np.ndarray, np.ndarray],
    min_dist: float,
    seed: int,
    dense: bool = False,
    epochs: int | None = None,
    progress: Progress = silent,
) -> Any:
    """A fitted umap.UMAP. x: (r, c) float32; neighbours: of `nearest`, itself among them; dense: densMAP."""
    with _quiet():
        return (
            _library()
            .UMAP(
                n_neighbors=neighbours[0].shape[1],
                min_dist=min_dist,
                random_state=seed,
                n_jobs=1,
                n_epochs=epochs,
                init="pca",
                precomputed_knn=(neighbours[0].copy(), neighbours[1].copy()),
                densmap=dense,
                tqdm_kwds=_bar(progress),
            )
            .fit(x)
        )


def fit_gpu(x: np.ndarray, n_neighbours: int, min_dist: float, seed: int) -> np.ndarray:
    """(r, 2) of cuML's UMAP, with its own search."""
    from cuml.manifold import UMAP  # pyright: ignore[reportMissingImports]

    model = UMAP(n_neighbors=n_neighbours, min_dist=min_dist, n_components=2, random_state=seed)
    return np.asarray(model.fit_transform(x), np.float32)


def fit_aligned(
    xs: Sequence[np.ndarray],
    n_neighbours: int,
    seed: int,
    epochs: int | None = None,
    progress: Progress = silent,
) -> list[np.ndarray]:
    """The maps of the same pixels in several spaces, (r, 2) each, drawn toward each other by umap.AlignedUMAP.

    It lays all maps out with min_dist 0.1, whatever it is given.
    """
    with _quiet():
        module = _library().aligned_umap
        same = {row: row for row in range(len(xs[0]))}
        model = module.AlignedUMAP(
            n_neighbors=n_neighbours, random_state=seed, transform_seed=seed, n_epochs=epochs
        )
        found = iter([nearest(x, n_neighbours) for x in xs])

        def graph_only(**settings: Any) -> Any:
            settings |= {"transform_mode": "graph", "n_jobs": 1, "precomputed_knn": next(found)}
            return _library().UMAP(**settings)

        told = partial(module.optimize_layout_aligned_euclidean, tqdm_kwds=_bar(progress))
        with (
            # Of each space it needs the neighbour graph alone; left to itself it asks Python for every single distance, 20 s for
            # 3000 pixels, and lays out a map of each space that nobody sees.
            _in_place_of(module, "UMAP", graph_only),
            # It has no way to tell how far it is.
            _in_place_of(module, "optimize_layout_aligned_euclidean", told),
        ):
            model.fit(list(xs), relations=[same] * (len(xs) - 1))
        return [np.array(one, np.float32) for one in model.embeddings_]


def transform(
    x: np.ndarray,
    xy: np.ndarray,
    new: np.ndarray,
    n_neighbours: int,
    min_dist: float,
    progress: Progress = silent,
) -> np.ndarray:
    """(n, 2): where new pixels fall on a finished map of x, (r, 2), by umap-learn's `transform` with exact neighbours."""
    with _quiet():
        own = nearest(x, n_neighbours, progress=progress)
        model = fit(x, own, min_dist, seed=0, epochs=0)  # a fitted model without a step of layout
        model.embedding_ = np.array(xy, np.float32)
        model.n_epochs = None
        model._knn_search_index = _Exact(x)
        return np.asarray(model.transform(new), np.float32)


@cache
def _library() -> Any:
    """umap-learn, what it compiles kept on disk by numba where that is possible: a second process starts in seconds."""
    import umap
    import umap.aligned_umap

    for module, names in COMPILED.items():
        for name in names:
            with contextlib.suppress(AttributeError, RuntimeError):  # another version; no folder to write to
                getattr(getattr(umap, module), name).enable_caching()
    return umap


class _Exact:
    """In the place of pynndescent's index: what UMAP.transform asks of it, answered exactly."""

    _angular_trees = False

    def __init__(self, x: np.ndarray) -> None:
        self._x = x

    def query(self, new: np.ndarray, k: int, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
        del epsilon
        return nearest(self._x, k, new)


def _bar(progress: Progress) -> dict[str, Any]:
    """tqdm's settings for a bar that nobody sees and `progress` hears."""
    if progress is silent:
        return {"disable": True}
    return {
        "disable": False,
        "file": _Epochs(progress),
        "bar_format": "{n_fmt}/{total_fmt}",
        "mininterval": 0.2,
    }


class _Epochs:
    """A file that a progress bar writes to."""

    encoding = "utf-8"

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def write(self, text: str) -> int:
        if found := re.search(r"(\d+)/(\d+)", text):
            done, total = int(found[1]), max(1, int(found[2]))
            self._progress(done / total, f"laying out the map: epoch {done} of {total}")
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


@contextmanager
def _in_place_of(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without umap-learn's warnings of what is meant so."""
    with warnings.catch_warnings():
        for said in (
            "Tensorflow not installed",
            "n_jobs value",
            r"precomputed_knn\[2\]",
            "Graph is not fully connected",
        ):
            warnings.filterwarnings("ignore", said)
        yield
