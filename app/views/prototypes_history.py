"""Where the memory bank's rows come from, as sheets: the shadow bank, and its moments of training. No Streamlit here."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from app.sheets_prototypes import ChartSheet, Mark, Row, TimeSheet
from app.views.prototypes_bank import bank_of, defined
from app.views.prototypes_look import Look, Nothing
from app.views.prototypes_sections import Section
from app.views.prototypes_words import provenance
from app.words import number, percent
from engine.atlas import Atlas
from engine.bank import Shadow, shadow
from engine.bank_time import drift, trajectories

# ---------------------------------------------------------------------------------------------- shadow


def shadow_section(look: Look, atlas: Atlas) -> Section:
    """The presence-weighted bank beside the mean over all images."""
    means = atlas.prototype_means(look.stage)
    found = shadow(means, look.bank)
    caption = (
        f"Means of raw live prototypes at {look.stage} over all images, and over those that hold the category by ground truth or "
        f"by the prediction; only directions are compared; {provenance(look.card, atlas.manifest)}."
    )
    known = [c for c in range(len(found.noise)) if np.isfinite(found.noise[c])]
    unknown = [c for c in range(len(found.noise)) if not np.isfinite(found.noise[c])]
    order = sorted(known, key=lambda c: (-found.noise[c], c)) + unknown
    noise_rows = tuple(
        Row(
            look.card.classes[c],
            (defined(found.noise[c]), defined(1 - found.presence[c])),
            numbers=(percent(defined(found.noise[c])), percent(defined(found.presence[c]))),
            category=c,
            strong=c == look.category,
        )
        for c in order
    )
    values = found.noise[known]
    noise = ChartSheet(
        key="noise",
        title="How much of each mean comes from images without the category",
        marks=(Mark("noise share", "bar"), Mark("share of images without it", "open")),
        rows=noise_rows,
        low=min(0.0, float(values.min(initial=0.0))),
        high=max(1.0, float(values.max(initial=0.0))),
        unit="signed share of the all-image mean",
        caption=caption,
        names=look.names,
        heads=("noise", "images with it"),
        note=" ".join(
            f"{look.card.classes[c]}: {found.reason[c]}." for c in range(len(order)) if found.reason[c]
        ),
    )
    return Section(
        shadow_said(look, found, known), (noise, _directions(look, found, order, caption)), caption
    )


def _directions(look: Look, found: Shadow, order: Sequence[int], caption: str) -> ChartSheet:
    remembers = look.bank is not None
    columns = [("all-image mean · shadow row", "square", found.means)]
    if remembers:
        columns = [
            ("mean over all images", "square", found.everywhere),
            ("over those that hold it", "open", found.true),
            ("over those where it is predicted", "cross", found.predicted),
        ]
    everything = np.concatenate([values for _, _, values in columns])
    low = float(np.nanmin(everything)) if np.isfinite(everything).any() else 0.0
    rows = tuple(
        Row(
            look.card.classes[c],
            tuple(defined(values[c]) for _, _, values in columns),
            numbers=tuple(number(defined(values[c])) for _, _, values in columns[:2]),
            category=c,
            strong=c == look.category,
        )
        for c in order
    )
    return ChartSheet(
        key="directions",
        title="◆ Memory row against means of ★ live prototypes"
        if remembers
        else "How far absence turns the mean",
        marks=tuple(Mark(name, shape) for name, shape, _ in columns),  # pyright: ignore[reportArgumentType]
        rows=rows,
        low=min(0.9, math.floor(10 * low) / 10),
        high=1.0,
        unit="cosine",
        caption=caption,
        names=look.names,
        heads=("all images", "with it") if remembers else ("cosine",),
    )


def shadow_said(look: Look, found: Shadow, known: Sequence[int]) -> tuple[str, ...]:
    """The headline number, and what it does not say."""
    if not known:
        return ("No category occurs in these images, so there is no shadow bank to compare with.",)
    noise = found.noise[list(known)]
    worst = max(known, key=lambda c: found.noise[c])
    said = [
        f"In the median category {percent(float(np.median(noise)))} of the all-image mean comes from images without it; most in "
        f"{look.card.classes[worst]}: {percent(float(found.noise[worst]))}, which {percent(float(found.presence[worst]))} of the "
        "images hold.",
    ]
    turned = found.means[list(known)]
    if np.isfinite(turned).any():
        least = int(np.nanargmin(turned))
        said.append(
            f"A prototype that were the same with and without its category would score one minus its presence (□), so the share "
            f"says where a row comes from; how far that turns it is the cosine with the shadow row: median "
            f"{number(float(np.nanmedian(turned)))}, least {number(float(turned[least]))} ({look.card.classes[known[least]]})."
        )
    if look.bank is None:
        said.append(f"{look.card.id} keeps no bank: this is what one would hold.")
    return tuple(said)


# ---------------------------------------------------------------------------------------------- time


def time_section(look: Look) -> tuple[Section, TimeSheet]:
    """The bank at every moment of training, and how far each row moved."""
    bank_of(look, "is no training of one to play")
    if look.parts.time is None:
        raise Nothing(look.parts.time_why.rstrip("."))
    time, stage, kind = look.parts.time, look.stage, look.selection.bank
    plane = trajectories(time, stage)
    if kind == "mean":
        path, cosines, what = plane.points, time.cosine_to_final(stage, "mean"), f"{time.window}-step means"
    else:
        path = plane.project(time.series(stage, "bank"))
        cosines, what = time.cosine_to_final(stage, "bank"), "the bank as it was"
    moved = drift(time, stage)
    moment = len(time.steps) - 1 if look.selection.moment is None else look.selection.moment
    first, second = (float(share) for share in plane.explained)
    caption = (
        f"{what[0].upper()}{what[1:]} at {stage}, {len(time.steps)} moments of {time.total_steps} steps; plane: the first two "
        f"principal components of all rows' {time.window}-step means at all moments ({percent(first, 2)} and "
        f"{percent(second, 2)} of their variance); {provenance(look.card, None)}."
    )
    sheet = TimeSheet(
        key="time", title="The bank over training", steps=time.steps, path=path, explained=(first, second), cosine=cosines,
        moment=moment, names=look.names, caption=caption, marked=look.category,
    )  # fmt: skip
    return Section(time_said(look, moved.late, moved.start, moved.end), (_drift(look),), caption), sheet


def _drift(look: Look) -> ChartSheet:
    assert look.parts.time is not None
    moved = drift(look.parts.time, look.stage)
    order = sorted(range(len(moved.length)), key=lambda c: (-np.nan_to_num(moved.length[c], nan=-1), c))
    rows = tuple(
        Row(
            look.card.classes[c],
            (defined(moved.length[c]), defined(moved.late[c])),
            numbers=(
                number(defined(moved.length[c])),
                number(defined(moved.late[c])),
            )
            + (("still" if moved.still[c] else "",) if moved.still.any() else ()),
            category=c,
            strong=c == look.category,
        )
        for c in order
    )
    top = float(np.nanmax(moved.length)) if np.isfinite(moved.length).any() else 1.0
    return ChartSheet(
        key="drift",
        title="How far each row went",
        marks=(
            Mark("path length, whole training", "bar"),
            Mark(f"drift, steps {moved.start} to {moved.end}", "open"),
        ),
        rows=rows,
        low=0.0,
        high=max(top, 1e-6),
        unit="× the final row's norm",
        caption=f"The bank's {look.parts.time.window}-step means at {look.stage}; {provenance(look.card, None)}.",
        names=look.names,
        heads=("path", "late drift", *(("",) if moved.still.any() else ())),
        note="In the original space; path lengths are sums of chords between moments.",
    )


def time_said(look: Look, late: np.ndarray, start: int, end: int) -> tuple[str, ...]:
    """How settled the bank is at the end."""
    assert look.parts.time is not None
    said = []
    if mu := look.card.memory_share:
        said.append(
            f"At μ = {number(mu)} a bank remembers about {number(1 / mu, 2)} batches, so each row wanders with the last ones it "
            "saw; its means show where it goes."
        )
    if np.isfinite(late).any():
        said.append(
            f"Between steps {start} and {end} the median row's mean moved by {percent(float(np.nanmedian(late)))} of its norm; "
            f"{look.name} by {percent(defined(late[look.category]))}."
        )
    return tuple(said)
