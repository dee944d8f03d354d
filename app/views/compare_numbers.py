"""Compare's numbers: side by side in a table, per category, against what they cost, and where the models disagree."""

from __future__ import annotations

import math
from collections.abc import Hashable

import streamlit as st

from app import charts_compare, comparison, process, state
from app.charts_compare import ModelPoint
from app.jobs import Job
from app.views.compare_sides import Look, Side
from app.views.compare_words import measured
from app.words import CORNER, DASH, html, markdown, measured_on, number, percent, size
from engine import metrics
from engine.costs import Costs
from engine.runtime import ModelCard

POLL = 0.8  # seconds between two looks at work that is under way
LARGE = 640 * 640  # pixels: for larger images nobody measures before being asked


def sections(look: Look) -> None:
    """Table and cost chart (both fill in while they are measured), then categories and disagreement."""
    job = costs_job(look, start=math.prod(look.picture.image.size) <= LARGE)
    every = POLL if job is not None and job.running else None
    st.fragment(_costs, run_every=every)(look)
    with st.container(key="lp-wide-2"):
        left, right = st.columns([3, 2], gap="large")
    with left:
        _categories(look)
    with right:
        _disagreement(look)


# ---------------------------------------------------------------------- measured costs


def cost_key(card: ModelCard, look: Look) -> Hashable:
    """What a measurement depends on."""
    engine = process.engine()
    return ("costs", card.hash, look.picture.image.size, str(engine.device), engine.precision)


def _cards(look: Look) -> dict[str, ModelCard]:
    """The shown models, then the rest of the catalogue."""
    return {side.id: side.card for side in look.sides} | process.engine().models()


def _job_name(look: Look) -> Hashable:
    return ("costs", look.picture.image.size, frozenset(card.hash for card in _cards(look).values()))


def costs_job(look: Look, start: bool) -> Job | None:
    """The measuring; None where none was begun and none is to be."""
    job = process.jobs().find(_job_name(look))
    return _measure(look) if job is None and start else job


def _measure(look: Look, anew: bool = False) -> Job:
    """Measures what is not measured yet, or the shown models anew."""
    engine, jobs, measured = process.engine(), process.jobs(), look.picture.image.size
    steps = {
        cost_key(card, look): lambda model=card: engine.costs(model, measured)
        for card in _cards(look).values()
    }
    if anew:
        jobs.kept.forget(cost_key(side.card, look) for side in look.sides)
    return jobs.start(_job_name(look), steps)


def costs_of(card: ModelCard, look: Look) -> Costs | None:
    return process.jobs().kept.get(cost_key(card, look))


def _costs(look: Look) -> None:
    job = costs_job(look, start=False)
    at = size(look.picture.image.size)
    if job is not None and job.running:
        with st.container(horizontal=True, vertical_alignment="center"):
            said = f"Measuring time and memory of one pass at {at}: {job.done} of {job.total} models"
            st.progress(job.done / max(1, job.total), said)
            st.button("Stop", on_click=job.stop, key="stop costs")
    with st.container(key="lp-wide-1"):
        left, right = st.columns([3, 2], gap="large")
    with left:
        st.html(table(look))
        _training({side.id: side.card for side in look.sides})
        if job is None or not job.running:
            _offer(look, job)
    with right:
        _scatter(look)
    if job is not None and not job.running and state.is_news("costs", (id(job), job.done)):
        st.rerun()  # the work is over and need not be looked at any more


def _training(cards: dict[str, ModelCard]) -> None:
    """What keeps these models' accuracies from being compared, if anything does."""
    if said := comparison.trained_apart({name: card.provenance for name, card in cards.items()}):
        st.html(f'<p class="lp-note" data-note="training">{html(said)}</p>')


