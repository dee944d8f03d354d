"""What one run of the Prototypes page is about: the selection made to fit, the model's banks and moments, its atlas."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

from app import cache, process, state
from app.atlases import Found
from app.palette import colours
from app.selection import PROTOTYPES, UNDER_PIN, Selection
from app.sheets_prototypes import Names
from app.views import subject
from app.views.inspect import OPENING_PIXEL, OPENING_SCENE
from app.words import markdown
from engine import LoupeError
from engine.atlas import Atlas
from engine.runtime import ModelCard

# Met first.
OPENING_MODEL = "cpt"
OPENING_STAGE = "stride4"
OPENING_CATEGORY = "pole"  # where there is one


class Nothing(LoupeError):
    """There is nothing to show there, and that is no fault: the sentence says why."""


@dataclass(frozen=True, eq=False)
class Look:
    """What one run shows.

    parts: what is known of the model without its atlas. category: index into names.
    """

    selection: Selection
    card: ModelCard
    found: Found
    parts: cache.Parts
    category: int

    @property
    def names(self) -> Names:
        return Names(self.card.classes, tuple(colours(self.card.classes)))

    @property
    def atlas(self) -> Atlas | None:
        return self.found.atlas

    @property
    def stage(self) -> str:
        return self.selection.stage

    @property
    def name(self) -> str:
        """Of the category."""
        return self.card.classes[self.category]

    @property
    def stages(self) -> tuple[str, ...]:
        """With prototypes, coarse → fine; empty where the model has none."""
        return self.parts.stages

    @property
    def bank(self) -> np.ndarray | None:
        return self.parts.banks.get(self.stage)

    @property
    def key(self) -> tuple[str, ...]:
        """What everything on the page depends on beside the selection."""
        return (self.parts.key, self.found.key)


def atlas_of(look: Look, what: str) -> Atlas:
    """The atlas. Raises Nothing where there is none yet; `what` would be read from it."""
    if look.atlas is None:
        raise Nothing(f"{what} will stand here once there is an atlas of {look.card.id}")
    return look.atlas


def look(whole_run: bool) -> Look | None:
    """What is to be shown; None where there is nothing (the page says why)."""
    cards = process.engine().models()
    if not cards:
        subject.no_models("look into")
        return None
    opening = _opening(cards)
    selection = state.begin(opening, whole_run, PROTOTYPES)
    problems: list[str] = []
    if selection.model not in cards:
        problems.append(f"{subject.unknown_model(selection.model)}; {opening.model} is shown.")
        selection = replace(selection, model=opening.model)
    card = cards[selection.model]
    try:
        parts = cache.parts_of(card.hash, lambda: process.engine().segmenter(card), card.path)
    except LoupeError as error:
        state.commit(selection, problems, PROTOTYPES)
        st.error(markdown(str(error)))
        return None
    selection, changed = _fit(selection, card, parts)
    found = process.atlases().find(card)
    state.hold(selection, [*problems, *changed])
    category = _category(selection, card)
    return Look(selection, card, found, parts, category)


def _fit(selection: Selection, card: ModelCard, parts: cache.Parts) -> tuple[Selection, list[str]]:
    """Stage, head, category and moment that exist; one sentence for each change."""
    problems: list[str] = []
    if parts.stages and selection.stage not in parts.stages:
        finest = parts.stages[-1]
        problems.append(
            f"There is no stage “{selection.stage[:40]}” with prototypes in {card.id}; {finest} is shown."
        )
        selection = replace(selection, stage=finest)
    if selection.head is not None and parts.stages and selection.head >= parts.heads:
        problems.append(
            f"The head {selection.head + 1} (head={selection.head} in the link) does not exist in {card.id}, which has "
            f"{parts.heads}; the mean over heads is shown."
        )
        selection = replace(selection, head=None)
    if selection.category not in (UNDER_PIN, *card.classes):
        problems.append(f"{card.id} has no category “{selection.category[:40]}”: another one is shown.")
        selection = replace(selection, category=UNDER_PIN)
    if parts.time is not None and selection.moment is not None and selection.moment >= len(parts.time.steps):
        problems.append(
            f"The moment {selection.moment} does not exist: they are counted from 0 to {len(parts.time.steps) - 1}; "
            "the last is shown."
        )
        selection = replace(selection, moment=None)
    return selection, problems


def _category(selection: Selection, card: ModelCard) -> int:
    for name in (selection.category, OPENING_CATEGORY):
        if name in card.classes:
            return card.classes.index(name)
    return 0


def _opening(cards: dict[str, ModelCard]) -> Selection:
    """What a visitor without a link meets. The image and its pin are the other pages'."""
    samples = process.gallery().samples()
    model = OPENING_MODEL if OPENING_MODEL in cards else next(iter(cards))
    chosen = Selection(model=model, stage=OPENING_STAGE, image=samples[0].id if samples else "")
    for picture in samples:
        if picture.title == OPENING_SCENE:
            return replace(chosen, image=picture.id, pins=(OPENING_PIXEL,))
    return chosen
