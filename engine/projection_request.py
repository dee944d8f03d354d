"""What may be asked of the process that makes maps, and what answers it.

A request is checked when it is made, so that bad input is told at once; its key names the answer, on disk too. `run`
computes it, wherever that is. Requests and answers cross pipes as `engine.projection_packing` writes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from engine import projection
from engine.errors import LoupeError
from engine.projection import MIN_DIST, NEIGHBOURS, Projection
from engine.projection_input import checked, finite, in_metric, key_of, panels, parameters
from engine.projection_quality import Stability, stability_of
from engine.projection_umap import LAYOUT, SEARCH, Progress, fit, nearest, silent

Answer = Projection | Stability | np.ndarray
SEEDS_MOST = 8


@dataclass(frozen=True, eq=False)
class Request:
    """kind: "map" (answer: a measured Projection), "stability" (Stability), "place" ((n, 2) float32).

    xs: the features of each panel. base: the finished map that stability and places are of; new: (n, c) pixels to be placed;
    seeds: the others that stability asks.
    """

    kind: str
    method: str
    xs: tuple[np.ndarray, ...]
    params: Mapping[str, Any]
    seed: int | None
    base: Projection | None = None
    new: np.ndarray | None = None
    seeds: tuple[int, ...] = ()

    @cached_property
    def key(self) -> str:
        """A digest of all that the answer depends on."""
        key = self.base.key if self.base is not None else ""
        key = key or key_of(self.method, self.xs, self.params, self.seed)
        if self.kind == "map":
            return key
        digest = hashlib.blake2b(f"{key} {self.kind} {self.seeds}".encode(), digest_size=16)
        if self.new is not None:
            digest.update(f"{self.new.shape}".encode())
            digest.update(self.new.reshape(-1).data)
        return digest.hexdigest()


def mapping(
    method: str,
    xs: np.ndarray | Sequence[np.ndarray],
    *,
    n_neighbours: int = NEIGHBOURS,
    min_dist: float = MIN_DIST,
    metric: str = "euclidean",
    seed: int = 0,
) -> Request:
    """A map, with its quality. xs: (r, c); of "aligned" several. What a method does not use is passed over.

    Raises:
        LoupeError: see `engine.projection`.
    """
    params = parameters(method, n_neighbours=n_neighbours, min_dist=min_dist, metric=metric, seed=seed)
    many = [xs] if isinstance(xs, np.ndarray) else list(xs)
    if method == "aligned":
        found = panels(many, n_neighbours)
    elif len(many) == 1:
        found = [checked(many[0], 0 if method == "pca" else n_neighbours)]
    else:
        raise LoupeError(f"{len(many)} panels: only aligned maps are made together")
    for x in found:
        in_metric(x, params.get("metric", "euclidean"))
    return Request("map", method, tuple(found), params, None if method == "pca" else seed)


def stability(request: Request, base: Projection, seeds: int = 3) -> Request:
    """How much of a map other seeds find again. request: that the map `base` is the answer of; seeds: how many others.

    Raises:
        LoupeError: PCA, which draws nothing; a number of seeds out of range.
    """
    if request.seed is None:
        raise LoupeError("PCA draws nothing: every seed gives the same map")
    if not 1 <= seeds <= SEEDS_MOST:
        raise LoupeError(f"{seeds} other seeds: it must be from 1 to {SEEDS_MOST}")
    others = tuple((request.seed + step) % 2**31 for step in range(1, seeds + 1))
    return Request(
        "stability", request.method, request.xs, request.params, request.seed, base, seeds=others
    )  # fmt: skip


def placing(request: Request, base: Projection, new: np.ndarray) -> Request:
    """Where new pixels (n, c) fall on the map `base`. Raises LoupeError where it has no place for any."""
    projection.place(base, request.xs[0], np.empty((0, request.xs[0].shape[1]), np.float32))
    new = finite(new)
    if new.shape[1] != request.xs[0].shape[1]:
        raise LoupeError(
            f"the new pixels have {new.shape[1]} channels, those of the map {request.xs[0].shape[1]}"
        )
    in_metric(new, request.params.get("metric", "euclidean"))
    return Request("place", request.method, request.xs, request.params, request.seed, base, new)


def run(request: Request, progress: Progress = silent) -> Answer:
    """The answer. progress: (share done, what is being done)."""
    if request.kind == "stability":
        return _stability(request, progress)
    if request.kind == "place":
        assert request.base is not None and request.new is not None
        return projection.place(request.base, request.xs[0], request.new, progress)
    if request.method == "pca":
        made = projection.pca(request.xs[0])
    elif request.method == "aligned":
        assert request.seed is not None
        made = projection.aligned(
            request.xs, seed=request.seed, progress=_until(LAYOUT, progress), **request.params
        )
    else:
        assert request.seed is not None
        method = projection.umap if request.method == "umap" else projection.densmap
        made = method(request.xs[0], seed=request.seed, progress=progress, **request.params)
    progress(LAYOUT, "measuring how far the map may be trusted")
    return projection.measured(made, request.xs)


def _stability(request: Request, progress: Progress) -> Stability:
    """Of the first panel's map, where there are several."""
    assert request.base is not None
    params, others = request.params, []
    total = len(request.seeds)

    def told(number: int) -> Progress:
        def tell(done: float, said: str) -> None:
            share = SEARCH / 2 + (1 - SEARCH / 2) * (number + done) / total
            progress(share, f"seed {number + 1} of {total}: {said}")

        return silent if progress is silent else tell

    if request.method == "aligned":
        for number, seed in enumerate(request.seeds):
            others.append(projection.aligned(request.xs, seed=seed, progress=told(number), **params).maps[0])
    elif request.base.by.startswith("cuml"):  # it looks for neighbours itself
        for number, seed in enumerate(request.seeds):
            others.append(projection.umap(request.xs[0], seed=seed, progress=told(number), **params).xy)
    else:
        space = in_metric(request.xs[0], params["metric"])
        found = nearest(
            space, params["n_neighbours"], progress=lambda done, said: progress(SEARCH / 2 * done, said)
        )
        for number, seed in enumerate(request.seeds):
            model = fit(
                space,
                found,
                params["min_dist"],
                seed,
                dense=request.method == "densmap",
                progress=told(number),
            )
            others.append(np.array(model.embedding_, np.float32))
    return stability_of(request.base.maps[0], others, request.seeds)


def _until(share: float, progress: Progress) -> Progress:
    if progress is silent:
        return silent
    return lambda done, said: progress(share * done, said)
