"""What was selected among the points: whose pixels they are, a strip of them, and the photo in which they can be painted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st

from app import cache, process, scatter, state
from app.cutouts import Spot, evenly, sprite, tiles
from app.selection import VARIANCE
from app.views.variance_look import Look
from app.views.variance_points import Chosen, inspect_link, modes_of
from app.words import html, percent
from engine import LoupeError
from engine.pixels import NO_MODE, PixelSample

STRIP = 24  # cut-outs
LISTED = 6  # images, modes in a table of counts
PHOTO = "variance photo"
Count = tuple[str, str, int]  # colour or "", name, pixels


def section(look: Look, chosen: Chosen) -> None:
    """Counts and strip on the left, the photo on the right."""
    with st.container(key="lp-wide-selection"):
        left, right = st.columns([5, 3], gap="large")
    with left:
        _selected(look, chosen)
    with right:
        photo(look)


def _selected(look: Look, chosen: Chosen) -> None:
    sample = look.sample
    assert sample is not None
    rows = chosen.rows
    if not len(rows):
        said = (
            "Draw around points in a map above, or paint in the photo: what is selected shows here. Meanwhile, pixels of the "
            "whole sample:"
        )
        rows = np.arange(len(sample))
    else:
        said = f"{len(rows)} of {len(sample)} pixels selected ({percent(len(rows) / len(sample))})."
    st.html(f'<p class="lp-note lp-said" data-taken="{len(chosen.rows)}">{html(said)}</p>')
    picked = rows[evenly(len(rows), STRIP)]
    key = ("strip", sample.key(), look.drawn, picked.tobytes())
    try:
        source = cache.made(key, lambda: sprite(tiles(process.photos(), spots(look, sample, picked))))
        st.html(strip(look, sample, picked, source, len(rows)))
    except LoupeError as error:
        st.html(f'<p class="lp-note" data-nothing="1">{html(error)}</p>')
    st.html(counts_html(look, sample, rows))


def spots(look: Look, sample: PixelSample, rows: np.ndarray) -> list[Spot]:
    """Where to cut out these pixels."""
    return [
        Spot(
            look.picture_id(image),
            (int(sample.pixel[row, 0]), int(sample.pixel[row, 1])),
            (int(sample.sizes[image, 0]), int(sample.sizes[image, 1])),
        )
        for row in rows.tolist()
        if (image := int(sample.image[row])) >= 0
    ]


def strip(look: Look, sample: PixelSample, rows: np.ndarray, source: str, total: int) -> str:
    """The cut-outs as links to Inspect; one picture for all of them."""
    panel = look.panels[look.shown[0]]
    names, colours = look.names.names, look.names.colours
    cards = []
    for place, row in enumerate(rows.tolist()):
        image, category = int(sample.image[row]), int(sample.category[row])
        pixel = (int(sample.pixel[row, 0]), int(sample.pixel[row, 1]))
        wrong = int(sample.predicted[row]) != category
        said = f"{look.image_name(image)}, row {pixel[0]}, col {pixel[1]}: {names[category]}" + (
            f", predicted {names[int(sample.predicted[row])]}" if wrong else ""
        )
        address = inspect_link(look.selection, panel, look.picture_id(image), pixel)
        at = 0 if len(rows) < 2 else 100 * place / (len(rows) - 1)
        cards.append(
            f'<a class="lp-tile" href="{html(address)}" title="{html(said)}. Opens in Inspect." data-row="{row}">'
            f'<i style="background-position:{at:.4f}% 0" role="img" aria-label="{html(said)}"></i>'
            f'<span><i class="lp-swatch" style="background:{colours[category]}"></i>{"✕ " if wrong else ""}'
            f"{html(names[category])}</span></a>"
        )
    count = f"{len(rows)} of {total}" if total > len(rows) else f"{len(rows)}"
    size = f"{len(rows) * 100}% 100%"
    return (
        f'<div class="lp-tiles" style="--sprite:url({source});--sprite-size:{size}">{"".join(cards)}</div>'
        f'<p class="lp-caption">{html(count)} cut-outs around their pixels (✕: predicted wrong), spread evenly over the selection'
        " in the order of its draw. A click opens Inspect at the pixel.</p>"
    )


# ---------------------------------------------------------------------------------------------- counts


def counts_html(look: Look, sample: PixelSample, rows: np.ndarray) -> str:
    """Pixels of the selection by category, planted mode and image, each beside how many there are in the whole sample."""
    colours, names = look.names.colours, look.names.names
    parts = [
        _counts("by category", sample.category, rows, lambda c: (colours[c], names[c])),
    ]
    if (sample.mode != NO_MODE).any():
        modes = modes_of(names)
        code = sample.category * 256 + sample.mode

        def of(code: int) -> tuple[str, str]:
            category, mode = divmod(code, 256)
            known = modes.get(category, ())
            word = known[mode] if mode < len(known) else "no mode" if mode == NO_MODE else f"mode {mode}"
            return colours[category], f"{names[category]}: {word}"

        parts.append(_counts("by planted mode", code, rows, of))
    parts.append(_counts("by image", sample.image, rows, lambda i: ("", look.image_name(i))))
    return f'<div class="lp-counts">{"".join(parts)}</div>'


def _counts(title: str, codes: np.ndarray, rows: np.ndarray, named: Callable[[int], tuple[str, str]]) -> str:
    inside, whole = Counter(codes[rows].tolist()), Counter(codes.tolist())
    listed = inside.most_common(LISTED)
    top = max((count for _, count in listed), default=1)
    lines = []
    for code, count in listed:
        colour, name = named(code)
        swatch = f'<i class="lp-swatch" style="background:{colour}"></i>' if colour else ""
        lines.append(
            f'<tr><th scope="row">{swatch}{html(name)}</th><td class="lp-bar"><b>{count}</b>'
            f'<span class="lp-track"><i style="width:{100 * count / top:.1f}%"></i></span></td>'
            f'<td class="lp-soft">of {whole[code]}</td></tr>'
        )
    more = len(inside) - len(listed)
    rest = f'<p class="lp-note">and {more} more</p>' if more > 0 else ""
    return f'<section><h3 class="lp-part">{html(title)}</h3><table class="lp-table">{"".join(lines)}</table>{rest}</section>'


# ---------------------------------------------------------------------------------------------- photo


def photo_of(look: Look) -> int:
    """Place of the image whose photo is shown: the chosen one, else the one with the most pixels."""
    sample = look.sample
    assert sample is not None
    if look.selection.photo in sample.names:
        return sample.names.index(look.selection.photo)
    return int(np.bincount(sample.image).argmax())


def photo(look: Look) -> None:
    """One image with the sample's pixels in it: painting there lights up their points."""
    sample = look.sample
    assert sample is not None
    shown = photo_of(look)
    met = np.unique(sample.image).tolist()
    labels = {sample.names[image]: look.image_name(image) for image in met}
    st.selectbox(
        "Photo of image",
        list(labels),
        list(labels).index(sample.names[shown]) if sample.names[shown] in labels else 0,
        format_func=lambda name: labels.get(name) or str(name),
        **state.bound("photo", sample.names[shown]),
    )
    try:
        pixels = process.photos().get(look.picture_id(shown))
    except LoupeError as error:
        st.html(f'<p class="lp-note" data-nothing="1">{html(error)}</p>')
        return
    size = (int(sample.sizes[shown, 0]), int(sample.sizes[shown, 1]))
    count = int((sample.image == shown).sum())
    said = f"{count} of the sample's pixels are in {look.image_name(shown)}. Paint over them: their points light up."
    scatter.photo(
        scatter.describe_photo(
            process.plots(),
            group=VARIANCE.key,
            image=sample.names[shown],
            pixels=pixels,
            size=size,
            caption=said,
        ),
        key=PHOTO,
    )


def warm(look: Look) -> None:
    """Reads the sample's images aside, in the order of their first pixel: a lasso's strip need not wait for them."""
    sample = look.sample
    if sample is None:
        return
    _, first = np.unique(sample.image, return_index=True)
    order: Sequence[int] = sample.image[np.sort(first)].tolist()
    process.photos().warm([look.picture_id(image) for image in order])
