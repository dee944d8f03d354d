"""What stands around the picture: sidebar, header with its three popovers, footer."""

from __future__ import annotations

import streamlit as st

from app import process, state
from app.gallery import Picture
from app.selection import INSPECT, Selection
from app.views import inspect_download as download
from app.views import keeping
from app.views.inspect_words import HELP, QUESTION
from app.views.picker import thumbnails
from app.words import html, measured_on, number, size
from engine import LoupeError
from engine.runtime import ModelCard
from engine.trace import Trace

GALLERY = "gallery"


def sidebar(selection: Selection, picture: Picture, card: ModelCard, trace: Trace) -> None:
    """The shared selection: image, model, stage."""
    image(selection, picture)
    cards = {name: card for name, card in process.engine().models().items() if card.sources is not None}
    st.selectbox(
        "Model",
        list(cards),
        format_func=lambda name: cards[name].title,
        **state.bound("model", selection.model),
    )
    st.html(f'<p class="lp-note">{about(card)}</p>')
    stages = [stage.name for stage in trace.stages]
    if stages:
        st.segmented_control(
            "Stage", stages, required=True, width="stretch", **state.bound("stage", selection.stage)
        )


def image(selection: Selection, picture: Picture) -> None:
    gallery = process.gallery()
    known = "labels known" if picture.truth is not None else "labels unknown"
    reduced = f", traced at {size(picture.image.size)}" if picture.image.reduced else ""
    st.html(
        f'<div class="lp-current"><img src="{picture.thumbnail}" alt=""><p><b>{html(picture.title)}</b><br>'
        f'<span class="lp-soft">{size(picture.image.original_size)}{reduced}<br>{known}</span></p></div>'
    )
    with st.popover("Change image", width="stretch", icon=":material/photo_library:"):
        here = {one.id: one for one in gallery.uploads()}
        mine = [here[one] for one in reversed(state.my_uploads()) if one in here]
        pictures = [*gallery.samples(), *mine]
        thumbnails(pictures, selection.image, GALLERY, _picked)
        st.file_uploader("Or a picture of your own", **state.upload_slot(_uploaded))


def _picked() -> None:
    chosen = state.picked(GALLERY)
    if isinstance(chosen, str):
        state.choose(image=chosen, pins=None, active=0)


def _uploaded(data: bytes, name: str) -> None:
    try:
        picture = process.gallery().add(data, name)
    except LoupeError as error:
        state.choose()
        state.notice(f"{error}.")
        return
    if picture.kind == "upload":
        state.remember_upload(picture.id)
    state.choose(image=picture.id, pins=None, active=0)


def about(card: ModelCard) -> str:
    parts = [f"{number(card.parameters / 1e6)} M parameters"]
    if card.mIoU is not None:
        parts.append(
            f"mIoU {number(card.mIoU)}\u2009% <abbr title='Measured {html(measured_on([card]))}'>one training seed</abbr>"
        )
    return f"{' · '.join(parts)}<br>{html(card.backbone)} · {card.hash[:8]}"


def header(selection: Selection, picture: Picture, trace: Trace) -> None:
    """The question, and how to read the answer, take it along, and pass it on."""
    with st.container(horizontal=True, vertical_alignment="center", key="header"):
        st.html(f"<h1 class='lp-question'>{QUESTION}</h1>", width="stretch")
        with st.popover("?"):
            st.markdown(HELP)
        with st.popover("Download"):
            download.buttons(selection, picture, trace)
        keeping.control(INSPECT, selection, download.offer(selection, picture, trace))
        with st.popover("Link"):
            st.caption("Opens this very selection: model, image, pixels and settings.")
            st.code(state.address(selection, st.context.url or ""), language=None, wrap_lines=True)


def footer(trace: Trace) -> None:
    """Device, precision, what the trace took, and how full the cache is."""
    engine = process.engine()
    info = engine.cache_info()
    tiers = [("device cache", info.device), ("host cache", info.host)]
    used = " · ".join(
        f"{name} {number(tier.bytes / 2**20)} of {number(tier.limit / 2**30)} GiB".replace(" of", " MiB of")
        for name, tier in tiers
        if tier.limit
    )
    took = "" if trace.milliseconds is None else f" · trace {number(trace.milliseconds)} ms"
    st.html(f'<footer class="lp-footer">{engine.device} · {engine.precision}{took} · {used}</footer>')
