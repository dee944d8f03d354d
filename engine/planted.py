"""Do features still know the planted modes? Checked against the truth, category by category, at one site.

Two different questions: what *dominates* a category (do clusters fall along its modes?) and what is *kept* (can a linear probe
read the mode off?).

    clusters   adjusted Rand index of k-means (k = modes met, 10 starts) with the modes           Hubert & Arabie 1985
    by image   the same with the images as clusters: one mode an image and many images of it give a small index, hence also
    best by image   … with each image given its own most frequent mode: the most that any clustering by image can reach. At 1 the
               image explains everything, and clusters that find the modes may have found light or weather of whole images.
    chance     95 % quantile of the index when images exchange their modes, 999 times                              [choice]
    probe      logistic regression, standardised, folds split by image; mean recall over modes beside 1 ÷ modes

k-means runs in the original space, unscaled, as everything here does. Intervals are over images (engine.resampling): clusters and
predictions are made once, before images are drawn.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.errors import LoupeError
from engine.mode_scores import adjusted_rand, best_by_image, by_image, chance_of, with_groups
from engine.pixels import NO_MODE, PixelSample
from engine.resampling import Draws, Estimate, finite, holm, image_sums, percentiles, places
from engine.stage import go_on

STARTS = 10
FOLDS = 5
FEWEST = 8  # pixels of a mode, in two images, below which it is left out  [choice]


@dataclass(frozen=True)
class PlantedModes:
    """One category at one site. modes: those scored; left_out: met, but in fewer than 8 pixels or in one image only.

    clusters, by_image, best_by_image: adjusted Rand indices, 1 for the modes themselves, 0 expected by chance. chance: 95 %
    quantile by chance; p, p_holm: of an index as high by chance, Holm's over the site's categories. probe: mean recall, 0..1,
    beside probe_chance. several: share of the category's images with two sampled pixels or more that show two modes or more.
    reason: why
    nothing was scored; then all of these are nan.
    """

    category: int
    name: str
    pixels: int
    images: int
    modes: tuple[int, ...]
    left_out: tuple[int, ...]
    clusters: Estimate
    by_image: Estimate
    best_by_image: Estimate
    chance: float
    p: float
    p_holm: float
    probe: Estimate
    probe_chance: float
    several: float
    reason: str = ""

    @property
    def scored(self) -> bool:
        return not self.reason

    def json(self) -> dict[str, Any]:
        plain = ("name", "pixels", "images", "modes", "left_out", "chance", "p", "p_holm", "probe_chance")
        measures = ("clusters", "by_image", "best_by_image", "probe")
        return (
            {name: getattr(self, name) for name in (*plain, "several", "reason")}
            | {name: getattr(self, name).json() for name in measures}
            | {"category": self.category}
        )


def planted(
    sample: PixelSample,
    seed: int = 0,
    *,
    stop: Callable[[], bool] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[PlantedModes, ...]:
    """Every category of the sample that has pixels; only those in cells of one category, with a known mode, count.

    Args:
        seed: of k-means, of the exchanged modes, of the resampled images.
        stop: asked before each category. progress: called after each with (done, all).

    Raises:
        LoupeError: no planted modes are known here, categories are the prediction's, or features are not finite.
        Stopped: `stop` said yes.
    """
    what = f"{sample.model} {sample.site}".strip()
    if sample.labels != "truth" or not (sample.mode != NO_MODE).any():
        raise LoupeError(
            f"{what}: no planted modes are known of these pixels, so there is nothing to check against"
        )
    kept = sample.take(sample.pure & (sample.mode != NO_MODE))
    if not len(kept):
        raise LoupeError(f"{what}: too few pixels: none with a planted mode lies in a cell of one category")
    finite(kept.features, what)
    categories = np.unique(kept.category).tolist()
    found = []
    for done, category in enumerate(categories, start=1):
        go_on(stop)
        found.append(_category(kept.take(kept.category == category), category, seed))
        if progress is not None:
            progress(done, len(categories))
    adjusted = holm(np.array([each.p for each in found]))
    return tuple(replace(each, p_holm=float(p)) for each, p in zip(found, adjusted, strict=True))


def _category(own: PixelSample, category: int, seed: int) -> PlantedModes:
    met = np.unique(own.mode).tolist()
    images_of = {m: len(np.unique(own.image[own.mode == m])) for m in met}
    modes = tuple(m for m in met if (own.mode == m).sum() >= FEWEST and images_of[m] >= 2)
    left_out = tuple(m for m in met if m not in modes)
    nothing = Estimate(*[float("nan")] * 3)
    unscored = PlantedModes(
        category=category,
        name=own.classes[category],
        pixels=len(own),
        images=len(np.unique(own.image)),
        modes=modes,
        left_out=left_out,
        **dict.fromkeys(("clusters", "by_image", "best_by_image", "probe"), nothing),
        **dict.fromkeys(("chance", "p", "p_holm", "probe_chance"), float("nan")),
        several=share_of_several(own.image, own.mode),
    )
    if len(modes) < 2:
        few = f"of {len(met)} modes met only {len(modes)} in {FEWEST} pixels of two images"
        return replace(unscored, reason="one mode met" if len(met) == 1 else few)
    own = own.take(np.isin(own.mode, modes))
    if not np.ptp(own.features, axis=0).any():
        return replace(unscored, reason="all features are alike")
    mode = np.searchsorted(modes, own.mode)
    image, images = places(own.image)
    draws = Draws(images, seed)
    clusters = _clusters(own.features, len(modes), seed)
    chance, p = chance_of(mode, clusters, image, seed)
    return replace(
        unscored,
        pixels=len(own),
        images=images,
        clusters=with_groups(mode, clusters, image, draws),
        by_image=by_image(mode, image, draws),
        best_by_image=best_by_image(mode, image, draws),
        chance=chance,
        p=p,
        probe=probe(own.features, mode, image, draws),
        probe_chance=1 / len(modes),
    )


def _clusters(x: np.ndarray, count: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # Fewer distinct points than clusters: some stay empty, which the index counts as it should.
        warnings.simplefilter("ignore", ConvergenceWarning)
        means = KMeans(count, n_init=STARTS, random_state=seed)  # pyright: ignore[reportArgumentType]
        return means.fit_predict(x.astype(np.float64))


def probe(x: np.ndarray, mode: np.ndarray, image: np.ndarray, draws: Draws) -> Estimate:
    """Mean recall over modes 0..m−1 of a linear probe on images that it was not fitted to; percentiles over images.

    A mode that a fold's other images lack cannot be found there, and counts as missed.
    """
    right = predictions(x, mode, image) == mode
    modes = int(mode.max()) + 1
    each = np.eye(modes)[mode]
    counts = np.stack([each * right[:, None], each], axis=-1)  # (r, m, 2): found, there

    def recall(totals: np.ndarray) -> np.ndarray:
        there = totals[..., 1] > 0
        shares = np.divide(totals[..., 0], totals[..., 1], out=np.zeros(there.shape), where=there)
        return shares.sum(-1) / np.maximum(there.sum(-1), 1)

    value = float(recall(counts.sum(0)))
    return percentiles(value, recall(draws.totals(image, counts)), draws.images)


def predictions(x: np.ndarray, mode: np.ndarray, image: np.ndarray) -> np.ndarray:
    """(r,) the mode that a probe fitted to other images finds."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = x.astype(np.float64)
    found = np.full(len(mode), -1)
    folds = GroupKFold(min(FOLDS, len(np.unique(image))))
    for fitted, asked in folds.split(x, mode, image):
        if len(np.unique(mode[fitted])) == 1:
            found[asked] = mode[fitted][0]
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
        with warnings.catch_warnings():
            # Where modes part cleanly the weights grow slowly and for ever; what is predicted has settled long before.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x[fitted], mode[fitted])
        found[asked] = model.predict(x[asked])
    return found


