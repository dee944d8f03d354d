"""Class tokens: replaced, turned, in one branch or in both."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from engine.decoders.hfgd import HFGDDecoder
from engine.edits import Plan, Subject, Token, plan
from engine.edits.applying import turned
from tests.engine.edits.toys import CHANNELS, CLASSES, GRIDS, VECTOR, C, K


def made(own_tokens: bool):
    torch.manual_seed(7)
    decoder = HFGDDecoder(
        CHANNELS, K, channels=C, level_channels=8, context_channels=12, context_keys=4, own_tokens=own_tokens
    ).eval()
    features = [torch.randn(1, c, *g) for c, g in zip(CHANNELS, GRIDS, strict=True)]
    with torch.no_grad():
        base = decoder.trace(features)
    return decoder, features, base, Subject("toy", CLASSES, (), "", 1, C, tokens=True, own_tokens=own_tokens)


def rerun(own_tokens: bool, *edits):
    decoder, _, base, subject = made(own_tokens)
    with torch.no_grad():
        return base, decoder.rerun(base, plan(edits, subject, base[0]))


def test_replaced_tokens_are_the_model_with_those_tokens():
    decoder, features, base, subject = made(own_tokens=False)
    edits = (Token("a", other="b"), Token("c", by="vector", vector=VECTOR))
    with torch.no_grad():
        found = decoder.rerun(base, plan(edits, subject, base[0]))
        weight = decoder.tokens.weight
        weight[0], weight[2] = weight[1].clone(), torch.tensor(VECTOR)
        expected = decoder.trace(features)
    assert found.anew == ("guide", "classifier")
    assert_close(found.trace.logits, expected.logits)
    assert_close(found.trace.guidance.guide_logits, expected.guidance.guide_logits)
    assert_close(found.trace.guidance.tokens, expected.guidance.tokens)
    assert_close(found.trace.guidance.classifier, expected.guidance.classifier)
    assert not torch.equal(found.trace.logits, base.logits)


def test_others_are_read_as_they_were_before_any_edit():
    _, found = rerun(False, Token("a", other="b"), Token("b", other="a"))
    base = made(False)[2]
    swapped = base.guidance.tokens[[1, 0, *range(2, K)]]
    assert torch.equal(found.trace.guidance.tokens, swapped)


@pytest.mark.parametrize("degrees", [0.0, 1e-3, 30.0, 90.0, 135.0, 180.0, -20.0])
def test_turned_by_exactly_the_angle_with_the_norm_kept(degrees):
    base, found = rerun(False, Token("a", other="b", degrees=degrees))
    before, towards = base.guidance.tokens[0].double(), base.guidance.tokens[1].double()
    after = found.trace.guidance.tokens[0].double()
    assert_close(after.norm(), before.norm(), rtol=1e-6, atol=0)
    # atan2 keeps small angles; the sign says on which side of the plane.
    across = towards - (towards @ before) / before.square().sum() * before
    angle = math.degrees(torch.atan2(after @ across / across.norm(), after @ before / before.norm()))
    assert angle == pytest.approx(degrees, abs=2e-5)
    plane = torch.stack([before, across]).T
    residual = torch.linalg.lstsq(plane, after[:, None]).solution
    assert_close(plane @ residual, after[:, None], rtol=1e-5, atol=1e-6)


def test_on_one_line_there_is_no_plane_to_turn_in():
    vector = torch.randn(9)
    for other in (3 * vector, -vector, vector.clone()):
        assert torch.equal(turned(vector, other, 40.0), vector)
    nearly = vector + 1e-4 * torch.randn(9)
    assert_close(
        turned(vector, nearly, 90.0).dot(vector) / vector.square().sum(), torch.zeros(()), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize(("branch", "anew"), [("guide", ("guide",)), ("upsampler", ("classifier",))])
def test_one_branch_alone(branch, anew):
    base, found = rerun(True, Token("a", other="b", branch=branch))
    assert found.anew == anew
    trace, before = found.trace, base.guidance
    assert torch.equal(trace.logits, base.logits) == (branch == "guide")
    assert torch.equal(trace.guidance.upsampler_logits, trace.logits)
    assert torch.equal(trace.guidance.guide_logits, before.guide_logits) == (branch == "upsampler")
    assert torch.equal(trace.guidance.tokens, before.tokens) == (branch == "upsampler")
    assert torch.equal(trace.guidance.classifier, before.classifier) == (branch == "guide")


def test_nothing_changed_is_nothing_computed():
    base, found = rerun(False, Token("a", other="a"))
    assert found.anew == () and found.trace.logits is base.logits
    assert made(False)[0].rerun(base, Plan()).anew == ()
