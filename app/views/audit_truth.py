"""What an audit says about right and wrong, as the Audit page's sheets: correctness by score, and curves of deletion. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from app.sheets_audit import Curve, CurveSheet
from app.sheets_prototypes import ChartSheet, Mark, Row
from app.views import audit_words as words
from app.views.audit_made import SHAPES, Asked, ends, finite, said, span_of
from app.words import number, percent
from engine.audit import Correctness, Deletion
from engine.audit.records import Bin
from engine.errors import LoupeError

ENOUGH = 10  # images below which intervals are too narrow for a verdict on maps  [choice]

# ---------------------------------------------------------------------------------------------- right and wrong


def correct(asked: Asked) -> tuple[ChartSheet | None, tuple[str, ...]]:
    """P(right) by tenths of the score, and what it comes to in a sentence for each model."""
    known = [
        (model, one)
        for model in asked.here
        if (one := asked.audit.correctness(model, asked.stage, asked.score)).bins
    ]
    if not known:
        return None, (f"No pixel has {asked.title} at {asked.stage}.",)
    alone = len(known) if len(known) == 1 else 0  # more columns of numbers would leave no room for the axis
    rows = []
    for place in range(max(len(one.bins) for _, one in known)):
        bins = [one.bins[place] if place < len(one.bins) else None for _, one in known]
        rows.append(
            Row(
                _bin(place, bins) if len(known) == 1 else f"tenth {place + 1}",
                tuple(None if one is None else finite(one.right.value) for one in bins),
                tuple(None if one is None else span_of(one.right) for one in bins),
                tuple(percent(None if one is None else one.right.value, 2) for one in bins[:alone]),
            )
        )
    lowest = min((s.low for row in rows for s in row.spans if s is not None), default=0.5)
    values = [v for row in rows for v in row.values if v is not None]
    low = min(0.9, math.floor(10 * min([lowest, *values])) / 10)
    sheet = ChartSheet(
        key="correctness", title="Does it tell right from wrong?",
        marks=tuple(Mark(model, shape) for (model, _), shape in zip(known, SHAPES, strict=False)),
        rows=tuple(rows), low=low, high=1.0, unit=f"share of right pixels, by tenths of {asked.title} at {asked.stage}",
        caption=asked.caption(f"Share of right pixels in tenths of {asked.title} at {asked.stage}, lowest first"),
        names=asked.names, heads=tuple(model for model, _ in known[:alone]), span="line: 95 % over images",
    )  # fmt: skip
    return sheet, tuple(_verdict(model, one) for model, one in known)


def _bin(place: int, bins: Sequence[Bin | None]) -> str:
    one = bins[0]
    return f"tenth {place + 1}" if one is None else f"{number(one.low, 2)} to {number(one.high, 2)}"


def _verdict(model: str, one: Correctness) -> str:
    if not one.wrong:
        return f"{model}: none of the {one.right} pixels is wrong, so there is nothing to tell apart."
    told, hold = (
        side(one.area.low, one.area.high, 0.5),
        side(one.within_both.low, one.within_both.high, 0.0),
    )
    what = {
        1: "right pixels score higher than wrong ones",
        -1: "right pixels score lower than wrong ones",
        0: "the score does not tell right pixels from wrong ones",
    }[told]
    held = {1: "right pixels score higher", -1: "right pixels score lower", 0: "no difference shows"}[hold]
    return (
        f"{model}: {what} (AUC {said(one.area)}; confidence {said(one.area_confidence)}, distance to the boundary "
        f"{said(one.area_boundary)}). Within one category and band of distance {held} ({said(one.within_both)}); "
        f"{one.wrong} of {one.right + one.wrong} pixels are wrong."
    )


def side(low: float, high: float, middle: float) -> int:
    """1 where the whole interval lies above, −1 below, 0 where it does not say."""
    return 1 if low > middle else -1 if high < middle else 0


# ---------------------------------------------------------------------------------------------- deletion


def deletions(asked: Asked) -> tuple[dict[str, Deletion], dict[str, str]]:
    """(model → its curves at the stage, model → why there are none)."""
    found, why = {}, {}
    for model in asked.here:
        try:
            found[model] = asked.audit.deletion(model, asked.stage)
        except LoupeError as error:
            why[model] = f"{model}: {error}"
    return found, why


def curves(asked: Asked, model: str, one: Deletion) -> CurveSheet:
    """How far the margin falls as more of the cells that a map ranks highest are hidden."""
    known = {curve.map: curve for curve in one.curves}
    drawn = tuple(
        Curve(
            name, np.array([e.value for e in curve.drop]), np.array([e.low for e in curve.drop]),
            np.array([e.high for e in curve.drop]), (curve.area.value, curve.area.low, curve.area.high),
        )
        for key, name in words.MAPS.items()
        if (curve := known.get(key)) is not None
    )  # fmt: skip
    return CurveSheet(
        key=f"deletion-{model}", title=f"Which map tells the truth? {model} at {asked.stage}",
        x=100 * np.array(one.shares), across="% of the source cells hidden, those that the map ranks highest",
        unit="fall of the margin, logits", curves=drawn, said=truth(model, one),
        caption=words.caption(
            asked.audit, [card for card in asked.cards if card.id == model],
            f"Fall of the margin (shown category minus best other) while source cells of {asked.stage} are hidden, mean of "
            f"{one.pixels} pixels of {one.images} images; bands: 95 % over images"
        ),
    )  # fmt: skip


def areas(asked: Asked, found: dict[str, Deletion]) -> ChartSheet:
    """Area under every model's curves, less that of hiding at random."""
    rows = []
    for key, name in words.MAPS.items():
        ones = [next((c for c in one.curves if c.map == key), None) for one in found.values()]
        if key == "random" or not any(ones):
            continue
        beyond_random = [None if one is None else one.against_random for one in ones]
        rows.append(
            Row(
                name,
                tuple(None if one is None else finite(one.value) for one in beyond_random),
                tuple(None if one is None else span_of(one) for one in beyond_random),
                tuple("–" if one is None else said(one) for one in beyond_random) if len(ones) == 1 else (),
            )
        )
    low, high = ends(rows, least=0.05)
    return ChartSheet(
        key="deletion-areas", title="Fall of the margin beyond hiding at random",
        marks=tuple(Mark(model, shape) for model, shape in zip(found, SHAPES, strict=False)), rows=tuple(rows), low=low,
        high=high, unit="logits, mean over the shares hidden", at=(0.0, "at random"), span="line: 95 % over images",
        caption=asked.caption(f"Area under the deletion curves at {asked.stage} minus that of hiding at random, paired"),
        names=asked.names, heads=("area (95 %)",) if len(found) == 1 else (), wide=True,
    )  # fmt: skip


