"""Deletion: a planted linear decoder whose margins are sums known beforehand; windows against whole runs."""

from __future__ import annotations

import copy
import math
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
import torch

from engine.audit import deletion
from engine.audit.deletion import MAPS, SHARES, margins
from engine.audit.sample import Drawn, draw
from engine.audit.scores import cells_of
from engine.audit.site import sites_of
from engine.decoders.cpt import CPTDecoder
from engine.decoders.decoder import Rerun
from engine.stage import Stopped
from engine.trace import Trace

K, SIZE = 5, (96, 128)
LINEAR = {"influence", "distance", "random"}


def untrained(kind: str) -> tuple[CPTDecoder, Trace]:
    torch.manual_seed(2)
    decoder = CPTDecoder((5, 6, 9, 10), K, kind, channels=12, heads=2, memory_share=0.3).eval()
    features = [
        torch.randn(1, c, math.ceil(SIZE[0] / s), math.ceil(SIZE[1] / s))
        for c, s in zip((5, 6, 9, 10), (4, 8, 16, 32), strict=True)
    ]
    with torch.no_grad():
        for name, weights in decoder.named_parameters():
            if name.endswith(("pointwise.weight", "key_value.weight", "mask.logits.weight", "proj.weight")):
                weights *= 5
        return decoder.requires_grad_(False), decoder.trace(features)


@pytest.fixture(scope="module", params=["pixels", "memory"])
def subject(request) -> tuple[CPTDecoder, Trace]:
    return untrained(request.param)


