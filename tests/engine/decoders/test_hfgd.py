"""HFGD and its baselines: the laws of the cuts, the upsampler's grids, what a trace holds."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from engine.decoders.dilated import DilatedDecoder
from engine.decoders.hfgd import HFGDDecoder, soft_stop
from engine.errors import LoupeError
from engine.guidance import OPEN, Cuts
from engine.losses import segmentation_losses
from engine.trace import Pyramid

K, C, BATCH = 7, 12, 2
SIZE = (84, 116)
GRIDS = [(21, 29), (11, 15), (6, 8), (3, 4)]
CHANNELS = [5, 9, 10, 13]
SMALL = {"channels": C, "level_channels": 6, "context_channels": 11, "context_keys": 4}


def make(**kwargs) -> HFGDDecoder:
    torch.manual_seed(5)
    return HFGDDecoder(CHANNELS, K, **{**SMALL, **kwargs})


def pyramid(stride2: int = 0, gradients: bool = False) -> Pyramid:
    torch.manual_seed(6)
    levels = [torch.randn(BATCH, c, *g) for c, g in zip(CHANNELS, GRIDS, strict=True)]
    finest = torch.randn(BATCH, stride2, 42, 58) if stride2 else None
    made = Pyramid(tuple(levels), SIZE, torch.randn(BATCH, 3, *SIZE), finest)
    if gradients:
        for x in (*made.levels, made.image, finest):
            if x is not None:
                x.requires_grad_()
    return made


def labels() -> torch.Tensor:
    return torch.randint(0, K, (BATCH, *SIZE), generator=torch.Generator().manual_seed(7))


def gradients(decoder: HFGDDecoder, loss: str, cuts: Cuts | None = None) -> dict[str, float | None]:
    """Norm of one loss's gradient on every part; None where no gradient exists at all."""
    features = pyramid(gradients=True)
    prediction = decoder.eval().predict(features, cuts)
    decoder.zero_grad()
    segmentation_losses(prediction, labels())[loss].backward()
    parts = {"tokens": decoder.tokens, "CAE": decoder.context, "upsampler": decoder.upsampler}
    found = {
        name: sum(p.grad.norm().item() for p in part.parameters())
        if any(p.grad is not None for p in part.parameters())
        else None
        for name, part in parts.items()
    }
    return found | {
        f"f{i}": None if x.grad is None else x.grad.norm().item() for i, x in enumerate(features.levels)
    }


# ---------------------------------------------------------------- the laws of the cuts


def test_the_upsamplers_loss_reaches_the_upsampler_alone():
    found = gradients(make(), "ce")
    assert found.pop("upsampler") > 0
    assert set(found.values()) == {None}, "where a gradient is cut there is none, not a small one"


def test_the_guides_loss_never_reaches_the_upsampler():
    found = gradients(make(), "guide")
    assert found["upsampler"] is None and found["f0"] is None and found["f1"] is None and found["f2"] is None
    assert found["tokens"] > 0 and found["CAE"] > 0 and found["f3"] > 0


def test_open_cuts_reach_every_part():
    found = gradients(make(), "ce", OPEN)
    assert all(norm is not None and norm > 0 for norm in found.values()), found


@pytest.mark.parametrize(
    ("cut", "reached"),
    [("token", {"tokens"}), ("high", {"CAE", "f3"}), ("low", {"f0", "f1", "f2"})],
)
def test_each_cut_guards_its_own_border(cut: str, reached: set[str]):
    found = gradients(make(), "ce", Cuts(**{cut: 1.0}))
    assert {name for name, norm in found.items() if norm is not None} == reached | {"upsampler"}


@pytest.mark.parametrize("cut", ["token", "high", "low"])
def test_a_soft_cut_scales_the_gradient_and_nothing_else(cut: str):
    full = gradients(make(), "ce", Cuts(**{cut: 1.0}))
    soft = gradients(make(), "ce", Cuts(**{cut: 0.25}))
    for name, norm in full.items():
        if norm is None:
            assert soft[name] is None
        else:
            assert soft[name] == pytest.approx(norm if name == "upsampler" else norm / 4, rel=1e-4)


