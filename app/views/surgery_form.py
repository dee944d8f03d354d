"""The form that adds an edit: the kinds that the model on show can have, what the chosen one needs, and why it is refused."""

from __future__ import annotations

import streamlit as st

from app import state
from app.views import surgery_list as lists
from app.views.surgery_kinds import MAKERS, NAMES
from app.views.surgery_look import Look, why_not
from app.words import html
from engine.edits import Edit, HideRegion, Token
from engine.edits.checking import NEEDS, READING


def form(look: Look) -> None:
    """Which kind, what it needs, and a button."""
    kinds = [kind for kind in NAMES if missing(kind, look) is None]
    kind = st.selectbox(
        "Kind", kinds, format_func=lambda one: NAMES[one], key="surgery kind", label_visibility="collapsed"
    )
    if kind is None:
        return
    made = MAKERS[kind](look)
    why = made if isinstance(made, str) else None if made is None else why_not(made, look)
    if why:
        st.html(f'<p class="lp-note">Not yet: {html(why)}.</p>')
    st.button(
        "Add",
        key="surgery add",
        on_click=_add,
        args=(look.asked, made),
        disabled=made is None or why is not None,
        type="primary",
    )
    left_out = left_out_of(look)
    if left_out:
        st.html(f'<p class="lp-note">{html(left_out)}</p>')


def missing(kind: type, look: Look) -> str | None:
    """What the model lacks for a kind of edit; None where it has it."""
    if kind is Token:
        return None if look.subject.tokens else "no class tokens"
    if not look.subject.stages:
        return "no stages that read sources"
    wanted = READING[kind]
    return None if look.subject.sources in wanted else NEEDS[wanted]


def left_out_of(look: Look) -> str:
    """A sentence for each thing that the model lacks, and what is not offered for it."""
    by: dict[str, list[str]] = {}
    for kind, name in NAMES.items():
        why = missing(kind, look)
        if why is not None:
            by.setdefault(why, []).append(name[:1].lower() + name[1:])
    return " ".join(
        f"{look.card.id} has {why}: not offered: {', '.join(names)}." for why, names in by.items()
    )


def _add(asked: tuple[Edit, ...], made: Edit) -> None:
    # What was refused stays painted, and the notice that says why is not wiped by another choice.
    if lists.add(asked, made) and isinstance(made, HideRegion):
        state.choose(region="")
