"""What a walk collects, against the same computed cell by cell and image by image from the trace's own methods."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine import checkpoints
from engine.atlas.collect import Collector
from engine.atlas.partial import Partial, merge
from engine.atlas.sites import site_maps
from engine.data.datasets import Sample
from engine.images import cell
from engine.segmenter import Segmenter
from engine.stage import Stage
from engine.trace import Trace
from tests.engine.atlas.toys import KINDS, ODD, OTHER, K, blocks, toy

PROTOTYPED = ("memory", "prototypes", "real")
ROWS = 7


def samples() -> list[Sample]:
    """Two sizes; labels of 255 and beyond the categories; the last image has no label."""
    found = [blocks(0, ODD), blocks(1, ODD), blocks(2, OTHER), blocks(3, OTHER)]
    last = found[3]
    found[3] = Sample(last.image, np.full_like(last.labels, 255), last.modes, last.id)
    return found


class Walked:
    """One model over the samples: what was collected in two batches, and each image's own trace."""

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter, self.samples = segmenter, samples()
        numbered = list(enumerate(self.samples))
        collector = Collector(segmenter, ROWS, seed=3)
        done = [collector.collect(numbered[:2]), collector.collect(numbered[2:])]
        self.partial: Partial = merge([partial for partial, _ in done])
        self.rows = [row for _, rows in done for row in rows]
        with torch.no_grad():
            self.traces = [segmenter.trace(segmenter.normalise(s.image)) for s in self.samples]
        self.truth = [np.where(s.labels < K, s.labels, 255) for s in self.samples]

    def stages(self) -> list[str]:
        return [stage.name for stage in self.traces[0].stages if stage.prototypes is not None]


@pytest.fixture(scope="module")
def walked(tiny_checkpoint):
    """By kind; "real": the tiny CPT with timm's backbone."""

    @cache
    def of(kind: str) -> Walked:
        if kind == "real":
            return Walked(checkpoints.load(tiny_checkpoint).segmenter)
        return Walked(toy(kind))

    return of


@cache
def _cells(size: tuple[int, int], grid: tuple[int, int]) -> tuple[tuple[tuple[int, int], ...], ...]:
    return tuple(tuple(cell(r, c, size, grid) for c in range(size[1])) for r in range(size[0]))


