"""Backbones of several families give the same pyramid: four maps at strides 4 to 32, channels first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from engine.backbones import build_backbone
from engine.errors import LoupeError
from engine.segmenter import SegmenterSpec, build
from engine.trace import Pyramid


@pytest.mark.parametrize(
    ("name", "stride2"),
    [("mobilenetv4_conv_small_050", True), ("resnet10t", True), ("edgenext_xx_small", False)],
)
def test_pyramid(name, stride2):
    backbone = build_backbone(name).eval()
    images = torch.randn(2, 3, 70, 101)  # no multiple of 32
    with torch.no_grad():
        pyramid = backbone(images)
    grids = [tuple(f.shape[-2:]) for f in pyramid.levels]
    if stride2:  # convolutions round up; a patch stem rounds down
        assert grids == [(18, 26), (9, 13), (5, 7), (3, 4)]
    assert [f.shape[1] for f in pyramid.levels] == list(backbone.channels)
    assert pyramid.image_size == (70, 101) and (pyramid.stride2 is not None) == stride2
    if pyramid.stride2 is not None:
        assert pyramid.stride2.shape[-2:] == (35, 51)


def test_channels_last_families_come_channels_first():
    backbone = build_backbone("swin_tiny_patch4_window7_224").eval()
    with torch.no_grad():
        pyramid = backbone(torch.randn(1, 3, 224, 224))
    assert [tuple(f.shape[1:]) for f in pyramid.levels] == [
        (96, 56, 56),
        (192, 28, 28),
        (384, 14, 14),
        (768, 7, 7),
    ]


def test_dilation_keeps_the_stride():
    backbone = build_backbone("resnet10t", output_stride=8).eval()
    with torch.no_grad():
        pyramid = backbone(torch.randn(1, 3, 64, 96))
    assert [tuple(f.shape[-2:]) for f in pyramid.levels] == [(16, 24), (8, 12), (8, 12), (8, 12)]


def test_every_size_of_image_gives_a_trace():
    torch.manual_seed(0)
    spec = SegmenterSpec("mobilenetv4_conv_small_050", ("a", "b", "c"), channels=16, heads=2)
    segmenter = build(spec).eval()
    for size in [(32, 32), (33, 47), (64, 200)]:
        with torch.no_grad():
            trace = segmenter.trace(torch.randn(1, 3, *size))
        assert trace.labels.shape == (1, *size)
        assert all(s.affinity(0, 0).sum(-1).allclose(torch.ones(1, 2)) for s in trace.stages)


def test_what_cannot_be_built_is_one_sentence():
    for name, stride in [("no_such_net", 32), ("resnet10t", 5), ("vit_tiny_patch16_224", 32)]:
        with pytest.raises(LoupeError) as caught:
            build_backbone(name, output_stride=stride)
        assert name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="four feature maps"):
        Pyramid.of([torch.zeros(1, 2, 3, 3)] * 3)


CACHE = """
import sys, torch
from engine.backbones import build_backbone
backbone = build_backbone(sys.argv[1], pretrained=True)
torch.save({k: v for k, v in backbone.state_dict().items()}, sys.argv[2])
"""


def in_cache(folder: Path, name: str, settings: dict[str, Any]) -> dict[str, torch.Tensor]:
    """timm's weights of a model, made up, in the hub's cache as a download leaves them."""
    torch.manual_seed(5)
    model = timm.create_model(name, **settings)
    weights = {
        key: torch.randn_like(x) if x.is_floating_point() else x for key, x in model.state_dict().items()
    }
    repo = model.pretrained_cfg["hf_hub_id"].replace("/", "--")
    commit = "0" * 40
    home = folder / f"models--{repo}"
    (home / "snapshots" / commit).mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    save_file(weights, home / "snapshots" / commit / "model.safetensors")
    return weights


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "timms"),
    [("resnet10t", "resnet10t"), ("mmseg/swin_tiny_window7", "swin_tiny_patch4_window7_224")],
)
def test_weights_come_from_the_hubs_cache_without_a_network(tmp_path, name, timms):
    weights = in_cache(tmp_path / "hub", timms, {})
    environment = os.environ | {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", CACHE, name, str(tmp_path / "out.pt")]
    subprocess.run(command, check=True, env=environment, cwd=Path(__file__).parents[2])
    got = torch.load(tmp_path / "out.pt", weights_only=True)
    same = [
        key for key in got if torch.equal(got[key], weights.get(key.removeprefix("body."), torch.zeros(())))
    ]
    assert len(same) == len(got) - (8 if "swin" in name else 0)  # its four norms are fresh


def test_weights_that_cannot_be_had_are_one_sentence(monkeypatch, tmp_path):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for name in ("resnet10t", "mmseg/swin_tiny_window7", "mobilenetv4_conv_small_050"):
        with pytest.raises(LoupeError, match="cannot be had") as caught:
            build_backbone(name, pretrained=True)
        assert "\n" not in str(caught.value)
