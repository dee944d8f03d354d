"""HFGD, the High-level Feature Guided Decoder.  [paper] arXiv 2303.08646; [choice] where marked

    guide       F_h = CAE(f3);                        Z_h = T · F_h      L_h reaches backbone, CAE and T
    upsampler   F_u = U(sg f0, sg f1, sg f2, sg F_h);  Z_u = sg(T) · F_u  L_u reaches U alone
    L = L_u + L_h;   prediction = argmax of Z_u

| symbol | attribute |
|---|---|
| CAE | `context`, or with `context=False` a 1×1 convolution `reduce` |
| T | `tokens`: k × C, no bias, no normalisation [choice] |
| U | `skips` (which maps), `upsampler` |
| sg | `soft_stop` with the factors `cuts.low`, `cuts.high`, `cuts.token`; 0 stops |

Baselines in the same shell, so that nothing else differs  [choice]:
    fpn-cut   `own_tokens`: F_u is classified by the upsampler's own tokens, trained by L_u; T serves the guide alone
    fpn       `guided=False`: SemanticFPN trained jointly. No guide branch, no cuts, one loss.
Dropout2d stands before each classification, drawn for the guide first, so that the guide's draws do not depend on the upsampler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.decoders.context import ContextEncoder
from engine.decoders.decoder import Decoder, Parts, Prediction, Rerun
from engine.decoders.semantic_fpn import Skips, Upsampler
from engine.edits import applying
from engine.edits.plan import Plan
from engine.guidance import CLOSED, OPEN, Cuts, Guidance
from engine.shapes import Float
from engine.trace import Pyramid, Trace


class _SoftStop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.factor, None


def soft_stop(x: Tensor, factor: float) -> Tensor:
    """x, with `factor` times its gradient; at 0 the graph is cut, so that what lies behind has no gradient at all."""
    if factor == 0:
        return x.detach()
    return x if factor == 1 else _SoftStop.apply(x, factor)  # pyright: ignore[reportReturnType]


class ClassTokens(nn.Module):
    """T: one token per category; the logits of a map are its dot products with them."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, channels))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)  # as a 1×1 convolution starts

    def forward(self, features: Float[Tensor, "b c h w"], factor: float = 1.0) -> Float[Tensor, "b k h w"]:
        """Logits of a map; `factor` multiplies the tokens' gradient."""
        return F.conv2d(features, soft_stop(self.weight, factor)[:, :, None, None])


def _classified(features: Float[Tensor, "b c h w"], tokens: Float[Tensor, "k c"]) -> Float[Tensor, "b k h w"]:
    return F.conv2d(features, tokens[:, :, None, None]).float()


