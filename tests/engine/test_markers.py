"""Markers lie where the model itself would put them, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.atlas import open_atlas
from engine.markers import (
    Markers,
    cosines,
    live_of,
    live_of_traces,
    marker_distances,
    markers,
    parts_of,
    parts_of_trace,
)
from engine.pixels import from_atlas
from tests.engine.atlas.conftest import small_walks  # noqa: F401  (a fixture)
from tests.engine.atlas.toys import K, again, blocks, said, toy
from tests.engine.pixel_toys import sample_of

STAGES = ("stride16", "stride8", "stride4")


def traces_of(segmenter, count: int = 3):
    samples = [blocks(i, (37, 53), unlabelled=False) for i in range(count)]
    with torch.no_grad():
        return samples, [segmenter.trace(segmenter.normalise(each.image))[0] for each in samples]


@pytest.mark.parametrize("kind", ["memory", "prototypes"])
def test_live_prototypes_and_memory_are_the_models_own(kind):
    segmenter = toy(kind)
    samples, traces = traces_of(segmenter)
    held = np.stack([np.bincount(s.labels.ravel(), minlength=K)[:K] > 0 for s in samples])
    live = live_of_traces(traces, held)
    for parts in (parts_of(segmenter), parts_of_trace(traces[0])):
        for name in STAGES:
            stages = [trace.stage(name) for trace in traces]
            for c in range(K):
                rows = [s.prototypes[c].numpy() for s, h in zip(stages, held, strict=True) if h[c]]
                np.testing.assert_allclose(live[name][c], np.mean(rows, axis=0), rtol=1e-5)
            aligned, value = (markers(f"{name}.{at}", parts, live) for at in ("aligned", "value"))
            np.testing.assert_array_equal(aligned.live, live[name])
            assert (aligned.memory is None) == (value.memory is None) == (kind == "prototypes")
            weight = torch.einsum("cnd,nde->ce", stages[0].output_weight, stages[0].value_weight).numpy()
            np.testing.assert_allclose(value.live, live[name] @ weight.T, rtol=1e-4, atol=1e-5)
            if kind == "memory":
                np.testing.assert_allclose(aligned.memory, stages[0].memory.numpy(), rtol=1e-6)
                np.testing.assert_allclose(
                    value.memory, stages[0].memory.numpy() @ weight.T, rtol=1e-4, atol=1e-5
                )
            assert aligned.cosine and value.cosine and aligned.tokens is None


@pytest.mark.parametrize("kind", ["memory", "prototypes"])
def test_at_the_update_a_star_is_where_a_pixel_is_sent_that_reads_it_alone(kind):
    """All affinity on one source, in every head: what the stage's own values and W_o then add."""
    segmenter = toy(kind)
    _, (trace,) = traces_of(segmenter, 1)
    live = live_of_traces([trace], np.ones((1, K), bool))
    for name in STAGES:
        stage = trace.stage(name)
        expected = torch.einsum("nkd,cnd->kc", stage.value, stage.output_weight) + stage.output_bias
        found = markers(f"{name}.update", parts_of(segmenter), live)
        np.testing.assert_allclose(found.live, expected.numpy(), rtol=1e-4, atol=1e-5)
        assert found.memory is None and not found.cosine
        # Any update is a mixture of them, head by head: their span holds every pixel's.
        moved = stage.update.flatten(1).T.numpy() - parts_of(segmenter).stages[name].constant
        heads = torch.einsum("nkd,cnd->nkc", stage.value - stage.value_bias[:, None], stage.output_weight)
        basis = np.linalg.qr(heads.flatten(0, 1).T.numpy())[0]
        np.testing.assert_allclose(moved @ basis @ basis.T, moved, atol=1e-4)


def test_a_category_of_no_image_has_no_star():
    _, traces = traces_of(toy("prototypes"))
    held = np.ones((3, K), bool)
    held[:, 2] = False
    live = live_of_traces(traces, held)["stride8"]
    assert np.isnan(live[2]).all() and np.isfinite(np.delete(live, 2, 0)).all()


def test_class_tokens_are_markers_of_high_and_fused():
    segmenter = toy("hfgd")
    _, (trace,) = traces_of(segmenter, 1)
    for parts in (parts_of(segmenter), parts_of_trace(trace)):
        for site in ("high", "fused"):
            found = markers(site, parts, {})
            np.testing.assert_array_equal(found.tokens, segmenter.decoder.tokens.weight.numpy())
            assert found.live is None and found.memory is None and found.cosine
        with pytest.raises(ValueError, match="lies in the space of f2"):
            markers("f2", parts, {})
    own = replace(parts_of(segmenter), classifier=np.ones((K, 16), np.float32))
    assert (markers("fused", own, {}).tokens == 1).all() and (markers("high", own, {}).tokens != 1).any()