# ── Which modes vary within an image ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class ModeVariation:
    """How often a category shows several modes in one image. images: that hold it; several: of them with two modes or more."""

    category: int
    name: str
    modes: tuple[int, ...]
    images: int
    several: int

    @property
    def share(self) -> float:
        return self.several / self.images if self.images else float("nan")


def share_of_several(image: np.ndarray, mode: np.ndarray) -> float:
    """Of one category's pixels: the share of images with two pixels or more that show two modes or more; nan without any.

    A sample sees fewer than there are: `mode_variation` counts whole images.
    """
    if not len(image):
        return float("nan")
    _, held = image_sums(image, np.eye(int(mode.max()) + 1, dtype=np.int64)[mode])
    enough = held.sum(1) >= 2
    return float(((held > 0).sum(1) >= 2)[enough].mean()) if enough.any() else float("nan")


def mode_variation(dataset: Any, limit: int | None = None) -> tuple[ModeVariation, ...]:
    """Of every category of a dataset (engine.data.datasets), over all pixels of its first `limit` images.

    Raises:
        LoupeError: it knows no modes.
    """
    classes = dataset.classes
    met: list[set[int]] = [set() for _ in classes]
    images, several = np.zeros(len(classes), int), np.zeros(len(classes), int)
    for index in range(min(limit or len(dataset), len(dataset))):
        sample = dataset[index]
        if sample.modes is None:
            raise LoupeError(f"{dataset.name} knows no planted modes")
        for category in np.unique(sample.labels[sample.labels < len(classes)]).tolist():
            here = set(np.unique(sample.modes[sample.labels == category]).tolist()) - {NO_MODE}
            met[category] |= here
            images[category] += bool(here)
            several[category] += len(here) >= 2
    return tuple(
        ModeVariation(c, name, tuple(sorted(met[c])), int(images[c]), int(several[c]))
        for c, name in enumerate(classes)
    )


__all__ = [
    "ModeVariation",
    "PlantedModes",
    "adjusted_rand",
    "mode_variation",
    "planted",
    "predictions",
    "probe",
]