def majority_by_hand(labels: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Pixel by pixel."""
    held: dict[tuple[int, int], list[int]] = defaultdict(list)
    where = _cells((labels.shape[0], labels.shape[1]), grid)
    for r in range(labels.shape[0]):
        for c in range(labels.shape[1]):
            held[where[r][c]].append(int(labels[r, c]))
    found = np.full(grid, 255)
    for at, inside in held.items():
        most = max(range(K), key=inside.count)
        if inside.count(most) >= 0.75 * len(inside):
            found[at] = most
    return found


def grid_of(x: torch.Tensor) -> tuple[int, int]:
    return x.shape[-2], x.shape[-1]


def close(found: Any, expected: Any, what: str = "", tolerance: float = 1e-4) -> None:
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance, err_msg=what)


def test_the_samples_are_as_hostile_as_meant(walked):
    grids = {grid_of(level) for trace in walked("memory").traces for level in trace.features}
    assert len(grids) == 8 and sum(h != w for h, w in grids) == 7
    mixed = [
        (majority_by_hand(t, g) == 255).mean() for t in walked("memory").truth[:3] for g in [(5, 7), (12, 18)]
    ]
    assert all(0 < share < 0.9 for share in mixed)
    affinity = walked("memory").traces[0].stages[2].affinity(3, 4)
    assert affinity.max() > 1.4 / K  # not the uniform reading of an untrained model


# ── who reads what ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", PROTOTYPED)
def test_usage_is_the_affinity_of_every_query_added_up(walked, kind: str):
    it = walked(kind)
    for name in it.stages():
        heads = it.traces[0].stage(name).heads
        mass, absent = np.zeros((2, heads, K, K))
        everyone, everyone_absent = np.zeros((2, heads, K))
        cells, labelled = np.zeros(K + 1, int), 0
        for trace, truth in zip(it.traces, it.truth, strict=True):
            stage = trace.stage(name)
            known = bool((truth < K).any())  # an image without labels lacks nothing
            gone = ~np.isin(np.arange(K), truth) & known
            labels = majority_by_hand(truth, stage.grid)
            labelled += known * labels.size
            for y in range(stage.grid[0]):
                for x in range(stage.grid[1]):
                    affinity = stage.affinity(y, x)[0].double().numpy()
                    everyone += affinity
                    everyone_absent += affinity * gone
                    if labels[y, x] == 255:
                        cells[K] += 1
                        continue
                    cells[labels[y, x]] += 1
                    mass[:, labels[y, x]] += affinity
                    absent[:, labels[y, x]] += affinity * gone
        found = {
            part: it.partial.sums[f"usage/{name}/{part}"] for part in ("mass", "absent", "cells", "everyone")
        }
        close(found["mass"], mass, f"{name} mass")
        close(found["absent"], absent, f"{name} absent")
        close(found["everyone"], everyone, f"{name} everyone")
        close(it.partial.sums[f"usage/{name}/everyone_absent"], everyone_absent, f"{name} everyone_absent")
        assert found["cells"].tolist() == cells.tolist() and found["cells"].dtype == np.int64
        assert absent.sum() > 0
        assert it.partial.sums[f"usage/{name}/labelled"].tolist() == [labelled]
        # What everybody reads sums to the number of cells, for each head.
        close(found["everyone"].sum(-1), cells.sum())
        close(found["mass"].sum((1, 2)), cells[:K].sum())


@pytest.mark.parametrize("kind", PROTOTYPED)
def test_parts_are_the_norms_of_update_parts(walked, kind: str):
    it = walked(kind)
    for name in it.stages():
        sums = np.zeros((K + 1, 4))
        for trace, truth in zip(it.traces, it.truth, strict=True):
            stage = trace.stage(name)
            parts = stage.update_parts()
            norms = [
                x[0].norm(dim=0).numpy() for x in (parts.image, parts.memory, stage.update, stage.residual)
            ]
            labels = majority_by_hand(truth, stage.grid)
            labels = np.where(labels == 255, K, labels)
            for i, norm in enumerate(norms):
                np.add.at(sums[:, i], labels, norm)
        close(it.partial.sums[f"usage/{name}/parts"], sums, name)
        assert (sums[:, 1].sum() > 0) == (kind != "prototypes")


# ── prototypes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", PROTOTYPED)
def test_sums_of_prototypes_and_of_their_cosines(walked, kind: str):
    it = walked(kind)
    for name in it.stages():
        P = np.stack([trace.stage(name).prototypes[0].double().numpy() for trace in it.traces])
        held = np.stack([np.isin(np.arange(K), truth) for truth in it.truth])
        seen = np.stack([np.isin(np.arange(K), trace.labels[0].numpy()) for trace in it.traces])
        unit = P / np.linalg.norm(P, axis=-1, keepdims=True)
        cosine = unit @ unit.transpose(0, 2, 1)
        both = held[:, :, None] & held[:, None]
        of = lambda part: it.partial.sums[f"prototypes/{name}/{part}"]  # noqa: B023, E731
        close(of("sum"), P.sum(0))
        close(of("sum_true"), (P * held[..., None]).sum(0))
        close(of("sum_predicted"), (P * seen[..., None]).sum(0))
        close(of("pairs"), cosine.sum(0))
        close(of("pairs_present"), (cosine * both).sum(0))
        assert of("images_true").tolist() == held.sum(0).tolist()
        assert of("images_predicted").tolist() == seen.sum(0).tolist()
        assert of("together").tolist() == both.sum(0).tolist()
        assert not held[3].any() and not held[:3].all()


@pytest.mark.parametrize("kind", PROTOTYPED)
def test_live_prototypes_image_by_image(walked, kind: str):
    it = walked(kind)
    for trace, row in zip(it.traces, it.rows, strict=True):
        for stage in trace.stages:
            P = stage.prototypes[0]
            close(row.norm[stage.name], P.norm(dim=-1))
            close(row.vectors[f"{stage.name}.prototypes"], P)
            if kind == "prototypes":
                assert row.cosine == {}
            else:
                bank = stage.memory
                expected = [float(P[c] @ bank[c] / P[c].norm() / bank[c].norm()) for c in range(K)]
                close(row.cosine[stage.name], expected)


@pytest.mark.parametrize("kind", [*PROTOTYPED, "pixels", "hfgd"])
def test_presence_is_the_maximum_of_the_summed_mask_logits(walked, kind: str):
    it = walked(kind)
    for trace, row in zip(it.traces, it.rows, strict=True):
        if kind in ("pixels", "hfgd"):
            assert row.presence is None
            continue
        size = trace.stages[-1].source_grid
        resized = [
            F.interpolate(s.mask_logits, size, mode="bilinear", align_corners=False) for s in trace.stages
        ]
        close(row.presence, sum(resized)[0].flatten(1).max(1).values)


# ── features ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [*KINDS, "real"])
def test_moments_are_numpys_over_the_pure_cells(walked, kind: str):
    it = walked(kind)
    maps = [site_maps(trace) for trace in it.traces]
    assert set(it.partial.moments) == set(maps[0])
    expected_sites = {"f0", "f3", "lateral0", "fused"}
    expected_sites |= {"high"} if kind == "hfgd" else {"stride16.update", "stride4.update", "lateral3"}
    expected_sites |= {"stride8.aligned", "stride8.value"} if kind in ("memory", "real", "pixels") else set()
    assert expected_sites <= set(maps[0])
    for site, found in it.partial.moments.items():
        values: list[list[np.ndarray]] = [[] for _ in range(K)]
        for each, truth in zip(maps, it.truth, strict=True):
            x = each[site][0].double().numpy()
            labels = majority_by_hand(truth, grid_of(each[site]))
            for category in range(K):
                values[category].append(x[:, labels == category].T)
        for category in range(K):
            cells = np.concatenate(values[category])
            assert found.count[category] == len(cells), (site, category)
            if len(cells):
                close(found.mean[category], cells.mean(0), site)
                close(found.m2[category], cells.var(0) * len(cells), site, 1e-3)
            else:
                assert not found.mean[category].any() and not found.m2[category].any()


def test_a_small_variance_on_a_large_mean_survives(walked):
    """A channel at 1000 ± 0.01: squares around 0 in fp32 would leave nothing of its variance."""
    from engine.atlas.collect import _moments

    random = torch.Generator().manual_seed(1)
    labels = torch.randint(0, K, (2, 400), generator=random)
    x = 1000 + 0.01 * torch.randn(2, 3, 20, 20, generator=random)
    one_hot = (labels[:, None] == torch.arange(K)[:, None]).float()
    found = _moments(x, one_hot)
    flat = x.flatten(2).double().transpose(1, 2).numpy()
    for category in range(K):
        cells = flat[(labels == category).numpy()]
        np.testing.assert_allclose(found.mean[category], cells.mean(0), rtol=1e-6)
        np.testing.assert_allclose(found.m2[category] / len(cells), cells.var(0), rtol=1e-2)


# ── labels ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", KINDS)
def test_confusion_is_the_evaluations(kind: str):
    from engine.evaluation import evaluate
    from tests.engine.atlas.toys import Toys, toys

    segmenter = toy(kind)
    clean = [
        Sample(s.image, np.where(s.labels < K, s.labels, 255).astype(np.uint8), s.modes, s.id)
        for s in toys(7).samples
    ]
    total = evaluate(segmenter, Toys(clean), batch=2).total.confusion
    collector = Collector(segmenter, ROWS, 0)
    groups = [[(i, clean[i]) for i in at] for at in ((0, 1, 2), (3, 4, 5), (6,))]
    found = [collector.collect(group) for group in groups]
    assert merge([p for p, _ in found]).sums["confusion"].tolist() == total.tolist()
    rows = [row for _, rows in found for row in rows]
    assert sum(row.confusion for row in rows).tolist() == total.tolist() and total.sum() > 0
    for row, sample in zip(rows, clean, strict=True):
        assert row.true.tolist() == [int((sample.labels == c).sum()) for c in range(K)]
        assert row.predicted.sum() == sample.labels.size  # unlabelled pixels are predicted too
        assert row.confusion.sum() == (sample.labels < K).sum()


@pytest.mark.parametrize("kind", KINDS)
def test_labels_without_a_category_count_nowhere(walked, kind: str):
    it = walked(kind)
    valid = sum(int((s.labels < K).sum()) for s in it.samples)
    assert it.partial.sums["confusion"].sum() == valid
    nothing = it.rows[3]
    assert nothing.true.sum() == 0 and nothing.confusion.sum() == 0 and nothing.predicted.sum() > 0
    assert 3 not in it.partial.reservoir.order[:, 0]


# ── the reservoir's rows ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [*KINDS, "real"])
def test_rows_hold_the_features_of_the_cell_at_their_pixel(walked, kind: str):
    it = walked(kind)
    rows = it.partial.reservoir
    maps = [site_maps(trace) for trace in it.traces]
    majority = cache(lambda index, grid: majority_by_hand(it.truth[index], grid))
    assert np.bincount(rows.group, minlength=K).max() == ROWS and {0, 1, 2} == set(rows.order[:, 0].tolist())
    for i in range(len(rows.group)):
        index, flat = rows.order[i].tolist()
        trace, sample = it.traces[index], it.samples[index]
        height, width = sample.labels.shape
        at = divmod(flat, width)
        assert rows.columns["pixel"][i].tolist() == list(at)
        assert sample.labels[at] == rows.group[i]
        full = F.interpolate(trace.logits, (height, width), mode="bilinear", align_corners=False)[0]
        close(rows.columns["confidence"][i], full[:, at[0], at[1]].softmax(0).max(), tolerance=1e-5)
        assert rows.columns["predicted"][i] == int(trace.labels[0][at])
        assert rows.columns["mode"][i] == (255 if sample.modes is None else sample.modes[at])
        for site, x in maps[index].items():
            grid = grid_of(x)
            where = cell(*at, (height, width), grid)
            close(rows.columns[f"features/{site}"][i], x[0][:, where[0], where[1]], site)
            level = [grid_of(f) for f in trace.features].index(grid)
            pure = majority(index, grid)[where] == rows.group[i]
            assert bool(rows.columns[f"pure/{level}"][i]) == pure


def test_the_sites_of_one_trace_are_what_they_say(walked):
    trace: Trace = walked("memory").traces[1]
    maps = site_maps(trace)
    for i in range(4):
        torch.testing.assert_close(maps[f"f{i}"], trace.features[i])
        torch.testing.assert_close(maps[f"lateral{i}"], trace.laterals[i])
    stage: Stage = trace.stage("stride8")
    torch.testing.assert_close(maps["lateral1"], stage.residual)
    # What a query would get if it read one aligned pixel alone: that pixel's value, without biases.
    for y, x in ((0, 0), (2, 3)):
        aligned = stage.aligned[0][:, y, x]
        value = torch.einsum("cnd,nde,e->c", stage.output_weight, stage.value_weight, aligned)
        torch.testing.assert_close(maps["stride8.value"][0][:, y, x], value, atol=1e-4, rtol=1e-4)
