"""What one run of the Audit page is about: the selection made to fit, and the audit that there is for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import streamlit as st
import torch

from app import cache, datasets, process, state
from app.audits import Found, Wanted, ordered
from app.palette import colours
from app.selection import AUDIT, MOST_AUDITED, UNDER_PIN, Selection
from app.sheets_prototypes import Names
from app.views import subject
from app.views.audit_made import Asked, stages_of
from app.words import markdown
from engine import LoupeError
from engine.audit import Audit, run
from engine.audit.records import By
from engine.runtime import ModelCard

OPENING_MODEL = "cpt"


@dataclass(frozen=True, eq=False)
class Look:
    """What one run shows. audit: over the images of `wanted`, or fewer meanwhile; None where there is none, and `why` says so."""

    selection: Selection
    cards: tuple[ModelCard, ...]
    wanted: Wanted
    found: Found
    audit: Audit | None
    stages: tuple[str, ...]
    why: str = ""

    @property
    def card(self) -> ModelCard:
        return self.cards[0]

    @property
    def names(self) -> Names:
        return Names(self.card.classes, tuple(colours(self.card.classes)))

    @property
    def whole(self) -> bool:
        """Whether the audit is the one that was asked for, to its end."""
        audit = self.audit
        return audit is not None and audit.complete and audit.asked >= _size(self.wanted)

    @property
    def asked(self) -> Asked:
        assert self.audit is not None
        kept = {entry.model for entry in self.audit.entries}
        cards = tuple(card for card in self.cards if card.id in kept)
        by = cast(By, self.selection.slices)
        return Asked(self.audit, cards, self.selection.stage, self.selection.score, by, self.names)

    @property
    def key(self) -> tuple:
        """What the sheets depend on."""
        chosen = self.selection
        return (self.found.key, *(card.id for card in self.cards), chosen.stage, chosen.score, chosen.slices)


def look(whole_run: bool) -> Look | None:
    """What is to be shown; None where there is nothing (the page says why)."""
    cards = process.engine().models()
    if not cards:
        subject.no_models("audit")
        return None
    first = subject.opening_of(OPENING_MODEL if OPENING_MODEL in cards else next(iter(cards)))
    selection = state.begin(first, whole_run, AUDIT)
    selection, problems = _fit_models(selection, cards, first.model)
    selection, changed = _fit_data(selection, cards[selection.model])
    chosen = tuple(cards[name] for name in (selection.model, *selection.beside))
    wanted = Wanted(chosen, selection.data, selection.audited, selection.seed)
    without = not datasets.fitting(chosen[0].classes)
    found, why = (Found(None, None, ""), f"{datasets.missing(chosen[0])}.") if without else _audit(wanted)
    audit = None if found.audit is None else ordered(found.audit, tuple(card.id for card in chosen))
    if audit is not None and not audit.entries:
        audit, why = None, " ".join(f"{reason}." for reason in audit.refused.values())
    stages = () if audit is None else stages_of(audit)
    selection, fitted = _fit_rest(selection, chosen[0], audit, stages)
    state.hold(selection, [*problems, *changed, *fitted])
    return Look(selection, chosen, wanted, found, audit, stages, why)


def _audit(wanted: Wanted) -> tuple[Found, str]:
    """The best audit that there is, or a small one made now; and why there is none."""
    shelf = process.audits()
    found = shelf.best(wanted)
    if found.audit is not None:
        return found, ""
    named = ", ".join(markdown(card.id) for card in wanted.cards)
    try:
        with st.spinner(f"Auditing {named} on a few images …", show_time=True):
            return shelf.small(wanted, _make), ""
    except LoupeError as error:
        return found, f"{error}."


def _make(wanted: Wanted) -> Audit:
    """An audit, made here."""
    dataset = datasets.opened(wanted.data)
    names = [card.id for card in wanted.cards]
    torch.set_num_threads(cache.THREADS)  # this thread may have begun while another one's number was 1
    return run(
        process.engine(),
        names,
        dataset,
        pixels=wanted.pixels,
        limit=wanted.images,
        seed=wanted.seed,
        deletion_pixels=wanted.deletion_pixels,
    )


def _size(wanted: Wanted) -> int:
    """Images that the audit will be over: the dataset may have fewer than were asked for."""
    return min(wanted.images, datasets.size(wanted.data))


def _fit_models(
    selection: Selection, cards: dict[str, ModelCard], fallback: str
) -> tuple[Selection, list[str]]:
    """Models that exist, of the same categories; at most `MOST_AUDITED`."""
    problems = []
    if selection.model not in cards:
        problems.append(f"{subject.unknown_model(selection.model)}; {fallback} is shown.")
        selection = replace(selection, model=fallback)
    kept = []
    for name in dict.fromkeys(selection.beside):
        if name == selection.model:
            continue
        if name not in cards:
            problems.append(f"{subject.unknown_model(name)}; the others are shown.")
        elif cards[name].classes != cards[selection.model].classes:
            problems.append(f"{name} has other categories than {selection.model}: it is left out.")
        else:
            kept.append(name)
    if len(kept) > MOST_AUDITED - 1:
        left = ", ".join(kept[MOST_AUDITED - 1 :])
        problems.append(f"At most {MOST_AUDITED} models are audited side by side: {left} is left out.")
        kept = kept[: MOST_AUDITED - 1]
    return replace(selection, beside=tuple(kept)), problems


def _fit_data(selection: Selection, card: ModelCard) -> tuple[Selection, list[str]]:
    """A dataset of the model's categories: the chosen one, else the first. The default is nobody's choice, and goes unsaid."""
    there = datasets.fitting(card.classes)
    if selection.data in there or not there:
        return selection, []
    if selection.data == Selection().data:
        return replace(selection, data=there[0]), []
    return replace(selection, data=there[0]), [
        f"There is no dataset “{selection.data[:40]}” with labels of {card.id} here (there are {', '.join(there)}): "
        f"{there[0]} is audited."
    ]


def _fit_rest(
    selection: Selection, card: ModelCard, audit: Audit | None, stages: Sequence[str]
) -> tuple[Selection, list[str]]:
    """Stage and category that exist, one sentence for each that does not; and for each model without an affinity."""
    problems = [] if audit is None else [f"{reason}." for reason in audit.refused.values()]
    if stages and selection.stage not in stages:
        if selection.stage != Selection().stage:  # nobody asked for the default
            problems.append(
                f"There is no stage “{selection.stage[:40]}” in these models; {stages[-1]} is shown."
            )
        selection = replace(selection, stage=stages[-1])
    if selection.category not in (UNDER_PIN, *card.classes):
        problems.append(f"{card.id} has no category “{selection.category[:40]}”: cases of all are shown.")
        selection = replace(selection, category=UNDER_PIN)
    return selection, problems
