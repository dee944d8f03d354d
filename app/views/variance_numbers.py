"""The numbers beside the maps: the same pixels in the original space, with intervals over images.

They are computed aside, one panel a step: the maps never wait for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from app import process, state
from app.jobs import Job
from app.selection import NUMBERS
from app.sheets_prototypes import ChartSheet, Mark, Row, Shape, Span, log_axis, round_up
from app.views import prototypes_html as draw
from app.views.polling import watch
from app.views.variance_look import Look
from app.views.variance_marks import found_at
from app.views.variance_measured import measured
from app.views.variance_panels import Panel
from app.views.variance_words import models_said
from app.words import CORNER, html, number
from engine.markers import Markers, marker_distances
from engine.pixels import PixelSample
from engine.resampling import Estimate
from engine.variance import Spread, spread

NAMED = 6  # categories that a caption names, if there are not more
SHAPES: tuple[Shape, ...] = ("open", "square", "disc", "cross")  # of the panels, in their order

# field of a category's measures → (its name, its unit, on a logarithmic axis)
MEASURES: dict[str, tuple[str, str, bool]] = {
    "share": ("variance ÷ between", "of the squared distance between categories, logarithmic", True),
    "variance": ("variance", "squared units of the site, logarithmic", True),
    "silhouette": ("silhouette", "−1 to 1; larger: nearer to its own category", False),
    "purity": ("k-NN purity", "share of the 15 nearest pixels that are of its category", False),
    "rank": ("effective rank", "directions, logarithmic", True),
    "apart": ("distance to its live prototype ★ or token ▲", "mean of 1 − cosine", False),
}


@dataclass(frozen=True, eq=False)
class Numbers:
    """Of one panel. apart: category → distance of its pixels to its live prototype or token, empty where none is taken."""

    spread: Spread
    apart: dict[int, Estimate]

    def of(self, category: int, measure: str) -> Estimate | None:
        if measure == "apart":
            return self.apart.get(category)
        found = self.spread.of(category)
        return None if found is None else getattr(found, measure)


def section(look: Look) -> None:
    """Charts of what has been computed; work that is under way is shown and looked at again."""
    job = job_of(look)
    st.html(
        '<h2 class="lp-heading">In the original space <span class="lp-soft">all channels, no projection</span></h2>'
    )
    watch(
        lambda: job.running,
        lambda: job.done / max(1, job.total),
        lambda: f"Measuring {job.total - job.done} of {job.total} panels …",
        "numbers-walk",
    )
    _drawn(look)


def job_of(look: Look) -> Job:
    """The measures of every panel's pixels: the running or finished job."""
    steps: dict[Hashable, Callable[[], Any]] = {}
    for panel, sample in measured(look):
        steps[_key(look, sample)] = partial(_measure, sample, found_at(look, panel)[0])
    jobs = process.jobs()
    name = ("variance", *steps)
    job = jobs.find(name)
    return job if job is not None and (job.running or job.done) else jobs.start(name, steps)


def _key(look: Look, sample: PixelSample) -> Hashable:
    """Markers are of the atlas or of the images at hand; everything else is the sample's."""
    return ("numbers", sample.key(), look.drawn, *(found.key for found in look.founds))


def _measure(sample: PixelSample, found: Markers | None) -> Numbers:
    apart: dict[int, Estimate] = {}
    if found is not None and found.cosine:
        kind = "tokens" if found.live is None else "live"
        apart = {one.category: one.distance for one in marker_distances(sample, found) if one.kind == kind}
    return Numbers(spread(sample), apart)


def measures(look: Look) -> list[tuple[Panel, Numbers | None, str]]:
    """(panel, its numbers so far, why there are none) of every panel with pixels."""
    job = job_of(look)
    return [
        (panel, job.results.get(key), job.errors.get(key, ""))
        for panel, sample in measured(look)
        if (key := _key(look, sample))
    ]


def spreads(look: Look) -> list[tuple[Panel, Spread | None, str]]:
    """The same without the distances to markers."""
    return [(panel, None if one is None else one.spread, why) for panel, one, why in measures(look)]


def _drawn(look: Look) -> None:
    found = measures(look)
    for panel, _, why in found:
        if why:
            st.html(f'<p class="lp-note" data-nothing="1">{html(panel.said(why))}.</p>')
    known = [(panel, one) for panel, one, _ in found if one is not None]
    if not known:
        return
    plain = [(panel, one.spread) for panel, one in known]
    st.html(draw.chart(overall(look, plain)) + others(look, plain))
    st.selectbox(
        "Of each category",
        NUMBERS,
        NUMBERS.index(look.selection.number),
        format_func=lambda name: MEASURES[name][0],
        label_visibility="collapsed",
        **state.bound("number", look.selection.number),
    )
    if look.selection.number == "apart" and not any(one.apart for _, one in known):
        st.html(
            '<p class="lp-note" data-nothing="1">No marker shares a space with pixels at these sites.</p>'
        )
    st.html(draw.chart(by_category(look, known)))
    left = dict.fromkeys(
        look.card.classes[c] for _, one in plain for c in one.left_out if c < len(look.card.classes)
    )
    if left:
        st.html(f'<p class="lp-note">Too few pixels, or of one image only: {html(", ".join(left))}.</p>')
    st.html(f'<p class="lp-caption">{html(caption(look, plain[0][1]))}</p>')


def sheets(look: Look) -> tuple[ChartSheet, ...]:
    """What is on show, for the downloads."""
    known = [(panel, one) for panel, one, _ in measures(look) if one is not None]
    return (overall(look, [(p, one.spread) for p, one in known]), by_category(look, known)) if known else ()


