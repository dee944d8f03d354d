"""The causal matrix: its columns are consequences; what attention predicts of it, on matrices made by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from engine import LoupeError, checkpoints
from engine.edits import Ablate
from engine.resampling import Estimate
from engine.surgery import (
    CausalMatrix,
    Prediction,
    Prepared,
    attention_predicts,
    causal_matrix,
    consequences,
    mean_rate,
)
from engine.surgery.prediction import spearman
from engine.terminal import plain
from tests.engine.surgery_toys import CLASSES, Planted, blocks, photographs, talkative

K = 4


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory):
    path = talkative(tmp_path_factory.mktemp("models") / "talkative.safetensors")
    return checkpoints.load(path, torch.device("cpu")).segmenter.eval()


def made(effect: np.ndarray, images: int = 30, noise: float = 0.0, seed: int = 0) -> CausalMatrix:
    """A matrix where ablating c costs category r about effect[r, c] hits of 1000 in every image."""
    random = np.random.default_rng(seed)
    before = np.full((images, 3, K), 1000, np.int64)
    after = np.repeat(before[None], K, axis=0)
    lost = np.rint(effect[None] + random.normal(0, noise, (images, K, K))).astype(np.int64)
    after[:, :, 0] -= lost.transpose(2, 0, 1)
    after[:, :, 2] -= lost.transpose(2, 0, 1)
    changed = np.zeros(K)
    return CausalMatrix(tuple("abcd"), "masked", None, "m", "d", images, before, after, changed, 0.0)


def test_columns_are_the_consequences_of_single_ablations(tiny):
    data = photographs([(64, 64)] * 5 + [(96, 64)], 5)
    ready = Prepared(tiny, data, batch=3)
    for stage in (None, "stride8"):
        matrix = causal_matrix(tiny, data, meaning="zero", stage=stage, prepared=ready)
        assert matrix.images == 6 and matrix.complete and np.nanmax(np.abs(matrix.delta)) > 0
        low, high = matrix.interval
        for c in (0, 3):
            edits = [Ablate(matrix.classes[c], "zero", stage)]
            one = consequences(tiny, data, edits, prepared=ready)
            expected = [(x.delta.value, x.delta.low, x.delta.high) for x in one.iou.categories]
            found = np.stack([matrix.delta, low, high], axis=-1)[:, c]
            assert np.array_equal(found, np.array(expected), equal_nan=True)
            assert matrix.changed[c] == one.share_changed
    plain(matrix.json())


def test_a_planted_decoder_by_hand():
    data = blocks(6)
    matrix = causal_matrix(Planted(), data)
    assert (np.diag(matrix.delta) < -50).all()  # each becomes the next one
    for c in range(3):  # whose union grows; the third is not touched
        assert matrix.delta[(c + 1) % 3, c] < 0 and matrix.delta[(c + 2) % 3, c] == 0
    shares = [(s.image[..., 0] == np.arange(3)[:, None, None]).mean((1, 2)) for s in data]
    assert matrix.changed == pytest.approx(np.mean(shares, axis=0))


def test_stopped_it_has_the_same_images_in_every_column():
    data, seen, asked = blocks(6), [], []
    stop = lambda: asked.append(1) or len(asked) > 3 + 2  # noqa: E731  in the middle of the second group
    matrix = causal_matrix(Planted(), data, batch=2, stop=stop, refine=seen.append)
    assert matrix.images == 2 and not matrix.complete and [each.images for each in seen] == [2]
    assert matrix.after.shape == (3, 2, 3, 3)
    assert causal_matrix(Planted(), data, stop=lambda: True).images == 0
    plain(causal_matrix(Planted(), data, stop=lambda: True).json())


def test_refusals(tiny_guided_checkpoint):
    data = blocks(2)
    with pytest.raises(LoupeError, match="an ablation cannot mean 'gone': choose masked, zero, mean"):
        causal_matrix(Planted(), data, meaning="gone")  # pyright: ignore[reportArgumentType]
    with pytest.raises(LoupeError, match='no stage "stride2"'):
        causal_matrix(Planted(), data, stage="stride2")
    guided = checkpoints.load(tiny_guided_checkpoint, torch.device("cpu")).segmenter
    with pytest.raises(LoupeError, match="no stages that read sources"):
        causal_matrix(guided, photographs([(64, 64)], 5))
    with pytest.raises(LoupeError, match="does not fit 3 categories"):
        attention_predicts(causal_matrix(Planted(), data), np.zeros((4, 4)))


def test_effects_that_follow_affinity_are_predicted():
    affinity = np.random.default_rng(1).random((K, K))
    found = attention_predicts(made(40 * affinity, noise=3), affinity)
    assert found.everything.value > 0.9 and found.off_diagonal.low > 0.5 and found.within.value > 0.8
    assert found.pairs == 16 and found.finding().startswith("Attention predicts effect:")
    against = attention_predicts(made(40 * (1 - affinity), noise=3), affinity)
    assert against.everything.high < -0.5 and "the contrary" in against.finding()
    plain(found.json())


def test_effects_without_regard_to_affinity_are_not():
    random = np.random.default_rng(3)
    affinity = random.random((K, K))
    affinity[:] = np.sort(affinity, axis=None).reshape(K, K)
    effect = np.array([[9, 1, 8, 2], [1, 9, 2, 8], [8, 2, 9, 1], [2, 8, 1, 9]]) * 3.0
    found = attention_predicts(made(effect, noise=8), affinity)
    assert found.off_diagonal.low < 0 < found.off_diagonal.high


ABOVE, AROUND, BELOW, NOWHERE = (
    Estimate(*each) for each in ((0.3, 0.1, 0.5), (0.1, -0.1, 0.3), (-0.3, -0.5, -0.1), (np.nan,) * 3)
)


@pytest.mark.parametrize(
    ("across", "within", "verdict"),
    [
        (ABOVE, ABOVE, "Attention predicts effect:"),
        (AROUND, AROUND, "Attention does not predict effect better than chance:"),
        (NOWHERE, AROUND, "Attention does not predict effect better than chance:"),
        (BELOW, BELOW, "Attention predicts the contrary of effect:"),
        (AROUND, ABOVE, "Attention predicts effect within categories, not across them:"),
        (ABOVE, AROUND, "Attention predicts effect across categories, not within them:"),
        (BELOW, ABOVE, "What attention says of effect depends on how it is asked:"),
    ],
)
def test_the_verdict_says_what_the_intervals_say(across, within, verdict):
    said = Prediction(AROUND, across, within, 16, 0, 30).finding()
    assert said.startswith(verdict) and "nan" not in said


def test_the_diagonal_alone_is_told_apart():
    affinity = np.full((K, K), 0.1) + 0.6 * np.eye(K) + np.random.default_rng(4).random((K, K)) / 100
    found = attention_predicts(made(50 * np.eye(K), noise=0.0), affinity)
    assert found.everything.value > 0.6  # mid-ranks: twelve effects are the same
    assert np.isnan(found.off_diagonal.value)  # off the diagonal nothing happens, so nothing is predicted
    assert found.unchanged == 12


def test_ties_are_said_not_ranked():
    nothing = attention_predicts(made(np.zeros((K, K))), np.random.default_rng(5).random((K, K)))
    assert np.isnan(nothing.everything.value) and nothing.unchanged == 16
    assert "changes nothing" in nothing.finding()
    alike = attention_predicts(made(np.full((K, K), 7.0)), np.random.default_rng(5).random((K, K)))
    assert "changes every category alike" in alike.finding()
    even = attention_predicts(made(np.random.default_rng(6).random((K, K)) * 30), np.full((K, K), 1 / K))
    assert "reads every prototype alike" in even.finding()


def test_categories_without_readers_or_truth_are_left_out():
    random = np.random.default_rng(7)
    matrix, affinity = made(random.random((K, K)) * 40), random.random((K, K))
    affinity[1] = np.nan
    matrix.before[:, :, 2] = matrix.after[:, :, :, 2] = 0
    found = attention_predicts(matrix, affinity)
    rows = [0, 3]
    assert found.pairs == 8
    expected = spearmanr(affinity[rows].ravel(), -matrix.delta[rows].ravel()).statistic
    assert found.everything.value == pytest.approx(expected)


def test_ranks_are_those_of_scipy_row_by_row():
    random = np.random.default_rng(8)
    rows, x = np.rint(random.random((9, 12)) * 5), np.rint(random.random(12) * 4)
    rows[3, :4] = np.nan
    rows[4, :] = 2
    rows[5, 2:] = np.nan
    found = spearman(rows, x)
    for row, rho in zip(rows, found, strict=True):
        known = np.isfinite(row)
        if known.sum() < 3 or not np.ptp(row[known]):
            assert np.isnan(rho)
        else:
            assert rho == pytest.approx(spearmanr(row[known], x[known]).statistic)


def test_the_mean_over_stages_leaves_out_stages_without_readers():
    one, two = np.array([[0.2, 0.8], [np.nan, np.nan]]), np.array([[0.4, 0.6], [0.5, 0.5]])
    assert mean_rate([one, two]) == pytest.approx(np.array([[0.3, 0.7], [0.5, 0.5]]))
    assert np.isnan(mean_rate([one])[1]).all()


def test_the_planted_matrix_names_its_categories():
    assert causal_matrix(Planted(), blocks(1)).json()["categories"] == list(CLASSES)
