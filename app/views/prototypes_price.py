"""What substitution by prototypes does to the variance within categories, as sheets. No Streamlit here."""

from __future__ import annotations

import math
from collections.abc import Sequence

from app.sheets_prototypes import ChartSheet, Mark, Row, Span
from app.views.prototypes_look import Look, Nothing
from app.views.prototypes_sections import Section
from app.views.prototypes_words import provenance
from app.words import number
from engine.atlas import Atlas
from engine.atlas.records import Price

KINDS = ("before", "after", "null")
PROTOTYPES, PIXELS = "prototypes", "source pixels"  # what a query reads from


def price(look: Look, atlas: Atlas) -> Section:
    """Within ÷ between categories, before, after and for the null, for every stage and for the categories of one."""
    found = atlas.price
    if not found:
        raise Nothing(f"the atlas of {look.card.id} holds no price: no stage of it substitutes anything")
    images = found[0].images
    stages = list(dict.fromkeys(each.stage for each in found))
    by = {(each.stage, each.kind): each for each in found}
    caption = (
        "Trace of the covariance within categories ÷ mean squared distance of the category means from their own mean, in the "
        "space of the values "
        f"({look.card.id}'s value_i: after W_v and W_o); intervals: 95 % over {images} images, from the "
        "standard error of 2000 resamples; "
        f"{provenance(look.card, atlas.manifest)}."
    )
    rows = []
    for stage in stages:
        for kind in KINDS:
            if (each := by.get((stage, kind))) is None:
                continue
            rows.append(
                Row(
                    kind,
                    tuple(each.ratio if kind == other and each.ratio > 0 else None for other in KINDS),
                    tuple(
                        Span(each.low, each.high) if kind == other and _known(each) else None
                        for other in KINDS
                    ),
                    (f"{number(each.ratio)} ({number(each.low)} to {number(each.high)})",),
                    group=stage,
                )
            )
    marks = (Mark("before", "open"), Mark("after", "square"), Mark("null", "cross"))
    ends = [
        value
        for each in found
        for value in (each.ratio, each.low, each.high)
        if math.isfinite(value) and value > 0
    ]
    low, high = _log_axis(ends)
    overall = ChartSheet(
        key="price", title="Variance within ÷ between categories", marks=marks, rows=tuple(rows), low=low, high=high,
        unit="ratio, logarithmic: smaller is purer", caption=caption, names=look.names, heads=("ratio (95 %)",),
        log=True, span="line: 95 % over images", wide=True,
        note=f"before: the pixels' own values; after: what they read from {_sources(look)}; "
        "null: the same with affinity rows shuffled.",
    )  # fmt: skip
    stage = look.stage if look.stage in stages else stages[-1]
    each = {kind: by.get((stage, kind)) for kind in KINDS}
    categories = _by_category(look, stage, each, marks, caption)
    return Section(tuple(price_said(by, stages, _sources(look))), (overall, categories), caption)


def _by_category(
    look: Look, stage: str, each: dict[str, Price | None], marks: tuple[Mark, ...], caption: str
) -> ChartSheet:
    values = {
        kind: {} if one is None else {n: v for n, v in one.categories.items() if v is not None and v > 0}
        for kind, one in each.items()
    }
    known = [name for name in look.card.classes if name in values["before"] or name in values["after"]]

    def change(name: str) -> float:
        before, after = values["before"].get(name), values["after"].get(name)
        return math.inf if before is None or after is None else after / before

    rows = tuple(
        Row(
            name,
            tuple(values[kind].get(name) for kind in KINDS),
            numbers=("–" if math.isinf(change(name)) else f"×{number(change(name))}",),
            category=look.card.classes.index(name),
            strong=name == look.name,
        )
        for name in sorted(known, key=change)
    )
    low, high = _log_axis([value for kind in values.values() for value in kind.values()])
    return ChartSheet(
        key="price-categories", title=f"Each category at {stage}", marks=marks, rows=rows, low=low, high=high,
        unit="trace of its covariance ÷ squared distance between, logarithmic", caption=caption, names=look.names,
        heads=("after ÷ before",), log=True,
    )  # fmt: skip


def price_said(by: dict[tuple[str, str], Price], stages: Sequence[str], sources: str) -> list[str]:
    """What came out at each stage, whichever way. sources: what a query reads from; the paper's claim is of prototypes alone."""
    said = []
    for stage in stages:
        before, after, null = (by.get((stage, kind)) for kind in KINDS)
        if before is None or after is None:
            continue
        text = (
            f"At {stage} the variance within categories goes to ×{_times(after.within, before.within)} and the squared distance "
            f"between them to ×{_times(after.between, before.between)}. Within ÷ between "
            f"{_verdict(before, after, null, sources)} ({number(before.ratio)} before, {number(after.ratio)} after"
        )
        if null is not None:
            text += f", {number(null.ratio)} for the shuffled null, which is {_beside_null(after, null)}"
        said.append(text + ").")
    return said


def _verdict(before: Price, after: Price, null: Price | None, sources: str) -> str:
    """What the ratio does. That it falls is only half of the claim: averaging alone makes it fall too, which the null shows."""
    if not (_known(before) and _known(after)):
        return f"is not defined: {_why_not(before if not _known(before) else after)}"
    claimed = sources == PROTOTYPES
    made_of = "the pixels it is made of" if claimed else "the values that were there before"
    what = "what is broadcast" if claimed else f"what the pixels read from {sources}"
    if after.low > before.high:
        return f"rises: {what} is less pure than {made_of}" + ", against the paper's claim" * claimed
    if after.high >= before.low:
        return "goes with overlapping intervals: no clear change"
    if null is not None and not _known(null):
        return "falls, but whether more than with shuffled affinity is not known"
    if null is not None and after.high >= null.low:
        return "falls, but no more than with shuffled affinity"
    return f"falls: {what} is purer than {made_of}" + ", as the paper claims" * claimed


def _known(price: Price) -> bool:
    return all(math.isfinite(value) for value in (price.ratio, price.low, price.high))


def _why_not(price: Price) -> str:
    if not math.isfinite(price.ratio):
        return "the means of the categories that were met do not differ"
    return (
        "nothing varies within the categories that were met"
        if price.ratio == 0
        else "there is no interval for it"
    )


def _sources(look: Look) -> str:
    return PROTOTYPES if look.stages else PIXELS


def _times(after: float, before: float) -> str:
    return number(after / before) if before > 0 else "–"


def _beside_null(after: Price, null: Price) -> str:
    if not (_known(after) and _known(null)):
        return "not comparable with it"
    if null.low > after.high:
        return "higher: what is read is not arbitrary"
    return "lower" if null.high < after.low else "not told apart from it"


def _log_axis(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return 0.1, 10.0
    low, high = min(values), max(values)
    low, high = low / 1.15, high * 1.15
    return low, max(high, low * 2)
