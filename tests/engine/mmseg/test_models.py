"""Whole models against mmsegmentation's: outputs of both backbones with vectors, MiT against its equations written out."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.backbones import build_backbone
from engine.errors import LoupeError
from engine.mmseg import load_head, load_segmenter
from engine.mmseg.backbones import load_backbone
from engine.mmseg.keys import PREFIX_HEAD
from tests.engine.test_golden import GOLDEN, error, state_dict

TOLERANCE = 1e-5
NAMES = ("mmseg_resnet50c_cpt", "mmseg_swin_tiny_cpt")


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    """(its description, what it must give, the state dict, the model)."""
    about = json.loads((GOLDEN / f"{request.param}.json").read_text())
    arrays = dict(np.load(GOLDEN / f"{request.param}.npz"))
    weights = state_dict(request.param)
    return about, arrays, weights, load_segmenter(weights, about["momentum"])


def test_outputs_are_those_of_mmsegmentation(model):
    _, arrays, _, segmenter = model
    with torch.no_grad():
        trace = segmenter.trace(torch.from_numpy(arrays["input.image"]))
    for i, level in enumerate(trace.features):
        assert error(level.mean((2, 3)), arrays[f"eval.feature_mean.f{i}"]) < 1e-6
    assert error(trace.logits, arrays["eval.logits"]) < TOLERANCE
    coarse, fine = trace.stages[0], trace.stages[2]
    assert coarse.mask_logits is not None
    assert error(coarse.mask_logits, arrays["eval.block2.mask_logits"]) < TOLERANCE
    width = fine.grid[1]
    rows = [fine.affinity(*divmod(q, width)).mean(-2) for q in range(0, fine.grid[0] * width, 7)]
    assert error(torch.stack(rows, dim=1), arrays["eval.block0.attn"]) < TOLERANCE


def test_what_the_weights_say_is_in_the_spec(model):
    about, _, _, segmenter = model
    spec = segmenter.spec
    assert (spec.channels, len(spec.classes), spec.sources) == (about["channels"], 150, "memory")
    assert spec.memory_share == about["momentum"] and spec.heads == about["num_heads"]
    assert spec.backbone == ("resnet50c" if "ResNet" in about["backbone"] else "mmseg/swin_tiny_window7")
    assert not segmenter.training


def test_any_change_of_the_weights_is_named(model):
    _, _, weights, _ = model
    key = next(k for k in weights if re.match(r"backbone\..*(layer2\.1\.bn1|blocks\.0\.norm1)\.weight", k))
    name = re.escape(key.removeprefix("backbone."))
    with pytest.raises(LoupeError, match=r"1 missing \(.*1\.weight\)"):
        load_segmenter({k: x for k, x in weights.items() if k != key})
    with pytest.raises(LoupeError, match=r"1 unknown \(surplus\.weight\)"):
        load_segmenter(weights | {"backbone.surplus.weight": torch.ones(2)})
    with pytest.raises(LoupeError, match=f"1 misshapen .{name} 3 instead of"):
        load_segmenter(weights | {key: torch.ones(3)})
    with pytest.raises(LoupeError, match="not finite"):
        load_segmenter(weights | {key: torch.full_like(weights[key], torch.nan)})
    with pytest.raises(LoupeError, match="3 class names for a model of 150 categories"):
        load_segmenter(weights, classes=("a", "b", "c"))
    with pytest.raises(LoupeError, match="no ResNetV1c, Swin or MiT"):
        load_segmenter({k: x for k, x in weights.items() if k.startswith(PREFIX_HEAD)})


def test_dilated_resnets_take_their_stride_from_the_caller():
    weights = state_dict(NAMES[0])
    segmenter = load_segmenter(weights, output_stride=8)
    with torch.no_grad():
        levels = segmenter.pyramid(torch.randn(1, 3, 64, 96)).levels
    assert [level.shape[-2:] for level in levels] == [(16, 24), (8, 12), (8, 12), (8, 12)]
    # Dilations (1, 1, 2, 4), the first block of a dilated stage at the one before.
    body = segmenter.backbone.body
    assert [[b.conv2.dilation[0] for b in layer] for layer in (body.layer3, body.layer4)] == [
        [1, 2, 2, 2, 2, 2],
        [2, 4, 4],
    ]
    with pytest.raises(LoupeError, match="only 32"):
        load_segmenter(state_dict(NAMES[1]), output_stride=8)


def test_swin_takes_images_of_every_size():
    backbone = build_backbone("mmseg/swin_tiny_window7").eval()
    for size in [(32, 32), (33, 47), (64, 200)]:
        with torch.no_grad():
            levels = backbone(torch.randn(1, 3, *size)).levels
        grids = [tuple(-(-side // stride) for side in size) for stride in (4, 8, 16, 32)]
        assert [tuple(level.shape[-2:]) for level in levels] == grids
    for name in ("mmseg/swin_huge_window7", "mmseg/swin_tiny_window0", "mmseg/other"):
        with pytest.raises(LoupeError, match=name):
            build_backbone(name)


def older(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A CPT head's weights as the older CFT head has them: other names, no memory, no image pool, three groups of twelve."""
    found = {}
    for key, x in weights.items():
        if ".memory" in key or "img_pool" in key:
            continue
        for new, old in (
            ("cft_blocks", "cfts"),
            ("kv.mask_learner", "kv.learner"),
            ("kv.align_conv", "kv.conv"),
            ("kv.cf_embed", "kv.embed"),
            ("fusion_conv", "scale_heads"),
        ):
            key = key.replace(new, old)
        found[key] = x
    classifier = found[f"{PREFIX_HEAD}conv_seg.weight"]
    channels = classifier.shape[1] - weights[f"{PREFIX_HEAD}img_pool.1.conv.weight"].shape[0]
    found[f"{PREFIX_HEAD}conv_seg.weight"] = classifier[:, :channels]
    found[f"{PREFIX_HEAD}loss_decode.1.criterion.empty_weight"] = torch.ones(3)
    return found


