"""The gradient matrix of a guided decoder: which loss reaches which part, and do the two pull the same way?

    g_h   gradient of L_h = CE(up Z_h, Y)          g_u   gradient of L_u = CE(up Z_u, Y)

on the parameters of {stage 1..4, CAE, tokens, upsampler}. With the cuts' factors τ (token), η (high), λ (low), g_u is linear in
them, exactly:

    stages, CAE   g_u = η · a + λ · b          a through F_h, b through the skips (b = 0 on the CAE)
    tokens        g_u = τ · t
    upsampler     g_u = u

So a, b, t, u and g_h are computed once; their inner products per part (a Gram matrix) give every norm and cosine at any
setting of the cuts at once. One forward pass; the two branches' backward passes are shared.

Stage i: the backbone's parameters that f_i depends on and f_{i−1} does not; whatever lies before f_0 belongs to stage 1.
Evaluation mode: BatchNorm with its running statistics, no dropout. What it does not say: optimisers rescale gradients
(AdamW per value), so a norm is no step length.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from engine.decoders.hfgd import HFGDDecoder
from engine.errors import LoupeError
from engine.guidance import Cuts
from engine.losses import cross_entropy
from engine.segmenter import Segmenter
from engine.shapes import Float, Int

Module = TypeVar("Module", bound=nn.Module)

STAGES = ("stage 1", "stage 2", "stage 3", "stage 4")
PARTS = (*STAGES, "CAE", "tokens", "upsampler")
PATHS = ("guide", "high", "low", "own")  # g_h, a, b, and t or u: what the Gram matrices are over


@dataclass(frozen=True)
class PartGradients:
    """One line of the matrix at one setting of the cuts."""

    part: str
    guide: float  # ‖g_h‖
    upsampler: float  # ‖g_u‖
    cosine: float | None  # of both; None where one of them is 0


@dataclass(frozen=True)
class GradientMatrix:
    """Inner products of the gradients' paths on every part: enough for every setting of the cuts."""

    gram: dict[str, tuple[tuple[float, ...], ...]]  # part → 4×4 over PATHS
    guide_loss: float  # L_h
    upsampler_loss: float  # L_u

    def at(self, cuts: Cuts) -> list[PartGradients]:
        """Norms and cosines with these cuts, in the order of PARTS."""
        lines = []
        for part, gram in self.gram.items():
            own = cuts.token if part == "tokens" else 1.0
            factors = (0.0, cuts.high, cuts.low, own)
            squared = sum(f * g * gram[i][j] for i, f in enumerate(factors) for j, g in enumerate(factors))
            both = sum(f * gram[0][i] for i, f in enumerate(factors))
            guide, upsampler = gram[0][0] ** 0.5, max(squared, 0.0) ** 0.5
            cosine = both / (guide * upsampler) if guide > 0 and upsampler > 0 else None
            lines.append(PartGradients(part, guide, upsampler, cosine))
        return lines

    def json(self) -> dict[str, object]:
        return {
            "paths": list(PATHS),
            "gram": self.gram,
            "guide_loss": self.guide_loss,
            "upsampler_loss": self.upsampler_loss,
        }


