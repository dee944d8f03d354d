"""Is a stage's set of prototypes well, and does its memory matter? Verdicts in plain sentences. Pure, from measured pieces.

Each verdict is a `Finding`: a number, the limit it is judged by, and a sentence that holds for any value. Limits are [choice]:
nobody has published any; they mark where we would look closer, and every sentence prints the number, so that a reader may judge
otherwise. What was not measured is said to be unknown, never assumed to be well.

    collapse   mean cosine over pairs of categories: live prototypes of one image; the bank's rows
    sinks      a prototype that more than half of the categories read most, and that receives clearly more than a uniform share.
               Over a dataset and by category; Inspect's sinks (engine.affinity) are of one image, by weight alone
    usage      entropy of the shares of affinity ÷ ln k; prototypes that nobody reads
    own        do a category's pixels read their own prototype? (an index is not what a pixel reads)
    absent     affinity that falls on categories which the image does not hold
    rank       directions in which the bank's rows differ; rows that no longer move
    memory     norm of its part against the image's; mIoU when every stage's bank is zeroed or permuted, a counterfactual
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.bank_time import MemoryTime
from engine.health.finding import Finding, Level
from engine.health.memory import bank_collapse, effect_findings, memory_part, rank, still_rows
from engine.health.prototypes import live_collapse, reading_findings

if TYPE_CHECKING:
    from engine.atlas.records import Effect, Images, Pairs, Parts, Usage

__all__ = ["Finding", "Level", "findings", "warnings_first"]

ORDER: tuple[Level, ...] = ("warn", "ok", "unknown")


def findings(
    stage: str,
    classes: Sequence[str],
    *,
    bank: np.ndarray | None = None,
    time: MemoryTime | None = None,
    pairs: Pairs | None = None,
    usage: Usage | None = None,
    parts: Parts | None = None,
    effects: Sequence[Effect] | None = None,
    images: Images | None = None,
) -> tuple[Finding, ...]:
    """The health of one stage, in a fixed order; `warnings_first` sorts it.

    Args:
        stage: its name, as in `time`.
        classes: (k,) names.
        bank: (k, C) the checkpoint's memory rows of this stage; None: the model has no memory.
        time: the moments of its training, None where none lie beside the checkpoint.
        pairs, usage, parts, effects: of the atlas (this stage's; effects are of all banks at once), None where not measured.
        images: of the atlas; says what a uniform affinity would give to absent categories.

    Raises:
        LoupeError: `time` has no such stage.
    """
    return (
        live_collapse(classes, pairs),
        bank_collapse(classes, bank),
        *reading_findings(classes, usage, images),
        rank(bank),
        still_rows(stage, classes, bank, time),
        memory_part(bank, parts),
        *effect_findings(bank, effects),
    )


def warnings_first(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Warnings, then what is well, then what is unknown; the order within each is kept."""
    return tuple(sorted(found, key=lambda finding: ORDER.index(finding.level)))