@pytest.mark.parametrize("site", ["f0", "lateral2", "fused", "high", "stride8", "stride8.", "stride2.value"])
def test_across_spaces_nothing_is_put(site):
    segmenter = toy("memory")
    _, traces = traces_of(segmenter, 1)
    live = live_of_traces(traces, np.ones((1, K), bool))
    assert f"lies in the space of {site}" in said(lambda: markers(site, parts_of(segmenter), live))


@pytest.mark.parametrize("kind", ["pixels", "bilinear"])
def test_decoders_without_prototypes_have_none(kind):
    segmenter = toy(kind)
    _, traces = traces_of(segmenter, 1)
    live = live_of_traces(traces, np.ones((1, K), bool))
    assert live == {}
    for parts in (parts_of(segmenter), parts_of_trace(traces[0])):
        sentence = said(lambda: markers("stride8.value", parts, live))  # noqa: B023
        assert ("reads pixels, not prototypes" if kind == "pixels" else "lies in the space of") in sentence


# ── distances ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_cosines_by_hand():
    sample = sample_of(
        np.array([[3.0, 0], [0, 2], [1, 1], [5, 5]]),
        np.array([0, 0, 1, 2]),
        np.arange(4),
        site="stride8.value",
    )
    live = np.array([[1.0, 0], [1, 0], [np.nan, np.nan]])
    found = Markers("stride8.value", live, None, None, True, "")
    np.testing.assert_allclose(cosines(sample, found, "live")[:3], [1, 0, np.sqrt(0.5)], rtol=1e-6)
    assert np.isnan(cosines(sample, found, "live")[3])
    first, second, third = marker_distances(sample, found)
    assert first.distance.value == pytest.approx(0.5) and first.pixels == 2
    assert second.distance.value == pytest.approx(1 - np.sqrt(0.5))
    assert np.isnan(third.distance.value) and third.pixels == 0


def test_intervals_of_distances_are_over_images():
    random = np.random.default_rng(0)
    image = np.repeat(np.arange(30), 10)
    x = np.array([1.0, 0, 0]) + random.normal(0, 0.5, (30, 3))[image] + random.normal(0, 0.1, (300, 3))
    sample = sample_of(x, np.zeros(300, int), image, site="high")
    found = Markers("high", None, None, np.array([[2.0, 0, 0]]), True, "")
    (by_image,) = marker_distances(sample, found)
    (by_pixel,) = marker_distances(replace(sample, image=np.arange(300)), found)
    assert by_image.kind == "tokens" and by_image.images == 30
    assert by_image.distance.value == pytest.approx(by_pixel.distance.value)
    wide, narrow = (each.distance.high - each.distance.low for each in (by_image, by_pixel))
    assert wide > 2 * narrow


def test_distances_across_spaces_are_refused():
    sample = sample_of(np.ones((4, 2)), np.array([0, 0, 1, 1]), np.arange(4), site="stride8.value")
    rows = np.ones((2, 2))
    here = Markers("stride8.value", rows, None, None, True, "")
    assert "different spaces" in said(lambda: cosines(replace(sample, site="f2"), here, "live"))
    assert "has no memory row" in said(lambda: cosines(sample, here, "memory"))
    update = replace(sample, site="stride8.update")
    no_angles = Markers("stride8.update", rows, None, None, False, "")
    assert "no distance is taken" in said(lambda: marker_distances(update, no_angles))
    wrong = Markers("stride8.value", np.ones((2, 3)), None, None, True, "")
    assert "2 of 3 channels" in said(lambda: cosines(sample, wrong, "live"))


def test_an_atlas_gives_the_means_over_images_that_hold_the_category(tmp_path, small_walks):  # noqa: F811
    segmenter = toy("memory")
    again(segmenter, tmp_path, rows=60)
    atlas = open_atlas(tmp_path)
    live = live_of(atlas)
    held = atlas.images.true > 0
    for stage in atlas.manifest.stages:
        rows = np.concatenate([p for _, p in atlas.prototypes(stage)])
        expected = np.einsum("ik,ikc->kc", held, rows) / held.sum(0)[:, None]
        np.testing.assert_allclose(live[stage], expected, rtol=2e-3, atol=2e-3)  # the shards are fp16
    sample = from_atlas(atlas, "stride8.aligned")
    found = marker_distances(sample, markers(sample.site, parts_of(segmenter), live))
    assert {each.kind for each in found} == {"live", "memory"}
    assert all(0 <= each.distance.value <= 2 for each in found)
