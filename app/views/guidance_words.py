"""What the Guidance page says about what it draws: question, how to read it, captions. Pure."""

from __future__ import annotations

from app.gallery import Picture
from app.selection import Selection
from app.views.inspect_words import provenance
from app.words import html, number, size
from engine.guidance import Cuts, Guidance
from engine.trace import Trace

QUESTION = "Do tokens guide the upsampler, and is the backbone protected?"

HELP = r"""
Two branches answer for every pixel. The **guide** classifies the coarsest map with the class tokens $T$; the **upsampler**
builds a fine map and is classified by the same tokens. $\mathrm{sg}_\alpha$ lets the share $\alpha$ of the upsampler's gradient
through (0 stops it):

$$
\begin{aligned}
F_h &= \mathrm{CAE}(f_3) & Z_h &= T\cdot F_h & L_h &= \mathrm{CE}(\mathrm{up}\,Z_h, Y)\\
F_u &= U(\mathrm{sg}_\lambda f_{0,1,2},\ \mathrm{sg}_\eta F_h) & Z_u &= \mathrm{sg}_\tau(T)\cdot F_u &
L_u &= \mathrm{CE}(\mathrm{up}\,Z_u, Y)
\end{aligned}
$$

The loss is $L_h + L_u$, the prediction $\arg\max \mathrm{up}\,Z_u$.

The context encoder (CAE) lets every coarse cell read every other: $A = \operatorname{softmax}(q\cdot k/\sqrt d)$, its *global
affinity*.

**How to read it**

- A map shows the *relative logit* of one category, $Z_c$ minus the mean over categories: softmax and argmax do not change by it,
  and only so can two branches be subtracted. Guide and upsampler share one scale; the difference is symmetric about 0.
- Under the pointer: softmax of the **cell** of each branch's own grid, not interpolated. The prediction interpolates logits
  between cells, so near a border it may name another category.
- Hatching says who is right: rising lines the guide alone, falling lines the upsampler alone, crossed lines neither.
- The *gradient matrix* asks how strongly each loss pulls at each part, and the cosine whether both pull the same way. The cuts'
  factors act exactly linearly, so that the sliders need no new pass. Evaluation mode: running statistics, no dropout. A norm is
  not the length of a step: optimisers rescale gradients.
- *Angles* compare a token with the mean feature of its category's pure cells (75 % of their pixels) on the grid of $F_h$ and of
  $F_u$. Small angles mean features that point to their token; logits also depend on norms.
"""

LOSSES = (
    "L<sub>h</sub> is the guide’s cross-entropy, L<sub>u</sub> the upsampler’s, on this image against its ground truth; in "
    "evaluation mode. Norms over all parameters of a part; they are not step lengths, as optimisers rescale gradients."
)


def site(selection: Selection, guidance: Guidance, category: str) -> str:
    """What the panes show and on which grids."""
    h, w = guidance.upsampler_logits.shape[-2:]
    third = (
        "which branch is right at every pixel"
        if selection.third == "outcomes"
        else "upsampler minus guide, resized bilinearly"
    )
    return (
        f"Relative logit of {category} (logit minus the mean over categories): guide at {size(guidance.grid)} cells, upsampler "
        f"at {size((h, w))} cells, one scale; {third}"
    )


def lines(selection: Selection, picture: Picture) -> str:
    """What the outlines mean: a sentence each with a space behind it; nothing where none is drawn."""
    text = ""
    if selection.outline in ("prediction", "both"):
        text += "White lines: what each branch predicts. "
    if selection.outline in ("truth", "both") and picture.truth is not None:
        text += "Black lines: ground truth. "
    return text


def caption(selection: Selection, trace: Trace, picture: Picture, category: str) -> str:
    """The caption under the panes, as HTML."""
    assert trace.guidance is not None
    said = f"{site(selection, trace.guidance, category)}; {provenance(trace, picture)}. {lines(selection, picture)}"
    return html(said.strip())


def token_caption(guidance: Guidance, trace: Trace, picture: Picture) -> str:
    """Under matrix and angles."""
    k, c = guidance.tokens.shape
    own = " F_u is classified by the upsampler's own tokens;" if guidance.own_tokens else ""
    return (
        f"Cosines between the {k} class tokens of {c} channels, ordered by average linkage of 1 − cosine, the diagonal left out; "
        f"angles between a token and its category's mean of F_h ({size(guidance.grid)}) and F_u "
        f"({size((guidance.upsampled.shape[-2], guidance.upsampled.shape[-1]))});{own} {provenance(trace, picture)}."
    )


def gradient_caption(cuts: Cuts, trace: Trace, picture: Picture, losses: tuple[float, float]) -> str:
    """Under the gradient matrix: the cuts, the losses, where it was computed."""
    return (
        f"Gradients of L_h = {number(losses[0])} and L_u = {number(losses[1])} (cross-entropy, nats) on the parameters of each "
        f"part; cuts token {number(cuts.token)}, high {number(cuts.high)}, low {number(cuts.low)}; "
        f"{provenance(trace, picture)}, evaluation mode, fp32."
    )


def no_truth(picture: Picture) -> str:
    """Instead of what needs labels."""
    return (
        f"The labels of {picture.title} are not known: IoU, outcomes and the gradient matrix need ground truth and are left out. "
        "Sample scenes have it."
    )
