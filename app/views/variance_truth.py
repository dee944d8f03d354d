"""Checked against the truth: do clusters fall along the planted modes, can a probe read them, and what substitution leaves.

Over all pixels that the atlas has of a site, whatever the map shows; computed aside, one site a step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import streamlit as st

from app import process
from app.jobs import Job
from app.sheets_prototypes import ChartSheet, Mark, Row, Span
from app.views import prototypes_html as draw
from app.views import variance_substitution as substituting
from app.views.polling import watch
from app.views.variance_look import Look
from app.views.variance_maps import with_pixels
from app.views.variance_panels import Panel, every_pixel
from app.views.variance_words import models_said
from app.words import CORNER, DASH, html, number, percent
from engine.pixels import PixelSample
from engine.planted import PlantedModes, planted
from engine.resampling import Estimate

LEVEL = 0.05  # of Holm's corrected p  [choice]
MARKS = (
    Mark("clusters", "square"),
    Mark("best by image", "open"),
    Mark("linear probe", "disc"),
)


def section(look: Look) -> None:
    """A chart and a table for each panel."""
    job = job_of(look)
    watch(
        lambda: job.running,
        lambda: job.done / max(1, job.total),
        lambda: f"Clustering and probing all pixels: site {min(job.done + 1, job.total)} of {job.total} …",
        "truth-walk",
        ("Stop", job.stop),
    )
    _drawn(look, job)


def pixels_of(look: Look, panel: Panel) -> PixelSample:
    """All pixels of the panel's site: of the atlas, else those traced now."""
    assert panel.sample is not None
    if look.drawn != "atlas":
        return panel.sample
    found = next(f for c, f in zip(look.cards, look.founds, strict=True) if c.id == panel.model)
    assert found.atlas is not None
    return every_pixel(found.atlas, found.key, panel.site)


def job_of(look: Look) -> Job:
    """The running, finished or stopped job over the panels' sites."""
    steps = steps_of(look)
    jobs, name = process.jobs(), job_name(tuple(steps))
    return jobs.find(name) or jobs.start(name, steps)


def job_name(keys: Sequence[Hashable]) -> tuple[Hashable, ...]:
    return ("truth", *keys)


def steps_of(look: Look) -> dict[Hashable, Callable[[], Any]]:
    samples = [pixels_of(look, panel) for panel in with_pixels(look)]
    steps: dict[Hashable, Callable[[], Any]] = {("planted", one.key()): _step(one) for one in samples}
    for found in look.founds:
        if found.atlas is not None:
            steps["substitution", found.key] = substituting.step(found.atlas)
    return steps


def _step(sample: PixelSample) -> Callable[[], tuple[PlantedModes, ...]]:
    return lambda: planted(sample)


def found_of(look: Look) -> list[tuple[Panel, PixelSample, tuple[PlantedModes, ...] | None, str]]:
    """(panel, its pixels, what was found so far, why nothing)."""
    job = job_of(look)
    rows = []
    for panel in with_pixels(look):
        sample = pixels_of(look, panel)
        key = ("planted", sample.key())
        rows.append((panel, sample, job.results.get(key), job.errors.get(key, "")))
    return rows


def _drawn(look: Look, job: Job) -> None:
    if job.stopped and not job.running:
        st.button("Go on", on_click=_again, args=(look, job), key="truth again")
    found = found_of(look)
    for panel, _, _, why in found:
        if why:
            st.html(f'<p class="lp-note" data-nothing="1">{html(panel.said(why))}.</p>')
    known = [(panel, sample, modes) for panel, sample, modes, _ in found if modes is not None]
    if not known:
        return
    st.html("".join(f'<p class="lp-note lp-said">{html(said)}</p>' for said in sentences(known)))
    with st.container(key="lp-wide-truth"):
        columns = st.columns(2, gap="large") if len(known) > 1 else [st.container()]
    for i, (panel, sample, modes) in enumerate(known):
        columns[i % len(columns)].html(draw.chart(sheet(look, panel, sample, modes)))
    st.html(table(look, known))
    st.html(f'<p class="lp-caption">{html(caption(look, [sample for _, sample, _ in known]))}</p>')


def _again(look: Look, job: Job) -> None:
    process.jobs().start(job_name(job.keys), steps_of(look))


def sentences(known: Sequence[tuple[Panel, PixelSample, tuple[PlantedModes, ...]]]) -> list[str]:
    """What was found at each site, whichever way."""
    said = []
    for panel, _, modes in known:
        scored = [one for one in modes if one.scored]
        if not scored:
            said.append(f"{panel.title}: no category has two planted modes in enough pixels.")
            continue
        clear = [one for one in scored if one.p_holm < LEVEL and one.clusters.value > one.best_by_image.value]
        chance = [one for one in scored if one.p_holm < LEVEL]
        kept = [one for one in scored if one.probe.low > one.probe_chance]
        said.append(
            f"{panel.title}: clusters follow the planted modes better than chance in {len(chance)} of {len(scored)} categories "
            f"(p < {LEVEL} after Holm's correction), and better than any clustering by image could in {len(clear)}. A linear "
            f"probe, split by image, reads them in {len(kept)} of {len(scored)}."
        )
    return said


