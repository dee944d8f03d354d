"""The list of edits beside the panes: in words, removed one by one, undone and redone, saved and loaded; and the quick ones."""

from __future__ import annotations

import streamlit as st

from app import state, surgery_links
from app.exports import file_name
from app.views import surgery_form
from app.views import surgery_list as lists
from app.views.surgery_look import Look, why_not
from app.views.surgery_numbers import told
from app.words import html, markdown, number
from engine.edits import Ablate, Edit, MemoryShare, Oracle, Update, describe


def column(look: Look) -> None:
    """Everything beside the panes."""
    with st.container(horizontal=True, vertical_alignment="center", key="lp-edit-acts"):
        st.html("<h2 class='lp-section'>Edits</h2>", width="stretch")
        _icon("Undo", "undo", ":material/undo:", lists.undo, not lists.past())
        _icon("Redo", "redo", ":material/redo:", lists.redo, not lists.future())
        _icon("Remove all edits", "clear", ":material/delete_sweep:", lists.clear, not look.asked)
    for place, edit in enumerate(look.asked):
        _row(look, place, edit)
    if not look.asked:
        st.html('<p class="lp-soft">No edit: before and after are the same run.</p>')
    st.html(f'<p class="lp-note">{told(look)}</p>')
    _quick(look)
    with st.expander("Add another edit", key="lp-add"):
        surgery_form.form(look)
    _files(look)


def _icon(label: str, key: str, icon: str, act, disabled: bool) -> None:
    st.button(
        "", icon=icon, help=label, key=f"surgery {key}", on_click=act, disabled=disabled, type="tertiary"
    )


def _row(look: Look, place: int, edit: Edit) -> None:
    why = look.refused.get(place)
    with st.container(horizontal=True, vertical_alignment="center", key=f"lp-edit-{place}"):
        text = f"{place + 1}. {html(describe(edit))}"
        if why is not None:
            text = f'<span class="lp-refused">{text}</span><br><span class="lp-soft">not made: {html(why)}</span>'
        st.html(f'<p class="lp-edit">{text}</p>', width="stretch")
        st.button(
            "",
            icon=":material/close:",
            help="Remove this edit",
            key=f"surgery remove {place}",
            on_click=lists.remove,
            args=(look.asked, place),
            type="tertiary",
        )


def _quick(look: Look) -> None:
    """The edits that are asked for most; what a model cannot have is shown with its reason."""
    stage = look.selection.stage if look.stages else None
    offered = [
        (
            f"Ablate {look.here}",
            "ablate",
            Ablate(look.here),
            "The prototype of the category at the pin, at every stage",
        ),
        ("Oracle", "oracle", Oracle(), "Prototypes averaged by ground truth, at every stage"),
        (f"Update off at {stage}", "update", Update(stage=stage), "The stage adds nothing to its residual"),
    ]
    if look.stages:
        with st.container(horizontal=True, key="lp-quick"):
            for label, key, edit, hint in offered:
                why = why_not(edit, look)
                st.button(
                    markdown(label),
                    key=f"surgery quick {key}",
                    on_click=lists.asked,
                    args=(look.asked, edit),
                    disabled=why is not None,
                    help=hint if why is None else markdown(f"Not here: {why}"),
                )
    if look.subject.sources == "memory":
        _memory_share(look)


def _memory_share(look: Look) -> None:
    """μ at every stage: a slider that writes one edit, and takes it away where it is the model's own."""
    own = float(look.before.stages[-1].memory_share)
    mine = [edit for edit in look.asked if isinstance(edit, MemoryShare) and edit.stage is None]
    # What was not made (a link may name any number, or two) is not what the image was read with.
    made = [edit for edit in mine if edit in look.edits]
    shown = round(made[-1].value if made else own, 2)

    def take(value: float) -> dict[str, str]:
        rest = tuple(edit for edit in look.asked if edit not in mine)
        wanted = rest if abs(value - own) < 0.005 else (*rest, MemoryShare(value))
        lists.remember()
        return {"edits": surgery_links.write(wanted)}

    st.slider(
        f"memory share μ (the model’s own: {number(own, 2)})",
        0.0,
        1.0,
        step=0.01,
        help="R = (1 − μ)P + μM at every stage: 0 reads this image alone, 1 the memory alone",
        **state.bound_as("surgery memory share", shown, take),
    )


def _files(look: Look) -> None:
    with st.expander("Save or load the list", key="lp-files"):
        st.download_button(
            "Save as JSON",
            data=lambda: surgery_links.to_bytes(look.asked),
            file_name=file_name("loupe-edits", look.card.id, kind="json"),
            mime="application/json",
            on_click="ignore",
            disabled=not look.asked,
            key="surgery save",
        )
        st.file_uploader("Load a list (JSON)", type=["json"], **state.upload_slot(lists.load, "edits"))
