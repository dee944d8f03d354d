"""The wire of a guided decoder: from what the browser gets it can say what the engine says of both branches and of the CAE."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load

from engine import wire
from engine.branches import guide_labels, logit_maps
from engine.decoders.hfgd import HFGDDecoder
from engine.errors import LoupeError
from engine.guidance import Guidance
from engine.trace import Pyramid, Trace

K, C = 7, 12
SIZE = (84, 116)
GRIDS = [(21, 29), (11, 15), (6, 8), (3, 4)]
CHANNELS = [5, 9, 10, 13]
HALF = 2.0**-10  # relative: twice what rounding to half precision costs


def traced(**kwargs) -> Trace:
    torch.manual_seed(5)
    small = {"channels": C, "level_channels": 6, "context_channels": 11, "context_keys": 4}
    decoder = HFGDDecoder(CHANNELS, K, **{**small, **kwargs}).eval()
    torch.manual_seed(6)
    levels = tuple(torch.randn(1, c, *g) for c, g in zip(CHANNELS, GRIDS, strict=True))
    with torch.no_grad():
        trace = decoder.trace(Pyramid(levels, SIZE))[0]
    return replace(trace, guidance=sharp(trace.guidance)) if trace.guidance is not None else trace


def sharp(guidance: Guidance) -> Guidance:
    """Logits and an affinity as peaked as trained ones: nearly uniform ones would hide what rounding does."""
    query, key = guidance.context_query, guidance.context_key
    if query is not None and key is not None:
        query = query * (3 / (query @ key.T).std()) + 5
    return replace(
        guidance,
        guide_logits=guidance.guide_logits * (4 / guidance.guide_logits.std()) + 30,
        upsampler_logits=guidance.upsampler_logits * (4 / guidance.upsampler_logits.std()) - 30,
        context_query=query,
    )


@pytest.fixture(scope="module")
def trace() -> Trace:
    return traced()


def guidance(trace: Trace) -> Guidance:
    assert trace.guidance is not None
    return trace.guidance


def about(data: bytes) -> dict:
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(header["__metadata__"]["loupe"])


def test_metadata_says_what_is_sent(trace):
    assert about(wire.guidance_tensors(trace)) == {
        "guide_grid": [3, 4],
        "upsampler_grid": [21, 29],
        "sent_grid": [21, 29],
        "pooled": 1,
        "classes": K,
        "context": True,
    }


def test_both_branches_probabilities_survive_half_precision(trace):
    tensors = load(wire.guidance_tensors(trace))
    for name, logits in (
        ("guide", guidance(trace).guide_logits),
        ("upsampler", guidance(trace).upsampler_logits),
    ):
        assert tensors[name].dtype == torch.float16
        expected = logits.softmax(0)
        assert expected.amax(0).median() > 0.5  # else the test could not fail
        largest = float((logits - logits.mean(0)).abs().max())
        assert float((tensors[name].float().softmax(0) - expected).abs().max()) < HALF * largest


def test_the_maps_of_a_category_are_the_engines(trace):
    """What is sent are relative logits already, and the difference is theirs with the guide's resized bilinearly."""
    tensors = load(wire.guidance_tensors(trace))
    for category in (0, K - 1):
        guide, upsampler = (tensors[name][category].float() for name in ("guide", "upsampler"))
        resized = F.interpolate(guide[None, None], upsampler.shape, mode="bilinear", align_corners=False)[
            0, 0
        ]
        for got, expected in zip(
            (guide, upsampler, upsampler - resized), logit_maps(trace, category), strict=True
        ):
            torch.testing.assert_close(got, expected, rtol=0, atol=2 * HALF * float(expected.abs().max()))


def test_the_context_affinity_survives_half_precision(trace):
    tensors = load(wire.guidance_tensors(trace))
    scores = tensors["context_query"].float() @ tensors["context_key"].float().T + tensors["context_bias"]
    rows = scores.softmax(-1)
    for row, col in ((0, 0), (1, 2), (2, 3)):
        expected = guidance(trace).context_affinity(row, col).flatten()
        assert float((rows[row * 4 + col] - expected).abs().max() / expected.max()) < 1 / 255


def test_the_guides_own_prediction_is_sent(trace):
    assert torch.equal(load(wire.guidance_tensors(trace))["guide_labels"].long(), guide_labels(trace).long())


def test_without_a_context_encoder_none_is_sent():
    data = wire.guidance_tensors(traced(context=False))
    assert about(data)["context"] is False
    assert set(load(data)) == {"guide", "upsampler", "guide_labels"}


def test_large_upsamplers_are_pooled_and_say_so(trace):
    size = 2 * guidance(trace).upsampler_logits.numel()
    data = wire.guidance_tensors(trace, limit=size - 1)
    told, tensors = about(data), load(data)
    assert (told["pooled"], told["upsampler_grid"], told["sent_grid"]) == (2, [21, 29], [11, 15])
    logits = guidance(trace).upsampler_logits
    relative = logits - logits.mean(0)
    for row, col in ((0, 0), (10, 14), (4, 14)):
        block = relative[:, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2].mean((1, 2))
        torch.testing.assert_close(tensors["upsampler"][:, row, col].float(), block, rtol=0, atol=0.02)


def test_logits_without_bounds_stay_finite(trace):
    wild = replace(guidance(trace), upsampler_logits=guidance(trace).upsampler_logits * 1e6)
    tensors = load(wire.guidance_tensors(replace(trace, guidance=wild)))
    assert all(torch.isfinite(tensor.float()).all() for tensor in tensors.values())
    expected = wild.upsampler_logits.argmax(0)
    # Differences far beyond half precision may tie; what is sent must not name another winner by much.
    chosen = tensors["upsampler"].float().gather(0, expected[None])[0]
    assert float((tensors["upsampler"].float().amax(0) - chosen).max()) == 0


def test_a_model_without_a_guide_is_refused():
    with pytest.raises(LoupeError, match="no guide branch"):
        wire.guidance_tensors(traced(guided=False))
