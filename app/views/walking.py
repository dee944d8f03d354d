"""The walk that makes a model's atlas, as pages show it: begun where there is none, with how far it is and a way to stop."""

from __future__ import annotations

from typing import Protocol

import streamlit as st

from app import atlases, datasets, process
from app.atlases import Build, Found
from app.views.polling import once_more, watch
from app.words import markdown, number, percent
from engine.atlas import Atlas
from engine.runtime import ModelCard

POLL = 1.5  # seconds between two looks at a walk
MEND, ANEW = "Mend the atlas", "Build the atlas anew"


class Walked(Protocol):
    """A model and what was found of its atlas."""

    @property
    def card(self) -> ModelCard: ...
    @property
    def found(self) -> Found: ...
    @property
    def atlas(self) -> Atlas | None: ...


def walk(look: Walked) -> None:
    """Begins the walk that makes the atlas where there is none, and shows how far it is."""
    shelf, card = process.atlases(), look.card
    build = shelf.build_of(card)
    if look.found.without:
        st.info(markdown(f"{look.found.why}."), icon=":material/info:")
        return
    whole = look.atlas is not None and atlases.complete(look.atlas)
    if whole and (build is None or not (build.running or build.error)):
        return
    nothing = (
        look.atlas is None and look.found.why is None
    )  # a smaller atlas is somebody's choice: it is not walked on unasked
    if build is None and nothing and atlases.may_begin() and not shelf.busy():
        _begin(card)
        build = shelf.build_of(card)
    if build is not None and build.running:
        watch(
            lambda: build.running,
            lambda: build.done / max(1, build.total),
            lambda: _said(build, look),
            "walk",
            ("Stop", build.stop),
            lambda: build.stopping,
            POLL,
        )
    elif build is not None and shelf.find(card).key != look.found.key:
        once_more()  # it ended after the page had looked for the atlas
    else:
        _offer(look, build)


def _begin(card: ModelCard, anew: bool = False) -> None:
    process.atlases().build(card, str(process.engine().device), anew)


def _offer(look: Walked, build: Build | None) -> None:
    """What is wrong with the atlas, or was with the walk, and a button that makes it, mends it or goes on with it."""
    if build is not None and build.error:  # first: mending may have failed for good
        st.warning(markdown(f"{build.error}."), icon=":material/info:")
        anew = look.found.anew or atlases.beyond_mending(build.error)
        label = ANEW if anew else "Try again"
    elif look.found.why is not None:
        st.warning(markdown(f"{look.found.why}."), icon=":material/info:")
        anew = look.found.anew
        label = ANEW if anew else MEND
    elif build is not None and build.stopped:
        label, anew = "Go on with the atlas", False
    elif look.atlas is not None:
        label, anew = f"Extend the atlas to {atlases.wanted(look.atlas.manifest.data)} images", False
    else:
        label, anew = f"Make the atlas: {_over(look)}", False
    st.button(
        label,
        on_click=_begin,
        args=(look.card, anew),
        key="begin walk",
        help="In the background, at low priority; what is written stays.",
    )


def again(look: Walked, where: str) -> None:
    """A button that mends a damaged atlas: what is whole is kept. Where a walk has failed, `walk` says so and has the button."""
    build = process.atlases().build_of(look.card)
    if build is not None and (build.running or build.error):
        return
    st.button(MEND, on_click=_begin, args=(look.card,), key=f"again {where}")


def _over(look: Walked) -> str:
    data = str(datasets.of(look.card))
    return f"{atlases.wanted(data)} images of {data}"


def _said(build: Build, look: Walked) -> str:
    what = "; ".join([f"Making the atlas of {look.card.id}: {_over(look)}", *build.found])
    if build.stopping:
        return f"{what}. Stopping after the images in hand …"
    text = f"{what}, {percent(build.done / max(1, build.total), 2)}"
    if build.waiting:
        return f"{what}: waiting for another process that is building it …"
    left = build.seconds_left
    if left is None:
        return f"{text}, starting …"
    return (
        f"{text}, about {number(left / 60, 2)} min left"
        if left >= 90
        else f"{text}, about {number(left, 2)} s left"
    )
