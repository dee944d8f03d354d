"""An audit: scores of the same sampled pixels for several models, and the tables that follow from them.

    audit.columns("cpt", "stride4")["auc"]        (r,), row-aligned over models and stages; nan where undefined
    audit.summary("cpt", "stride4", "auc")        one row a category: distribution, mean with an interval over images
    audit.paired("cpt", "qup", "stride4", "auc")  differences on the same pixels
    audit.correctness("cpt", "stride4", "auc")    does the score tell right from wrong?
    audit.cases("cpt", "stride4", "auc", "worst") pixels to look at
    audit.deletion("cpt", "stride4")              which map tells the truth about the decision?

Pixels are drawn balanced over the categories of each image (see `engine.audit.sample`): a mean over all of them is not a mean
over the dataset's pixels. Intervals are over images, one training seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

import numpy as np

from engine.atlas.records import Skipped
from engine.audit import tables
from engine.audit.records import (
    COLUMNS,
    OF_PIXELS,
    SCORES,
    AuditedImage,
    By,
    Case,
    Correctness,
    Deletion,
    ModelAudit,
    PairedRow,
    SummaryRow,
    Which,
)
from engine.audit.slices import SLICES, groups_of
from engine.errors import LoupeError
from engine.resampling import Draws

FLOATS = (*SCORES, "confidence", "right", "boundary_distance", "object_share", "rarity")
"""What tables can be made of."""


@dataclass(frozen=True, eq=False)
class Audit:
    """Of i images and r pixels.

    pixels: the columns of `OF_PIXELS`: image (r,) int64 place in `images`; row, col (r,) int32 of the image; category (r,) int16
    true; boundary_distance (r,) float32 pixels, nan where the image holds one category alone; object_share (r,) float32
    of the image that the pixel's connected object covers; rarity (r,) float32 share of its category in the images walked.
    asked: how many images the walk was to cover; fewer in a partial result. refused: models without an affinity, and why.
    """

    data: str
    seed: int
    classes: tuple[str, ...]
    asked: int
    images: tuple[AuditedImage, ...]
    pixels: dict[str, np.ndarray]
    entries: tuple[ModelAudit, ...]
    refused: dict[str, str] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """r."""
        return len(self.pixels["image"])

    @property
    def models(self) -> tuple[str, ...]:
        """Catalogue ids, in the order in which they were asked for."""
        return tuple(entry.model for entry in self.entries)

    @property
    def complete(self) -> bool:
        """Whether every image was walked that was to be."""
        return len(self.images) + len(self.skipped) == self.asked

    def stages(self, model: str) -> tuple[str, ...]:
        """Coarse → fine; "context" where the affinity is the CAE's."""
        return tuple(self.entry(model).stages)

    def entry(self, model: str) -> ModelAudit:
        """Everything of one model.

        Raises:
            LoupeError: it is not in this audit, or has no affinity.
        """
        for entry in self.entries:
            if entry.model == model:
                return entry
        if model in self.refused:
            raise LoupeError(self.refused[model])
        raise LoupeError(f'the audit has no model "{model}": it has {", ".join(self.models) or "none"}')

    def columns(self, model: str, stage: str) -> dict[str, np.ndarray]:
        """Every column of `engine.audit.records.COLUMNS`, (r,) each. leaks_to: −1 where there is no other category.

        Raises:
            LoupeError: no such model or stage.
        """
        entry = self.entry(model)
        if stage not in entry.scores:
            raise LoupeError(f'no stage "{stage}": {model} has {", ".join(entry.scores)}')
        own = {"predicted": entry.predicted, "right": entry.right, "confidence": entry.confidence}
        found = {**self.pixels, **own, **entry.scores[stage]}
        return {name: found[name] for name in COLUMNS}

    def values(self, model: str, stage: str, score: str) -> np.ndarray:
        """(r,) float64 of one column that tables can be made of.

        Raises:
            LoupeError: no such model, stage or score.
        """
        if score not in FLOATS:
            raise LoupeError(f'no score "{score}": there are {", ".join(FLOATS)}')
        return self.columns(model, stage)[score].astype(np.float64)

    # ---------------------------------------------------------------- tables

    def summary(self, model: str, stage: str, score: str, by: By = "category") -> list[SummaryRow]:
        """Distribution and mean of a score in every category or slice that has pixels.

        Args:
            by: "all", "category", "object" (share of the image), "rarity", "boundary" (distance), "right".
        """
        values = self.values(model, stage, score)
        return tables.summary(self.draws, self.pixels["image"], values, self._groups(by, model))

    def paired(
        self,
        a: str,
        b: str,
        stage: str,
        score: str,
        by: By = "category",
        stage_b: str | None = None,
    ) -> list[PairedRow]:
        """Differences a − b over the pixels where both have a score: of all, then in each category or slice.

        Args:
            by: as `summary`; "right" goes by model a.
            stage_b: b's stage, where it is not called the same.
        """
        values = self.values(a, stage, score), self.values(b, stage_b or stage, score)
        groups = {} if by == "all" else self._groups(by, a)
        return tables.paired(self.draws, self.pixels["image"], *values, groups)

    def correctness(self, model: str, stage: str, score: str) -> Correctness:
        """The relation of a score to whether the model's decision is right."""
        columns = self.columns(model, stage)
        return tables.correctness(self.draws, columns, self.values(model, stage, score))

    def cases(
        self, model: str, stage: str, score: str, which: Which = "worst", count: int = 12
    ) -> list[Case]:
        """At most `count` pixels with a score, at most one of each image and category: those with the worst scores first (the
        lowest, where neither is better), the best first, or a seeded draw."""
        chosen = tables.chosen(
            self.columns(model, stage), self.values(model, stage, score), score, which, count, self.seed
        )
        columns, values = self.columns(model, stage), self.values(model, stage, score)
        return [
            Case(
                image=self.images[int(columns["image"][at])].id,
                index=self.images[int(columns["image"][at])].index,
                row=int(columns["row"][at]),
                col=int(columns["col"][at]),
                stage=stage,
                score=float(values[at]),
                category=int(columns["category"][at]),
                predicted=int(columns["predicted"][at]),
                right=bool(columns["right"][at]),
                confidence=float(columns["confidence"][at]),
                at=int(at),
            )
            for at in chosen
        ]

    def deletion(self, model: str, stage: str) -> Deletion:
        """Deletion curves of one stage.

        Raises:
            LoupeError: no such model or stage, or none of its source cells could be hidden.
        """
        entry = self.entry(model)
        self.columns(model, stage)
        if stage not in entry.deletion:
            why = f"no pixel of {model} was asked with source cells of {stage} hidden"
            raise LoupeError(entry.undeletable.get(stage, why))
        rows = entry.deletion[stage]
        return tables.deletion(self.draws, model, stage, self.pixels["image"][rows.row], rows)

    # ---------------------------------------------------------------- inside

    @cached_property
    def draws(self) -> Draws:
        """The resamples that all intervals share."""
        return Draws(max(1, len(self.images)), self.seed)

    def _groups(self, by: By, model: str) -> dict[str, np.ndarray]:
        if by not in SLICES:
            raise LoupeError(f'no slices by "{by}": there are {", ".join(SLICES)}')
        columns = {name: self.pixels[name] for name in OF_PIXELS}
        return groups_of(by, {**columns, "right": self.entry(model).right}, self.classes)


def slices(by: str, classes: Sequence[str]) -> tuple[str, ...]:
    """The names of all slices of a kind, in their order, whether they have pixels or not."""
    return tuple(classes) if by == "category" else SLICES[cast(By, by)]