def test_cuts_never_change_the_forward_pass():
    decoder = make().eval()
    with torch.no_grad():
        outputs = [
            decoder.predict(pyramid(), Cuts(*factors)).logits
            for factors in itertools.product((0.0, 0.3, 1.0), repeat=3)
        ]
    assert all(torch.equal(outputs[0], other) for other in outputs)


def test_soft_stop_at_its_ends():
    x = torch.randn(3, requires_grad=True)
    assert soft_stop(x, 1.0) is x
    assert not soft_stop(x, 0.0).requires_grad
    soft_stop(x, 0.5).sum().backward()
    assert_close(x.grad, torch.full((3,), 0.5))


@pytest.mark.parametrize("factor", [-0.1, 1.5, float("nan")])
def test_a_factor_outside_0_to_1_is_refused(factor: float):
    with pytest.raises(LoupeError, match="high cut"):
        Cuts(high=factor)


# ---------------------------------------------------------------- baselines in the same shell


def test_fpn_cut_has_tokens_of_its_own():
    decoder = make(own_tokens=True)
    features = pyramid()
    assert decoder.classifier is decoder.own_tokens
    segmentation_losses(decoder.predict(features), labels())["ce"].backward()
    assert decoder.tokens.weight.grad is None and decoder.own_tokens.weight.grad.norm() > 0
    assert decoder.trace(features).guidance.own_tokens


def test_fpn_has_one_branch_and_no_cuts():
    decoder = make(guided=False)
    assert decoder.cuts == OPEN
    features = pyramid(gradients=True)
    prediction = decoder.predict(features)
    assert prediction.guide_logits is None and list(segmentation_losses(prediction, labels())) == ["ce"]
    prediction.logits.sum().backward()
    assert all(x.grad.norm() > 0 for x in features.levels)
    assert all(p.grad is not None for p in decoder.parameters())
    assert decoder.trace(features).guidance is None


def test_the_baselines_differ_in_nothing_else():
    weights = {name: p.shape for name, p in make().named_parameters()}
    assert {name: p.shape for name, p in make(guided=False).named_parameters()} == weights
    own = {name: p.shape for name, p in make(own_tokens=True).named_parameters()}
    assert own == weights | {"own_tokens.weight": (K, C)}


def test_dilated_reads_the_last_map_alone():
    torch.manual_seed(1)
    decoder = DilatedDecoder(CHANNELS, K, C).eval()
    features = pyramid(gradients=True)
    trace = decoder.trace(features)
    assert trace.stages == () and trace.guidance is None and trace.logits.shape == (BATCH, K, *GRIDS[3])
    trace.logits.sum().backward()
    assert [x.grad is not None for x in features.levels] == [False, False, False, True]


# ---------------------------------------------------------------- shapes and the trace


@pytest.mark.parametrize("context", [True, False])
@pytest.mark.parametrize("own_tokens", [True, False])
def test_trace_and_prediction_are_one(context: bool, own_tokens: bool):
    decoder = make(context=context, own_tokens=own_tokens).eval()
    features = pyramid()
    with torch.no_grad():
        trace, prediction = decoder.trace(features), decoder.predict(features)
        guidance = trace.guidance
        assert torch.equal(trace.logits, prediction.logits)
        assert torch.equal(decoder(features), prediction.logits)
        assert torch.equal(guidance.guide_logits, prediction.guide_logits)
        assert trace.logits.shape == (BATCH, K, *GRIDS[0]) and trace.fused is guidance.upsampled
        assert guidance.high.shape == (BATCH, C, *GRIDS[3]) and guidance.tokens.shape == (K, C)
        # the tokens classify, by nothing but dot products
        assert_close(guidance.guide_logits, torch.einsum("kc,bcyx->bkyx", guidance.tokens, guidance.high))
        assert_close(
            guidance.upsampler_logits, torch.einsum("kc,bchw->bkhw", guidance.classifier, guidance.upsampled)
        )
        assert torch.equal(guidance.classifier, guidance.tokens) == (not own_tokens)
        one = trace[1].guidance
        assert_close(one.logits_of(3)[0], guidance.guide_logits[1, 3])
        assert_close(one.logits_of(3)[1], trace.logits[1, 3])


