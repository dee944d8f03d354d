"""The head against the author's published code: inputs, outputs and one training step."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import LoupeError
from engine.losses import segmentation_losses
from engine.mmseg import load_head

GOLDEN = Path(__file__).parents[1] / "golden"
TOLERANCE = 2e-6  # a looser one passes a wrong LayerNorm eps


def state_dict(name: str) -> dict[str, torch.Tensor]:
    """The weights that the vectors were made with, each a function of its key."""
    spec = json.loads((GOLDEN / f"{name}.json").read_text())["weights"]
    return {key: weight(key, dtype, shape) for key, (dtype, shape) in spec.items()}


def weight(key: str, dtype: str, shape: list[int]) -> torch.Tensor:
    x = np.asarray(np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape))
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if key.endswith("running_var"):
        x = 1 + 0.1 * np.abs(x)
    elif key.endswith(("running_mean", ".bias")):
        x = 0.1 * x
    elif "relative_position_bias" in key:
        x = 0.02 * x
    elif key.endswith(".weight"):
        x = 1 + 0.1 * x if len(shape) == 1 else x / np.sqrt(np.prod(shape[1:]))
    else:
        x = x / np.sqrt(shape[-1])
    return torch.tensor(x.astype(dtype))


def error(got: torch.Tensor, expected: np.ndarray) -> float:
    expected = torch.as_tensor(expected)
    return ((got.detach() - expected).abs().max() / expected.abs().max()).item()


@pytest.fixture(scope="module", params=["cpt_head_memory", "cpt_head_nomemory"])
def case(request):
    arrays = dict(np.load(GOLDEN / f"{request.param}.npz"))
    features = [torch.tensor(arrays[f"input.f{i}"]) for i in range(4)]
    return request.param, arrays, features


def test_evaluation_outputs(case):
    name, arrays, features = case
    decoder = load_head(state_dict(name), memory_share=0.1)
    with torch.no_grad():
        trace, logits = decoder.trace(features), decoder(features)
    assert torch.equal(trace.logits, logits)
    assert error(logits, arrays["eval.logits"]) < TOLERANCE
    for stage, block in zip(trace.stages, (2, 1, 0), strict=True):
        affinity = stage.affinity_block(slice(None)).mean(dim=1)
        assert error(affinity, arrays[f"eval.block{block}.attn"]) < TOLERANCE
        assert error(stage.blended, arrays[f"eval.block{block}.kv_input"]) < TOLERANCE
        assert error(stage.mask_logits, arrays[f"eval.block{block}.mask_logits"]) < TOLERANCE
        assert error(stage.out, arrays[f"eval.block{block}.out"]) < TOLERANCE


def test_one_training_step(case):
    name, arrays, features = case
    decoder = load_head(state_dict(name), memory_share=0.1).train()
    decoder.dropout.p = 0.0
    losses = segmentation_losses(decoder.predict(features), torch.tensor(arrays["input.label"]).long())
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    assert error(losses["ce"], arrays["train.loss_ce"][0]) < TOLERANCE
    assert error(losses["mask"], arrays["train.loss_mask"][0]) < TOLERANCE
    assert error(losses["dice"], arrays["train.loss_dice"][0]) < TOLERANCE
    assert error(total, arrays["train.total_loss"][0]) < TOLERANCE
    gradients = {
        "train.grad.lateral_convs.0.weight": decoder.laterals[0].weight.grad,
        "train.grad.cft_blocks.2.mask_learner.1": decoder.blocks[2].update.sources.mask.logits.weight.grad,
    }
    for key, gradient in gradients.items():
        assert error(gradient, arrays[key]) < TOLERANCE, key
    for block, bank in zip((2, 1, 0), decoder.memory_banks(), strict=False):
        assert error(bank.bank, arrays[f"train.block{block}.memory_after"]) < TOLERANCE


def test_a_wrong_share_changes_the_answer(case):
    """μ is not in the file: the vectors hold for 0.1 alone."""
    name, arrays, features = case
    with torch.no_grad():
        logits = load_head(state_dict(name), memory_share=0.3)(features)
    same = error(logits, arrays["eval.logits"]) < TOLERANCE
    assert same == (name == "cpt_head_nomemory")


def test_what_is_no_head_is_refused():
    weights = state_dict("cpt_head_memory")
    with pytest.raises(LoupeError, match="lacks"):
        load_head({"decode_head.conv_seg.weight": weights["decode_head.conv_seg.weight"]})
    weights["decode_head.cft_blocks.0.norm_low.weight"] = torch.ones(3)
    with pytest.raises(LoupeError, match=r"blocks\.0\.norm_low\.weight"):
        load_head(weights)
