"""What can be edited, as frozen values. Categories are named, so that a list of edits means the same for every model.  [choice]

At one stage (`stage`, by name), or at all of them that have what is edited (None, the default). The steps of a stage run in the
order in which the decoder computes; within one step the list's order counts:

    HideRegion        source cells under a painted region: the assignment, or the affinity to pixel sources, becomes 0 there and
                      is renormalised over the rest
    Oracle            the assignment of categories present in the ground truth = their share of each cell, normalised over space;
                      one that a region hides altogether counts as absent
    MemoryRow         M_c ← 0 or a vector or another row (as the bank has it), before it is read
    Replace Swap Move P_c ← …, before it is blended with the memory; "memory" is the row after MemoryRow. What a prototype takes
                      from other pixels or another prototype it takes with its assignment; from memory and vectors it has none
    MemoryShare       μ of the blend (1 − μ)P + μM
    Temperature       affinity = softmax(q·k / τ)
    ShareHead         every head reads by one head's affinity; values stay each head's own
    Ablate            masked: affinity to source c is 0, the others are renormalised · zero: it is read as before and adds nothing
                      (W_v source_c ← 0, biases stay) · mean: it adds what the other sources would add on average, ablated or not
    SilenceHead       the head adds nothing (its part of W_o reads 0; b_o stays)
    Update            the stage's update ← 0, or ← its mean over the image's queries
    Token             class token T_c ← another, or turned towards it by an angle (HFGD)

What is refused: an edit that names what the model lacks, says too little, sets anew what an earlier one has set at the same
stage, or changes a prototype that is masked. Everything else composes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Vector = tuple[float, ...]
Meaning = Literal["masked", "zero", "mean"]
By = Literal["memory", "category", "pixels", "vector"]
Toward = Literal["memory", "category", "pixels", "vector", "direction"]


@dataclass(frozen=True)
class Region:
    """A painted region: cells of a grid laid over the whole image. bits: rows · cols of "0" and "1", row-major."""

    rows: int
    cols: int
    bits: str


@dataclass(frozen=True)
class Ablate:
    """Take a prototype out of what is read."""

    category: str
    meaning: Meaning = "masked"
    stage: str | None = None


@dataclass(frozen=True)
class Oracle:
    """Prototypes averaged by ground truth: the upper bound of any assignment.

    absent: what becomes of categories that the truth does not hold: "kept" as learned, or "masked" (cannot be read).
    """

    absent: Literal["kept", "masked"] = "kept"
    stage: str | None = None


@dataclass(frozen=True)
class Replace:
    """P_c ← its memory row, another category's prototype, the mean of aligned pixels, or a vector in `aligned` space.

    other: with by="category". pixels: (row, col) of the upright original, with by="pixels". vector: (C,), with by="vector".
    keep_norm: rescale to ‖P_c‖ (memory rows are far shorter than prototypes).
    """

    category: str
    by: By = "memory"
    other: str | None = None
    pixels: tuple[tuple[int, int], ...] = ()
    vector: Vector | None = None
    keep_norm: bool = False
    stage: str | None = None


@dataclass(frozen=True)
class Swap:
    """P_a ⇄ P_b. No attention knows its sources' order: without a memory this only changes which of two names is read."""

    category: str
    other: str
    stage: str | None = None


@dataclass(frozen=True)
class Move:
    """P_c ← P_c + amount · (target − P_c); with toward="direction" P_c + amount · ‖P_c‖ · vector / ‖vector‖."""

    category: str
    amount: float
    toward: Toward = "memory"
    other: str | None = None
    pixels: tuple[tuple[int, int], ...] = ()
    vector: Vector | None = None
    stage: str | None = None


@dataclass(frozen=True)
class MemoryShare:
    """μ, 0 to 1."""

    value: float
    stage: str | None = None


@dataclass(frozen=True)
class MemoryRow:
    """M_c ← 0, another category's row, or a vector; every row where `category` is None ("zero" only)."""

    category: str | None
    by: Literal["zero", "category", "vector"] = "zero"
    other: str | None = None
    vector: Vector | None = None
    stage: str | None = None


@dataclass(frozen=True)
class HideRegion:
    """Source cells that lie at least half under the region can no longer be read."""

    region: Region
    stage: str | None = None


@dataclass(frozen=True)
class ShareHead:
    """One head's affinity in all heads."""

    head: int
    stage: str | None = None


