"""What the Library page is about, and what stands around it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import streamlit as st

from app import datasets, exports, process, state
from app.selection import LIBRARY, Selection
from app.views.subject import opening_of
from engine.runtime import ModelCard

QUESTION = "What have I loaded?"
HELP = r"""
**Models** are files of a folder: the shipped ones, and those that you add here or put there (`LOUPE_MODELS` names another
folder). A file of this program is taken as it is; one of mmsegmentation's (CPT or CFT on ResNetV1c, Swin or MiT) is read without
running anything in it, and what it does not say is yours to say: the blend weight μ, whether a ResNet was trained dilated, the
categories.
Shipped models can be neither renamed nor removed.

**Datasets** lie in the folder that `LOUPE_DATA` names (`data/` otherwise), as their official download unpacks. A TOML file beside
them describes one of your own. *Check* reads files and says what is missing or wrong; leafing through draws labels over images.
A model is looked at over the first dataset with exactly its categories, validation before training.

A checked dataset's bars are shares of category $j$ among the labelled pixels that were read, all splits together:
$$s_j = \frac{|\{p : y_p = j\}|}{|\{p : y_p \neq \text{unknown}\}|}$$

**Caches** are made again as they are needed. What is being written is not cleared.
"""


@dataclass(frozen=True)
class Look:
    """What one run shows. splits: of all datasets that can be opened → categories; split: the one that is leafed through."""

    selection: Selection
    cards: dict[str, ModelCard]
    splits: dict[str, tuple[str, ...]]

    @property
    def split(self) -> str:
        return self.selection.data


def look(whole_run: bool) -> Look:
    cards = process.engine().models()
    first = opening_of(next(iter(cards))) if cards else Selection()
    selection = state.begin(first, whole_run, LIBRARY)
    splits, problems = datasets.here(), []
    if selection.data not in splits:
        problems.append(f"There is no dataset “{selection.data[:40]}” here: {datasets.DEMO} is shown.")
        selection = replace(selection, data=datasets.DEMO, sheet=0)
    state.hold(selection, problems)
    return Look(selection, cards, splits)


def sidebar(look: Look) -> None:
    """What is leafed through."""
    st.selectbox(
        "Dataset",
        list(look.splits),
        **state.bound("data", look.split, lambda name: {"data": name, "sheet": 0}),
    )
    st.button("Look for datasets again", on_click=datasets.look_again, help="Folders may have changed.")


def header(look: Look) -> None:
    """The question, and how to read the answer, take it along, and pass it on."""
    with st.container(horizontal=True, vertical_alignment="center", key="header"):
        st.html(f"<h1 class='lp-question'>{QUESTION}</h1>", width="stretch")
        with st.popover("?"):
            st.markdown(HELP)
        with st.popover("Download"):
            st.caption("All models, with their provenance")
            cards = [card.json() for card in look.cards.values()]
            st.download_button(
                "JSON",
                json.dumps({"models": cards}, indent=2, default=str),
                exports.file_name("loupe", "models", kind="json"),
                "application/json",
            )
        with st.popover("Link"):
            st.caption("Opens this page with this dataset.")
            link = state.address(look.selection, st.context.url or "", LIBRARY)
            st.code(link, language=None, wrap_lines=True)