def _offer(look: Look, job: Job | None) -> None:
    """A button that measures, and what could not be measured."""
    begun = job is not None and not job.stopped
    if job is not None and job.errors:
        st.caption("  \n".join(markdown(f"Not measured: {why}") for why in set(job.errors.values())))
    pressed = st.button(
        "Measure the shown models again" if begun else f"Measure cost at {size(look.picture.image.size)}",
        help="Multiply-adds, time and memory of one pass, on this device. Time says something only while nothing else runs.",
        key="measure",
    )
    if pressed:
        _measure(look, anew=begun)
        st.rerun()  # the whole page: only it can make this part look again and again


# ---------------------------------------------------------------------- the table


def image_miou(side: Side, look: Look) -> float | None:
    """mIoU of this image over the common categories, percent; None without ground truth."""
    if look.truth is None or not look.names:
        return None
    return metrics.mean(comparison.image_iou(look.truth, look.labels[side.id], len(look.names)))


def rows(look: Look) -> list[tuple[str, str, list[float | None], str]]:
    """(measure, what it is, a value for each side, unit): the table's numbers, which the CSV has too."""
    sides = look.sides
    costs = [costs_of(side.card, look) for side in sides]
    at = size(look.picture.image.size)
    found: list[tuple[str, str, list[float | None], str]] = [
        ("mIoU", f"Over the categories, {measured(look)}.", [s.card.mIoU for s in sides], "%"),
        (
            "boundary IoU",
            f"Inner bands of 2 % of the diagonal, {measured(look)}.",
            [s.card.boundary_IoU for s in sides],
            "%",
        ),
    ]
    if look.truth is not None and look.names:
        over = "the categories that all of them know" if look.differ else "the categories that occur"
        truth, labels = look.truth, look.labels
        right: list[float | None] = [100 * comparison.right_share(truth, labels[side.id]) for side in sides]
        meaning = f"Over {over} in truth or prediction, small ones as heavy as large ones."
        found.append(("pixels right, this image", "Of the pixels whose category is known.", right, "%"))
        found.append(("mIoU, this image", meaning, [image_miou(side, look) for side in sides], "%"))
    found += [
        ("parameters", "Backbone and decoder.", [s.card.parameters / 1e6 for s in sides], "M"),
        (
            f"multiply-adds at {at}",
            "One pass, by torch's counter: convolutions, matrix products, attention.",
            [None if c is None else c.gmacs for c in costs],
            "GMACs",
        ),
        (
            f"time at {at}",
            "Median of five passes, measured on this device.",
            [None if c is None else c.milliseconds for c in costs],
            "ms",
        ),
        (
            f"peak memory at {at}",
            "Most that one pass holds at once beyond the weights, measured on this device.",
            [None if c is None else c.peak_bytes / 2**20 for c in costs],
            "MiB",
        ),
    ]
    return found


def table(look: Look) -> str:
    head = "".join(f'<th scope="col">{_mark(place)}{html(name)}</th>' for name, place in look.marks)
    body = []
    for label, meaning, values, unit in rows(look):
        cells = "".join(f"<td>{_value(value, unit)}</td>" for value in values)
        body.append(
            f'<tr><th scope="row"><abbr title="{html(meaning)}">{html(label)}</abbr></th>{cells}</tr>'
        )
    device = process.engine().device
    note = (
        f"mIoU and boundary IoU: {measured(look)}; differences of a few tenths say nothing. Time and memory: one image, measured "
        f"here ({device}, {process.engine().precision})."
    )
    return (
        f'<section class="lp-panel"><h2>Side by side</h2><table class="lp-table"><thead><tr>{CORNER}{head}</tr></thead>'
        f'<tbody>{"".join(body)}</tbody></table><p class="lp-note">{html(note)}</p></section>'
    )


def _value(value: float | None, unit: str) -> str:
    if value is None or math.isnan(value):
        return DASH
    return f'{number(value)} <span class="lp-soft">{unit}</span>'


def _mark(place: int) -> str:
    return f'<i class="lp-swatch" style="background:{charts_compare.MODEL_COLOURS[place]}"></i>'


# ---------------------------------------------------------------------- charts


