"""What the Surgery page says about what it draws: question, how to read it, captions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app.selection import RINGS
from app.selection.spelling import short
from app.views.inspect_words import provenance
from app.words import html, markdown, size
from engine.edits import HideRegion, Region, describe, sift

if TYPE_CHECKING:
    from app.views.surgery_look import Look

QUESTION = "What does this prototype cause?"

HELP = r"""
An affinity says what is *read*; it holds everything else fixed and says nothing about what would change without it. Surgery
changes one thing inside the decoder and runs on from there: what comes before is the unedited run's, what comes after is
computed anew. No weight of the model changes.

$$
\begin{aligned}
P &= S\cdot\text{aligned}^{\top}, & R &= (1-\mu)P + \mu M,\\
A_n &= \operatorname{softmax}_j\!\left(-\tfrac{q_n\cdot k_{nj}}{\tau\sqrt d}\right), &
\text{update} &= \sum_n W_o^n\sum_j A_{nj}\,v_{nj} + b_o
\end{aligned}
$$

| edit | what it does |
|---|---|
| ablate, *masked* | $A_{nc} \leftarrow 0$, the others renormalised: the rest is read more |
| ablate, *zero* | read as before, adds nothing: $W_v R_c \leftarrow 0$, biases stay |
| ablate, *mean* | read as before, adds what the other sources add on average |
| oracle | $S_c \leftarrow$ the category's true share of each cell: the upper bound of any assignment |
| replace, swap, move | $P_c \leftarrow$ memory row, other prototype, mean of pixels, vector |
| memory share, memory row | $\mu$; $M_c \leftarrow 0$ or another |
| hide | no source cell under the region is read: $S$ (or $A$) is 0 there and renormalised |
| heads, temperature | one head's affinity in all; a head that adds nothing; $\tau$ |
| update | $\text{update} \leftarrow 0$ or its mean over the image |
| token | $T_c \leftarrow$ another, or turned towards it (HFGD) |

**How to read it**

- *before · after · difference* are one image and one scale. Differences are symmetric about 0, which is grey; hatched pixels
  have another category.
- At the edited stage only what was edited differs. Later stages read maps that the edit has changed: their affinities differ too.
- The three meanings of *ablate* answer three questions: what if it could not be read, what if it said nothing, what if it said
  what all say. Where they agree, the answer does not hang on the choice.
- An edit takes the model where it was not trained. A large effect says that the part is used, not that it is good; a small one
  may mean that others stand in for it.
- One image is an anecdote: *Consequences* repeats the edits over a split, with 95 % intervals over images; one training seed.
"""


def nothing_to_edit(models: tuple[str, ...]) -> None:
    """Says that no model has anything that could be edited."""
    listed = ", ".join(models)
    st.info(
        markdown(
            f"No model here has a query update or class tokens to operate on. Models that are here: {listed}."
        )
    )


def no_stage(asked: str, shown: str) -> str:
    return f"There is no stage “{short(asked)}” in this model; {shown} is shown."


def unhidden(look: Look) -> str | None:
    """Why no region can be hidden in this model; None where one can."""
    problems = sift((HideRegion(Region(1, 2, "10")),), look.subject)[1]
    return problems[0].partition(": ")[2] if problems else None


def listed(look: Look) -> str:
    """The edits that were made, in words."""
    return "; ".join(describe(edit) for edit in look.edits) or "no edit"


def unit(look: Look) -> str:
    """Of what the panes show."""
    return {
        "mask": "category",
        "affinity": "× uniform: weight × number of cells",
        "probability": f"probability of {look.category}",
        "logit": f"logit of {look.category} − mean over categories",
    }[look.selection.what]


def where(look: Look, plain: bool = False) -> str:
    """What is drawn, at which site, on which grid. plain: without rings, which printing fonts lack."""
    selection, what = look.selection, look.selection.what
    if what == "affinity" and look.stages:
        stage = look.before.stage(selection.stage)
        pin = selection.pin
        name = f"pixel {selection.active + 1}" if plain else RINGS[selection.active]
        at = "nothing is pinned" if pin is None else f"{name} is image row {pin[0]}, col {pin[1]}"
        return (
            f"Affinity at {stage.name}, × uniform, {size(stage.grid)} queries, {size(stage.source_grid)} source cells "
            f"({stage.sources}), mean over heads; {at}"
        )
    grid = (look.before.logits.shape[-2], look.before.logits.shape[-1])
    if what in ("probability", "logit"):
        name = "Softmax" if what == "probability" else "Logit minus the mean over categories"
        return f"{name} of {look.category}, {size(grid)} cells"
    return f"Predicted category of every pixel, from logits on {size(grid)} cells"


def said(look: Look, plain: bool = False) -> str:
    """What, where, edits, model, checkpoint, image."""
    made = provenance(look.before, look.picture)
    return (
        f"{where(look, plain)}; before, and after: {listed(look)}. Hatched: another category than before. "
        f"{made[:1].upper()}{made[1:]}."
    )


def caption(look: Look) -> str:
    """The caption under the panes, as HTML."""
    return html(said(look))
