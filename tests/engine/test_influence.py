"""Influence against finite differences, for every decoder and site; what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from engine.errors import LoupeError
from engine.influence import influence, logits_at, sites_of
from engine.segmenter import Segmenter, SegmenterSpec, build
from engine.trace import Pyramid

K = 5
SIZE = (64, 96)
SPECS = {
    **{
        kind: {"sources": kind, "heads": 2, "pool_channels": 4}
        for kind in ("bilinear", "pixels", "prototypes", "memory")
    },
    "hfgd": {"method": "hfgd"},
    "fpn-cut": {"method": "hfgd", "own_tokens": True},
    "fpn": {"method": "fpn"},
    "hfgd at stride 2": {"method": "hfgd", "upsampler_stride": 2},
    "dilated": {"method": "dilated", "output_stride": 8},
}


def make(name: str) -> Segmenter:
    torch.manual_seed(0)
    small = {"channels": 8, "level_channels": 6, "context_channels": 10, "context_keys": 4}
    spec = SegmenterSpec("test_efficientnet", tuple("abcde"), **{**small, **SPECS[name]})
    return build(spec).eval().requires_grad_(False).double()


def image() -> torch.Tensor:
    return torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(1)).double()


def margin(segmenter: Segmenter, pyramid, row: int, col: int, category: int, rival: int) -> torch.Tensor:
    logits = segmenter.decoder(pyramid)
    full = F.interpolate(logits, SIZE, mode="bilinear", align_corners=False)[:, :, row, col]
    return full[:, category] - full[:, rival]


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("site", ["f3", "f2", "f1", "f0", "image"])
@torch.no_grad()
def test_gradient_times_feature_by_finite_differences(name: str, site: str):
    segmenter = make(name)
    pyramid = segmenter.pyramid(image())
    row, col = 37, 61
    if site not in sites_of(segmenter):
        with pytest.raises(LoupeError, match=f"does not read {site}: choose f3, image"):
            influence(segmenter, pyramid, row, col, site)
        return
    found = influence(segmenter, pyramid, row, col, site)
    ask = (row, col, found.category, found.rival)
    assert found.margin == pytest.approx(margin(segmenter, pyramid, *ask).item(), rel=1e-4)

    source = image() if site == "image" else pyramid.levels[int(site[1])]
    y, x = source.shape[-2:]
    assert found.shares.shape == (y, x)
    assert found.shares.sum().item() == pytest.approx(1) and found.total > 0
    step = 1e-3 * source.std().item()  # softmax runs in fp32: a smaller one drowns in its rounding
    channels = torch.arange(source.shape[1])
    for r, c in [(y - 1, x // 2), divmod(int(found.shares.argmax()), x)]:
        raw = 0.0
        for chosen in channels.split(16):  # each moves one channel at one position, both ways
            moved = source.repeat(2 * len(chosen), 1, 1, 1)
            moved[torch.arange(2 * len(chosen)), chosen.repeat(2), r, c] += torch.tensor(
                [step, -step]
            ).repeat_interleave(len(chosen))
            up, down = margin(segmenter, replaced(segmenter, pyramid, site, moved), *ask).chunk(2)
            raw += ((up - down) / (2 * step) * source[0, chosen, r, c]).abs().sum().item()
        assert found.shares[r, c].item() * found.total == pytest.approx(raw, rel=3e-2, abs=1e-6 * found.total)


def replaced(segmenter: Segmenter, pyramid: Pyramid, site: str, source: torch.Tensor) -> Pyramid:
    """The pyramid of a batch of changed sources."""
    if site == "image":
        return segmenter.pyramid(source)

    def repeated(x: torch.Tensor) -> torch.Tensor:
        return x.expand(len(source), -1, -1, -1)

    levels = [source if i == int(site[1]) else repeated(f) for i, f in enumerate(pyramid.levels)]
    stride2 = None if pyramid.stride2 is None else repeated(pyramid.stride2)
    return Pyramid(tuple(levels), SIZE, repeated(pyramid.image), stride2)


@torch.no_grad()
def test_cuts_are_opened():
    """HFGD's cuts concern training: behind closed ones the skips would show no influence at all."""
    closed, opened = make("hfgd"), make("hfgd")
    opened.decoder.cuts = replace(opened.decoder.cuts, token=1.0, high=1.0, low=1.0)
    pyramid = closed.pyramid(image())
    for site in ("f0", "f3"):
        a, b = (influence(s, pyramid, 10, 20, site) for s in (closed, opened))
        assert a.total > 0 and torch.equal(a.shares, b.shares)


@torch.no_grad()
def test_the_margin_is_of_the_asked_category():
    segmenter = make("prototypes")
    pyramid = segmenter.pyramid(image())
    first = influence(segmenter, pyramid, 5, 6)
    assert first.margin >= 0, "the predicted category wins"
    other = influence(segmenter, pyramid, 5, 6, category=first.rival)
    assert (other.category, other.rival) == (first.rival, first.category)
    assert other.margin == pytest.approx(-first.margin) and other.total == pytest.approx(first.total)
    assert_close(other.shares, first.shares)


def test_logits_at_is_what_resizing_gives():
    logits = torch.randn(3, 7, 5)
    full = F.interpolate(logits[None], (31, 22), mode="bilinear", align_corners=False)[0]
    for row, col in [(0, 0), (30, 21), (17, 9)]:
        assert_close(logits_at(logits, row, col, (31, 22)), full[:, row, col])


@torch.no_grad()
def test_what_does_not_exist_is_refused():
    segmenter = make("hfgd")
    pyramid = segmenter.pyramid(image())
    with pytest.raises(LoupeError, match='no site "f9": choose f3, f2, f1, f0, image'):
        influence(segmenter, pyramid, 0, 0, "f9")
    with pytest.raises(LoupeError, match="outside the image of 64×96"):
        influence(segmenter, pyramid, 64, 0)
    with pytest.raises(LoupeError, match="category 5"):
        influence(segmenter, pyramid, 0, 0, category=5)
    with pytest.raises(LoupeError, match="without its image"):
        influence(segmenter, replace(pyramid, image=None), 0, 0, "image")
