"""What Inspect says about what it draws: question, how to read it, caption. Pure."""

from __future__ import annotations

from dataclasses import replace

from app.gallery import Picture
from app.selection import RINGS, Selection
from app.words import html, size
from engine.images import cell as cell_of
from engine.overlays import Ask, in_force
from engine.trace import Stage, Trace

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


def ask_of(selection: Selection) -> Ask:
    """The map that the selection shows."""
    return Ask(
        reading=selection.reading,
        head=selection.head,
        contribution=selection.measure == "contribution",
        relative=selection.relative == "relative",
        uniform=selection.scale == "uniform",
        source=selection.source,
    )


def sources_of(selection: Selection, trace: Trace) -> list[str]:
    """What "read by" and "made of" look at, each once: the chosen prototype, or what lies under each pin."""
    stage = trace.stage(selection.stage)
    ask = in_force(stage, ask_of(selection))
    if ask.source is not None:
        return [_prototype(trace, ask.source)]
    return list(dict.fromkeys(_under(pin, ask.reading, stage, trace) for pin in selection.pins or ()))


def _under(pin: tuple[int, int], reading: str, stage: Stage, trace: Trace) -> str:
    original = trace.image.original_size if trace.image is not None else trace.image_size
    if reading == "made of":
        row, col = cell_of(*pin, original, trace.image_size)
        return _prototype(trace, min(int(trace.labels[row, col]), stage.source_count - 1))
    return "source cell {},{}".format(*cell_of(*pin, original, stage.source_grid))


def _prototype(trace: Trace, index: int) -> str:
    names = trace.model.classes if trace.model is not None else ()
    return f"the prototype “{names[index] if index < len(names) else index}”"


def headline(selection: Selection, trace: Trace) -> str:
    """The title of a figure, which may have many pins: one source is named, several are not."""
    ask = in_force(trace.stage(selection.stage), ask_of(selection))
    if ask.reading in ("read by", "made of"):
        names = sources_of(selection, trace)
        several = (
            "the source under the pin" if ask.reading == "read by" else "the prototype predicted at the pin"
        )
        name = names[0] if len(names) == 1 else several
        return f"Which pixels read {name}" if ask.reading == "read by" else f"What {name} averages"
    if ask.reading == "reads alike":
        return "Which pixels read alike"
    return "What each source cell adds to the pixel" if ask.contribution else "Where the pixel reads"


def site(selection: Selection, trace: Trace, every: bool = False) -> str:
    """What is drawn, at which site, with which shape: the caption without model and image.

    every: name all pins, in plain words for a figure; otherwise the active one by its ring.
    """
    stage = trace.stage(selection.stage)
    pin = selection.pin
    if pin is None:
        return f"Nothing is pinned, at {stage.name}"
    ask = in_force(stage, ask_of(selection))
    shown = selection if every else replace(selection, pins=(pin,), active=0)
    ring = f"{RINGS[selection.active]} (image row {pin[0]}, col {pin[1]})"
    if every:
        pins = selection.pins or ()
        listed = "; ".join(f"{number}: row {row}, col {col}" for number, (row, col) in enumerate(pins, 1))
        ring = f"image pixels {listed}," if len(pins) > 1 else f"image pixel row {pin[0]}, col {pin[1]}"
    where = (
        "" if ask.source is not None else f", {_THERE[ask.reading]} {ring}" if ask.reading in _THERE else ""
    )
    names = " and ".join(sources_of(shown, trace))
    text = {
        "reads": f"Contribution norms at {ring}" if ask.contribution else f"Affinity of {ring}",
        "read by": f"What {names}{where} adds to each pixel"
        if ask.contribution
        else f"Pixels that read {names}{where}",
        "made of": f"What {names}{where} averages",
        "reads alike": f"Pixels that read like {ring}",
    }[ask.reading]
    return (
        f"{text} at {stage.name}, {size(stage.grid)} queries, {size(stage.source_grid)} source cells, "
        f"{stage.source_count} sources ({stage.sources}){_heads(stage, ask)}"
    )


# How a source that nobody chose belongs to the pin.
_THERE = {"read by": "under", "made of": "predicted at"}


def _heads(stage: Stage, ask: Ask) -> str:
    """Which heads; people count them from 1. What a prototype averages is the same for all."""
    if ask.reading == "made of":
        return ""
    if ask.head is not None:
        return f", head {ask.head + 1} of {stage.heads}"
    return ", mean over heads" if stage.heads > 1 else ", one head"


def lines(selection: Selection, picture: Picture) -> str:
    """What the outlines mean, in viewer and figures: a sentence each with a space behind it; nothing where none is drawn."""
    text = ""
    if selection.outline in ("prediction", "both"):
        text += "White lines: prediction. "
    if selection.outline in ("truth", "both") and picture.truth is not None:
        text += "Black lines: ground truth. "
    return text


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
    said = f"{site(selection, trace)}; {provenance(trace, picture)}. {lines(selection, picture)}"
    return f"{html(said)}The affinity is held fixed."
