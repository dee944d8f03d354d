"""What a model has that edits reach, and why an edit does not fit it: one sentence each, before anything is run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.edits.files import malformed
from engine.edits.values import (
    Ablate,
    Edit,
    HideRegion,
    MemoryRow,
    MemoryShare,
    Move,
    Oracle,
    Replace,
    ShareHead,
    SilenceHead,
    Swap,
    Temperature,
    Token,
    Update,
    describe,
    kind_of,
    stage_of,
)
from engine.errors import LoupeError
from engine.stage import SourceKind

COLDEST, HOTTEST = 0.01, 100.0  # temperatures: beyond, an affinity is one source's or uniform  [choice]
STAGES_OF = {"cpt": ("stride16", "stride8", "stride4")}  # stages of each method that has any, coarse → fine

# What a stage must read for an edit to mean something there.
READING: dict[type, tuple[SourceKind, ...]] = {
    Ablate: ("prototypes", "memory"),
    Oracle: ("prototypes", "memory"),
    Replace: ("prototypes", "memory"),
    Swap: ("prototypes", "memory"),
    Move: ("prototypes", "memory"),
    MemoryShare: ("memory",),
    MemoryRow: ("memory",),
    HideRegion: ("pixels", "prototypes", "memory"),
    ShareHead: ("pixels", "prototypes", "memory"),
    SilenceHead: ("pixels", "prototypes", "memory"),
    Temperature: ("pixels", "prototypes", "memory"),
    Update: ("bilinear", "pixels", "prototypes", "memory"),
}
NEEDS = {
    ("prototypes", "memory"): "no prototypes",
    ("memory",): "no memory",
    ("pixels", "prototypes", "memory"): "no affinity that could be changed",
}


@dataclass(frozen=True)
class Subject:
    """What a model has. stages: names, coarse → fine, empty for decoders without Q-UP; tokens: has class tokens."""

    name: str
    classes: tuple[str, ...]
    stages: tuple[str, ...]
    sources: str
    heads: int
    channels: int  # C, of aligned pixels and of tokens
    tokens: bool = False
    own_tokens: bool = False


def subject_of(spec: Any, name: str = "this model") -> Subject:
    """Of a SegmenterSpec; `name` for sentences."""
    return Subject(
        name,
        spec.classes,
        STAGES_OF.get(spec.method, ()),
        spec.sources if spec.method in STAGES_OF else "",
        spec.heads if spec.sources != "bilinear" else 1,
        spec.channels,
        spec.guided,
        spec.guided and spec.own_tokens,
    )


def check(edits: Sequence[Edit], subject: Subject) -> None:
    """Refuses the first edit that does not fit the model or contradicts an earlier one.

    Raises:
        LoupeError: which, and why.
    """
    problems = sift(edits, subject)[1]
    if problems:
        raise LoupeError(problems[0])


def sift(edits: Sequence[Edit], subject: Subject) -> tuple[tuple[Edit, ...], list[str]]:
    """(the edits that fit the model and each other, a sentence for each of the others), in order."""
    kept: list[Edit] = []
    problems = []
    for edit in edits:
        if (why := malformed(edit)) is not None:  # then no phrase can describe it either
            problems.append(f"{kind_of(edit)}: {why}")
            continue
        why = _misfit(edit, subject) or _contradiction(edit, kept, subject)
        if why is None:
            kept.append(edit)
        else:
            problems.append(f"{describe(edit)}: {why}")
    return tuple(kept), problems


def _misfit(edit: Edit, subject: Subject) -> str | None:
    if isinstance(edit, Token):
        if not subject.tokens:
            return f"{subject.name} has no class tokens"
        if edit.branch != "both" and not subject.own_tokens:
            return f"both branches of {subject.name} share their tokens, so one alone cannot be edited"
    elif not subject.stages:
        return f"{subject.name} has no stages that read sources"
    elif edit.stage is not None and edit.stage not in subject.stages:
        return f'{subject.name} has no stage "{edit.stage}": it has {", ".join(subject.stages)}'
    elif subject.sources not in READING[type(edit)]:
        return f"{subject.name} has {NEEDS[READING[type(edit)]]}"
    for name in (getattr(edit, "category", None), getattr(edit, "other", None)):
        if name is not None and name not in subject.classes:
            return f'{subject.name} has no category "{name}"'
    return _numbers(edit, subject) or _targets(edit, subject)


def _numbers(edit: Edit, subject: Subject) -> str | None:
    match edit:
        case MemoryShare(value) if not 0 <= value <= 1:
            return f"μ = {value:g} is not in [0, 1]"
        case Temperature(value) if not COLDEST <= value <= HOTTEST:
            return f"a temperature of {value:g} is not in [{COLDEST:g}, {HOTTEST:g}]"
        case Move(_, amount) if not math.isfinite(amount):
            return "the amount is no finite number"
        case ShareHead(head) | SilenceHead(head) if not 0 <= head < subject.heads:
            return f"{subject.name} has heads 0 to {subject.heads - 1}"
        case Token() if edit.degrees is not None and not math.isfinite(edit.degrees):
            return "the angle is no finite number"
        case HideRegion(region) if "1" not in region.bits:
            return "the region is empty"
        case HideRegion(region) if "0" not in region.bits:
            return "the region is the whole image: nothing would be left to read"
    return None


def _targets(edit: Edit, subject: Subject) -> str | None:
    """Whether what something is replaced by is said, and fits."""
    if not isinstance(edit, Replace | Move | MemoryRow | Token):
        return None
    by = edit.toward if isinstance(edit, Move) else edit.by
    if by == "memory" and subject.sources != "memory":
        return f"{subject.name} has no memory"
    if by == "category" and edit.other is None:
        return "which other category is not said"
    if by == "pixels" and not getattr(edit, "pixels", ()):
        return "no pixel is chosen"
    if isinstance(edit, MemoryRow) and edit.category is None and by != "zero":
        return "which memory row is not said"
    if by not in ("vector", "direction"):
        return None
    if edit.vector is None:
        return "the vector is not given"
    if len(edit.vector) != subject.channels:
        return f"the vector has {len(edit.vector)} numbers, {subject.name} needs {subject.channels}"
    if not all(math.isfinite(x) for x in edit.vector):
        return "the vector holds values that are not finite numbers"
    if (by == "direction" or (isinstance(edit, Token) and edit.degrees is not None)) and not any(edit.vector):
        return "a vector of zeros has no direction"
    return None


def _contradiction(edit: Edit, before: Sequence[Edit], subject: Subject) -> str | None:
    for other in before:
        if not _meet(edit, other):
            continue
        if _slot(edit) is not None and _slot(edit) == _slot(other):
            return f"it contradicts “{describe(other)}”"
        if isinstance(edit, MemoryRow) and edit.category is None and isinstance(other, MemoryRow):
            return f"it overwrites “{describe(other)}”"
        if any(_in_vain(*pair) for pair in ((edit, other), (other, edit))):
            return f"nothing would read that prototype: it contradicts “{describe(other)}”"
    if isinstance(edit, Ablate) and edit.meaning == "masked":
        for stage in subject.stages if edit.stage is None else (edit.stage,):
            masked = {
                e.category
                for e in (*before, edit)
                if isinstance(e, Ablate) and e.meaning == "masked" and e.stage in (None, stage)
            }
            if masked == set(subject.classes):
                return f"no prototype would be left to read at {stage}"
    return None


def _in_vain(ablation: Edit, change: Edit) -> bool:
    """A prototype is changed that is masked."""
    if not isinstance(ablation, Ablate) or ablation.meaning != "masked":
        return False
    return isinstance(change, Replace | Move) and change.category == ablation.category


def _meet(one: Edit, two: Edit) -> bool:
    """Whether both act at some stage, or on some token."""
    if isinstance(one, Token) or isinstance(two, Token):
        return type(one) is type(two) and (
            "both" in (one.branch, two.branch) or one.branch == two.branch  # pyright: ignore[reportAttributeAccessIssue]
        )
    return stage_of(one) is None or stage_of(two) is None or stage_of(one) == stage_of(two)


def _slot(edit: Edit) -> tuple | None:
    """What can be set once at a stage; None for what composes."""
    match edit:
        case MemoryShare() | Temperature() | ShareHead() | Update() | Oracle():
            return (type(edit),)
        case Ablate(category) | Replace(category) | Token(category) | MemoryRow(category):
            return (type(edit), category)
        case SilenceHead(head):
            return (SilenceHead, head)
    return None