def gradient_matrix(
    segmenter: Segmenter, images: Float[Tensor, "b 3 H W"], labels: Int[Tensor, "b H W"]
) -> GradientMatrix:
    """The matrix on these images; the segmenter keeps its weights, its mode and its `requires_grad`.

    Args:
        images: normalised.
        labels: categories, 255 where ignored.

    Raises:
        LoupeError: a decoder without a guide branch.
    """
    guided(segmenter)
    twin = _with_gradients(segmenter)
    decoder = twin.decoder
    assert isinstance(decoder, HFGDDecoder)
    with torch.enable_grad():
        pyramid = twin.backbone(images)
        high = decoder.encode(pyramid)[0]
        sources = decoder.skips.sources(pyramid)
        # Both losses are taken on copies cut off at the borders, so that each path can be followed back on its own.
        high_h, high_u = (high.detach().requires_grad_() for _ in range(2))
        leaves = [x.detach().requires_grad_() for x in sources]
        guide_loss = cross_entropy(decoder.classify_guide(high_h), labels)
        upsampler_loss = cross_entropy(decoder.classify(decoder.upsample(leaves, high_u)), labels)

        token = decoder.tokens.weight
        at_high, token_h = torch.autograd.grad(guide_loss, [high_h, token])
        upsampler = _parameters(decoder, "skips", "upsampler", "own_tokens")
        wanted = [high_u, *leaves, *upsampler, token]
        found = torch.autograd.grad(upsampler_loss, wanted, allow_unused=True)
        at_high_u, at_leaves = found[0], found[1 : 1 + len(leaves)]
        own, token_u = found[1 + len(leaves) : -1], found[-1]

        stages = stage_parameters(twin.backbone)
        encoder = _parameters(decoder, "context", "reduce")
        shared = [*(p for stage in stages for p in stage), *encoder]
        assert at_high_u is not None
        guide = torch.autograd.grad(high, shared, at_high, retain_graph=True, allow_unused=True)
        through_high = torch.autograd.grad(high, shared, at_high_u, retain_graph=True, allow_unused=True)
        reached = [
            (x, g) for x, g in zip(sources, at_leaves, strict=True) if x.requires_grad and g is not None
        ]
        through_low = torch.autograd.grad(
            [x for x, _ in reached], shared, [g for _, g in reached], allow_unused=True
        )
    gram: dict[str, tuple[tuple[float, ...], ...]] = {}
    start = 0
    for name, parameters in zip((*STAGES, "CAE"), (*stages, encoder), strict=True):
        part = slice(start, start + len(parameters))
        gram[name] = _gram(guide[part], through_high[part], through_low[part], ())
        start = part.stop
    gram["tokens"] = _gram((token_h,), (), (), (token_u,))
    gram["upsampler"] = _gram((), (), (), own)
    return GradientMatrix(gram, float(guide_loss.detach()), float(upsampler_loss.detach()))


def guided(segmenter: Segmenter) -> HFGDDecoder:
    """The decoder, if it has a guide branch.

    Raises:
        LoupeError: it has none.
    """
    decoder = segmenter.decoder
    if not isinstance(decoder, HFGDDecoder) or not decoder.guided:
        raise LoupeError("this model has no guide branch, so there are no two losses to compare")
    return decoder


def stage_parameters(backbone: nn.Module) -> tuple[list[nn.Parameter], ...]:
    """Parameters of stage 1..4, told apart by which maps depend on them: no name of any architecture is needed."""
    twin = backbone if all(p.requires_grad for p in backbone.parameters()) else _with_gradients(backbone)
    training = twin.training
    twin.eval()  # running statistics are not to move
    try:
        with torch.enable_grad():
            size = 64
            device = next(twin.parameters()).device
            levels = twin(torch.zeros(1, 3, size, size, device=device)).levels
            own = list(twin.parameters())
            left = dict(enumerate(own))
            groups: list[list[int]] = []
            for level in levels:
                ids = list(left)
                found = torch.autograd.grad(
                    level.sum(), [own[i] for i in ids], retain_graph=True, allow_unused=True
                )
                groups.append([i for i, g in zip(ids, found, strict=True) if g is not None])
                for i in groups[-1]:
                    del left[i]
    finally:
        twin.train(training)
    parameters = list(backbone.parameters())
    return tuple([parameters[i] for i in group] for group in groups)


def _with_gradients(module: Module) -> Module:
    """The same module, sharing its weights' memory, whose parameters take gradients. Costs no copy and touches nothing."""
    shared = {id(p): nn.Parameter(p.detach()) for p in module.parameters()}
    shared |= {id(b): b for b in module.buffers()}  # pyright: ignore[reportArgumentType]
    return copy.deepcopy(module, shared)


def _parameters(decoder: nn.Module, *names: str) -> list[nn.Parameter]:
    parts = (getattr(decoder, name, None) for name in names)
    return [p for part in parts if isinstance(part, nn.Module) for p in part.parameters()]


def _gram(*paths: Sequence[Tensor | None]) -> tuple[tuple[float, ...], ...]:
    """Inner products of the paths' gradients, in fp64; a gradient that does not exist is exactly 0."""

    def product(a: Sequence[Tensor | None], b: Sequence[Tensor | None]) -> float:
        pairs = zip(a, b, strict=True) if a and b else ()
        return sum(
            float((x.double() * y.double()).sum()) for x, y in pairs if x is not None and y is not None
        )

    return tuple(tuple(product(a, b) for b in paths) for a in paths)
