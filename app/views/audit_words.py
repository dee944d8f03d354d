"""What the Audit page says about what it draws: question, how to read it, names and captions. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from app.sheets_audit import Scale
from app.words import number
from engine.audit import Audit
from engine.catalogue import ModelCard

QUESTION = "Is that example typical?"

HELP = r"""
A figure shows one pixel. Here the same question is put to **many pixels of many images**, drawn so that rare categories are
there: each image gives equally many pixels, one of each of its categories in turn. A mean over them is therefore not a mean
over the dataset's pixels.

$$
\text{AUC}(p) = P\big(A_{pr} > A_{pr'} \;\big|\; r \text{ of } p\text{'s category},\; r' \text{ of another}\big)
\qquad \tfrac12 = \text{chance}
$$

**Same-category AUC**: does pixel $p$ read source cells of its own category more than others (cells at least 75 % pure,
ties half)?

- *affinity*: the weights as they are. *relative*: divided by the image's average, so that sinks that everyone reads cancel.
  *profile similarity*: do $p$ and $r$ read alike?
- *distance alone*: nearer cells first, no model at all. **Neighbours share labels**, so a map has to beat this baseline before it
  says anything about categories. *Within rings*: only cells at about equal distance are compared.
- *entropy ÷ log m*: 0 one source, 1 all alike. *Weight on the own prototype* and *pixel affinity on the own category* are two
  numbers. *Memory share*: signed share of the update, not the constant μ.

**How to read it**

- Maps from prototypes have only as many degrees of freedom as there are **categories**: a smooth-looking map is not evidence.
- *Does it tell right from wrong?* P(right) by tenths of the score. A score may do so only because boundaries are hard: the
  difference within one category and one band of distance to the boundary is the honest number.
- *Which map tells the truth?* The source cells that a map ranks highest are hidden, and the margin (shown category − best other)
  is looked at again. The more it falls, the more the decision rested there. *random* and *distance* are the nulls. Hidden cells
  are hidden at one stage; other ways to the logits stay open.
- *Intervals* are 95 % over images, one training seed; where many slices are looked at, those that hold after Holm's correction
  are named. *Worst*, *best*, *random*: at most one pixel of each image and category; random ones are the typical ones.
"""

# score → (its name, its axis; None: as wide as its values), and the value that a line marks
_SAME = "0 to 1, chance 0.5"
_CHANCE = (0.5, "chance")
AREA = Scale(0.0, 1.0, _SAME, _CHANCE)
SCORES: dict[str, tuple[str, Scale | None, str]] = {
    "auc": ("AUC of affinity", AREA, _SAME),
    "auc_relative": ("AUC of relative affinity", AREA, _SAME),
    "auc_profile": ("AUC of profile similarity", AREA, _SAME),
    "auc_distance": ("AUC of distance alone", AREA, _SAME),
    "auc_rings": ("within-ring AUC of affinity", AREA, _SAME),
    "auc_relative_rings": ("within-ring AUC of relative affinity", AREA, _SAME),
    "auc_profile_rings": ("within-ring AUC of profiles", AREA, _SAME),
    "entropy": ("entropy ÷ log m", Scale(0.0, 1.0, "0 one source, 1 all alike"), ""),
    "prototype_weight": ("weight on the own prototype", Scale(0.0, 1.0, "share of what is read"), ""),
    "pixel_mass": ("pixel affinity on the own category", Scale(0.0, 1.0, "share of what is read"), ""),
    "memory_share": ("memory share", None, "signed share of the update"),
    "mean_distance": ("mean distance read", None, "image pixels"),
}
BASELINE = "distance alone, same pixels"
AGAINST_DISTANCE = ("auc", "auc_relative", "auc_profile")  # scores that the baseline is drawn beside

SLICES = {
    "category": "category",
    "object": "object size",
    "rarity": "rarity of the category",
    "boundary": "distance to the boundary",
    "right": "right or wrong",
}
MAPS = {
    "influence": "influence",
    "contribution": "contribution",
    "affinity": "affinity",
    "relative": "relative affinity",
    "distance": "distance",
    "random": "random",
}
WHICH = {"worst": "Worst", "best": "Best", "random": "Random: what is typical"}
EXTREMES = {"worst": "Lowest", "best": "Highest", "random": "Random: what is typical"}  # neither is better
OVER = "intervals: 95 % over images, one training seed"


def over_said(audit: Audit, pixels: int | None = None) -> str:
    """How many pixels of how many images."""
    images = len(audit.images)
    return f"{len(audit) if pixels is None else pixels} pixels of {images} image{'s' * (images != 1)} of {audit.data}"


def models_said(cards: Sequence[ModelCard]) -> str:
    return f"model{'s' * (len(cards) > 1)} " + ", ".join(f"{card.id} {card.hash[:8]}" for card in cards)


def caption(audit: Audit, cards: Sequence[ModelCard], what: str) -> str:
    """What, where, model, data, and what the intervals are over."""
    drawn = f"{over_said(audit)}, balanced over the categories of each image, seed {audit.seed}"
    return f"{what}; {drawn}; {OVER}; {models_said(cards)}."


def span(value: float, low: float, high: float) -> str:
    """A value with its interval, where there is one."""
    if not math.isfinite(low):
        return number(value)
    return f"{number(value)} ({number(low)} to {number(high)})"
