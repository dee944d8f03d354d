"""The Prototypes page of a model without prototypes: it says so, and shows what the model has: tokens, class means, a price."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import streamlit as st

from app import cache, state
from app.figures_guidance import angle_top
from app.sheets_prototypes import ChartSheet, Mark, MatrixSheet, Row, Sheet
from app.views import prototypes_html as draw
from app.views import prototypes_made as made
from app.views.prototypes_look import Look, atlas_of
from app.views.prototypes_words import provenance
from app.words import html, number
from engine.atlas import Atlas
from engine.bank import cosine_matrix
from engine.branches import mean_angles
from engine.ordering import alike_order

F_H, F_U = "high", "fused"  # sites of the guide's and of the upsampler's features
READS = {"bilinear": "it resizes the coarse map", "pixels": "its queries read the coarse map's own pixels"}


def why(look: Look) -> str:
    """That the model has none, and what stands here instead."""
    card = look.card
    if look.parts.tokens is not None:
        return f"{card.id} has no prototypes. It has class tokens ▲, one for each category, and the means of its features"
    reason = READS.get(card.sources or "", "its decoder classifies features as they are")
    return (
        f"{card.id} has no prototypes: {reason}. What can be shown are the means of its features by category"
    )


def render(look: Look, guard: Callable[[Look, Callable[[Look], None]], None]) -> None:
    """The page's body."""
    st.html(f'<p class="lp-note lp-said" data-plain="1">{html(why(look))}.</p>')
    if look.parts.tokens is not None:
        guard(look, _tokens)
    guard(look, _means)
    if look.atlas is not None and look.card.sources is not None:
        guard(look, _price)


def sheets(look: Look) -> tuple[Sheet, ...]:
    """Everything that the page shows, for the downloads."""
    found: list[Sheet] = [] if look.parts.tokens is None else list(_made_tokens(look))
    if look.atlas is not None:
        found.append(_made_means(look, look.atlas))
        if look.atlas.price:
            found += made.price(look, look.atlas).sheets
    return tuple(found)


# ---------------------------------------------------------------------------------------------- tokens


def tokens(look: Look) -> tuple[Sheet, ...]:
    """Cosines between the class tokens, and with an atlas their angles to the class means of F_h and F_u."""
    assert look.parts.tokens is not None and look.parts.classifier is not None
    cosines = cosine_matrix(look.parts.tokens)
    k, c = look.parts.tokens.shape
    manifest = None if look.atlas is None else look.atlas.manifest
    of = provenance(look.card, manifest)
    caption = f"The {k} class tokens of {c} channels, ordered by average linkage of 1 − cosine; {of}."
    matrix = MatrixSheet(
        key="tokens", title="▲ Cosine between class tokens", values=cosines, order=tuple(alike_order(cosines)),
        names=look.names, unit="cosine", caption=caption, diverging=True, skip=True, marked=look.category,
    )  # fmt: skip
    if look.atlas is None:
        return (matrix,)
    return (matrix, _angles(look, look.atlas))


def _angles(look: Look, atlas: Atlas) -> ChartSheet:
    assert look.parts.tokens is not None and look.parts.classifier is not None
    found = {}
    for site, classifier in ((F_H, look.parts.tokens), (F_U, look.parts.classifier)):
        moments = atlas.moments(site)
        found[site] = mean_angles(classifier, moments.mean, moments.count)
    high, upsampled = found[F_H], found[F_U]
    order = sorted(range(len(high)), key=lambda c: (np.nan_to_num(upsampled[c], nan=999), c))
    rows = tuple(
        Row(
            look.card.classes[c],
            tuple(float(v[c]) if np.isfinite(v[c]) else None for v in (high, upsampled)),
            numbers=(number(float(high[c])), number(float(upsampled[c]))),
            category=c,
            strong=c == look.category,
        )
        for c in order
    )
    own = (
        "" if np.array_equal(look.parts.tokens, look.parts.classifier) else ", to the upsampler's own tokens"
    )
    return ChartSheet(
        key="angles",
        title="From each token ▲ (at 0°) to its category's mean",
        marks=(Mark("mean of F_h", "square"), Mark(f"mean of F_u{own}", "open")),
        rows=rows,
        low=0.0,
        high=float(angle_top([*high.tolist(), *upsampled.tolist()])),
        unit="degrees",
        caption=f"Angles to class means of pure cells, by ground truth; {provenance(look.card, atlas.manifest)}.",
        names=look.names,
        heads=("F_h", "F_u"),
    )


def _tokens(look: Look) -> None:
    _draw(look, _made_tokens(look), "lp-wide-tokens")


def _made_tokens(look: Look) -> tuple[Sheet, ...]:
    return cache.made(("tokens", *look.key, look.category), lambda: tokens(look))


# ---------------------------------------------------------------------------------------------- class means


def site_of(look: Look, atlas: Atlas) -> str:
    """The chosen site, or the last one: what the classifier reads or next to it."""
    sites = list(atlas.manifest.sites)
    return look.selection.features if look.selection.features in sites else sites[-1]


def means(look: Look, atlas: Atlas) -> MatrixSheet:
    """Cosines between the class means at one site."""
    site = site_of(look, atlas)
    moments = atlas.moments(site)
    values = np.where(moments.count[:, None] > 0, moments.mean, 0.0)  # never met: no direction
    cosines = cosine_matrix(values)
    never = [name for name, count in zip(look.card.classes, moments.count, strict=True) if not count]
    return MatrixSheet(
        key=f"means-{site}",
        title=f"Cosine between class means at {site}",
        values=cosines,
        order=tuple(alike_order(cosines)),
        names=look.names,
        unit="cosine",
        caption=(
            f"Mean feature of each category's pure cells (75 % of their pixels) at {site}, {moments.mean.shape[1]} channels, by "
            f"ground truth; {provenance(look.card, atlas.manifest)}."
        ),
        diverging=True,
        skip=True,
        marked=look.category,
        note=f"No pure cell: {', '.join(never)}." if never else "",
    )


def _means(look: Look) -> None:
    atlas = atlas_of(look, "The class means")
    sites = list(atlas.manifest.sites)
    st.selectbox("Features of", sites, width=260, **state.bound("features", site_of(look, atlas)))
    _draw(look, (_made_means(look, atlas),), "lp-wide-means")


def _made_means(look: Look, atlas: Atlas) -> MatrixSheet:
    key = ("means", *look.key, site_of(look, atlas), look.category)
    return cache.made(key, lambda: means(look, atlas))


def _price(look: Look) -> None:
    if look.atlas is None or not look.atlas.price:
        return
    section = made.price(look, look.atlas)
    st.html('<h2 class="lp-heading">What reading source pixels does to variance</h2>')
    st.html("".join(f'<p class="lp-note lp-said">{html(sentence)}</p>' for sentence in section.said))
    _draw(look, section.sheets, "lp-wide-price")


def _draw(look: Look, drawn: tuple[Sheet, ...], key: str) -> None:
    parts = [_html(look, sheet) for sheet in drawn]
    if len(parts) > 1:
        with st.container(key=key):
            columns = st.columns(2, gap="large")
        columns[0].html(parts[0])
        columns[1].html("".join(parts[1:]))
    else:
        st.html(parts[0])
    st.html(f'<p class="lp-caption">{html(drawn[0].caption)}</p>')


def _html(look: Look, sheet: Sheet) -> str:
    if isinstance(sheet, MatrixSheet):
        return draw.matrix(sheet, look.selection.colours)
    assert isinstance(sheet, ChartSheet)
    return draw.chart(sheet)