def test_the_older_head_is_the_same_decoder_without_memory_and_pool():
    weights = state_dict("cpt_head_nomemory")
    old = load_head(older(weights))
    new = load_head(weights)
    assert old.sources == "prototypes" and old.pool_channels == 0 and old.pool_conv is None
    torch.manual_seed(0)
    features = [
        torch.randn(2, c, *grid)
        for c, grid in zip(new.in_channels, [(16, 24), (8, 12), (4, 6), (2, 3)], strict=True)
    ]
    with torch.no_grad():
        # The pool adds one number to each category: leave out its part and the two heads agree.
        channels = new.smooth[0].out_channels
        new.classifier.weight[:, channels:] = 0
        assert error(old(features), new(features)) < 1e-6
        trace = old.trace(features)
        torch.testing.assert_close(trace.logits, old(features))
        torch.testing.assert_close(
            old.classify_again(trace.fused, trace.pooled[..., None, None]), trace.logits
        )


def test_the_older_head_has_as_many_heads_as_groups():
    weights = older(state_dict("cpt_head_nomemory"))
    for key in list(weights):
        if key.endswith(("kv.learner.0.weight", "kv.conv.weight")):
            whole = torch.block_diag(*weights[key].flatten(1).chunk(4))
            half = whole.shape[0] // 2  # two groups: the diagonal's two halves
            weights[key] = torch.cat([whole[:half, :half], whole[half:, half:]])[..., None, None]
    head = load_head(weights)
    assert (head.heads, head.groups) == (2, 2)


# ── MiT, written out from SegFormer's equations in mmsegmentation's keys ──


