"""From an audit to the sheets that the Audit page draws: distributions and differences. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from app.sheets_audit import Strip, StripRow, StripSheet, density, scale_of
from app.sheets_prototypes import ChartSheet, Mark, Names, Row, Shape, Span, round_up
from app.views import audit_words as words
from app.words import number, percent
from engine.audit import Audit, tables
from engine.audit.records import By, PairedRow
from engine.audit.results import slices
from engine.audit.slices import groups_of
from engine.catalogue import ModelCard
from engine.resampling import Estimate

SHAPES: tuple[Shape, ...] = ("square", "open", "disc")  # of models, in their order
ALL = "all pixels"
LEVEL = 0.05
# The score's own columns, beside the baseline that knows distance alone.
MAP_SCORES = {
    "auc": "affinity",
    "auc_relative": "relative affinity",
    "auc_profile": "profile similarity",
}


@dataclass(frozen=True, eq=False)
class Asked:
    """What is to be drawn of an audit. cards: of its models, in their order; stage: the one that all but the strips are about."""

    audit: Audit
    cards: tuple[ModelCard, ...]
    stage: str
    score: str
    by: By
    names: Names

    @property
    def models(self) -> tuple[str, ...]:
        return self.audit.models

    @property
    def here(self) -> tuple[str, ...]:
        """The models that have the stage."""
        return tuple(model for model in self.models if self.stage in self.audit.stages(model))

    @property
    def title(self) -> str:
        """Of the score."""
        return words.SCORES[self.score][0]

    def caption(self, what: str) -> str:
        return words.caption(self.audit, self.cards, what)


def stages_of(audit: Audit) -> tuple[str, ...]:
    """Of all models, coarse to fine, "context" last."""
    return tuple(dict.fromkeys(stage for model in audit.models for stage in audit.stages(model)))


# ---------------------------------------------------------------------------------------------- distributions


def strips(asked: Asked) -> StripSheet:
    """The score's distribution: of all pixels first, then in each slice."""
    audit, columns = asked.audit, stages_of(asked.audit)
    title, fixed, unit = words.SCORES[asked.score]
    places = [(column, m) for column in columns for m in asked.models if column in audit.stages(m)]
    values = {(column, model): audit.values(model, column, asked.score) for column, model in places}
    scale = fixed or scale_of(list(values.values()), unit)
    beside = asked.score in words.AGAINST_DISTANCE
    rows, groups = [], {}
    for column, model in places:
        kinds: tuple[By, ...] = ("all", asked.by)
        for kind in kinds:
            for one in audit.summary(model, column, asked.score, by=kind):
                key = ALL if kind == "all" else one.key
                where = _where(audit, model, asked.by, key)
                shown = values[column, model][where]
                base = _baseline(audit, model, column, where, shown) if beside else math.nan
                groups[key, column, model] = Strip(
                    model=asked.models.index(model), density=density(shown, scale), quantiles=one.quantiles,
                    mean=one.mean.value, low=one.mean.low, high=one.mean.high, baseline=base,
                    pixels=one.pixels, images=one.images, undefined=one.undefined,
                )  # fmt: skip
    for key in _keys(asked, [key for key, _, _ in groups]):
        cells = tuple(
            tuple(groups[key, column, m] for m in asked.models if (key, column, m) in groups)
            for column in columns
        )
        category = (
            asked.names.names.index(key) if asked.by == "category" and key in asked.names.names else None
        )
        rows.append(StripRow(key, cells, category, strong=key == ALL))
    return StripSheet(
        key="distribution", title=f"{title} by {words.SLICES[asked.by]}", columns=columns, models=asked.models,
        rows=tuple(rows), scale=scale, names=asked.names, marked=asked.stage,
        baseline=words.BASELINE if beside else "",
        caption=asked.caption(f"{title} of each pixel, at every stage; shape: density; line: median; square: mean"),
    )  # fmt: skip


def _keys(asked: Asked, met: Sequence[str]) -> list[str]:
    """All pixels, then the slices that were met, in the order of their kind."""
    every = [ALL, *slices(asked.by, asked.audit.classes)]
    known = set(met)
    return [key for key in every if key in known]


def _where(audit: Audit, model: str, by: By, key: str) -> np.ndarray:
    """(r,) bool: the pixels of a slice."""
    if key == ALL:
        return np.ones(len(audit), bool)
    columns = {**audit.pixels, "right": audit.entry(model).right}
    return groups_of(by, columns, audit.classes)[key]


def _baseline(audit: Audit, model: str, stage: str, where: np.ndarray, shown: np.ndarray) -> float:
    base = audit.values(model, stage, "auc_distance")[where][np.isfinite(shown)]
    known = base[np.isfinite(base)]
    return float(known.mean()) if len(known) else math.nan


# ---------------------------------------------------------------------------------------------- differences