def points(look: Look) -> list[ModelPoint]:
    """Every model of the catalogue whose accuracy and cost are known."""
    order = dict(look.marks)
    cards = process.engine().models() | {side.id: side.card for side in look.sides}
    found = []
    for card in cards.values():
        costs = costs_of(card, look)
        if costs is not None and card.mIoU is not None:
            found.append(ModelPoint(card.id, costs.gmacs, card.mIoU, order.get(card.id)))
    return found


def drawn_cards(look: Look, known: list[ModelPoint]) -> dict[str, ModelCard]:
    """The cards of the models that the chart of accuracy against cost shows."""
    names = {point.name for point in known}
    return {name: card for name, card in _cards(look).items() if name in names}


def _scatter(look: Look) -> None:
    known = points(look)
    st.html("<h2 class='lp-section'>Accuracy against cost</h2>")
    if not known:
        st.html(
            '<p class="lp-soft">The models\' multiply-adds are not counted yet for images of this size.</p>'
        )
        return
    st.plotly_chart(
        charts_compare.scatter(known), key="scatter", config=charts_compare.CONFIG, theme="streamlit"
    )
    drawn = drawn_cards(look, known)
    said = f"Filled: shown above. mIoU: {measured_on(drawn.values())}; GMACs of one pass at {size(look.picture.image.size)}."
    if comparison.trained_apart({name: card.provenance for name, card in drawn.items()}):
        said += " Not all of these were trained alike."
    st.html(f'<p class="lp-note">{html(said)}</p>')


def category_ious(look: Look) -> list[tuple[str, list[float | None]]]:
    """(category, IoU of each side in percent) over the common names, the largest difference between models first."""
    found = []
    for name in look.names:
        values = [_known(side.card, name) for side in look.sides]
        if any(value is not None for value in values):
            found.append((name, values))

    def spread(row: tuple[str, list[float | None]]) -> float:
        values = [value for value in row[1] if value is not None]
        return max(values) - min(values)

    return sorted(found, key=spread, reverse=True)


def _known(card: ModelCard, name: str) -> float | None:
    categories = card.provenance.get("categories")
    value = categories.get(name) if isinstance(categories, dict) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _categories(look: Look) -> None:
    known = category_ious(look)
    st.html("<h2 class='lp-section'>IoU by category</h2>")
    if not known:
        st.html('<p class="lp-soft">These checkpoints do not say how well they do by category.</p>')
        return
    chart = charts_compare.category_bars(known, look.marks)
    st.plotly_chart(chart, key="categories", config=charts_compare.CONFIG, theme="streamlit")
    st.html(
        f'<p class="lp-note">Largest difference between the models first. IoU: {html(measured(look))}.</p>'
    )


def _disagreement(look: Look) -> None:
    st.html("<h2 class='lp-section'>Where they disagree</h2>")
    if not look.names:
        st.html('<p class="lp-soft">The models share no category by name.</p>')
        return
    labels = [look.labels[side.id] for side in look.sides]
    count = comparison.distinct(labels)
    photo = look.picture.image.pixels
    share = float((count > 1).sum() / max(1, (count > 0).sum()))
    pictures = [
        (
            charts_compare.overlay_uri(photo, count, len(labels)),
            f"Different categories at a pixel, of {len(labels)} models: {percent(share)} of the pixels have more than one.",
            charts_compare.count_legend(len(labels)),
        )
    ]
    pair = look.pair
    if pair is not None and len(labels) > 2:
        first, second = (look.labels[side.id] for side in pair)
        apart = comparison.differs(first, second)
        pictures.append(
            (
                charts_compare.overlay_uri(photo, 1 + apart.astype("uint8"), 2),
                f"{html(pair[0].id)} and {html(pair[1].id)} differ: {percent(comparison.share_of(first, second))} of the pixels.",
                "",
            )
        )
    figures = "".join(
        f'<figure><img src="{uri}" alt=""><figcaption>{text}{legend}</figcaption></figure>'
        for uri, text, legend in pictures
    )
    st.html(f'<div class="lp-maps">{figures}</div>')
