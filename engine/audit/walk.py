"""Walks over a dataset and audits models on the way: the same pixels for all of them, image after image.

An image is drawn from, traced by every model, scored, and a few of its pixels are asked with source cells hidden; what is kept is
a row a pixel. So memory does not grow with the images, and what has been walked is an audit at any moment.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from engine.atlas.chunks import id_of, reason, side_by_side
from engine.atlas.hashing import pixel_hashes
from engine.atlas.records import Skipped
from engine.atlas.walk import versions
from engine.audit import deletion
from engine.audit.gathering import Gathered, ImageRows, ModelRows
from engine.audit.records import StageInfo
from engine.audit.results import Audit
from engine.audit.sample import Drawn, draw, quota
from engine.audit.scores import Cells, cells_of, scores
from engine.audit.site import Site, sites_of
from engine.catalogue import ModelCard
from engine.errors import LoupeError
from engine.evaluation import Progress
from engine.resample import logits_of
from engine.segmenter import Segmenter
from engine.stage import Stopped, go_on

REFINE_SECONDS = 2.0  # between two partial audits
SMALLEST = 64  # pixels a side of the blank image that shows which affinities a model has


class Models(Protocol):
    """Where models come from: `engine.Engine`."""

    device: torch.device

    def card(self, model: str, /) -> ModelCard: ...
    def segmenter(self, model: str, /) -> Segmenter: ...


@dataclass(frozen=True)
class Settings:
    """Of one audit; arguments as in `run`."""

    count: int
    pixels: int
    seed: int
    stages: tuple[str, ...] | None
    deletion_pixels: int


@dataclass(frozen=True, eq=False)
class Audited:
    """A model that is audited, and the sites at which it is."""

    card: ModelCard
    segmenter: Segmenter
    stages: dict[str, StageInfo]
    undeletable: dict[str, str]


def run(
    engine: Models,
    models: Sequence[str],
    dataset: Any,
    *,
    pixels: int = 2000,
    limit: int | None = None,
    seed: int = 0,
    stages: Sequence[str] | None = None,
    deletion_pixels: int = 64,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    refine: Callable[[Audit], None] | None = None,
) -> Audit:
    """Audits models over the first `limit` images of a dataset.

    Args:
        engine: where models come from; they run in fp32, beside whatever else it is doing.
        models: catalogue ids or paths of checkpoints, all of the dataset's categories.
        pixels: in all, spread evenly over the images.
        stages: which sites; by default every one that a model has, coarse → fine.
        deletion_pixels: of those, how many are asked with source cells hidden (36 runs of the decoder each and stage); all of
            them where there are fewer.
        progress: called with images done and to do.
        stop: asked between images and inside long ones.
        refine: given what has been walked so far, every two seconds or so, and in the end.

    Raises:
        LoupeError: no model, one named twice, none with an affinity, a stage that none has, other categories, no readable image,
            counts out of range.
        Stopped: `stop` said yes; what `refine` was given last is what there is.
    """
    settings = _settings(dataset, pixels, limit, seed, stages, deletion_pixels)
    subjects, refused = _subjects(engine, models, dataset, settings)
    gathered = Gathered(
        dataset.name,
        seed,
        tuple(dataset.classes),
        settings.count,
        [(subject.card, subject.stages, subject.undeletable) for subject in subjects],
        refused,
        versions(),
    )
    said = time.monotonic()
    with side_by_side(engine.device, _first_size(dataset)) as (submit, threads):
        waiting: deque[Any] = deque()
        for place in [*range(settings.count), *[None] * threads]:
            if place is not None:
                waiting.append(submit(_image, place, dataset, subjects, settings, stop))
            while waiting and (place is None or len(waiting) > threads):
                gathered.take(waiting.popleft().result())
                if stop is not None and stop():
                    raise Stopped
                if progress is not None:
                    progress(gathered.walked, settings.count, {})
                if refine is not None and time.monotonic() - said > REFINE_SECONDS and gathered.rows:
                    refine(gathered.audit())
                    said = time.monotonic()
    audit = gathered.audit()
    if refine is not None:
        refine(audit)
    return audit


def _first_size(dataset: Any) -> int:
    """Pixels of the first image; 0 where it cannot be read, which its turn will tell."""
    try:
        height, width = dataset[0].labels.shape
    except (LoupeError, OSError, ValueError):
        return 0
    return height * width


def _settings(
    dataset: Any, pixels: int, limit: int | None, seed: int, stages: Sequence[str] | None, deleted: int
) -> Settings:
    if pixels < 1 or deleted < 0:
        what = f"{pixels} pixels" if pixels < 1 else f"{deleted} pixels for deletion"
        raise LoupeError(f"{what}: ask for at least {1 if pixels < 1 else 0}")
    count = len(dataset) if limit is None else min(limit, len(dataset))
    if count < 1:
        raise LoupeError(f"there is no image in {dataset.name} to audit")
    return Settings(count, pixels, seed, None if stages is None else tuple(stages), min(deleted, pixels))


def _subjects(
    engine: Models, models: Sequence[str], dataset: Any, settings: Settings
) -> tuple[list[Audited], dict[str, str]]:
    """(those with an affinity, why not for the others)."""
    cards = [engine.card(name) for name in models]
    if not cards:
        raise LoupeError("there is no model to audit: name at least one")
    if len({card.id for card in cards}) < len(cards):
        raise LoupeError("a model is named twice: name each once")
    found, refused, known = [], {}, []
    for name, card in zip(models, cards, strict=True):
        if tuple(dataset.classes) != card.classes:
            raise LoupeError(
                f"{card.id} knows {len(card.classes)} categories that are not the {len(dataset.classes)} of {dataset.name}"
            )
        segmenter = engine.segmenter(name)
        sites = _sites(segmenter)
        known += [site for site in sites if site not in known]
        chosen = {n: s for n, s in sites.items() if settings.stages is None or n in settings.stages}
        if not sites:
            refused[card.id] = f"{card.id} has no affinity to audit: its decoder reads no sources"
        elif not chosen:
            refused[card.id] = f"{card.id} has none of the stages asked for: it has {', '.join(sites)}"
        else:
            infos = {n: StageInfo(s.sources, s.grid, s.source_grid, s.heads) for n, s in chosen.items()}
            why = {n: deletion.undeletable(s) for n, s in chosen.items()}
            found.append(Audited(card, segmenter, infos, {n: said for n, said in why.items() if said}))
    for stage in settings.stages or ():
        if stage not in known:
            raise LoupeError(f'no stage "{stage}": these models have {", ".join(known) or "none at all"}')
    if not found:
        raise LoupeError("; ".join(refused.values()))
    return found, refused


@torch.no_grad()
def _sites(segmenter: Segmenter) -> dict[str, Site]:
    blank = torch.zeros(1, 3, SMALLEST, SMALLEST, device=segmenter.mean.device)
    return sites_of(segmenter.trace(blank)[0])


@torch.no_grad()
def _image(
    place: int,
    dataset: Any,
    subjects: Sequence[Audited],
    settings: Settings,
    stop: Callable[[], bool] | None,
) -> ImageRows | Skipped:
    """The rows of one image, of all models."""
    go_on(stop)
    try:
        sample = dataset[place]
        if sample.image.shape[:2] != sample.labels.shape:
            raise LoupeError("its labels are of another size")
    except (LoupeError, OSError, ValueError) as error:
        return Skipped(place, id_of(dataset, place), reason(error))
    truth, seed = np.asarray(sample.labels), settings.seed
    drawn = draw(truth, sample.id, quota(settings.pixels, settings.count, place), len(dataset.classes), seed)
    # By a hash of its own: the first rows would be the first categories' in turn.
    order = np.argsort(pixel_hashes(seed, f"{sample.id}/deletion", len(drawn.row)))
    asked = np.sort(order[: quota(settings.deletion_pixels, settings.count, place)])
    size, held = (int(truth.shape[0]), int(truth.shape[1])), {}
    models = []
    for subject in subjects if len(drawn.row) else ():
        go_on(stop)
        models.append(_model(subject, sample, truth, drawn, asked, held, seed, stop))
    return ImageRows(place, str(sample.id), size, drawn, tuple(models))


def _model(
    subject: Audited,
    sample: Any,
    truth: np.ndarray,
    drawn: Drawn,
    asked: np.ndarray,
    held: dict[tuple[int, int], Cells],
    seed: int,
    stop: Callable[[], bool] | None,
) -> ModelRows:
    """held: cells by source grid, which models share."""
    segmenter, size = subject.segmenter, (int(truth.shape[0]), int(truth.shape[1]))
    base = segmenter.trace(segmenter.normalise(sample.image))
    trace = base[0]
    at = np.stack([drawn.row, drawn.col], axis=1).astype(np.int64)
    chances = logits_of(base.logits, np.zeros(len(at), np.int64), at, size).softmax(1)
    confidence, predicted = chances.max(1)
    parts = (
        segmenter.decoder.parts(base) if len(asked) and len(subject.undeletable) < len(subject.stages) else ()
    )
    columns, fallen, grids = {}, {}, {}
    for name, site in sites_of(trace).items():
        if name not in subject.stages:
            continue
        grids[name] = site.grid, site.source_grid
        cells = held.get(site.source_grid)
        if cells is None:
            cells = held[site.source_grid] = cells_of(truth, drawn, site.source_grid, len(drawn.counts))
        columns[name] = scores(site, drawn, cells, size, stop)
        if len(asked) and name not in subject.undeletable and site.stage is not None:
            fallen[name] = deletion.margins(
                segmenter.decoder, base, parts, site.stage, drawn, cells, asked, sample.id, seed, stop
            )
    return ModelRows(
        predicted.numpy().astype(np.int16),
        confidence.numpy().astype(np.float32),
        columns,
        asked,
        fallen,
        grids,
    )
