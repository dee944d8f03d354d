"""What stands around the Audit page: sidebar, header with its three popovers, and the work that makes an audit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app import atlases, audits, datasets, process, state
from app.aside import Build
from app.audits import Wanted
from app.selection import AUDIT, AUDITED, MOST_AUDITED, SCORES, SLICES, UNDER_PIN
from app.views import audit_words as words
from app.views import keeping
from app.views.audit_look import Look
from app.views.inspect_frame import about
from app.views.keeping import Offer
from app.views.polling import once_more, watch
from app.words import html, markdown, number, percent

POLL = 1.5  # seconds between two looks at the work


def sidebar(look: Look) -> None:
    """Whose pixels, which of their scores, and over how many images."""
    chosen, cards = look.selection, process.engine().models()
    models = [chosen.model, *chosen.beside]

    def take_models(named: list[str]) -> dict[str, Any]:
        # An empty choice changes nothing: the page always shows something.
        return {"model": named[0], "beside": tuple(named[1:])} if named else {}

    st.multiselect(
        "Models, one to three",
        list(dict.fromkeys([*cards, *models])),
        max_selections=MOST_AUDITED,
        format_func=lambda name: cards[name].id if name in cards else f"{name[:40]} (not here)",
        help="The first one is the model of the other pages; its cases are shown.",
        **state.bound("beside", models, take_models),
    )
    if look.stages:
        st.segmented_control(
            "Stage", look.stages, required=True, width="stretch", **state.bound("stage", chosen.stage)
        )
    st.selectbox(
        "Score", SCORES, format_func=lambda name: words.SCORES[name][0], **state.bound("score", chosen.score)
    )
    st.selectbox(
        "Parted by", SLICES, format_func=words.SLICES.__getitem__, **state.bound("slices", chosen.slices)
    )
    st.selectbox(
        "Cases of",
        (UNDER_PIN, *look.card.classes),
        format_func=lambda name: "all categories" if name == UNDER_PIN else name,
        **state.bound("category", chosen.category),
    )
    st.select_slider(
        "Images",
        AUDITED,
        help=f"More images, narrower intervals: {audits.EACH} pixels of each are scored, and one of every "
        f"{round(1 / audits.DELETION_EACH)} images (above {audits.SMALL}) is asked with source cells hidden. "
        "The work goes on in the background.",
        **state.bound("audited", chosen.audited),
    )
    with st.container(horizontal=True):
        st.selectbox(
            "Data", datasets.fitting(look.card.classes) or (chosen.data,), **state.bound("data", chosen.data)
        )
        st.number_input("Seed of the pixels", 0, 999_999, **state.bound("seed", chosen.seed))
    st.html(
        f'<p class="lp-note">{"<br>".join(f"<b>{html(card.id)}</b> {about(card)}" for card in look.cards)}</p>'
    )


def header(look: Look, download: Callable[[], None], offer: Offer | None) -> None:
    """The question, and how to read the answer, take it along, and pass it on. download: draws the buttons."""
    with st.container(horizontal=True, vertical_alignment="center", key="header"):
        st.html(f"<h1 class='lp-question'>{words.QUESTION}</h1>", width="stretch")
        with st.popover("?"):
            st.markdown(words.HELP)
        with st.popover("Download"):
            download()
        keeping.control(AUDIT, look.selection, offer)
        with st.popover("Link"):
            st.caption("Opens this very selection: models, stage, score, data and seed.")
            link = state.address(look.selection, st.context.url or "", AUDIT)
            st.code(link, language=None, wrap_lines=True)


# ---------------------------------------------------------------------------------------------- the work


def work(look: Look) -> None:
    """What the page is over now; begins the audit that was asked for where it is not there, shows how far it is, and stops it."""
    shelf, wanted = process.audits(), look.wanted
    build = shelf.work_of(wanted)
    asked = shelf.find(wanted)
    if look.found.note:
        st.warning(markdown(look.found.note), icon=":material/info:")
    if look.whole and (build is None or not build.running):
        return
    if build is None and asked.why is None and look.audit is not None and _may_begin():
        _begin(wanted)
        build = shelf.work_of(wanted)
    if build is not None and build.running:
        st.html(f'<p class="lp-note" data-meanwhile="1">{html(_meanwhile(look))}</p>')
        watch(
            lambda: build.running and shelf.best(wanted).key == look.found.key,
            lambda: build.done / max(1, build.total),
            lambda: _said(build, look),
            "audit-work",
            ("Stop", build.stop),
            lambda: build.stopping,
            POLL,
        )
    elif build is not None and shelf.best(wanted).key != look.found.key:
        once_more()  # it ended after the page had looked for the audit
    else:
        _offer(look, build, asked.why)


def _may_begin() -> bool:
    """One walk over a dataset at a time begins by itself."""
    return atlases.may_begin() and not process.audits().busy() and not process.atlases().busy()


def _begin(wanted: Wanted) -> None:
    process.audits().work(wanted, str(process.engine().device))


def _offer(look: Look, build: Build | None, why: str | None) -> None:
    """What is wrong with the audit that was asked for, or was with its making, and a button that makes it."""
    if build is not None and build.error:
        st.warning(markdown(_sentence(build.error)), icon=":material/info:")
    elif why is not None:
        st.warning(markdown(_sentence(why)), icon=":material/info:")
    if look.audit is None:
        return
    st.html(f'<p class="lp-note" data-meanwhile="1">{html(_meanwhile(look))}</p>')
    again = build is not None and (build.stopped or bool(build.error))
    st.button(
        f"{'Begin again' if again else 'Audit'}: {look.wanted.images} images of {look.wanted.data}",
        on_click=_begin,
        args=(look.wanted,),
        key="begin audit",
        help="In the background, at low priority; the page is drawn anew as results come.",
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _meanwhile(look: Look) -> str:
    """What is drawn until the audit is there."""
    assert look.audit is not None
    images = len(look.audit.images)
    over = f"{images} image{'s' * (images != 1)}"
    return f"Meanwhile, this is over {over}: intervals are wide, and rare categories have few pixels."


def _said(build: Build, look: Look) -> str:
    names = ", ".join(card.id for card in look.cards)
    what = f"Auditing {names}: {build.total} images of {look.wanted.data}"
    if build.stopping:
        return f"{what}. Stopping after the image in hand …"
    left = build.seconds_left
    if left is None:
        return f"{what}, starting …"
    text = f"{what}, {percent(build.done / max(1, build.total), 2)}"
    return (
        f"{text}, about {number(left / 60, 2)} min left"
        if left >= 90
        else f"{text}, about {number(left, 2)} s left"
    )
