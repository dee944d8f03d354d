"""Verdicts on the memory bank: do its rows differ, do they still move, and does it matter?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.atlas.records import AS_IT_IS
from engine.bank import cosine_matrix, ranks
from engine.bank_time import STILL, MemoryTime, drift
from engine.health.finding import NO_ATLAS, NO_MEMORY, Finding, Measure, listed, number, percent, signed
from engine.health.prototypes import COLLAPSED, collapse

if TYPE_CHECKING:
    from engine.atlas.records import Effect, Parts

RANK = 0.5  # of the directions that k rows can differ in  [choice]
INERT_PART = 0.05  # memory's norm ÷ image's: banks of 0.02 to 0.05 did nothing in a first trial  [choice]
INERT_EFFECT = 0.5  # points of mIoU: no one would keep a module for less  [choice]

ROWS = Measure("collapse-bank", "Memory rows alike", "mean cosine", COLLAPSED)
RANKS = Measure("rank", "Effective rank of the bank", "directions")
STANDING = Measure("still", "Rows that no longer move", "rows", 0)
PART = Measure("memory-part", "Memory's part of the update", "of the image's", INERT_PART)
EFFECTS = Measure("effects", "What the memory does", "points of mIoU")


def bank_collapse(classes: Sequence[str], bank: np.ndarray | None) -> Finding:
    """Mean cosine between the bank's rows (k, C)."""
    if bank is None:
        return ROWS.unknown(f"{NO_MEMORY}: there are no rows to compare.")
    return collapse(ROWS, classes, cosine_matrix(bank), "rows of the bank")


def rank(bank: np.ndarray | None) -> Finding:
    """Effective rank of the rows minus their mean: the part that all share is invisible to the softmax (`engine.bank.Ranks`)."""
    if bank is None:
        return RANKS.unknown(f"{NO_MEMORY}: there is no rank to measure.")
    found = ranks(bank)
    if not np.isfinite(found.centred):
        return RANKS.unknown("The bank holds values that are not finite numbers, so it has no rank.")
    limit = RANK * found.most_centred
    bad = found.centred < limit
    sentence = (
        f"The bank's rows differ in {number(found.centred)} of {found.most_centred} possible directions (with the part that all "
        f"share: {number(found.rows)} of {found.most}). "
    )
    sentence += "Less than half: they vary along few directions." if bad else "At least half of them."
    unit = f"of {found.most_centred} directions"
    return Measure(RANKS.key, RANKS.title, unit, limit).found(found.centred, bad, sentence)


def still_rows(
    stage: str, classes: Sequence[str], bank: np.ndarray | None, time: MemoryTime | None
) -> Finding:
    """Rows that stood still over the last tenth of training (`engine.bank_time`). Raises LoupeError: no such stage in `time`."""
    if time is None:
        reason = (
            f"{NO_MEMORY}: there are no rows that could move."
            if bank is None
            else "No moments of training are kept with this checkpoint, so whether its rows still moved is not known."
        )
        return STANDING.unknown(reason)
    moved = drift(time, stage)
    if moved.end - moved.start < time.window:
        return STANDING.unknown(
            f"Training took {time.total_steps} steps, too few to say: its last tenth must span the {time.window} steps of a mean."
        )
    known = np.isfinite(moved.late)
    if not known.any():
        return STANDING.unknown("All rows end at 0, so their movement has nothing to be measured against.")
    late, count = moved.late[known], int(known.sum())
    names = [classes[int(c)] for c in np.argsort(moved.late, kind="stable") if moved.still[c]]
    sentence = (
        f"From step {moved.start} to {moved.end} the rows' {time.window}-step means moved by "
        f"{percent(float(np.median(late)))} of their norm at the median ({percent(late.min())} to {percent(late.max())}). "
    )
    if names:
        sentence += f"{len(names)} of {count} moved less than {percent(STILL)} of the median, or less than fp16 can show: "
        sentence += f"{listed(names)}."
    else:
        sentence += f"None of the {count} stands still."
    return STANDING.found(len(names), bool(names), sentence, names)


def memory_part(bank: np.ndarray | None, parts: Parts | None) -> Finding:
    """Mean norm of the memory's part of the update against the image's: an exact split, no counterfactual."""
    if bank is None:
        return PART.unknown(f"{NO_MEMORY}: the update is the image's alone.")
    if parts is None:
        return PART.unknown(f"{NO_ATLAS}: how large the memory's part is is not measured.")
    norm = dict(zip(parts.names, (float(value) for value in parts.overall), strict=True))
    image, memory = norm["image"], norm["memory"]
    if not (np.isfinite([image, memory]).all() and image > 0):
        return PART.unknown(
            "The image's part of the update is 0 or was not measured, so there is nothing to compare."
        )
    ratio = memory / image
    bad = ratio < INERT_PART
    sentence = (
        f"The memory's part of the update has a mean norm of {number(memory)}, the image's of {number(image)}: "
        f"{percent(ratio)} of it. "
    )
    sentence += (
        f"Less than {percent(INERT_PART)}: it hardly shows in what is added."
        if bad
        else f"At least {percent(INERT_PART)}: it shows in what is added, which does not say that it helps."
    )
    return PART.found(ratio, bad, sentence)


def effect_findings(bank: np.ndarray | None, effects: Sequence[Effect] | None) -> list[Finding]:
    """One for each change of the banks: does mIoU fall with it?"""
    if bank is None:
        return [EFFECTS.unknown(f"{NO_MEMORY}: there is nothing to take away.")]
    if effects is None:
        return [EFFECTS.unknown(f"{NO_ATLAS}: what the memory does to mIoU is not measured.")]
    changes = [effect for effect in effects if effect.name != AS_IT_IS]
    if not changes:
        return [EFFECTS.unknown("The atlas holds no change of the memory: what it does is not measured.")]
    return [_effect(effect) for effect in changes]


def _effect(effect: Effect) -> Finding:
    measure = Measure(f"effect-{effect.name}", f"Memory {effect.name}", EFFECTS.unit, 0)
    if not np.isfinite([effect.delta, effect.low, effect.high]).all():
        return measure.unknown(f"mIoU with the banks of all stages {effect.name} is not defined.")
    small = max(abs(effect.low), abs(effect.high)) < INERT_EFFECT
    matters = effect.high < 0 and not small
    limit = f"{number(INERT_EFFECT)} points"
    if matters:
        verdict = "The memory matters here."
    elif effect.low > 0 and not small:
        verdict = "The model does better so than with its own bank."
    elif not small:
        verdict = f"No effect is seen: the interval includes 0, though it is too wide to rule out {limit}."
    elif effect.low <= 0 <= effect.high:
        verdict = f"The interval includes 0 and rules out {limit}: the memory is inert here."
    else:  # with the same images and paired resamples, even a handful of pixels can exclude 0
        verdict = f"The interval excludes 0 and yet rules out {limit} either way: in practice the memory is inert here."
    sentence = (
        f"With the banks of all stages {effect.name}, mIoU changes by {signed(effect.delta)} points (95\u2009% of resamples of "
        f"{effect.images} images: {signed(effect.low)} to {signed(effect.high)}; one training seed) and "
        f"{percent(effect.changed)} of the pixels change their category. {verdict}"
    )
    return measure.found(effect.delta, not matters, sentence)
