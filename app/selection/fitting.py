"""A selection made to fit an image and a model, with one sentence for each change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from app.selection.selection import Selection
from app.selection.spelling import short


def fit_pins(selection: Selection, size: tuple[int, int]) -> tuple[Selection, list[str]]:
    """Drops pins outside an image of `size` = (height, width) original pixels, one sentence for each.

    Where no pixel was chosen yet, the one in the middle is pinned: no page opens empty.
    """
    height, width = size
    if selection.pins is None:
        return replace(selection, pins=((height // 2, width // 2),), active=0), []
    kept, problems = [], []
    for row, col in selection.pins:
        if row < height and col < width:
            kept.append((row, col))
        else:
            problems.append(
                f"Pixel {row},{col} was left out: the image has rows 0 to {height - 1} and columns 0 to {width - 1}."
            )
    if not problems:
        return selection, []
    if not kept:
        kept = [(height // 2, width // 2)]
        problems[-1] = problems[-1][:-1] + "; the middle is pinned instead."
    return replace(selection, pins=tuple(kept), active=max(0, min(selection.active, len(kept) - 1))), problems


def fit_stage(
    selection: Selection, stages: Mapping[str, tuple[str, int, int]]
) -> tuple[Selection, list[str]]:
    """Makes stage, head, source and reading exist in a model; one sentence for each change.

    `stages`: name → (sources, heads n, number of sources m), coarse to fine, not empty.
    """
    problems: list[str] = []
    if selection.stage not in stages:
        finest = list(stages)[-1]
        problems.append(f"There is no stage “{short(selection.stage)}” in this model; {finest} is shown.")
        selection = replace(selection, stage=finest)
    sources, heads, count = stages[selection.stage]
    if selection.head is not None and selection.head >= heads:
        problems.append(
            f"The head {selection.head + 1} (head={selection.head} in the link) does not exist at {selection.stage}, which has "
            f"{heads}; the mean over heads is shown."
        )
        selection = replace(selection, head=None)
    if selection.source is not None and selection.source >= count:
        problems.append(
            f"The source {selection.source} does not exist at {selection.stage}; what lies under the pin is shown."
        )
        selection = replace(selection, source=None)
    if selection.reading == "made of" and sources not in ("prototypes", "memory"):
        problems.append(
            f"“made of” needs prototypes, and this model's sources are {sources}: “reads” is shown."
        )
        selection = replace(selection, reading="reads")
    return selection, problems