def mit_layout(backbone) -> dict[str, Tensor]:
    """A MixTransformer's weights under mmsegmentation's keys."""
    found = {}
    for key, x in backbone.state_dict().items():
        stage, rest = key.split(".", 2)[1:]
        start = f"layers.{stage}"
        if rest.startswith("patch_embeddings."):
            new = f"{start}.0.{rest.split('.', 1)[1].replace('layer_norm', 'norm').replace('proj', 'projection')}"
        elif rest.startswith("layer_norm."):
            new = f"{start}.2.{rest.removeprefix('layer_norm.')}"
        else:
            _, block, rest = rest.split(".", 2)
            for ours, theirs in (
                ("layernorm_before", "norm1"),
                ("layernorm_after", "norm2"),
                ("attention.o_proj", "attn.attn.out_proj"),
                ("attention.sequence_reduction.sequence_reduction", "attn.sr"),
                ("attention.sequence_reduction.layer_norm", "attn.norm"),
                ("mlp.fc1", "ffn.layers.0"),
                ("mlp.dwconv.dwconv", "ffn.layers.1"),
                ("mlp.fc2", "ffn.layers.4"),
            ):
                rest = rest.replace(ours, theirs)
            if ".q_proj." in rest:
                qkv = [backbone.state_dict()[key.replace("q_proj", f"{kind}_proj")] for kind in "qkv"]
                rest, x = rest.replace("attention.q_proj.", "attn.attn.in_proj_"), torch.cat(qkv)
            elif "k_proj" in rest or "v_proj" in rest:
                continue
            if rest in ("ffn.layers.0.weight", "ffn.layers.4.weight"):
                x = x[..., None, None]
            new = f"{start}.1.{block}.{rest}"
        found[new] = x.clone()
    return found


def mit_forward(w: dict[str, Tensor], x: Tensor, depths=(2, 2, 2, 2)) -> list[Tensor]:
    """SegFormer's encoder from mmsegmentation's weights, norms with eps 1e-6."""

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)

    maps = []
    for i, (heads, reduction) in enumerate(zip((1, 2, 5, 8), (8, 4, 2, 1), strict=True)):
        a = f"layers.{i}"
        kernel, stride = (7, 4) if i == 0 else (3, 2)
        x = F.conv2d(x, w[f"{a}.0.projection.weight"], w[f"{a}.0.projection.bias"], stride, kernel // 2)
        h, width = x.shape[-2:]
        x = norm(x.flatten(2).transpose(1, 2), f"{a}.0.norm")
        for j in range(depths[i]):
            b = f"{a}.1.{j}"
            y = norm(x, f"{b}.norm1")
            read = y
            if reduction > 1:
                grid = y.transpose(1, 2).unflatten(-1, (h, width))
                grid = F.conv2d(grid, w[f"{b}.attn.sr.weight"], w[f"{b}.attn.sr.bias"], reduction)
                read = norm(grid.flatten(2).transpose(1, 2), f"{b}.attn.norm")
            c = x.shape[-1]
            attention = torch.nn.MultiheadAttention(c, heads, batch_first=True).eval()
            attention.load_state_dict(
                {key.split("attn.attn.")[1]: t for key, t in w.items() if key.startswith(f"{b}.attn.attn.")}
            )
            x = x + attention(y, read, read)[0]
            y = norm(x, f"{b}.norm2").transpose(1, 2).unflatten(-1, (h, width))
            y = F.conv2d(y, w[f"{b}.ffn.layers.0.weight"], w[f"{b}.ffn.layers.0.bias"])
            y = F.conv2d(
                y, w[f"{b}.ffn.layers.1.weight"], w[f"{b}.ffn.layers.1.bias"], padding=1, groups=y.shape[1]
            )
            y = F.conv2d(F.gelu(y), w[f"{b}.ffn.layers.4.weight"], w[f"{b}.ffn.layers.4.bias"])
            x = x + y.flatten(2).transpose(1, 2)
        x = norm(x, f"{a}.2").transpose(1, 2).unflatten(-1, (h, width))
        maps.append(x)
    return maps


def test_mit_is_segformers_encoder():
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    made = build_backbone("mmseg/mit_b0")
    with torch.no_grad():
        for x in made.parameters():
            x.add_(0.05 * torch.randn_like(x))  # biases and norms as well
    weights = mit_layout(made)
    read, name = load_backbone(weights)
    assert name == "mmseg/mit_b0"
    images = torch.randn(2, 3, 70, 101)  # no multiples of 32
    with torch.no_grad():
        for got, expected in zip(read.eval()(images).levels, mit_forward(weights, images), strict=True):
            assert error(got, expected) < TOLERANCE
    with pytest.raises(LoupeError, match=r"layers\.0\.1\.0\.norm1\.weight"):
        load_backbone(weights | {"layers.0.1.0.norm1.weight": torch.ones(7)})