def test_context_affinity_is_the_attention_that_was_used():
    decoder = make(context_fine=True).eval()
    features = pyramid()
    with torch.no_grad():
        guidance = decoder.trace(features).guidance
        rows = torch.stack(
            [guidance.context_affinity(r, c).flatten(1) for r in range(3) for c in range(4)], dim=1
        )
        assert_close(rows.sum(-1), torch.ones(BATCH, 12))
        assert rows.std() > 0
        for r, c in [(0, 0), (2, 3), (1, 2)]:
            assert_close(guidance.context_readers(r, c).flatten(1), rows[:, :, r * 4 + c])
        # F_h again, with the explicit matrix in place of fused attention
        cae = decoder.context
        f2 = F.interpolate(features.levels[2], GRIDS[3], mode="bilinear", align_corners=False)
        x = cae.embed(torch.cat([features.levels[3], f2], 1))
        read = torch.einsum("bqs,bes->bqe", rows, cae.value(x).flatten(2)).mT.unflatten(-1, GRIDS[3])
        assert_close(guidance.high, cae.project(x + read), atol=1e-5, rtol=1e-4)


def test_the_upsampler_is_what_its_formula_says():
    decoder = make().eval()
    features = pyramid()

    def up(x, like):
        return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)

    with torch.no_grad():
        u = decoder.upsampler
        high = decoder.encode(features)[0]
        f0, f1, f2, _ = features.levels
        p2 = u.laterals[2](f2) + up(high, f2)
        p1 = u.laterals[1](f1) + up(p2, f1)
        p0 = u.laterals[0](f0) + up(p1, f0)
        levels = u.levels
        total = levels[0][0](p0)
        total = total + up(levels[1][0](p1), f0)
        total = total + up(levels[2][1](up(levels[2][0](p2), f1)), f0)
        x = up(levels[3][0](high), f2)
        x = up(levels[3][1](x), f1)
        total = total + up(levels[3][2](x), f0)
        assert_close(decoder.upsample(decoder.skips.sources(features), high), u.merge(total))
    assert [len(level) for level in levels] == [1, 1, 2, 3]
    assert not any(m.bias is not None for m in u.modules() if isinstance(m, torch.nn.Conv2d))


@pytest.mark.parametrize("stride2", [6, 0])
def test_output_stride_2_with_and_without_a_stride_2_map(stride2: int):
    decoder = make(upsampler_stride=2, stride2_channels=stride2)
    features = pyramid(stride2, gradients=True)
    prediction = decoder.predict(features, OPEN)
    assert prediction.logits.shape == (BATCH, K, 42, 58)
    prediction.logits.sum().backward()
    read = {"f-1": features.stride2, "image": features.image}
    assert {name: x is not None and x.grad is not None for name, x in read.items()} == {
        "f-1": bool(stride2),
        "image": not stride2,
    }
    assert decoder.reads[0] == ("f-1" if stride2 else "image")
    assert [len(level) for level in decoder.upsampler.levels] == [1, 1, 2, 3, 4]
    decoder.zero_grad()
    cut = pyramid(stride2, gradients=True)
    segmentation_losses(decoder.predict(cut), labels())["ce"].backward()
    finest = cut.stride2 if stride2 else cut.image
    assert finest.grad is None, "the cut guards the finest map as well"


def test_output_stride_2_says_what_it_lacks():
    with pytest.raises(LoupeError, match="stride-2 map"):
        make(upsampler_stride=2, stride2_channels=6)(list(pyramid().levels))
    with pytest.raises(LoupeError, match="the image"):
        make(upsampler_stride=2)(replace(pyramid(), image=None))
    with pytest.raises(LoupeError, match="output stride 3"):
        make(upsampler_stride=3)


def test_guidance_refuses_what_it_has_not():
    with torch.no_grad():
        guidance = make(context=False).eval().trace(pyramid())[0].guidance
        with pytest.raises(LoupeError, match="no context encoder"):
            guidance.context_affinity(0, 0)
        guidance = make().eval().trace(pyramid())[0].guidance
    with pytest.raises(LoupeError, match="not on the guide's grid of 3×4"):
        guidance.context_affinity(3, 0)
    with pytest.raises(LoupeError, match="category 7"):
        guidance.logits_of(K)
    cosines = guidance.token_cosines()
    assert_close(cosines.diagonal(), torch.ones(K))
    assert_close(cosines, cosines.T)