class HFGDDecoder(Decoder):
    """HFGD, or one of its baselines.

    Args:
        in_channels: of f0..f3 (strides 4, 8, 16, 32).
        classes: k.
        channels: C, of F_h, F_u and the tokens.
        level_channels: L, inside the upsampler.
        context: encode f3 with the CAE; otherwise with a 1×1 convolution.
        context_channels, context_keys: E and d of the CAE.
        context_fine: the CAE reads f2 as well.
        guided: a guide branch with its own loss.
        own_tokens: the upsampler classifies with tokens of its own.
        cuts: gradient factors; ignored (all open) without a guide.
        upsampler_stride: of F_u, 4 or 2.
        stride2_channels: of the backbone's stride-2 map, 0 for none; read at output stride 2 only.
        dropout: Dropout2d before each classification.

    Raises:
        LoupeError: an upsampler stride that is neither 4 nor 2.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        classes: int,
        channels: int = 256,
        level_channels: int = 128,
        context: bool = True,
        context_channels: int = 512,
        context_keys: int = 64,
        context_fine: bool = False,
        guided: bool = True,
        own_tokens: bool = False,
        cuts: Cuts = CLOSED,
        upsampler_stride: int = 4,
        stride2_channels: int = 0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.classes = classes
        self.cuts = cuts if guided else OPEN
        f2, f3 = in_channels[2], in_channels[3]
        if context:
            seen = f3 + f2 if context_fine else f3
            self.context = ContextEncoder(seen, channels, context_channels, context_keys, context_fine)
        else:
            self.context = None
            self.reduce = nn.Conv2d(f3, channels, 1)
        self.tokens = ClassTokens(classes, channels)
        self.skips = Skips(in_channels, upsampler_stride, stride2_channels)
        self.upsampler = Upsampler(self.skips.channels, channels, level_channels)
        self.own_tokens = ClassTokens(classes, channels) if guided and own_tokens else None
        self.guided = guided
        self.dropout = nn.Dropout2d(dropout)
        self.reads = (*self.skips.reads, "f3")

    def predict(self, features: Pyramid | Sequence[Tensor], cuts: Cuts | None = None) -> Prediction:
        """Both branches' logits; `cuts` replaces the decoder's own for this pass."""
        pyramid = Pyramid.of(features)
        cuts = self.cuts if cuts is None else cuts
        high, _, _ = self.encode(pyramid)
        guide = self.classify_guide(high) if self.guided else None
        sources = [soft_stop(x, cuts.low) for x in self.skips.sources(pyramid)]
        upsampled = self.upsample(sources, soft_stop(high, cuts.high))
        return Prediction(self.classify(upsampled, cuts.token), guide_logits=guide)

    def trace(self, features: Pyramid | Sequence[Tensor]) -> Trace:
        pyramid = Pyramid.of(features)
        high, query, key = self.encode(pyramid)
        laterals = self.upsampler.project(self.skips(self.skips.sources(pyramid)))
        upsampled = self.upsampler.climb(laterals, high)
        logits = self.classify(upsampled).float()
        guidance = None
        if self.guided:
            guidance = Guidance(
                tokens=self.tokens.weight.detach(),
                classifier=self.classifier.weight.detach(),
                guide_logits=self.classify_guide(high).float(),
                upsampler_logits=logits,
                high=high,
                upsampled=upsampled,
                context_query=query,
                context_key=key,
                cuts=self.cuts,
                own_tokens=self.own_tokens is not None,
            )
        return Trace(
            logits,
            pyramid.levels,
            (),
            image_size=pyramid.image_size,
            fused=upsampled,
            laterals=tuple(laterals),
            high=high,
            guidance=guidance,
        )

    def rerun(self, base: Trace, plan: Plan, parts: Parts | None = None) -> Rerun:
        """What edited tokens classify, classified anew; the maps themselves know nothing of tokens."""
        if base.guidance is None:
            return super().rerun(base, plan, parts)
        guidance, anew = base.guidance, []
        tokens = applying.edited_tokens(self.tokens.weight.detach(), plan.tokens, "guide")
        if not torch.equal(tokens, guidance.tokens):
            guide = _classified(guidance.high, tokens)
            guidance = replace(guidance, tokens=tokens, guide_logits=guide)
            anew.append("guide")
        classifier = applying.edited_tokens(self.classifier.weight.detach(), plan.tokens, "upsampler")
        if not torch.equal(classifier, guidance.classifier):
            logits = _classified(guidance.upsampled, classifier)
            guidance = replace(guidance, classifier=classifier, upsampler_logits=logits)
            anew.append("classifier")
        return Rerun(replace(base, logits=guidance.upsampler_logits, guidance=guidance), tuple(anew))

    def separate_parameters(self) -> list[nn.Parameter]:
        """The upsampler's: with a guide, L_u alone trains them."""
        parts = (self.skips, self.upsampler, self.own_tokens) if self.guided else ()
        return [p for part in parts if part is not None for p in part.parameters()]

    # ---------------------------------------------------------------- the parts, for whoever takes gradients between them

    def encode(self, pyramid: Pyramid) -> tuple[Float[Tensor, "b c y x"], Tensor | None, Tensor | None]:
        """(F_h, the CAE's queries, its keys)."""
        f2, f3 = pyramid.levels[2], pyramid.levels[3]
        return (self.reduce(f3), None, None) if self.context is None else self.context(f3, f2)

    def classify_guide(self, high: Float[Tensor, "b c y x"]) -> Float[Tensor, "b k y x"]:
        """Z_h."""
        return self.tokens(self.dropout(high))

    def upsample(self, sources: Sequence[Tensor], high: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c h w"]:
        """F_u from what `skips.sources` gave, and F_h."""
        return self.upsampler(self.skips(sources), high)

    @property
    def classifier(self) -> ClassTokens:
        """What classifies F_u."""
        return self.tokens if self.own_tokens is None else self.own_tokens

    def classify(self, upsampled: Float[Tensor, "b c h w"], token: float = 1.0) -> Float[Tensor, "b k h w"]:
        """Z_u; `token` is the factor of the token cut, which concerns shared tokens only."""
        return self.classifier(self.dropout(upsampled), token if self.own_tokens is None else 1.0)
