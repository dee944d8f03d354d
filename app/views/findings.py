"""Findings: what have I found?

States of pages that were kept, as cards in an order of one's own, with notes to change in place; to be opened again, and to be
taken along as one file. The list is the person's own: see app/visitors.py.
"""

from __future__ import annotations

from base64 import b64encode

import streamlit as st

from app import exports, findings_export, process, state
from app.findings import MOST
from app.findings_records import NAME, NOTE, Finding, Listed
from app.views.findings_words import EMPTY, EXAMPLES, HELP, QUESTION, changed
from app.words import html, markdown
from engine import LoupeError

_SAID = "said of findings"


def render() -> None:
    """The page. Streamlit calls it on every full run; what is done in it runs `_main` alone."""
    with st.sidebar:
        st.html(f'<p class="lp-note">{html(_where())}</p>')
    _main()


def _where() -> str:
    if state.comes_back():
        return "This list belongs to this browser: links that you pass on do not show it."
    return "This browser keeps no cookie: this list lasts for this visit alone. Export it."


@st.fragment
def _main() -> None:
    owner = state.visitor()
    try:
        listed, why = process.findings().read(owner), ""
    except LoupeError as error:
        listed, why = Listed(), str(error)
    _header(owner, listed)
    if said := state.kept(_SAID):
        st.warning(markdown(said), icon=":material/info:")
        state.keep(_SAID, None)
    if why:
        st.warning(markdown(f"{why}."), icon=":material/info:")
        st.button("Set it aside and begin a new list", on_click=_act, args=("set_aside", owner))
        return
    if listed.removed:
        with st.container(horizontal=True, vertical_alignment="center", key="lp-undo"):
            st.html(f'<p class="lp-note">“{html(listed.removed[-1][1].title)}” was removed.</p>')
            st.button("Undo", key="undo", on_click=_act, args=("undo", owner))
    if not listed.findings:
        _empty()
        return
    cards = {name: card.hash for name, card in process.engine().models().items()}
    for index, one in enumerate(listed.findings):
        _card(owner, index, len(listed.findings), one, cards)


def _header(owner: str, listed: Listed) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="header"):
        st.html(f"<h1 class='lp-question'>{QUESTION}</h1>", width="stretch")
        with st.popover("?"):
            st.markdown(HELP)
        with st.popover("Export"):
            if not listed.findings:
                st.caption("There is nothing to export yet.")
                return
            st.caption(f"{len(listed.findings)} of at most {MOST} findings, in this order")
            state.set_text("list title", listed.title)
            st.text_input(
                "Title",
                key="list title",
                max_chars=NAME,
                placeholder=findings_export.TITLE,
                on_change=lambda: _act("rename", owner, state.typed("list title")),
            )
            base = (st.context.url or "").partition("?")[0].removesuffix("/").removesuffix("/findings")
            st.caption("Everything in one file, for any browser and for printing")
            _export("HTML", "html", "text/html", owner, base)
            st.caption("Markdown, with its figures and data beside it")
            _export("ZIP", "zip", "application/zip", owner, base)


def _export(label: str, kind: str, media: str, owner: str, base: str) -> None:
    make = findings_export.to_html if kind == "html" else findings_export.to_zip
    store = process.findings()
    st.download_button(
        label,
        data=lambda: make(store.read(owner), lambda name: store.file(owner, name), base),
        file_name=exports.file_name("loupe-findings", kind=kind),
        mime=media,
        on_click="ignore",
        key=f"findings {kind}",
    )


def _card(owner: str, index: int, count: int, one: Finding, cards: dict[str, str]) -> None:
    with st.container(key=f"lp-finding-{one.id}"):
        left, right = st.columns([5, 6], gap="medium")
    with left:
        st.html(_picture(owner, one))
    with right:
        st.html(
            f'<h2 class="lp-finding-title">{index + 1}. {html(one.title)}</h2>'
            + "".join(f'<p class="lp-note">{html(line)}</p>' for line in findings_export.origin(one))
            + "".join(f'<p class="lp-note" data-changed="1"><b>{html(line)}</b></p>' for line in changed(one, cards))
        )  # fmt: skip
        key = f"note {one.id}"
        state.set_text(key, one.note)
        st.text_area(
            f"Note on finding {index + 1}",
            key=key,
            max_chars=NOTE,
            height=120,
            label_visibility="collapsed",
            placeholder="A note",
            on_change=lambda: _act("annotate", owner, one.id, state.typed(key)),
        )
        with st.container(horizontal=True, vertical_alignment="center", key=f"lp-finding-acts-{one.id}"):
            st.html(f'<a class="lp-open" href="{html(one.link)}" target="_self">Open</a>', width="content")
            st.button("↑", key=f"up {one.id}", help="Move up", disabled=index == 0,
                      on_click=_act, args=("move", owner, one.id, -1))  # fmt: skip
            st.button("↓", key=f"down {one.id}", help="Move down", disabled=index == count - 1,
                      on_click=_act, args=("move", owner, one.id, 1))  # fmt: skip
            st.button("Remove", key=f"remove {one.id}", on_click=_act, args=("remove", owner, one.id))


def _picture(owner: str, one: Finding) -> str:
    small = process.findings().file(owner, one.small)
    if small is None:
        said = findings_export.GONE if one.small else "This page had no figure to keep."
        return f'<p class="lp-note lp-gone">{html(said)}</p>'
    uri = f"data:image/webp;base64,{b64encode(small).decode()}"
    return f'<a href="{html(one.link)}" target="_self" class="lp-shot"><img src="{uri}" alt="{html(one.title)}"></a>'


def _empty() -> None:
    st.html(f'<p class="lp-said">{html(EMPTY)}</p>')
    items = "".join(
        f'<li><a class="lp-plain" href="{html(link)}" target="_self"><b>{html(title)}</b><br>'
        f'<span class="lp-soft">{html(about)}</span></a></li>'
        for title, about, link in EXAMPLES
    )
    st.html(f'<ul class="lp-examples">{items}</ul>')


def _act(act: str, *of: object) -> None:
    """One change of the list; what goes wrong is one sentence."""
    try:
        done = getattr(process.findings(), act)(*of)
    except LoupeError as error:
        state.keep(_SAID, f"{error}.")
        return
    if act == "set_aside":
        state.keep(_SAID, f"The damaged list is kept on the server as {done}.")