def beyond(asked: Asked) -> ChartSheet:
    """What each map knows beyond distance, on the same pixels."""
    audit, rows = asked.audit, []
    for model in asked.models:
        for stage in audit.stages(model):
            base = audit.values(model, stage, "auc_distance")
            found = [
                tables.paired(audit.draws, audit.pixels["image"], audit.values(model, stage, name), base, {})[
                    0
                ].difference
                for name in MAP_SCORES
            ]
            rows.append(
                Row(
                    stage, tuple(finite(one.value) for one in found), tuple(span_of(one) for one in found),
                    group=model if len(asked.models) > 1 else "", strong=stage == asked.stage,
                )
            )  # fmt: skip
    low, high = ends([*rows], least=0.1)
    return ChartSheet(
        key="beyond", title="What does a map know beyond distance?",
        marks=tuple(Mark(name, shape) for name, shape in zip(MAP_SCORES.values(), SHAPES, strict=True)),
        rows=tuple(rows), low=low, high=high, unit="same-category AUC minus that of distance alone",
        caption=asked.caption("Differences of AUC on the same pixels"), names=asked.names, at=(0.0, "distance alone"),
        span="line: 95 % over images",
    )  # fmt: skip


def paired(asked: Asked) -> ChartSheet | None:
    """Differences between models on the same pixels, of all and in each slice; None with fewer than two."""
    pairs = list(combinations(asked.here, 2))
    if not pairs:
        return None
    tables_of = [asked.audit.paired(a, b, asked.stage, asked.score, by=asked.by) for a, b in pairs]
    found = [{ALL if row.key == "all" else row.key: row for row in table} for table in tables_of]
    rows = []
    for key in _keys(asked, [key for table in found for key in table]):
        ones = [table[key].difference if key in table else None for table in found]
        rows.append(
            Row(
                key, tuple(None if one is None else finite(one.value) for one in ones),
                tuple(None if one is None else span_of(one) for one in ones),
                tuple(number(None if one is None else one.value) for one in ones) if len(pairs) == 1 else (),
                category=asked.names.names.index(key) if key in asked.names.names and asked.by == "category" else None,
                strong=key == ALL,
            )
        )  # fmt: skip
    low, high = ends(rows, least=0.02)
    marks = tuple(Mark(f"{a} − {b}", shape) for (a, b), shape in zip(pairs, SHAPES, strict=False))
    return ChartSheet(
        key="paired", title=f"Difference of {asked.title} at {asked.stage}", marks=marks, rows=tuple(rows), low=low,
        high=high, unit="first minus second, on the same pixels",
        caption=asked.caption(f"Differences of {asked.title} at {asked.stage} on the same pixels"), names=asked.names,
        heads=("difference",) if len(pairs) == 1 else (), at=(0.0, "no difference"), span="line: 95 % over images",
        note=" ".join(_surviving(mark.name, table) for mark, table in zip(marks, tables_of, strict=True)),
    )  # fmt: skip


def _surviving(pair: str, table: Sequence[PairedRow]) -> str:
    """In which slices the difference holds although so many were looked at."""
    held = [row.key for row in table if row.key != "all" and row.p_holm <= LEVEL]
    where = ", ".join(held) if held else "no slice"
    return f"{pair}, told from 0 after Holm's correction over {len(table) - 1} slices (5 %): {where}."


# ---------------------------------------------------------------------------------------------- numbers


def overall(asked: Asked) -> list[str]:
    """One sentence for each model at the stage: where a pixel's score usually lies."""
    found = []
    for model in asked.here:
        (one,) = asked.audit.summary(model, asked.stage, asked.score, by="all")
        if not one.pixels:
            found.append(f"{model} has no {asked.title} at {asked.stage}.")
            continue
        values = asked.audit.values(model, asked.stage, asked.score)
        _, scale, _ = words.SCORES[asked.score]
        chance = ""
        if scale is not None and scale.at is not None:
            below = float((values[np.isfinite(values)] < scale.at[0]).mean())
            chance = f", {percent(below, 2)} below chance"
        missing = f"; not defined for {one.undefined}" if one.undefined else ""
        found.append(
            f"{model} at {asked.stage}: {asked.title} is {said(one.mean)} on average, for the middle half of the pixels "
            f"{number(one.quantiles[1])} to {number(one.quantiles[3])}{chance} ({one.pixels} pixels of {one.images} "
            f"images{missing})."
        )
    return found


def said(one: Estimate | None) -> str:
    """A value with its interval; a dash without one."""
    return "–" if one is None else words.span(one.value, one.low, one.high)


def finite(value: float) -> float | None:
    """None where there is no number to draw."""
    return value if math.isfinite(value) else None


def span_of(one: Estimate) -> Span | None:
    """Its interval, where there is one."""
    return Span(one.low, one.high) if math.isfinite(one.low) and math.isfinite(one.high) else None


def ends(rows: Sequence[Row], least: float) -> tuple[float, float]:
    """A round axis around 0 that holds all values and intervals."""
    values = [v for row in rows for v in row.values if v is not None]
    values += [end for row in rows for s in row.spans if s is not None for end in (s.low, s.high)]
    low, high = min([0.0, *values]), max([0.0, *values])
    return (-round_up(max(-low, least)) if low < 0 else -least), (round_up(max(high, least)))
