"""What the edits cause over a whole split: started by a click, refined as it goes, and the images that they change most."""

from __future__ import annotations

from collections.abc import Hashable

import streamlit as st

from app import datasets, process, state, surgery_walk
from app.gallery import Picture, UnknownPicture, data_id
from app.surgery_walk import Walk
from app.views import surgery_causal as causal
from app.views.picker import thumbnails
from app.views.prototypes_html import chart
from app.views.surgery_look import Look
from app.views.surgery_over import bar, data_of, ended, images_of, polled, prepared
from app.views.surgery_sheets import consequences_sheet
from app.words import html, markdown, minus, percent
from engine import LoupeError
from engine.edits import describe, edits_key
from engine.surgery import Consequences, consequences, only_of_one_image

LIST = "surgery images"
SHOWN = 8


def section(look: Look) -> None:
    """Over the split, below the image on show."""
    data = data_of(look)
    over = f"{images_of(data)} images of {html(data)}" if data else "a dataset"
    st.html(f"<h2 class='lp-section'>Consequences over {over}</h2>")
    why = _why_not(look)
    if why is not None:
        st.html(f'<p class="lp-soft">{html(why)}</p>')
    else:
        polled(_walked, look, walk_of(look))
    if data and look.subject.sources in ("prototypes", "memory"):
        st.html("<h2 class='lp-section'>Does attention predict effect?</h2>")
        causal.settings(look)
        polled(causal.walked, look, causal.walk_of(look))


def name_of(look: Look) -> Hashable:
    return ("consequences", look.card.hash, data_of(look), surgery_walk.IMAGES, edits_key(look.edits))


def walk_of(look: Look) -> Walk | None:
    return process.walks().find(name_of(look))


def found_of(look: Look) -> Consequences | None:
    """What is known by now of these edits."""
    walk = walk_of(look)
    return None if walk is None or walk.found is None or not walk.found.images else walk.found


def start(look: Look) -> Walk:
    """Begins the walk; what is ready of the model's unedited runs is used again."""
    engine, card, edits, data = process.engine(), look.card, look.edits, data_of(look)

    def run(walk: Walk) -> Consequences:
        return consequences(
            engine.segmenter(card),
            datasets.opened(data),
            edits,
            limit=images_of(data),
            device=engine.device,
            progress=walk.progress,
            stop=lambda: engine.let_clicks_go_first() or walk.stop_now(),
            refine=walk.refine,
            prepared=prepared(card, data),
            model=card.id,
            data=data,
        )

    return process.walks().start(name_of(look), run)


def _why_not(look: Look) -> str | None:
    """Why these edits cannot be made over a split."""
    if not look.edits:
        return "Without an edit nothing changes: add one above."
    for edit in look.edits:
        why = only_of_one_image(edit)
        if why is not None:
            return f"{describe(edit)}: {why}."
    data = data_of(look)
    if not data:
        said = datasets.missing(look.card)
        return f"{said[:1].upper()}{said[1:]}."
    try:
        datasets.opened(data)
    except (LoupeError, OSError) as error:
        return f"{data} cannot be read: {error}."
    return None


def _walked(look: Look) -> None:
    walk = walk_of(look)
    if walk is not None and walk.running:
        bar(walk, f"{look.card.id}, edited, on images of {data_of(look)}", "consequences")
    elif walk is None or not walk.complete:
        label = "Run the edits over the split" if walk is None else "Run again"
        if st.button(f"{label} ({images_of(data_of(look))} images)", key="start consequences"):
            start(look)
            st.rerun()  # the whole page: only it can make this part look again and again
    if walk is not None and walk.error:
        st.warning(markdown(f"{walk.error}."), icon=":material/info:")
    found = found_of(look)
    if found is not None:
        _shown(look, found)
    if ended(walk, "consequences"):
        st.rerun()
    if state.waiting():
        st.rerun()  # a picture was chosen


def _shown(look: Look, found: Consequences) -> None:
    sheet = consequences_sheet(look, found)
    st.html(f'<p class="lp-said">{html(_finding(found, walk_of(look)))}</p>')
    st.html(chart(sheet) + f'<p class="lp-caption">{html(sheet.caption)}</p>')
    images = found.most_changed(SHOWN)
    pictures: list[Picture] = []
    for one in images:
        try:
            pictures.append(process.gallery().get(data_id(found.data, one.id)))
        except UnknownPicture as error:
            st.html(f'<p class="lp-soft">{html(error)}</p>')
    if pictures:
        notes = {
            data_id(found.data, one.id): f"{percent(one.changed, 2)}\n{one.delta:+.1f}".replace("-", "−")
            for one in images
        }
        st.html('<h3 class="lp-part">Images that change most</h3>')
        thumbnails(pictures, look.selection.image, LIST, _picked, notes)
        st.html(
            '<p class="lp-note">Share of the pixels with another category; below it the change of the image’s own mIoU, '
            "in points. Click one to see it above with these edits.</p>"
        )


def _finding(found: Consequences, walk: Walk | None) -> str:
    """The engine's sentence; of a walk that is under way it says so."""
    state_ = "so far" if walk is not None and walk.running else "until it was stopped"
    return minus(found.finding()).replace(" images, stopped of ", f" images {state_}, of ")


def _picked() -> None:
    chosen = state.picked(LIST)
    if isinstance(chosen, str):
        state.choose(image=chosen, pins=None, active=0)
