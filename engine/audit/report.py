"""What an audit says, as plain values and as sentences: the command line's result, and `tables.json` beside its columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from engine.audit.records import SCORES, By, Correctness, Deletion
from engine.audit.results import Audit
from engine.errors import LoupeError
from engine.resampling import RESAMPLES, Estimate

QUALITY = ("auc", "auc_relative", "auc_profile")
"""The maps whose scores are held against right and wrong."""

SAMPLING = "pixels balanced over the categories of each image"


def report(audit: Audit, by: Sequence[By] = ("all", "category")) -> dict[str, Any]:
    """Every table, with the slices of `by`, and the findings."""
    return {
        "data": audit.data,
        "images": len(audit.images),
        "skipped": [vars(one) for one in audit.skipped],
        "pixels": len(audit),
        "sampling": SAMPLING,
        "seed": audit.seed,
        "intervals": f"95 % of {RESAMPLES} resamples of images, one training seed",
        "classes": list(audit.classes),
        "versions": audit.versions,
        "refused": audit.refused,
        "models": [_model(audit, model, by) for model in audit.models],
        "paired": [
            {"a": a, "b": b, "stage": stage, "score": score, "rows": rows}
            for a, b in combinations(audit.models, 2)
            for stage in audit.stages(a)
            if stage in audit.stages(b)
            for score in QUALITY
            if (rows := [row.json() for row in audit.paired(a, b, stage, score)])
        ],
        "finding": list(findings(audit)),
    }


def _model(audit: Audit, model: str, by: Sequence[By]) -> dict[str, Any]:
    entry = audit.entry(model)
    stages = {}
    for stage, info in entry.stages.items():
        tables = {
            score: {each: [row.json() for row in audit.summary(model, stage, score, each)] for each in by}
            for score in SCORES
        }
        stages[stage] = {
            **vars(info),
            "scores": tables,
            "correctness": {score: audit.correctness(model, stage, score).json() for score in QUALITY},
            "deletion": _deletion(audit, model, stage),
        }
    right = audit.summary(model, next(iter(entry.stages)), "right", "all")
    return {
        "model": model,
        "checkpoint": entry.checkpoint,
        "method": entry.method,
        "sources": entry.sources,
        "right": right[0].json()["mean"],
        "stages": stages,
    }


def _deletion(audit: Audit, model: str, stage: str) -> dict[str, Any]:
    try:
        return audit.deletion(model, stage).json()
    except LoupeError as error:
        return {"refused": str(error)}


# ---------------------------------------------------------------- sentences


def findings(audit: Audit) -> list[str]:
    """Two or three sentences a model, of its finest stage: which map finds the own category, does that go with right decisions,
    which map tells the truth."""
    return [line for model in audit.models for line in _of_model(audit, model, audit.stages(model)[-1])]


def _of_model(audit: Audit, model: str, stage: str) -> list[str]:
    mean = {score: _mean(audit, model, stage, score) for score in (*QUALITY, "auc_distance")}
    lines = [
        f"{model}, {stage}: cells of the own category are found with area {written(mean['auc'])} by raw affinity, "
        f"{written(mean['auc_relative'])} relative to the image's average and {written(mean['auc_profile'])} by profile "
        f"similarity; distance alone gives {written(mean['auc_distance'])}."
    ]
    lines.append(f"{model}, {stage}: {_tells(audit.correctness(model, stage, 'auc_profile'))}")
    try:
        lines.append(f"{model}, {stage}: {_truest(audit.deletion(model, stage))}")
    except LoupeError as error:
        lines.append(f"{model}: {error}.")
    return lines


def _mean(audit: Audit, model: str, stage: str, score: str) -> Estimate:
    return audit.summary(model, stage, score, "all")[0].mean


def _tells(found: Correctness) -> str:
    """Whether profile similarity goes with right decisions, beyond category and boundary."""
    beyond = found.within_both
    if math.isnan(beyond.low):
        return f"{found.wrong} wrong pixels beside {found.right} right ones are too few to tell whether the map goes with right."
    measurable = beyond.low > 0 or beyond.high < 0
    return (
        f"right pixels' area by profile similarity is {written(beyond, signed=True)} from that of wrong ones of their category "
        f"and distance to the boundary{'' if measurable else ', not measurably'}; it tells right from wrong with area "
        f"{written(found.area)}, the confidence with {written(found.area_confidence)}."
    )


def _truest(found: Deletion) -> str:
    """By which maps the margin falls faster than by chance."""
    ranked = sorted(found.curves, key=lambda curve: -curve.against_random.value)
    if math.isnan(ranked[0].against_random.low):
        return f"{found.pixels} pixels of {found.images} images are too few to tell which map is true to the decision."
    truer = [curve for curve in ranked if curve.against_random.low > 0]
    others = [curve.map for curve in ranked if curve not in truer and curve.map != "random"]
    shown = [f"{curve.map} {written(curve.against_random, signed=True)}" for curve in truer]
    best = f"faster than in a random order by {', '.join(shown)}" if shown else "measurably faster by no map"
    left = f"; not measurably by {', '.join(others)}" if others and shown else ""
    return (
        f"with up to half of the source cells hidden the margin, {found.margin.value:.3g} logits on average, falls {best}{left} "
        f"(mean over the shares, {found.pixels} pixels)."
    )


def written(value: Estimate, signed: bool = False) -> str:
    """A number with its interval."""
    sign = "+" if signed else ""
    shown = f"{value.value:{sign}.3f}"
    return shown if math.isnan(value.low) else f"{shown} ({value.low:{sign}.3f} to {value.high:{sign}.3f})"
