"""The price as rows with factors: nothing estimated twice, intervals paired, sentences that follow from the numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.atlas import open_atlas, price
from engine.atlas.shards import VectorShards
from engine.resampling import Estimate
from engine.stage import Stopped
from engine.substitution import finding, substitution
from tests.engine.atlas.conftest import small_walks  # noqa: F401  (a fixture)
from tests.engine.atlas.toys import CLASSES, again, toy


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, small_walks: None) -> dict[str, Path]:  # noqa: F811
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in ("memory", "pixels", "bilinear")}
    for kind, folder in folders.items():
        again(toy(kind), folder, rows=5)
    return folders


@pytest.fixture(scope="module")
def found(folders, small_walks):  # noqa: F811
    return substitution(open_atlas(folders["memory"]))


@pytest.mark.parametrize("kind", ["memory", "pixels"])
def test_rows_are_the_atlass_price(folders, kind, small_walks):  # noqa: F811
    atlas = open_atlas(folders[kind])
    rows = {(p.stage, p.kind): p for p in atlas.price}
    found = substitution(atlas)
    assert [each.stage for each in found] == ["stride16", "stride8", "stride4"]
    for each in found:
        assert each.sources == kind and each.images == atlas.manifest.images
        assert (each.before, each.after, each.null) == tuple(rows[each.stage, k] for k in price.KINDS)
        assert each.within_factor.value == pytest.approx(each.after.within / each.before.within)
        assert each.between_factor.value == pytest.approx(each.after.between / each.before.between)
        assert each.reduction.value == pytest.approx(each.after.ratio / each.before.ratio)
        assert each.reduction.value == pytest.approx(each.within_factor.value / each.between_factor.value)
        assert each.against_null.value == pytest.approx(each.after.ratio / each.null.ratio)
        for name in ("within_factor", "between_factor", "reduction", "against_null"):
            factor = getattr(each, name)
            assert factor.low < factor.value < factor.high
        for c in each.categories:
            assert (c.before, c.after) == (each.before.categories[c.name], each.after.categories[c.name])
            assert c.reduction.value == pytest.approx(c.after / c.before)
            assert c.against_null.value == pytest.approx(c.after / c.null)
            traces = [p.categories[c.name] * p.between for p in (each.before, each.after)]
            assert c.within_factor.value == pytest.approx(traces[1] / traces[0])
            assert c.images == int((atlas.images.true[:, c.category] > 0).sum())


def test_intervals_are_paired_over_images(folders, found, monkeypatch, small_walks):  # noqa: F811
    """Again, draw by draw: before and after of the same images, their quotient, the spread of its logarithm."""
    atlas = open_atlas(folders["memory"])
    shards = list(VectorShards(atlas.folder, atlas.digests))
    images = sum(len(shard["index"]) for shard in shards)
    weights = np.random.default_rng(atlas.manifest.seed).multinomial(
        images, np.full(images, 1 / images), size=price.RESAMPLES
    )
    stage = found[1]

    def drawn(kind: str) -> tuple[np.ndarray, ...]:
        columns = (
            np.concatenate([s[f"{stage.stage}.price.{name}"] for s in shards]).astype(float)
            for name in ("count", f"{kind}.sum", f"{kind}.square")
        )
        return price.ratios(*(np.tensordot(weights, column, 1) for column in columns))

    (t0, w0, b0), (t1, w1, b1), (_, w2, b2) = (drawn(kind) for kind in price.KINDS)
    for estimate, quotient in (
        (stage.within_factor, w1 / w0),
        (stage.between_factor, b1 / b0),
        (stage.reduction, w1 / b1 / (w0 / b0)),
        (stage.against_null, w1 / b1 / (w2 / b2)),
        (stage.categories[0].within_factor, t1[:, 0] / t0[:, 0]),
        (stage.categories[0].reduction, t1[:, 0] / b1 / (t0[:, 0] / b0)),
    ):
        factor = np.exp(1.959964 * np.log(quotient).std())
        assert estimate.high == pytest.approx(estimate.value * factor, rel=5e-3)


def test_bilinear_substitutes_nothing(folders, small_walks):  # noqa: F811
    assert substitution(open_atlas(folders["bilinear"])) == ()
    first, second = finding((), "bilinear", "toys")
    assert "substitutes nothing" in first and "no before and after" in second


def test_it_can_be_stopped(folders, small_walks):  # noqa: F811
    with pytest.raises(Stopped):
        substitution(open_atlas(folders["memory"]), stop=lambda: True)


def test_the_plain_form_is_complete(found):
    plain = found[0].json()
    assert plain["before"]["ratio"] == found[0].before.ratio and list(plain["categories"]) == list(CLASSES)
    assert plain["categories"]["sky"]["reduction"] == found[0].categories[0].reduction.json()


# ── the sentences ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def stages_of(found, within: list[tuple], reduction: list[tuple]):
    return tuple(
        replace(
            each, within_factor=Estimate(*w), reduction=Estimate(*r), against_null=Estimate(0.5, 0.4, 0.6)
        )
        for each, w, r in zip(found, within, reduction, strict=True)
    )


LESS, MORE, UNCLEAR = (0.412, 0.3, 0.5), (13.12, 11, 15), (1.02, 0.9, 1.2)


def test_a_reduction_is_said_with_numbers_and_intervals(found):
    first, second = finding(stages_of(found, [LESS] * 3, [LESS] * 3), "cpt", "toys")
    assert "Prototype substitution in cpt reduces the variance within categories" in first
    assert "×0.412 (0.3 to 0.5) at stride16" in first and "10 images of toys" in first
    assert "one training seed" in first and "reduces that variance" in second
    assert "×0.5 (0.4 to 0.6) at stride4 of the null" in second


def test_an_increase_is_not_softened(found):
    first, second = finding(stages_of(found, [LESS] * 3, [MORE] * 3), "cpt", "toys")
    assert "reduces the variance within categories, which averaging does by construction" in first
    assert "increases that variance" in second and "×13.1 (11 to 15)" in second


def test_mixed_and_unclear_stages_are_counted(found):
    _, second = finding(stages_of(found, [LESS] * 3, [LESS, MORE, UNCLEAR]), "cpt", "toys")
    assert "reduces (at 1 of 3 stages) and increases (at 1 of 3 stages) that variance" in second
    _, second = finding(stages_of(found, [LESS] * 3, [UNCLEAR] * 3), "cpt", "toys")
    assert "does not clearly change that variance" in second
    nan = float("nan")
    first, _ = finding(stages_of(found, [(0.4, nan, nan)] * 3, [UNCLEAR] * 3), "cpt", "toys")
    assert "does not clearly change" in first and "×0.4 at stride16" in first


def test_source_pixels_are_not_called_prototypes(found):
    stages = tuple(replace(each, sources="pixels") for each in stages_of(found, [LESS] * 3, [LESS] * 3))
    assert finding(stages, "qup", "toys")[0].startswith("Reading source pixels in qup")
