"""What Compare says about what it draws: question, how to read it, captions. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.selection import RINGS
from app.words import html, measured_on, number, size

if TYPE_CHECKING:
    from app.views.compare_sides import Look, Side

QUESTION = "Which decoder looks where, and does it pay?"

HELP = r"""
All viewers show one quantity, **× uniform**, on one logarithmic scale: how many times more a cell counts than if all cells of
its grid counted alike. Grids differ between decoders, this unit does not:

$$
\times\text{uniform} = \text{pixel affinity}\cdot s \qquad\text{or}\qquad \text{influence share}\cdot s,
\qquad s = \text{number of cells}
$$

**Affinity** is what a query update reads (see Inspect), at the chosen stage, mean over heads, under the pointer. A decoder with
a context encoder (CAE) has an affinity too, of its cells at stride 32. Other decoders have none.

**Influence** is the one question that every decoder answers: what the decision at the pinned pixel depends on.

$$
m = z_{\text{shown}} - \max_{\text{others}} z,\qquad
I_p = \sum_c\left|\frac{\partial m}{\partial x_{cp}}\,x_{cp}\right|,\qquad \text{share}_p = \frac{I_p}{\sum_q I_q}
$$

It is exact (a backward pass, all gradient cuts opened), of the predicted category's margin m, at one site: a map that the
decoder reads (f3 is stride 32, f0 stride 4; what flows through the others does not count), or the image.

**How to read it**

- Compare shares at the same site only, and never totals of different models.
- The two readings differ in kind: an affinity is a weight inside one stage; an influence follows one decision through the whole
  decoder, to first order. Neither says what would happen if something were removed.
- Bilinear reads four cells with fixed weights: on a linear scale they would blacken all others.
- Figures over a dataset come from one training seed: take differences of a few tenths for nothing.
"""


def caption(look: Look) -> str:
    """The caption under the viewers, as HTML."""
    return html(f"{_what(look, RINGS[look.selection.active])} {provenance(look)}.")


def figure_caption(look: Look) -> str:
    """The caption of the printed figure, which shows the active pin in every viewer."""
    pixel = f"pixel {look.selection.active + 1}"  # printing fonts lack the rings
    return f"{_what(look, pixel)} Affinity: mean over heads, held fixed. {provenance(look)}."


def _what(look: Look, name: str) -> str:
    selection = look.selection
    pin = selection.pin
    at = "nothing is pinned" if pin is None else f"{name} is image row {pin[0]}, col {pin[1]}"
    lines = {
        "prediction": " White lines: each model's prediction.",
        "truth": " Black lines: ground truth." if look.picture.truth is not None else "",
        "error": " Hatched: wrong." if look.picture.truth is not None else "",
    }.get(selection.marks, "")
    return f"Affinity or influence, × uniform, one scale for all; {at}.{lines}"


def models_of(look: Look) -> str:
    """Models and checkpoints."""
    return "Models " + ", ".join(f"{side.id} {side.card.hash[:8]}" for side in look.sides)


def provenance(look: Look) -> str:
    """Models, checkpoints and image."""
    image = look.picture.image
    text = f"{models_of(look)}; image {image.name} {image.hash[:8]}"
    if image.reduced:
        text += f", reduced from {size(image.original_size)} to {size(image.size)} pixels"
    return text


def about(side: Side) -> str:
    """A model in one line of the sidebar, as HTML."""
    card = side.card
    parts = [f"{number(card.parameters / 1e6)} M"]
    if card.mIoU is not None:
        parts.append(f"mIoU {number(card.mIoU)}\u2009%")
    return f"<b>{html(card.id)}</b> {' · '.join(parts)} · {card.hash[:8]}"


def measured(look: Look) -> str:
    """What the shown models' mIoU was measured on, or that none of them says one."""
    return measured_on(side.card for side in look.sides) or "not measured"


def names_sentence(look: Look) -> str:
    """Which categories are compared when the models do not know the same."""
    count = len(look.names)
    if not count:
        return "These models share no category by name: they are shown side by side, and nothing is measured across them."
    known = " and ".join(f"{len(side.card.classes)} ({side.id})" for side in look.sides)
    return (
        f"The models know different categories, {known}: they are matched by name, and figures across models count the "
        f"{count} that all of them know."
    )