@dataclass(frozen=True)
class SilenceHead:
    """A head adds nothing."""

    head: int
    stage: str | None = None


@dataclass(frozen=True)
class Temperature:
    """τ, 0.01 to 100: below 1 sharper, above 1 flatter."""

    value: float
    stage: str | None = None


@dataclass(frozen=True)
class Update:
    """The whole update of a stage ← 0 or ← its mean over the image."""

    meaning: Literal["zero", "mean"] = "zero"
    stage: str | None = None


@dataclass(frozen=True)
class Token:
    """A class token ← another category's, or a vector; with `degrees` turned towards it by that angle, its norm kept. Two tokens
    on one line span no plane: then it stays as it is.

    branch: what classifies. "both" where the branches share their tokens; with tokens of its own either can be meant.
    """

    category: str
    by: Literal["category", "vector"] = "category"
    other: str | None = None
    vector: Vector | None = None
    degrees: float | None = None
    branch: Literal["both", "guide", "upsampler"] = "both"


Edit = (
    Ablate
    | Oracle
    | Replace
    | Swap
    | Move
    | MemoryShare
    | MemoryRow
    | HideRegion
    | ShareHead
    | SilenceHead
    | Temperature
    | Update
    | Token
)

KINDS: dict[str, type] = {
    "ablate": Ablate,
    "oracle": Oracle,
    "replace": Replace,
    "swap": Swap,
    "move": Move,
    "memory-share": MemoryShare,
    "memory-row": MemoryRow,
    "hide-region": HideRegion,
    "share-head": ShareHead,
    "silence-head": SilenceHead,
    "temperature": Temperature,
    "update": Update,
    "token": Token,
}
"""The name of each kind in files, links and on the command line."""


def kind_of(edit: Edit) -> str:
    """Its name in `KINDS`."""
    return next(name for name, kind in KINDS.items() if type(edit) is kind)


def stage_of(edit: Edit) -> str | None:
    """The one stage that it is about; None: all that have what it edits, or none (tokens)."""
    return None if isinstance(edit, Token) else edit.stage


def describe(edit: Edit) -> str:
    """A phrase for lists and captions, such as "ablate tree (masked) at stride4"."""
    where = "" if isinstance(edit, Token) else f" at {edit.stage}" if edit.stage else " at every stage"
    return _what(edit) + where


def _what(edit: Edit) -> str:
    match edit:
        case Ablate(category, meaning):
            return f"ablate {category} ({meaning})"
        case Oracle(absent):
            return "oracle prototypes" + (", absent ones masked" if absent == "masked" else "")
        case Replace(category):
            return f"replace {category} by {_target(edit.by, edit)}" + (
                ", norm kept" if edit.keep_norm else ""
            )
        case Swap(category, other):
            return f"swap {category} and {other}"
        case Move(category, amount):
            way = (
                "along a direction" if edit.toward == "direction" else f"towards {_target(edit.toward, edit)}"
            )
            return f"move {category} {way} by {amount:g}"
        case MemoryShare(value):
            return f"memory share μ = {value:g}"
        case MemoryRow(category, by):
            rows = "every memory row" if category is None else f"memory row {category}"
            return f"{rows} ← " + {"zero": "0", "category": f"row {edit.other}", "vector": "a vector"}[by]
        case HideRegion(region):
            return (
                f"hide {100 * region.bits.count('1') / max(1, len(region.bits)):.2g} % of the image's sources"
            )
        case ShareHead(head):
            return f"head {head}'s affinity in all heads"
        case SilenceHead(head):
            return f"silence head {head}"
        case Temperature(value):
            return f"temperature {value:g}"
        case Update(meaning):
            return f"update ← {'0' if meaning == 'zero' else 'its mean'}"
        case Token(category):
            target = f"{edit.other}'s" if edit.by == "category" else "a vector"
            turned = (
                f"turned {edit.degrees:g}° towards {target}" if edit.degrees is not None else f"← {target}"
            )
            return f"token {category} {turned}" + ("" if edit.branch == "both" else f" ({edit.branch})")
    raise AssertionError(edit)


def _target(by: str, edit: Replace | Move) -> str:
    return {
        "memory": "its memory row",
        "category": f"{edit.other}",
        "pixels": f"the mean of {len(edit.pixels)} pixel{'s' * (len(edit.pixels) != 1)}",
        "vector": "a vector",
    }[by]
