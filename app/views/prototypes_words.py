"""What the Prototypes page says about what it draws: question, how to read it, captions. Pure."""

from __future__ import annotations

from engine.atlas.records import Manifest
from engine.runtime import ModelCard

QUESTION = "What has a prototype learned?"

HELP = r"""
A **category prototype** is a weighted average of an image's own pixels. The weights, the *assignment*, are a softmax over the
**space** of one mask logit for each category; a **memory bank** keeps a running mean of all prototypes, and what a query reads
is a blend of both:

$$
\begin{aligned}
S &= \operatorname{softmax}_{\text{space}}(\text{mask logits}) & P &= S\cdot\text{aligned}^{\top}\\
\text{source} &= (1-\mu)\,P + \mu\,M & M &\leftarrow (1-\mu)\,M + \mu\,\bar P
\end{aligned}
$$

**How to read it**

- *Patches* are ranked by mask logit, one an image. Never by assignment: that sums to 1 over an image whether or not the category
  is there. ■ the image holds the category, □ it does not (by ground truth). A click opens Inspect at that pixel.
- *Reads*: a row is a category's pixels, a column a prototype; how much of what those pixels read comes from it. A prototype's
  name says which mask it averages, not who reads it.
- *Memory*: ◆ rows of the bank, ★ live prototypes of single images. Their norms differ, so only directions are compared.
- *Shadow*: every image moves every row, with or without the category. The shadow bank averages only images that hold it.
- *Price*: variance within a category ÷ squared distance between categories, of the pixels' values before and after they are
  replaced by what they read from prototypes. Averaging shrinks variance by construction, hence the ratio, and a null in which the
  affinity rows are shuffled over the pixels of each image.
- *Health* compares each number with a threshold of ours; ✓ inside, ⚠ outside, – not known.
"""

READERS = "cells of which 75 % or more are one category, by ground truth"


def provenance(card: ModelCard, manifest: Manifest | None) -> str:
    """Model and checkpoint; with an atlas also the images that the numbers are over."""
    said = f"model {card.id} {card.hash[:8]}"
    if manifest is None:
        return f"{said}; one training seed"
    skipped = f" ({len(manifest.skipped)} unreadable)" if manifest.skipped else ""
    return f"{said}; {manifest.data}, {manifest.images} images{skipped}; one training seed"


def no_memory(model: str, what: str) -> str:
    """Why a model without a bank has nothing to show there."""
    return f"{model} has no memory bank, so there {what}."