def caption(look: Look, one: Spread) -> str:
    sample = look.sample
    assert sample is not None
    return (
        f"{_compared(one)}; {one.pixels} pixels of {one.images} images of {one.data}, cells of which "
        "75 % or more are one category"
        f"{'' if one.labels == 'truth' else ', categories by the prediction'}; silhouette and purity of {one.paired} of them; "
        f"intervals: 95 % over images, {one.resamples} resamples, one training seed; {models_said(look)}."
    )


def _compared(one: Spread) -> str:
    """Between which categories distance, ratio, silhouette and purity are."""
    names = [one.classes[c] for c in one.distances.categories]
    return f"{len(names)} categories compared" + (f" ({', '.join(names)})" if len(names) <= NAMED else "")


# ---------------------------------------------------------------------------------------------- sheets


def overall(look: Look, known: list[tuple[Panel, Spread]]) -> ChartSheet:
    """Within ÷ between of every panel."""
    several = len(look.cards) > 1
    rows = tuple(
        Row(
            panel.model if several else panel.site,
            (_finite(one.ratio.value),),
            (_span(one.ratio),),
            (said(one.ratio),),
            group=panel.site if several else "",
        )
        for panel, one in known
    )
    ends = [v for _, one in known for v in (one.ratio.value, one.ratio.low, one.ratio.high) if _ok(v)]
    low, high = _log_axis(ends)
    return ChartSheet(
        key="variance", title="Variance within ÷ between categories", marks=(Mark("within ÷ between", "square"),),
        rows=rows, low=low, high=high, unit="of the categories compared, logarithmic: smaller is purer",
        caption=caption(look, known[0][1]),
        names=look.names, heads=("ratio (95 %)",), log=True, span="line: 95 % over images", wide=True,
    )  # fmt: skip


def by_category(look: Look, known: list[tuple[Panel, Numbers]]) -> ChartSheet:
    """The chosen measure of the chosen categories, one mark for each panel."""
    measure = look.selection.number
    title, unit, log = MEASURES[measure]
    chosen = look.selection.categories or look.card.classes
    rows, ends = [], []
    for category, name in enumerate(look.card.classes):
        values = [one.of(category, measure) for _, one in known]
        if name not in chosen or not any(values):
            continue
        rows.append((category, name, values))
        ends += [v for one in values if one is not None for v in (one.value, one.low, one.high) if _ok(v)]
    first = [row for row in rows if row[2][0] is not None and _ok(row[2][0].value)]
    rest = [row for row in rows if row not in first]
    first.sort(key=lambda row: -(row[2][0].value if row[2][0] is not None else 0))
    low, high = _log_axis([v for v in ends if v > 0]) if log else _axis(ends, measure)
    few = len(known) <= 2  # more numbers than that have no room beside the axis
    chance = known[0][1].spread.purity_chance if measure == "purity" else None
    return ChartSheet(
        key=f"categories-{measure}", title=f"Each category: {title}",
        marks=tuple(
            Mark(panel.title if len(look.cards) > 1 else panel.site, shape)
            for (panel, _), shape in zip(known, SHAPES, strict=False)
        ),
        rows=tuple(
            Row(
                name,
                tuple(None if one is None or (log and one.value <= 0) else _finite(one.value) for one in values),
                tuple(None if one is None else _span(one) for one in values),
                tuple(number(None if one is None else one.value) for one in values) if few else (),
                category=category,
            )
            for category, name, values in [*first, *rest]
        ),
        low=low, high=high, unit=unit, caption=caption(look, known[0][1].spread), names=look.names,
        heads=tuple(panel.site.replace(".", ".\u200b") for panel, _ in known) if few else (), log=log,
        at=None if chance is None or not _ok(chance) else (chance, "chance"), span="line: 95 % over images",
    )  # fmt: skip


def others(look: Look, known: list[tuple[Panel, Spread]]) -> str:
    """Silhouette and purity of every panel, as a table."""
    rows = "".join(
        f'<tr><th scope="row">{html(panel.title if len(look.cards) > 1 else panel.site)}</th>'
        f"<td>{_whole(said(one.silhouette, 2))}</td><td>{_whole(said(one.purity, 2))}</td></tr>"
        for panel, one in known
    )
    chance = number(known[0][1].purity_chance, 2)
    return (
        f'<table class="lp-table lp-rows lp-quality"><thead><tr>{CORNER}<th scope="col">silhouette (95 %)</th>'
        f'<th scope="col">k-NN purity (95 %), chance {chance}</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _whole(text: str) -> str:
    """A value with its interval as HTML: where there is no room for both in a line, the interval stands whole below."""
    value, bracket, rest = text.partition("(")
    return f'{html(value)}<span class="lp-span-said">{html(bracket + rest)}</span>' if bracket else html(text)


def said(one: Estimate, digits: int = 3) -> str:
    """A value with its interval."""
    if not (_ok(one.low) and _ok(one.high)):
        return number(one.value, digits)
    return f"{number(one.value, digits)} ({number(one.low, digits)} to {number(one.high, digits)})"


def _ok(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _span(one: Estimate) -> Span | None:
    return Span(one.low, one.high) if _ok(one.low) and _ok(one.high) else None


def _log_axis(values: list[float]) -> tuple[float, float]:
    return log_axis([value for value in values if value > 0])


def _axis(values: list[float], measure: str) -> tuple[float, float]:
    if measure == "purity":
        return 0.0, 1.0
    low, high = min([0.0, *values]), max([0.0, *values])
    return (-round_up(-low) if low < 0 else 0.0), round_up(high) if high > 0 else 0.1