def pixels() -> tuple[Drawn, np.ndarray]:
    rows, cols = np.mgrid[: SIZE[0], : SIZE[1]]
    truth = ((rows // 17 + cols // 29) % K).astype(np.uint8)
    drawn = draw(truth, "a", 6, K, 0)
    drawn.row[:3], drawn.col[:3] = [0, SIZE[0] - 1, 41], [0, 77, SIZE[1] - 1]  # corners and borders too
    return drawn, truth


class Linear:
    """Logit 0 of every pixel = Σ over cells that are not hidden of weight · mean of `high`; the others are −10."""

    def __init__(self, weight: torch.Tensor, place: int) -> None:
        self.weight, self.place = weight, place

    def rerun(self, base: Trace, plan, parts) -> Rerun:
        ((_, edit),) = plan.stages.items()
        high = base.laterals[3] if self.place == 0 else base.stages[self.place - 1].out
        seen = (self.weight * high.mean(1)) * (1 if edit.hidden is None else ~edit.hidden)
        shown = seen.sum((-2, -1))[:, None, None, None].expand(-1, 1, *base.logits.shape[-2:])
        others = torch.full((len(shown), K - 1, *shown.shape[-2:]), -10.0)
        return Rerun(replace(base.repeated(len(shown)), logits=torch.cat([shown, others], 1)), ())


@pytest.mark.parametrize("place", [0, 2])
def test_a_linear_decoders_margins_are_the_sums_known_beforehand(place):
    base = untrained("pixels")[1]
    drawn, truth = pixels()
    high = (base.laterals[3] if place == 0 else base.stages[place - 1].out).abs() + 0.1
    kept = [*base.stages]
    if place:
        kept[place - 1] = replace(kept[place - 1], out=high)
    base = replace(
        base, laterals=(*base.laterals[:3], high if place == 0 else base.laterals[3]), stages=tuple(kept)
    )
    y, x = base.stages[place].source_grid
    random = torch.Generator().manual_seed(0)
    weight = torch.rand(y, x, generator=random)
    linear = Linear(weight, place)
    whole = (weight * high.mean(1)).flatten().double().numpy()
    logits = torch.full((1, K, *base.logits.shape[-2:]), -10.0)
    logits[:, 0] = float(whole.sum())
    base = replace(base, logits=logits)
    stage = base[0].stages[place]
    cells = cells_of(truth, drawn, stage.source_grid, K)
    rows = np.array([0, 3, 5])
    windows = deletion._windows_fit
    deletion._windows_fit = lambda base: False  # a decoder whose logits hang on all cells has no windows
    try:
        found, hidden = margins(linear, base, (), stage, drawn, cells, rows, "a", 0)  # pyright: ignore[reportArgumentType]
    finally:
        deletion._windows_fit = windows
    counts = [0, *(max(1, round(share * y * x)) for share in SHARES[1:])]
    np.testing.assert_allclose(hidden, np.tile(np.array(counts) / (y * x), (3, 1)), rtol=1e-6)
    start = whole.sum() + 10
    falling = np.concatenate([[0], np.cumsum(np.sort(whole)[::-1])])
    np.testing.assert_allclose(
        found[:, MAPS.index("influence")], np.tile(start - falling[counts], (3, 1)), rtol=1e-4
    )
    for place_of, row in enumerate(rows):
        near = np.argsort(cells.distance[row], kind="stable")
        gone = np.concatenate([[0], np.cumsum(whole[near])])[counts]
        # Cells that are equally far go in a random order: exact where no tie is cut.
        uncut = [
            c == 0 or cells.distance[row][near[c - 1]] < cells.distance[row][near[c]] - 1e-3 for c in counts
        ]
        np.testing.assert_allclose(
            found[place_of, MAPS.index("distance")][uncut], (start - gone)[uncut], rtol=1e-4
        )
    # No order lets a sum of positive parts fall faster than the largest first.
    assert (found >= found[:, [MAPS.index("influence")]] - 1e-3).all()
    assert not np.allclose(found[0, MAPS.index("random")], found[1, MAPS.index("random")])


def test_windows_give_what_whole_runs_give(subject, monkeypatch):
    decoder, base = subject
    drawn, truth = pixels()
    stage = base[0].stages[-1]
    cells, rows, parts = cells_of(truth, drawn, stage.source_grid, K), np.arange(3), decoder.parts(base)
    assert deletion._windows_fit(base)
    monkeypatch.setattr(deletion, "VARIANT_BYTES", 100_000)  # several batches
    found, _ = margins(decoder, base, parts, stage, drawn, cells, rows, "a", 0)
    monkeypatch.setattr(deletion, "_windows_fit", lambda base: False)
    whole, _ = margins(decoder, base, parts, stage, drawn, cells, rows, "a", 0)
    np.testing.assert_allclose(found, whole, atol=2e-5)
    assert np.abs(found[:, :, -1] - found[:, :, 0]).max() > 1e-3  # something was hidden that matters
    assert found.shape == (3, len(MAPS), len(SHARES)) and (found[:, :, 0] == found[:, :1, 0]).all()


@pytest.mark.parametrize("place", [0, 1])
def test_coarser_stages_go_through_the_whole_decoder(subject, place):
    decoder, base = subject
    drawn, truth = pixels()
    stage = base[0].stages[place]
    cells, parts = cells_of(truth, drawn, stage.source_grid, K), decoder.parts(base)
    found, _ = margins(decoder, base, parts, stage, drawn, cells, np.array([1, 4]), "a", 0)
    again, _ = margins(decoder, base, parts, stage, drawn, cells, np.array([4]), "a", 0)
    np.testing.assert_allclose(found[1:], again, atol=1e-5)
    assert np.abs(found[:, :, -1] - found[:, :, 0]).max() > 1e-4


def test_influence_is_the_gradient_through_what_the_stage_reads(subject):
    """Against finite differences of the decoder's own block and fusion, with `high` changed in the block alone."""
    decoder, base = (
        copy.deepcopy(each).double() if isinstance(each, torch.nn.Module) else each for each in subject
    )
    base = as_double(base)
    parts = decoder.parts(base)
    stage, before = base[0].stages[2], base.stages[1]
    at = np.array([[40, 60]])
    category = torch.tensor([3])
    found = deletion.influences(decoder, base, parts, stage, at, category)[0]

    def margin(high: torch.Tensor) -> float:
        out = decoder.blocks[0](stage.residual[None], high, True, query=base.stages[2].query)[2]
        fused = decoder.fuse(base.laterals[3], [base.stages[0].out, before.out, out.out])
        logits = decoder.classify(fused, base.pooled[..., None, None])
        return float(deletion._margins(deletion.logits_of(logits, np.zeros(1, int), at, SIZE), category))

    cell, step = (
        divmod(int(found.argmax()), found.shape[1]),
        1e-3,
    )  # affinities and assignments are computed in fp32
    explicit = 0.0
    for channel in range(before.out.shape[1]):
        one = torch.zeros_like(before.out)
        one[0, channel, cell[0], cell[1]] = step
        slope = (margin(before.out + one) - margin(before.out - one)) / (2 * step)
        explicit += abs(slope * float(before.out[0, channel, cell[0], cell[1]]))
    assert float(found.max()) == pytest.approx(explicit, rel=5e-3) and explicit > 1e-6


def test_influences_of_few_pixels_at_a_time_are_those_of_all(subject, monkeypatch):
    decoder, base = subject
    drawn, _ = pixels()
    at = np.stack([drawn.row, drawn.col], axis=1).astype(np.int64)
    category, asked = torch.arange(len(at)) % K, (decoder, base, decoder.parts(base), base[0].stages[1], at)
    together = deletion.influences(*asked, category)
    sizes: list[int] = []
    whole = deletion._influences
    monkeypatch.setattr(deletion, "_influences", lambda *given: sizes.append(len(given[4])) or whole(*given))
    last = base.stages[-1]
    monkeypatch.setattr(deletion, "GRADIENT_BYTES", 4 * 48 * last.out.shape[1] * math.prod(last.grid))
    apart = deletion.influences(*asked, category)
    assert sizes == [4, 2]
    torch.testing.assert_close(apart, together)


def as_double(value):
    """A trace in fp64."""
    if isinstance(value, torch.Tensor):
        return value.double() if value.is_floating_point() else value
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: as_double(getattr(value, f.name)) for f in fields(value) if f.init})
    return tuple(map(as_double, value)) if isinstance(value, tuple) else value


def test_what_cannot_be_hidden_is_said():
    sites = sites_of(untrained("bilinear")[1][0])
    assert all("by place" in (deletion.undeletable(site) or "") for site in sites.values())
    assert all(deletion.undeletable(site) is None for site in sites_of(untrained("pixels")[1][0]).values())


def test_it_stops_between_batches(subject):
    decoder, base = subject
    drawn, truth = pixels()
    stage = base[0].stages[-1]
    cells = cells_of(truth, drawn, stage.source_grid, K)
    with pytest.raises(Stopped):
        margins(
            decoder, base, decoder.parts(base), stage, drawn, cells, np.arange(2), "a", 0, stop=lambda: True
        )
