"""Rows of images, put together into an audit: what a walk has at any moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.atlas.records import Skipped
from engine.audit.records import (
    MAPS,
    OF_STAGES,
    SHARES,
    AuditedImage,
    DeletionRows,
    ModelAudit,
    StageInfo,
)
from engine.audit.results import Audit
from engine.audit.sample import Drawn
from engine.catalogue import ModelCard
from engine.errors import LoupeError

Grids = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, eq=False)
class ModelRows:
    """One model's rows of one image. predicted, confidence (p,) · scores: stage → column → (p,) · asked (d,): places of pixels of
    `fallen`: stage → (margins, shares hidden) · grids: stage → (queries', sources')."""

    predicted: np.ndarray
    confidence: np.ndarray
    scores: dict[str, dict[str, np.ndarray]]
    asked: np.ndarray
    fallen: dict[str, tuple[np.ndarray, np.ndarray]]
    grids: dict[str, Grids]


@dataclass(frozen=True, eq=False)
class ImageRows:
    """Of one image; `models` in the audit's order, empty where no pixel was drawn."""

    index: int
    id: str
    size: tuple[int, int]
    drawn: Drawn
    models: tuple[ModelRows, ...]


class Gathered:
    """What has been walked. models: (card, its sites, stage → why nothing can be hidden there); others as in `Audit`."""

    def __init__(
        self,
        data: str,
        seed: int,
        classes: tuple[str, ...],
        asked: int,
        models: Sequence[tuple[ModelCard, dict[str, StageInfo], dict[str, str]]],
        refused: dict[str, str],
        versions: dict[str, str],
    ) -> None:
        self.data, self.seed, self.classes, self.asked = data, seed, classes, asked
        self.models, self.refused, self.versions = models, refused, versions
        self.images: list[ImageRows] = []
        self.skipped: list[Skipped] = []
        self.rows = 0

    @property
    def walked(self) -> int:
        """Images, skipped ones included."""
        return len(self.images) + len(self.skipped)

    def take(self, found: ImageRows | Skipped) -> None:
        """The next image."""
        if isinstance(found, Skipped):
            self.skipped.append(found)
        else:
            self.images.append(found)
            self.rows += len(found.drawn.row)

    def audit(self) -> Audit:
        """Of what there is.

        Raises:
            LoupeError: not one labelled pixel.
        """
        if not self.rows:
            why = f"; the first, {self.skipped[0].id}: {self.skipped[0].reason}" if self.skipped else ""
            raise LoupeError(f"no image of {self.data} gave a labelled pixel to audit{why}")
        full = [image for image in self.images if image.models]
        drawn = [image.drawn for image in full]
        place = [at for at, image in enumerate(self.images) if image.models]
        counts = np.sum([image.drawn.counts for image in self.images], axis=0)
        category = np.concatenate([each.category for each in drawn])
        pixels = {
            "image": np.repeat(np.array(place, np.int64), [len(each.row) for each in drawn]),
            "row": np.concatenate([each.row for each in drawn]),
            "col": np.concatenate([each.col for each in drawn]),
            "category": category,
            "boundary_distance": np.concatenate([each.boundary_distance for each in drawn]),
            "object_share": np.concatenate([each.object_share for each in drawn]),
            "rarity": (counts / counts.sum())[category].astype(np.float32),
        }
        return Audit(
            data=self.data,
            seed=self.seed,
            classes=self.classes,
            asked=self.asked,
            images=tuple(AuditedImage(image.id, image.index, image.size) for image in self.images),
            pixels=pixels,
            entries=tuple(self._entry(at, full, category) for at in range(len(self.models))),
            refused=dict(self.refused),
            skipped=tuple(self.skipped),
            versions=dict(self.versions),
        )

    def _entry(self, at: int, full: Sequence[ImageRows], category: np.ndarray) -> ModelAudit:
        card, stages, undeletable = self.models[at]
        rows = [image.models[at] for image in full]
        predicted = np.concatenate([each.predicted for each in rows])
        grids = rows[0].grids
        return ModelAudit(
            model=card.id,
            checkpoint=card.hash,
            method=card.method,
            sources=card.sources or "",
            predicted=predicted,
            right=predicted == category,
            confidence=np.concatenate([each.confidence for each in rows]),
            stages={
                name: replace(info, grid=grids[name][0], source_grid=grids[name][1])
                for name, info in stages.items()
            },
            scores={
                name: {
                    column: np.concatenate([each.scores[name][column] for each in rows])
                    for column in OF_STAGES
                }
                for name in stages
            },
            deletion={name: found for name in stages if (found := _fallen(name, full, rows)) is not None},
            undeletable=dict(undeletable),
        )


def _fallen(name: str, full: Sequence[ImageRows], rows: Sequence[ModelRows]) -> DeletionRows | None:
    """None where no pixel was asked."""
    starts = np.cumsum([0, *(len(image.drawn.row) for image in full)])[:-1]
    with_any = [(start, each) for start, each in zip(starts, rows, strict=True) if name in each.fallen]
    if not with_any:
        return None
    margins = np.concatenate([each.fallen[name][0] for _, each in with_any])
    assert margins.shape[1:] == (len(MAPS), len(SHARES))
    return DeletionRows(
        np.concatenate([start + each.asked for start, each in with_any]),
        margins,
        np.concatenate([each.fallen[name][1] for _, each in with_any]),
    )