def caption(look: Look, samples: Sequence[PixelSample]) -> str:
    several = len(look.cards) > 1
    counts = {f"{one.model} {one.site}" if several else one.site: len(one) for one in samples}
    pixels = ", ".join(f"{count} ({site})" for site, count in counts.items())
    return (
        f"All pixels of {samples[0].data} that a site has in cells of one category: {pixels}; clusters: k-means in the original "
        "space, k = modes met; adjusted Rand index, 1: the modes themselves, 0: chance; best by image: each image given "
        "its most frequent mode, which is the most that images alone explain; probe: logistic regression, folds split by image, "
        f"mean recall beside chance. Intervals: 95 % over images, one training seed; {models_said(look)}."
    )


# ---------------------------------------------------------------------------------------------- sheets


def sheets(look: Look) -> tuple[ChartSheet, ...]:
    return tuple(
        sheet(look, panel, sample, modes) for panel, sample, modes, _ in found_of(look) if modes is not None
    )


def sheet(look: Look, panel: Panel, sample: PixelSample, modes: Sequence[PlantedModes]) -> ChartSheet:
    """Clusters, images and probe of each category on one axis."""
    shown = [one for one in _chosen(look, modes) if one.scored]
    shown.sort(key=lambda one: -one.clusters.value)
    rows = tuple(
        Row(
            one.name,
            tuple(_finite(v.value) for v in (one.clusters, one.best_by_image, one.probe)),
            tuple(_span(v) for v in (one.clusters, one.best_by_image, one.probe)),
            (number(one.clusters.value, 2), number(one.probe.value, 2)),
            category=one.category,
        )
        for one in shown
    )
    low = min(
        [0.0, *(v for one in shown for v in (one.clusters.value, one.clusters.low) if math.isfinite(v))]
    )
    return ChartSheet(
        key=f"truth-{panel.model}-{panel.site}", title=f"Planted modes at {panel.title}", marks=MARKS, rows=rows,
        low=round(low - 0.05, 1) if low < 0 else 0.0, high=1.0, unit="adjusted Rand index; probe: mean recall",
        caption=caption(look, [sample]), names=look.names, heads=("clusters", "probe"), span="line: 95 % over images",
    )  # fmt: skip


def _chosen(look: Look, modes: Sequence[PlantedModes]) -> list[PlantedModes]:
    chosen = look.selection.categories
    return [one for one in modes if not chosen or one.name in chosen]


def table(look: Look, known: Sequence[tuple[Panel, PixelSample, tuple[PlantedModes, ...]]]) -> str:
    """Every category and site with its intervals, and what substitution does to its variance."""
    heads = (
        "category", "site", "modes", "images with several", "clusters (95 %)", "best by image", "chance, 95 %", "p, Holm",
        "probe (95 %)", "probe by chance", "variance after ÷ before substitution",
    )  # fmt: skip
    rows = []
    by_category: dict[str, list[tuple[Panel, PlantedModes]]] = {}
    for panel, _, modes in known:
        for one in _chosen(look, modes):
            by_category.setdefault(one.name, []).append((panel, one))
    for name, each in by_category.items():
        swatch = f'<i class="lp-swatch" style="background:{look.names.colours[each[0][1].category]}"></i>'
        for i, (panel, one) in enumerate(each):
            head = f'<th scope="row">{swatch}{html(name)}</th>' if i == 0 else CORNER
            place = panel.title if len(look.cards) > 1 else panel.site
            if not one.scored:
                rows.append(
                    f'<tr>{head}<td>{html(place)}</td><td colspan="9" class="lp-soft">{html(one.reason)}</td></tr>'
                )
                continue
            cells = (
                place, f"{len(one.modes)}", percent(one.several, 2), _said(one.clusters), number(one.best_by_image.value, 2),
                number(one.chance, 2), number(one.p_holm, 2), _said(one.probe), number(one.probe_chance, 2),
                substituting.said_of(look, panel, one.category),
            )  # fmt: skip
            rows.append(f"<tr>{head}{''.join(f'<td>{html(cell)}</td>' for cell in cells)}</tr>")
    head = "".join(f'<th scope="col">{html(one)}</th>' for one in heads)
    return (
        '<div class="lp-panel" data-sheet="truth"><table class="lp-table lp-rows lp-numbers"><thead><tr>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def rows_of_table(look: Look) -> list[dict[str, Any]]:
    """For the download: everything that the table says."""
    found = []
    for panel, _, modes, _ in found_of(look):
        for one in modes or ():
            of = f"{one.name}, {panel.title}"
            values: dict[str, float] = {"chance": one.chance, "p": one.p, "p, Holm": one.p_holm}
            values |= {"probe by chance": one.probe_chance, "images with several": one.several}
            for name in ("clusters", "by_image", "best_by_image", "probe"):
                each: Estimate = getattr(one, name)
                values |= {name: each.value, f"{name}, low": each.low, f"{name}, high": each.high}
            found += [
                {"sheet": "truth", "quantity": name, "of": of, "value": value, "unit": ""}
                for name, value in values.items()
                if math.isfinite(value)
            ]
    return found


def _said(one: Estimate) -> str:
    if not math.isfinite(one.value):
        return DASH
    if not math.isfinite(one.low):
        return number(one.value, 2)
    return f"{number(one.value, 2)} ({number(one.low, 2)} to {number(one.high, 2)})"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _span(one: Estimate) -> Span | None:
    return Span(one.low, one.high) if math.isfinite(one.low) and math.isfinite(one.high) else None
