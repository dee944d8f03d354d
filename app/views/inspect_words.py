"""What Inspect says about what it draws: question, how to read it, caption. Pure."""

from __future__ import annotations

from app.gallery import Picture
from app.selection import RINGS, Selection
from app.words import html, size
from engine.trace import Trace

QUESTION = "Where does this pixel look?"

HELP = r"""
To bring a coarse map to a finer grid, every fine pixel *asks* (query) and coarse sources *answer* (key, value). The **affinity**
says how much of each source a pixel receives:

$$
A_n = \operatorname{softmax}_j\left(-\frac{q_n\cdot k_{nj}}{\sqrt d}\right),\qquad
\text{update} = \sum_n W_o^n \sum_j A_{nj}\,v_{nj} + b_o
$$

A category prototype is a weighted average of the image's own pixels, $P = S\cdot\text{aligned}^{\top}$, so that the affinity
can be followed back to them exactly: $\text{pixel affinity} = (1-\mu)\,A\cdot S$.

**How to read it**

- → *reads*: where the pixel gets its information. ← *read by*: which pixels read a source. ∴ *made of*: which pixels a prototype
  averages. ≈ *reads alike*: whose affinities are like the pixel's.
- *weight* is the affinity, mean over heads. *contribution* is the norm of what a source adds; values differ between heads, so
  that the two differ.
- *÷ average* divides by what the whole image reads: a source that everyone reads (a *sink*) says little about one pixel.
- *× uniform* puts all stages and models on one logarithmic scale.
- Every reading holds the affinity fixed. Sources are cells of a map that has already seen the whole image, and stages reach the
  prediction by other ways too: it is a decomposition of the update, not an account of what would change without it.
- The blend weight μ is a constant of the model; the *memory share* is what memory does for a pixel.
"""

_PHRASES = {
    "reads": "Affinity of {pin}",
    "read by": "Pixels that read the source at {pin}",
    "made of": "What the prototype of {pin}’s category averages",
    "reads alike": "Pixels that read like {pin}",
}


def site(selection: Selection, trace: Trace, every: bool = False) -> str:
    """What is drawn, at which site, with which shape: the caption without model and image.

    every: name all pins, in plain words for a figure; otherwise the active one by its ring.
    """
    stage = trace.stage(selection.stage)
    pin = selection.pin
    if pin is None:
        return f"Nothing is pinned, at {stage.name}"
    ring = f"{RINGS[selection.active]} (image row {pin[0]}, col {pin[1]})"
    if every:
        pins = selection.pins or ()
        listed = "; ".join(f"{number}: row {row}, col {col}" for number, (row, col) in enumerate(pins, 1))
        ring = f"image pixels {listed}," if len(pins) > 1 else f"image pixel row {pin[0]}, col {pin[1]}"
    text = _PHRASES[selection.reading].format(pin=ring)
    if selection.reading == "reads" and selection.measure == "contribution":
        text = f"Contribution norms at {ring}"
    head = "mean over heads" if stage.heads > 1 else "one head"
    if selection.head is not None:
        head = f"head {selection.head + 1} of {stage.heads}"
    return (
        f"{text} at {stage.name}, {size(stage.grid)} queries, {size(stage.source_grid)} source cells, "
        f"{stage.source_count} sources ({stage.sources}), {head}"
    )


def provenance(trace: Trace, picture: Picture) -> str:
    """Model, checkpoint and image; and whether the image was reduced."""
    assert trace.model is not None
    image = picture.image
    text = f"model {trace.model.id} {trace.model.hash[:8]}, image {image.name} {image.hash[:8]}"
    if image.reduced:
        text += f", reduced from {size(image.original_size)} to {size(image.size)} pixels"
    return text


def caption(selection: Selection, trace: Trace, picture: Picture) -> str:
    """The caption under the picture, as HTML."""
    return f"{html(site(selection, trace))}; {html(provenance(trace, picture))}. The affinity is held fixed."
