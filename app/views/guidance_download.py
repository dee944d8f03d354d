"""The Guidance page's downloads. Everything is made when a button is clicked, so that a click on a picture stays quick."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from app import cache, exports, figures, process
from app import figures_guidance as sheets
from app import figures_guidance_drawing as drawing
from app.gallery import Picture
from app.palette import colours
from app.selection import Selection
from app.views import guidance_words as words
from app.views.inspect_words import provenance
from app.views.keeping import Offer
from app.words import markdown, size
from engine.branches import OUTCOMES, branch_readings, guide_labels, logit_maps, outcomes
from engine.gradients import PATHS, GradientMatrix
from engine.guidance import OPEN, Cuts
from engine.images import cell
from engine.metrics import band_width
from engine.trace import Trace

FIGURES = ("png", "svg", "pdf")
NUMBERS = ("npz", "csv")
REGIONS = ("whole", "band", "inside")


def buttons(selection: Selection, picture: Picture, trace: Trace, category: int, cuts: Cuts) -> None:
    """A button for each file; what needs ground truth is offered only with it."""
    assert trace.model is not None
    offered: list[tuple[str, str, Callable[[], Any]]] = [
        (
            "The maps, as they would be printed",
            "maps",
            lambda: map_sheet(selection, picture, trace, category),
        ),
        ("Tokens: cosines and angles", "tokens", lambda: token_sheet(picture, trace)),
    ]
    if picture.truth is not None:
        offered.append(("The gradient matrix", "gradients", lambda: gradient_sheet(picture, trace, cuts)))
    for title, what, make in offered:
        st.caption(markdown(title))
        with st.container(horizontal=True):
            for kind in FIGURES:
                name = exports.file_name("loupe", trace.model.id, picture.title, what, kind=kind)
                _button(f"{what} {kind}", kind, name, figures.MEDIA[kind], partial(_drawn(make), kind))
    st.caption("The numbers: maps, tokens, gradients, IoU, pins")
    with st.container(horizontal=True):
        for kind in NUMBERS:
            name = exports.file_name("loupe", trace.model.id, picture.title, "guidance", kind=kind)
            _button(
                f"numbers {kind}", kind, name, exports.MEDIA[kind],
                _made(kind, selection, picture, trace, category, cuts),
            )  # fmt: skip


def offer(selection: Selection, picture: Picture, trace: Trace, category: int, cuts: Cuts) -> Offer:
    """What Keep keeps."""
    assert trace.model is not None
    return Offer(
        title=f"Guidance of {trace.model.classes[category]} · {trace.model.title}",
        cards=(trace.model,),
        figures=lambda: (
            ("The maps", _drawn(lambda: map_sheet(selection, picture, trace, category))),
            ("Tokens: cosines and angles", _drawn(lambda: token_sheet(picture, trace))),
        ),
        data={kind: _made(kind, selection, picture, trace, category, cuts) for kind in NUMBERS},
        picture=picture,
    )


def _button(key: str, kind: str, name: str, media: str, make: Callable[[], bytes]) -> None:
    st.download_button(
        kind.upper(), data=make, file_name=name, mime=media, on_click="ignore", key=f"guidance {key}"
    )


def _drawn(make: Callable[[], Any]) -> Callable[[str], bytes]:
    return lambda kind: drawing.draw(make(), kind)


def _made(
    kind: str, selection: Selection, picture: Picture, trace: Trace, category: int, cuts: Cuts
) -> Callable[[], bytes]:
    return lambda: numbers(kind, selection, picture, trace, category, cuts)


def numbers(
    kind: str, selection: Selection, picture: Picture, trace: Trace, category: int, cuts: Cuts
) -> bytes:
    """The NPZ or the CSV."""
    about = about_of(selection, picture, trace, category, cuts)
    if kind == "npz":
        return exports.to_npz(arrays(selection, picture, trace, category, cuts), about)
    few = ("model", "checkpoint", "image", "image_hash")
    return exports.to_csv(rows(selection, picture, trace, cuts), {name: about[name] for name in few})


# ---------------------------------------------------------------------------------------------- figures


def map_sheet(selection: Selection, picture: Picture, trace: Trace, category: int) -> sheets.MapSheet:
    """The three panes."""
    assert trace.model is not None and trace.image is not None
    guide, upsampler, difference = (one.cpu().numpy() for one in logit_maps(trace, category))
    who = selection.third == "outcomes" and picture.truth is not None
    third = outcomes(trace, picture.truth) if who and picture.truth is not None else difference
    drawn: list[list[sheets.Labels]] = [[], [], []]
    if selection.outline in ("truth", "both") and picture.truth is not None:
        for pane in drawn:
            pane.append((picture.truth, "black"))
    if selection.outline in ("prediction", "both"):
        predictions = guide_labels(trace).cpu().numpy(), trace.labels.cpu().numpy()
        drawn[0].append((predictions[0], "white"))
        drawn[1].append((predictions[1], "white"))
        drawn[2].append((predictions[1], "white"))
    name = trace.model.classes[category]
    assert trace.guidance is not None
    pins = "; ".join(
        f"{number}: row {row}, col {col}" for number, (row, col) in enumerate(selection.pins or (), 1)
    )
    caption = (
        f"{words.site(selection, trace.guidance, name)}; {provenance(trace, picture)}. {words.lines(selection, picture)}"
        + (
            "In the third pane they are the upsampler's. "
            if selection.outline in ("prediction", "both")
            else ""
        )
        + (f"Pinned: {pins}." if pins else "")
    )
    return sheets.MapSheet(
        photo=trace.image.pixels,
        original=trace.image.original_size,
        guide=guide,
        upsampler=upsampler,
        third=third,
        words=OUTCOMES if who else None,
        pins=selection.pins or (),
        outlines=tuple(tuple(pane) for pane in drawn),
        category=name,
        title=f"Guide and upsampler: {name} · {trace.model.title}",
        caption=caption.strip(),
        colours=selection.colours,
        opacity=selection.opacity,
        smooth=selection.smooth,
    )


def token_sheet(picture: Picture, trace: Trace) -> sheets.TokenSheet:
    """Cosines and angles, in the order of the clustering."""
    assert trace.model is not None and trace.guidance is not None
    found = cache.branches_of(trace, picture.truth)
    order = list(found.order)
    palette = colours(trace.model.classes)
    caption = words.token_caption(trace.guidance, trace, picture)
    return sheets.TokenSheet(
        cosines=found.cosines[np.ix_(order, order)],
        angles={site: values[order] for site, values in found.angles.items()},
        names=tuple(trace.model.classes[c] for c in order),
        colours=tuple(palette[c] for c in order),
        title=f"Class tokens · {trace.model.title}",
        caption=f"{caption[:-1]}, class means over pure cells by {found.by}.",
    )


def gradient_sheet(picture: Picture, trace: Trace, cuts: Cuts) -> sheets.GradientSheet:
    """The matrix at these cuts; the scale is that of open ones."""
    assert trace.model is not None
    matrix = _matrix(picture, trace)
    opened = matrix.at(OPEN)
    return sheets.GradientSheet(
        rows=tuple((line.part, line.guide, line.upsampler, line.cosine) for line in matrix.at(cuts)),
        limits=sheets.decades([value for line in opened for value in (line.guide, line.upsampler)]),
        title=f"What each loss's gradient reaches · {trace.model.title}",
        caption=words.gradient_caption(cuts, trace, picture, (matrix.guide_loss, matrix.upsampler_loss)),
    )


def _matrix(picture: Picture, trace: Trace) -> GradientMatrix:
    truth, model = picture.truth, trace.model
    assert truth is not None and model is not None
    return cache.gradients_of(
        trace, truth, lambda: process.engine().gradients(model.id, picture.image, truth)
    )


# ---------------------------------------------------------------------------------------------- numbers


def arrays(
    selection: Selection, picture: Picture, trace: Trace, category: int, cuts: Cuts
) -> dict[str, np.ndarray]:
    """Exact arrays by name: logits, the maps of the category, tokens, pins; with ground truth outcomes and gradients too."""
    guidance = trace.guidance
    assert guidance is not None and trace.image is not None
    branches = cache.branches_of(trace, picture.truth)
    guide, upsampler, difference = logit_maps(trace, category)
    tensors = {
        "guide_logits": guidance.guide_logits,
        "upsampler_logits": guidance.upsampler_logits,
        "map/guide": guide,
        "map/upsampler": upsampler,
        "map/difference": difference,
        "labels": trace.labels,
        "guide_labels": guide_labels(trace),
        "tokens": guidance.tokens,
        "classifier": guidance.classifier,
    }
    found = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    found |= {
        "token_cosines": branches.cosines,
        "token_order": np.array(branches.order),
        "token_angles/high": branches.angles["high"],
        "token_angles/upsampled": branches.angles["upsampled"],
        "pins": np.array(selection.pins or ()).reshape(-1, 2),
        "cuts": np.array([cuts.token, cuts.high, cuts.low]),
    }
    for index, pin in enumerate(selection.pins or ()):
        found |= {f"pin{index + 1}/{one.branch}": one.probabilities for one in branch_readings(trace, pin)}
        if guidance.context_query is not None:
            place = cell(*pin, trace.image.original_size, guidance.grid)
            found[f"pin{index + 1}/context_affinity"] = guidance.context_affinity(*place).cpu().numpy()
    if picture.truth is not None:
        matrix = _matrix(picture, trace)
        lines = matrix.at(cuts)
        found |= {
            "truth": picture.truth,
            "outcomes": outcomes(trace, picture.truth),
            "gradients/guide": np.array([line.guide for line in lines]),
            "gradients/upsampler": np.array([line.upsampler for line in lines]),
            "gradients/cosine": np.array([np.nan if line.cosine is None else line.cosine for line in lines]),
            "gradients/gram": np.array(list(matrix.gram.values())),
        }
    return found


def rows(selection: Selection, picture: Picture, trace: Trace, cuts: Cuts) -> list[dict[str, Any]]:
    """One number a row: gradients, IoU and outcomes, cosines, angles, and what both branches say at the pins."""
    assert trace.model is not None
    classes = trace.model.classes
    branches = cache.branches_of(trace, picture.truth)
    found: list[dict[str, Any]] = []

    def add(quantity: str, of: str, value: Any, unit: str, stage: str = "") -> None:
        if value is not None and value == value:  # nan is left out
            found.append({"stage": stage, "quantity": quantity, "of": of, "value": value, "unit": unit})

    if picture.truth is not None:
        for name, value in zip(("token", "high", "low"), (cuts.token, cuts.high, cuts.low), strict=True):
            add("cut factor", name, value, "share of the gradient")
        for line in _matrix(picture, trace).at(cuts):
            add("gradient norm", "guide's loss", line.guide, "nats per parameter unit", line.part)
            add("gradient norm", "upsampler's loss", line.upsampler, "nats per parameter unit", line.part)
            add("gradient cosine", "both losses", line.cosine, "cosine", line.part)
    if branches.measures is not None and branches.counts is not None and picture.truth is not None:
        add("band width", "pixels", band_width(*picture.truth.shape), "pixels")
        for one in branches.measures:
            for region, name in zip(REGIONS, ("iou", "band_iou", "inside_iou"), strict=True):
                add(f"IoU, {region}", "mean", getattr(one, name.replace("iou", "miou")), "%", one.branch)
                for c, value in enumerate(getattr(one, name)):
                    add(f"IoU, {region}", classes[c], float(value), "%", one.branch)
        for region, counts in zip(REGIONS, branches.counts, strict=True):
            for outcome, count in zip(OUTCOMES, counts, strict=True):
                add(f"outcome, {region}", outcome, int(count), "pixels")
    for c, name in enumerate(classes):
        for site, value in branches.angles.items():
            add(f"angle to the class mean, by {branches.by}", name, float(value[c]), "degrees", site)
        for other in range(c):
            add("token cosine", f"{name} · {classes[other]}", float(branches.cosines[c, other]), "cosine")
    for index, pin in enumerate(selection.pins or ()):
        for one in branch_readings(trace, pin):
            for c, value in enumerate(one.probabilities.tolist()):
                row = {
                    "stage": one.branch,
                    "quantity": "probability",
                    "of": classes[c],
                    "value": value,
                    "unit": "softmax",
                }
                found.append({"pin": index + 1, "row": pin[0], "col": pin[1], **row})
    return found


def about_of(
    selection: Selection, picture: Picture, trace: Trace, category: int, cuts: Cuts
) -> dict[str, Any]:
    """Where the numbers come from."""
    assert trace.model is not None and trace.guidance is not None
    name = trace.model.classes[category]
    return {
        "model": trace.model.id,
        "checkpoint": trace.model.hash,
        "image": picture.image.name,
        "image_hash": picture.image.hash,
        "original_size": size(picture.image.original_size),
        "traced_size": size(picture.image.size),
        "classes": list(trace.model.classes),
        "category": name,
        "cuts": {"token": cuts.token, "high": cuts.high, "low": cuts.low},
        "trained_cuts": {
            "token": trace.guidance.cuts.token,
            "high": trace.guidance.cuts.high,
            "low": trace.guidance.cuts.low,
        },
        "own_tokens": trace.guidance.own_tokens,
        "outcomes": list(OUTCOMES),
        "gradient_parts": ["stage 1", "stage 2", "stage 3", "stage 4", "CAE", "tokens", "upsampler"],
        "gram_paths": list(PATHS),
        "labels_by": "ground truth" if picture.truth is not None else "prediction",
        "caption": f"{words.site(selection, trace.guidance, name)}; {provenance(trace, picture)}.",
    }
