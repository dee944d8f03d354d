"""What the Surgery page looks at: an image before and after a list of edits, and why some of them could not be made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from app import process, state, surgery_links
from app.gallery import Picture
from app.palette import colours
from app.selection import SURGERY, UNDER_PIN, Selection
from app.sheets_prototypes import Names
from app.views import subject
from app.views.surgery_words import no_stage, nothing_to_edit
from engine import LoupeError
from engine.edits import Edit, HideRegion, Oracle, Subject, describe, sift
from engine.images import cell
from engine.runtime import ModelCard
from engine.trace import Trace

# Met first: in this picture the grass in front reads the prototype of snow more than its own. Change these where another tells
# more.
OPENING_MODEL = "cpt"
OPENING_SCENE = "scene 17"
OPENING_PIXEL = (209, 124)
OPENING_STAGE = "stride4"
# The first that a model can have is made: most have no prototypes, some no stages.
OPENING_EDITS = ("ablate,snow,zero,stride4", "update,zero,stride4", "token,grass,,sand")


@dataclass(frozen=True)
class Look:
    """What one run shows. asked: the list as it stands; edits: those of it that were made; refused: place in it → why not."""

    selection: Selection
    card: ModelCard
    picture: Picture
    subject: Subject
    before: Trace
    after: Trace
    asked: tuple[Edit, ...]
    edits: tuple[Edit, ...]
    refused: dict[int, str] = field(default_factory=dict)

    @property
    def names(self) -> Names:
        return Names(self.card.classes, tuple(colours(self.card.classes)))

    @property
    def stages(self) -> tuple[str, ...]:
        return tuple(stage.name for stage in self.before.stages)

    @property
    def labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Predicted categories (H, W) before and after."""
        return self.before.labels.cpu().numpy(), self.after.labels.cpu().numpy()

    @property
    def changed(self) -> float:
        """Share of the pixels with another category than before."""
        before, after = self.labels
        return float((before != after).mean())

    @property
    def here(self) -> str:
        """The category that is predicted, without edits, at the active pin, else in the middle."""
        height, width = self.picture.image.original_size
        pixel = self.selection.pin or (height // 2, width // 2)
        at = cell(*pixel, (height, width), self.before.image_size)
        return self.card.classes[int(self.before.labels[at])]

    @property
    def category(self) -> str:
        """The one whose probability or logit is shown."""
        chosen = self.selection.category
        return self.here if chosen == UNDER_PIN else chosen


def look(whole_run: bool) -> Look | None:
    """The selection made to fit what there is, with both runs; None when there is nothing to show (the page says why)."""
    cards = process.engine().models()
    if not cards:
        subject.no_models("operate on")
        return None
    editable = editable_of(cards)
    if not editable:
        nothing_to_edit(tuple(cards))
        return None
    opening = _opening(editable)
    selection = state.begin(opening, whole_run, SURGERY)
    problems: list[str] = []
    if selection.model not in editable:
        if selection.model in cards:
            why = f"{selection.model} has neither a query update nor class tokens that could be edited"
        else:
            why = subject.unknown_model(selection.model).rstrip(".")
        problems.append(f"{why}: {opening.model} is shown.")
        selection = replace(selection, model=opening.model)
    selection, picture, changed = subject.picture_of(selection, opening)
    problems += changed
    card = editable[selection.model]
    if selection.category not in (UNDER_PIN, *card.classes):
        problems.append(
            f"{card.id} has no category “{selection.category[:40]}”: the one at the pin is shown."
        )
        selection = replace(selection, category=UNDER_PIN)
    traced = subject.trace_of(selection, picture, card, opening, problems, SURGERY)
    if traced is None:
        return None
    picture, before = traced
    stages = [stage.name for stage in before.stages]
    if stages and selection.stage not in stages:
        problems.append(no_stage(selection.stage, stages[-1]))
        selection = replace(selection, stage=stages[-1])
    reached = process.engine().subject(card.id)
    selection = _opening_edits(selection, reached)
    asked, unread = surgery_links.read(selection.edits or "")
    problems += unread
    if unread:
        selection = replace(selection, edits=surgery_links.write(asked))
    if selection.region and not _is_region(selection.region):
        problems.append("The painted region of the link was left out: it is no painted region.")
        selection = replace(selection, region="")
    after, refused = run(card, picture, asked, reached)
    state.hold(selection, problems)
    edits = tuple(edit for place, edit in enumerate(asked) if place not in refused)
    return Look(selection, card, picture, reached, before, after or before, asked, edits, refused)


def editable_of(cards: dict[str, ModelCard]) -> dict[str, ModelCard]:
    """Models that edits can reach: those with a query update, and those with class tokens."""
    return {name: card for name, card in cards.items() if card.sources is not None or card.method == "hfgd"}


def run(
    card: ModelCard, picture: Picture, asked: tuple[Edit, ...], reached: Subject
) -> tuple[Trace | None, dict[int, str]]:
    """The edited run with the edits that can be made, None without any; place in the list → why an edit could not."""
    refused = sifted(asked, reached)
    while True:
        places = [place for place in range(len(asked)) if place not in refused]
        edits = [asked[place] for place in places]
        if not edits:
            return None, refused
        try:
            return process.engine().trace(card, picture.image, edits=edits, truth=picture.truth), refused
        except LoupeError as error:  # what only a run can say: it needs the image, its truth or its grids
            said = str(error)
            guilty = next(
                (p for p in reversed(places) if said.startswith(f"{describe(asked[p])}:")), places[-1]
            )
            refused[guilty] = _reason(asked[guilty], said)


def sifted(asked: tuple[Edit, ...], reached: Subject) -> dict[int, str]:
    """Place in the list → why an edit does not fit the model or contradicts an earlier one."""
    kept: list[Edit] = []
    refused = {}
    for place, edit in enumerate(asked):
        problems = sift((*kept, edit), reached)[1]
        if problems:
            refused[place] = _reason(edit, problems[-1])
        else:
            kept.append(edit)
    return refused


def why_not(edit: Edit, look: Look) -> str | None:
    """Why an edit cannot be added to the list; None when it can."""
    problems = sift((*look.edits, edit), look.subject)[1]
    if problems:
        return _reason(edit, problems[-1])
    if isinstance(edit, Oracle) and look.picture.truth is None:
        return "the ground truth of this image is not known"
    return None


def regions_of(edits: tuple[Edit, ...]) -> list[str]:
    """What the edits hide, as links spell it."""
    return [surgery_links.write_region(edit.region) for edit in edits if isinstance(edit, HideRegion)]


def _reason(edit: Edit, sentence: str) -> str:
    return sentence.removeprefix(f"{describe(edit)}: ")


def _is_region(text: str) -> bool:
    try:
        surgery_links.read_region(text)
    except ValueError:
        return False
    return True


def _opening_edits(selection: Selection, reached: Subject) -> Selection:
    """A list that is still the opening's own changes with the model: no page opens on edits that cannot be made."""
    if selection.edits is not None and selection.edits not in OPENING_EDITS:
        return selection
    # Of another page's picture it is not known whether its pixels read the prototype of snow.
    first = OPENING_EDITS[1:] if selection.edits is None else (selection.edits,)
    for text in (*first, *OPENING_EDITS):
        if not sifted(surgery_links.read(text)[0], reached):
            return replace(selection, edits=text)
    return replace(selection, edits=selection.edits or "")


def _opening(cards: dict[str, ModelCard]) -> Selection:
    """What a visitor without a link meets."""
    samples = process.gallery().samples()
    model = OPENING_MODEL if OPENING_MODEL in cards else next(iter(cards))
    chosen = Selection(
        model=model, image=samples[0].id if samples else "", stage=OPENING_STAGE, edits=OPENING_EDITS[0]
    )
    for picture in samples:
        if picture.title == OPENING_SCENE:
            return replace(chosen, image=picture.id, pins=(OPENING_PIXEL,))
    return chosen