def truth(model: str, one: Deletion) -> str:
    """The sentence that the curves come to: which map's cells the decision rested on most, and how affinity does."""
    known = {curve.map: curve for curve in one.curves if math.isfinite(curve.area.value)}
    ranked = sorted((c for name, c in known.items() if name != "random"), key=lambda curve: -curve.area.value)
    if not ranked:
        return f"{model}: no pixel could be asked with source cells hidden."
    if one.images < ENOUGH:
        return (
            f"{model}, {one.stage}: {one.pixels} pixels of {one.images} images are too few to say which map tells the truth; "
            "audit more images."
        )
    first = ranked[0]
    if not first.against_random.low > 0:
        return (
            f"{model}, {one.stage}: no map can be told from hiding at random ({one.pixels} pixels of {one.images} images; the "
            f"largest fall beyond it is {said(first.against_random)} logits, by {words.MAPS[first.map]})."
        )
    ahead = [c for c in ranked[1:] if not c.area.high < first.area.low]
    alone = (
        "ahead of all others"
        if not ahead
        else f"not clearly ahead of {' and '.join(words.MAPS[c.map] for c in ahead[:2])}"
        if len(ahead) <= 2
        else f"not clearly ahead of {len(ahead)} others"
    )
    by_chance = number(known["random"].area.value)
    text = (
        f"{model}, {one.stage}: what {words.MAPS[first.map]} points at is what the decision rests on most (margin falls by "
        f"{said(first.area)} logits, at random by {by_chance}; {one.pixels} pixels of {one.images} images), {alone}"
    )
    affinity = known.get("affinity")
    if affinity is None or first.map == "affinity":
        return f"{text}."
    sign = side(affinity.against_random.low, affinity.against_random.high, 0.0)
    how = {
        1: "better than random",
        0: "no better than random",
        -1: "worse than random",
    }[sign]
    return f"{text}; affinity is {how} ({said(affinity.area)})."
