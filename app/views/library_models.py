"""The Library's models: a card each, and the form that adds one."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import process, state
from app.library import locked
from app.selection import INSPECT, to_params
from app.views.library_frame import Look
from app.words import html, number, place
from engine import LoupeError
from engine.added import SUFFIXES, Added, add, is_own, remove, rename
from engine.data.class_lists import FOLDER, class_list
from engine.runtime import ModelCard

MEGABYTES = 2048  # of an added file, at most: Swin-L has 811
FROM_FILE = "as the file says"


def section(look: Look) -> None:
    """All models, what cannot be used and why, and a way to add one."""
    engine = process.engine()
    st.html(
        f'<h2 class="lp-heading">Models <span class="lp-soft">{len(look.cards)}; added ones lie in '
        f"{html(place(engine.models_folder))}</span></h2>"
    )
    for card in look.cards.values():
        with st.container(key=f"lp-model-{card.id}"):
            about, more = st.columns([9, 1], vertical_alignment="center")
            about.html(described(card, look))
            with more.popover("⋯", key=f"more {card.id}"):
                _more(card)
    problems = engine.problems()
    if problems:
        rows = "".join(f"<li><b>{html(name)}</b>: {html(why)}</li>" for name, why in problems.items())
        st.html(f'<div class="lp-note" data-problems="{len(problems)}">Cannot be used:<ul>{rows}</ul></div>')
    if locked():
        st.caption("Models cannot be added, renamed or removed here: this server is locked (LOUPE_LOCKED).")
        return
    with st.expander("Add a model", key="add model"):
        _adding()


def described(card: ModelCard, look: Look) -> str:
    """A card in HTML: what it is, how large, how good, where from."""
    from urllib.parse import urlencode

    from app.views.subject import opening_of

    link = urlencode(to_params(opening_of(card.id), INSPECT), safe=",;")
    facts = [
        " · ".join(filter(None, (card.method, card.sources))),
        card.backbone,
        f"{len(card.classes)} categories",
        f"{number(card.parameters / 1e6)} M parameters",
        f"{number(card.path.stat().st_size / 1e6)} MB" if card.path.is_file() else "",
    ]
    if card.memory_share is not None:
        facts.append(f"μ {number(card.memory_share)}")
    if card.mIoU is not None:
        facts.append(
            f"mIoU {number(card.mIoU)}\u2009% on {card.provenance.get('data', 'its validation split')}"
        )
    return (
        f'<div data-model="{html(card.id)}"><a class="lp-plain" href="./?{html(link)}" title="Opens it in Inspect"><b>'
        f"{html(card.id)}</b></a> {html(card.title) if card.title != card.id else ''}"
        f'<br><span class="lp-note">{html(" · ".join(filter(None, facts)))}</span>'
        f'<br><span class="lp-note">{html(origin(card))} · SHA-256 {card.hash[:8]}</span></div>'
    )


def origin(card: ModelCard) -> str:
    """Where a model comes from, in a few words."""
    known = card.provenance
    if "imported_from" in known:
        return f"imported from {known['imported_from']}, {known.get('layout', 'another layout')}"
    recipe = known.get("recipe")
    name = recipe.get("name") if isinstance(recipe, dict) else recipe
    if not name:
        return "no record of its training"
    parts = [f"recipe {name}", f"seed {known['seed']}" if "seed" in known else "", str(known.get("date", ""))]
    return ", ".join(filter(None, parts))


def _more(card: ModelCard) -> None:
    """What can be done with one model; widgets of a popover that was never opened cost nothing."""
    own = is_own(card, process.engine().models_folder)
    if own and not locked():
        key = f"new name {card.id}"
        st.text_input("Name", card.id, key=key, max_chars=80)
        with st.container(horizontal=True):
            st.button("Rename", key=f"rename {card.id}", on_click=_rename, args=(card, key))
            st.button(
                "Remove the file",
                key=f"remove {card.id}",
                on_click=_remove,
                args=(card,),
                help="It is gone for everybody who uses this server.",
            )
    elif not own:
        st.caption("It ships with the program, and stays as it is.")
    st.caption("Provenance")
    st.json(card.provenance, expanded=1)


def _adding() -> None:
    lists = sorted(path.stem for path in FOLDER.glob("*.json"))
    st.caption(
        "A checkpoint of this program, or one of mmsegmentation's: CPT or CFT on ResNetV1c, Swin or MiT. Of the latter say "
        "first what the file does not."
    )
    with st.container(horizontal=True):
        share = st.number_input("Blend weight μ", 0.0, 1.0, 0.1, 0.05, key="added share")
        stride = st.selectbox("Output stride of a ResNet", (32, 16, 8), key="added stride")
        names = st.selectbox("Categories", (FROM_FILE, *lists), key="added classes")

    def take(content: bytes, name: str) -> None:
        _take(content, name, float(share), int(stride), str(names))

    st.file_uploader(
        "File",
        [suffix.removeprefix(".") for suffix in SUFFIXES],
        max_upload_size=MEGABYTES,
        **state.upload_slot(take, "model"),
    )


def _take(content: bytes, name: str, share: float, stride: int, names: str) -> None:
    """From the uploader's callback."""
    state.choose()
    settings: dict[str, Any] = {"memory_share": share, "output_stride": stride}
    try:
        if names != FROM_FILE:
            settings["classes"] = class_list(names)
        found: Added = add(content, name, process.engine().models_folder, **settings)
    except LoupeError as error:
        state.notice(f"{str(error).rstrip('.')}.")
        return
    state.notice(f"{found.path.stem} was added.", *(f"{note[:1].upper()}{note[1:]}." for note in found.notes))


def _rename(card: ModelCard, key: str) -> None:
    state.choose()
    name = state.typed(key).strip()
    try:
        rename(card, name, process.engine().models_folder)
    except LoupeError as error:
        state.notice(f"{str(error).rstrip('.')}.")
    else:
        state.notice(f"{card.id} is now called {name}.")


def _remove(card: ModelCard) -> None:
    state.choose()
    try:
        remove(card, process.engine().models_folder)
    except LoupeError as error:
        state.notice(f"{str(error).rstrip('.')}.")
    else:
        state.notice(f"{card.id} was removed.")
