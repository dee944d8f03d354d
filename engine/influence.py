"""Influence: what a decision depends on. The one question that every decoder answers, attention or not.

    m(x)   = logit of the shown category − best other logit, at one image pixel           the margin
    I_p    = Σ_c | ∂m / ∂x_cp · x_cp |      gradient × feature at position p of a site      [choice]
    share  = I_p / Σ_p I_p,  with the total Σ_p I_p beside it

Sites: "f0".."f3", the maps that the decoder reads, each held apart: what flows through the others does not count; or "image",
the normalised pixels, through backbone and decoder together. Every gradient cut is set to 1: a cut is about training, and
left closed it would show false zeros. Logits are resized bilinearly to the image, as the prediction is. Exact, by autograd.

What it does not say: shares of different sites, or raw totals of different models, must not be compared; where a feature is
0, its product is 0 whatever the gradient; it is a first-order reading, not what happens when something is removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from engine.errors import LoupeError
from engine.guidance import OPEN
from engine.resample import linear_taps
from engine.shapes import Float
from engine.trace import Pyramid

if TYPE_CHECKING:
    from engine.segmenter import Segmenter

SITES = ("f3", "f2", "f1", "f0", "image")


@dataclass(frozen=True, eq=False)
class Influence:
    """Of one pixel's decision, at one site."""

    site: str
    shares: Float[Tensor, "y x"]  # on the site's own grid; sums to 1, or is all 0 where nothing is read
    total: float  # Σ |gradient × feature|, in logits
    margin: float  # the decision, in logits; negative if `category` is not what is predicted
    category: int  # whose logit
    rival: int  # the best other

    def json(self, classes: Sequence[str], most: int = 10) -> dict[str, Any]:
        """Plain values, with the positions of the largest shares."""
        flat = self.shares.flatten()
        top = flat.topk(min(most, flat.numel()))
        width = self.shares.shape[1]
        return {
            "site": self.site,
            "grid": list(self.shares.shape),
            "total": self.total,
            "margin": self.margin,
            "category": classes[self.category],
            "rival": classes[self.rival],
            "top": [
                {"cell": list(divmod(int(i), width)), "share": float(share)}
                for share, i in zip(top.values, top.indices, strict=True)
            ],
        }


def sites_of(segmenter: Segmenter) -> tuple[str, ...]:
    """The sites at which a model can be asked: the maps that its decoder reads, and the image."""
    return tuple(site for site in SITES if site == "image" or site in segmenter.decoder.reads)


def influence(
    segmenter: Segmenter,
    pyramid: Pyramid,
    row: int,
    col: int,
    site: str = "f3",
    category: int | None = None,
) -> Influence:
    """Influence of every position of `site` on the decision at one pixel.

    Args:
        segmenter: in evaluation mode.
        pyramid: of one image (b = 1); with its image where the site is "image".
        row, col: of the traced image.
        category: the shown category; the predicted one by default.

    Raises:
        LoupeError: no such site, one that this decoder does not read, a pixel outside the image, no such category.
    """
    known = sites_of(segmenter)
    if site not in known:
        said = f"this decoder does not read {site}" if site in SITES else f'no site "{site}"'
        raise LoupeError(f"{said}: choose {', '.join(known)}")
    height, width = pyramid.image_size
    if not (0 <= row < height and 0 <= col < width):
        raise LoupeError(f"pixel ({row}, {col}) lies outside the image of {height}×{width}")
    with torch.enable_grad():
        source, input = _leaf(segmenter, pyramid, site)
        logits = logits_at(
            segmenter.decoder.predict(input, cuts=OPEN).logits[0].float(), row, col, (height, width)
        )
        category = int(logits.argmax()) if category is None else category
        if not 0 <= category < len(logits):
            raise LoupeError(f"category {category} is not one of the {len(logits)} of this model")
        others = logits.detach().clone()
        others[category] = -torch.inf
        rival = int(others.argmax())
        margin = logits[category] - logits[rival]
        (gradient,) = torch.autograd.grad(margin, source, allow_unused=True)
    raw = torch.zeros(source.shape[-2:]) if gradient is None else (gradient * source.detach())[0].abs().sum(0)
    total = float(raw.sum())
    shares = raw / total if total > 0 else raw
    return Influence(site, shares, total, float(margin.detach()), category, rival)


def logits_at(
    logits: Float[Tensor, "k h w"], row: int, col: int, size: tuple[int, int]
) -> Float[Tensor, " k"]:
    """Logits of one pixel of the image, as resizing all of them bilinearly to `size` would give."""
    (r0, r1, rt), (c0, c1, ct) = (
        linear_taps(n_out, n_in, logits.device) for n_out, n_in in zip(size, logits.shape[-2:], strict=True)
    )
    rows = logits[:, r0[row]] * (1 - rt[row]) + logits[:, r1[row]] * rt[row]
    return rows[:, c0[col]] * (1 - ct[col]) + rows[:, c1[col]] * ct[col]


def _leaf(segmenter: Segmenter, pyramid: Pyramid, site: str) -> tuple[Tensor, Pyramid]:
    """(what is differentiated, the pyramid that depends on it)."""
    if site == "image":
        if pyramid.image is None:
            raise LoupeError("this pyramid came without its image")
        image = pyramid.image.detach().clone().requires_grad_()
        return image, segmenter.backbone(image)
    index = int(site[1])
    leaf = pyramid.levels[index].detach().clone().requires_grad_()
    levels = tuple(leaf if i == index else level for i, level in enumerate(pyramid.levels))
    return leaf, replace(pyramid, levels=levels)
