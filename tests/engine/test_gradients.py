"""The gradient matrix: the closed form in the cuts equals real backward passes; zeros are zeros."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from engine.decoders.hfgd import HFGDDecoder
from engine.errors import LoupeError
from engine.gradients import PARTS, STAGES, gradient_matrix, stage_parameters
from engine.guidance import CLOSED, OPEN, Cuts
from engine.losses import segmentation_losses
from engine.segmenter import Segmenter, SegmenterSpec, build

K = 5


def make(**spec) -> Segmenter:
    torch.manual_seed(0)
    small = {"channels": 8, "level_channels": 6, "context_channels": 10, "context_keys": 4}
    names = tuple("abcde")
    made = build(SegmenterSpec("test_efficientnet", names, **{"method": "hfgd", **small, **spec})).eval()
    for name, parameter in made.named_parameters():
        if "bn" in name:  # they start as the identity
            parameter.data.uniform_(0.5, 1.5)
    return made.requires_grad_(False)


def data() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    labels = torch.randint(0, K, (1, 64, 96))
    labels[:, :9] = 255
    return torch.randn(1, 3, 64, 96), labels


def explicit(segmenter: Segmenter, loss: str, cuts: Cuts) -> dict[str, torch.Tensor]:
    """One loss's gradient per part, by an ordinary backward pass of the whole model with these cuts."""
    twin = copy.deepcopy(segmenter).requires_grad_(True)
    images, labels = data()
    prediction = twin.decoder.predict(twin.backbone(images), cuts)
    segmentation_losses(prediction, labels)[loss].backward()
    decoder = twin.decoder
    assert isinstance(decoder, HFGDDecoder)
    encoder = decoder.reduce if decoder.context is None else decoder.context
    parts = dict(zip(STAGES, stage_parameters(twin.backbone), strict=True))
    parts |= {
        "CAE": list(encoder.parameters()),
        "tokens": list(decoder.tokens.parameters()),
        "upsampler": decoder.separate_parameters(),
    }
    return {
        name: torch.cat(
            [(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in ps]
        ).double()
        for name, ps in parts.items()
    }


@pytest.mark.parametrize(
    "spec",
    [{}, {"own_tokens": True}, {"context": False}, {"context_fine": True, "upsampler_stride": 2}],
    ids=["hfgd", "fpn-cut", "no CAE", "output stride 2"],
)
@pytest.mark.parametrize("cuts", [CLOSED, OPEN, Cuts(0.3, 0.7, 0.2), Cuts(0.0, 0.0, 0.5)], ids=str)
def test_the_closed_form_is_the_backward_pass(spec: dict, cuts: Cuts):
    segmenter = make(**spec)
    found = gradient_matrix(segmenter, *data()).at(cuts)
    assert tuple(line.part for line in found) == PARTS
    guide, upsampler = explicit(segmenter, "guide", cuts), explicit(segmenter, "ce", cuts)
    for line in found:
        g, u = guide[line.part], upsampler[line.part]
        assert line.guide == pytest.approx(g.norm().item(), rel=1e-3)
        assert line.upsampler == pytest.approx(u.norm().item(), rel=1e-3, abs=1e-9)
        if g.norm() > 0 and u.norm() > 0:
            assert line.cosine == pytest.approx((g @ u / (g.norm() * u.norm())).item(), abs=2e-3)
        else:
            assert line.cosine is None


def test_closed_cuts_give_exact_zeros_and_no_cosine():
    for line in gradient_matrix(make(), *data()).at(CLOSED):
        assert line.cosine is None
        if line.part == "upsampler":
            assert line.guide == 0.0 and line.upsampler > 0
        else:
            assert line.guide > 0 and line.upsampler == 0.0


def test_open_cuts_reach_every_part():
    lines = gradient_matrix(make(), *data()).at(OPEN)
    assert all(line.upsampler > 0 for line in lines)
    assert all(
        line.cosine is not None and -1 <= line.cosine <= 1 for line in lines if line.part != "upsampler"
    )


def test_own_tokens_leave_the_guides_tokens_alone():
    matrix = gradient_matrix(make(own_tokens=True), *data())
    for factors in itertools.product((0.0, 0.5, 1.0), repeat=3):
        line = next(line for line in matrix.at(Cuts(*factors)) if line.part == "tokens")
        assert line.upsampler == 0.0 and line.cosine is None and line.guide > 0


def test_the_losses_are_those_of_training():
    segmenter = make()
    images, labels = data()
    matrix = gradient_matrix(segmenter, images, labels)
    with torch.no_grad():
        losses = segmentation_losses(segmenter.predict(images), labels)
    assert matrix.guide_loss == pytest.approx(losses["guide"].item(), rel=1e-5)
    assert matrix.upsampler_loss == pytest.approx(losses["ce"].item(), rel=1e-5)


def test_nothing_of_the_model_is_touched():
    segmenter = make()
    before = copy.deepcopy(segmenter.state_dict())
    gradient_matrix(segmenter, *data())
    assert all(torch.equal(before[name], value) for name, value in segmenter.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in segmenter.parameters())
    assert not segmenter.training


def test_stages_hold_every_parameter_once():
    backbone = make().backbone
    stages = stage_parameters(backbone)
    ids = [id(p) for stage in stages for p in stage]
    assert len(stages) == 4 and all(stages) and len(set(ids)) == len(ids)
    assert set(ids) == {id(p) for p in backbone.parameters()}
    # Changing one parameter of stage i changes the maps from f_{i−1} on, and none before.
    images, _ = data()
    with torch.no_grad():
        before = backbone(images).levels
        for i, stage in enumerate(stages):
            changed = copy.deepcopy(backbone)
            index = [id(p) for p in backbone.parameters()].index(id(stage[0]))
            list(changed.parameters())[index].data.mul_(-1.7).add_(0.3)
            moved = [not torch.equal(a, b) for a, b in zip(before, changed(images).levels, strict=True)]
            assert moved == [level >= i for level in range(4)]


@pytest.mark.parametrize("method", ["fpn", "dilated", "cpt"])
def test_a_model_without_a_guide_is_refused(method: str):
    spec = {"output_stride": 32, "heads": 2, "pool_channels": 4} if method == "cpt" else {}
    with pytest.raises(LoupeError, match="no guide branch"):
        gradient_matrix(make(method=method, **spec), *data())


def test_twins_share_the_weights_memory():
    from engine.gradients import _with_gradients

    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).requires_grad_(False)
    twin = _with_gradients(module)
    assert [p.data_ptr() for p in twin.parameters()] == [p.data_ptr() for p in module.parameters()]
    assert all(p.requires_grad for p in twin.parameters())
    assert not any(p.requires_grad for p in module.parameters())
    assert np.array_equal(twin[1].running_mean.numpy(), module[1].running_mean.numpy())
