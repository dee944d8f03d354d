"""The bank over training: damaged files are refused, drift and paths are what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from engine.bank_time import FORMAT, MemoryTime, drift, moments_path, read_moments, trajectories
from engine.errors import LoupeError
from engine.training.moments import MomentRecorder

REAL = Path(__file__).resolve().parents[2] / "assets" / "models" / "cpt.memory.safetensors"


def made(mean: np.ndarray, steps: list[int], window: int = 5, bank: np.ndarray | None = None) -> MemoryTime:
    """Moments of one stage, (t, k, C)."""
    return MemoryTime(
        checkpoint="m.safetensors",
        stages=("only",),
        steps=np.array(steps),
        window=window,
        total_steps=steps[-1],
        bank={"only": mean if bank is None else bank},
        mean={"only": mean},
    )


def tensors(k: int = 4, channels: int = 6) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    rows = {f"{s}.{kind}": random.normal(size=(3, k, channels)) for s in "ab" for kind in ("bank", "mean")}
    return {name: x.astype(np.float16) for name, x in rows.items()} | {"steps": np.array([0, 50, 100])}


HEADER = {
    "format": FORMAT,
    "checkpoint": "m.safetensors",
    "stages": json.dumps(["a", "b"]),
    "window": "50",
    "total_steps": "100",
}


def written(path: Path, change: dict[str, np.ndarray | None] | None = None, **header: str) -> Path:
    values = {name: x for name, x in (tensors() | (change or {})).items() if x is not None}
    file = path / "m.memory.safetensors"
    save_file(values, file, HEADER | header)
    return file


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_training_records_is_what_is_read(tmp_path):
    random = torch.Generator().manual_seed(0)
    recorder = MomentRecorder(steps=30, moments=6)
    for step in range(31):
        banks = [torch.randn(1, 5, 7, generator=random) for _ in range(3)]
        recorder.record(step, banks)
    path = moments_path(tmp_path / "model.safetensors")
    assert path.name == "model.memory.safetensors"
    recorder.write(path, tmp_path / "model.safetensors")
    last = {name: b[0].numpy() for name, b in zip(("stride16", "stride8", "stride4"), banks, strict=True)}
    time = read_moments(path, last)
    assert time.stages == tuple(last) and time.checkpoint == "model.safetensors"
    assert time.steps.tolist() == recorder.steps and time.window == 50 and time.total_steps == 30
    np.testing.assert_allclose(time.series("stride8", "bank")[-1], last["stride8"], atol=2e-3)
    assert time.series("stride4").shape == (6, 5, 7)


def test_a_sound_file_is_read(tmp_path):
    time = read_moments(written(tmp_path))
    assert time.stages == ("a", "b") and time.steps.tolist() == [0, 50, 100]
    assert np.array_equal(time.series("b", "mean"), tensors()["b.mean"].astype(np.float32))


NAN = np.full((3, 4, 6), np.nan, np.float16)


@pytest.mark.parametrize(
    ("change", "header", "says"),
    [
        ({}, {"format": "loupe-memory-0"}, "version"),
        ({}, {"stages": "{"}, "damaged"),
        ({}, {"stages": "3"}, "damaged"),
        ({}, {"stages": "[]"}, "no stages"),
        ({}, {"stages": "[1]"}, "damaged"),
        ({}, {"window": "some"}, "damaged"),
        ({}, {"window": "0"}, "steps"),
        ({}, {"total_steps": "200"}, "end at step 200"),
        ({"steps": None}, {}, "steps"),
        ({"steps": np.array([0, 50, 40])}, {}, "rise"),
        ({"steps": np.array([0.0, 50, 100])}, {}, "whole numbers"),
        ({"steps": np.array([0, 100])}, {}, "shapes of a"),
        ({"a.bank": None}, {}, "a.bank"),
        ({"b.mean": np.zeros((3, 4, 5), np.float16)}, {}, "shapes of b"),
        ({"b.mean": np.zeros((3, 2, 6)), "b.bank": np.zeros((3, 2, 6))}, {}, "number of categories"),
        ({"a.mean": NAN}, {}, "not finite"),
    ],
)
def test_damaged_moments_are_refused_in_one_sentence(tmp_path, change, header, says):
    with pytest.raises(LoupeError, match=says) as caught:
        read_moments(written(tmp_path, change, **header))
    assert "m.memory.safetensors" in str(caught.value) and "\n" not in str(caught.value)


def test_missing_truncated_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(LoupeError, match="no memory moments"):
        read_moments(tmp_path / "none.memory.safetensors")
    file = written(tmp_path)
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:4], b"", b"PK\x03\x04 a zip"):
        file.write_bytes(content)
        with pytest.raises(LoupeError, match="truncated, damaged or no safetensors"):
            read_moments(file)
    save_file({"steps": np.array([0])}, file)
    with pytest.raises(LoupeError, match="unknown"):
        read_moments(file)


def test_moments_of_another_run_are_refused(tmp_path):
    file = written(tmp_path)
    own = {stage: tensors()[f"{stage}.bank"][-1].astype(np.float32) for stage in "ab"}
    assert read_moments(file, own).stages == ("a", "b")
    with pytest.raises(LoupeError, match="another training run"):
        read_moments(file, own | {"b": own["b"] + 0.1})
    with pytest.raises(LoupeError, match="another training run"):
        read_moments(file, {stage: rows[:2] for stage, rows in own.items()})
    with pytest.raises(LoupeError, match="another model"):
        read_moments(file, {"a": own["a"]})
    with pytest.raises(LoupeError, match="the model none"):
        read_moments(file, {})


def test_an_unknown_stage_is_refused(tmp_path):
    time = read_moments(written(tmp_path))
    for ask in (drift, trajectories):
        with pytest.raises(LoupeError, match='no stage "stride2"'):
            ask(time, "stride2")


# ── drift ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

STEPS = [0, 40, 80, 90, 100]
# Along one axis: the way of category 0 is 1 + 1 + 0 + 2 and it ends at 4; category 1 stands at 2 from the beginning; category 2
# goes to 5 and back to 3.
LINE = np.array([[0, 2, 5], [1, 2, 4], [2, 2, 3], [2, 2, 2], [4, 2, 3]], float)


def test_drift_by_hand():
    mean = np.zeros((5, 3, 4))
    mean[:, :, 1] = LINE
    found = drift(made(mean, STEPS), "only")
    assert (found.start, found.end) == (90, 100)
    np.testing.assert_allclose(found.length, [4 / 4, 0, 4 / 3])
    np.testing.assert_allclose(found.late, [2 / 4, 0, 1 / 3])
    assert found.still.tolist() == [False, True, False]


def test_the_last_tenth_begins_at_a_moment_that_is_before_it():
    rows = np.ones((4, 1, 2)) * np.array([1, 2, 3, 4])[:, None, None]
    found = drift(made(rows, [0, 80, 95, 100]), "only")
    assert found.start == 80 and found.late[0] == pytest.approx(0.5)


def test_a_row_is_still_against_its_like_or_when_nothing_can_be_seen():
    def still(late: list[float]) -> list[bool]:
        rows = np.zeros((3, len(late), 2))
        rows[:, :, 0] = 1
        rows[1, :, 0] -= late
        return drift(made(rows, [0, 90, 100]), "only").still.tolist()

    assert still([0.2, 0.2, 0.2, 0.019]) == [False, False, False, True]
    assert still([0.2, 0.2, 0.2, 0.021]) == [False] * 4
    assert still([0.0005] * 4) == [True] * 4  # less than fp16 can show
    assert still([0.0] * 3) == [True] * 3
    assert still([0.02] * 3) == [False] * 3  # all alike, and seen to move


def test_a_short_run_has_no_late_drift():
    rows = np.random.default_rng(0).normal(size=(5, 3, 4))
    found = drift(made(rows, STEPS, window=11), "only")
    assert np.isnan(found.late).all() and not found.still.any() and np.isfinite(found.length).all()
    alone = drift(made(rows[:1], [0]), "only")
    assert np.isnan(alone.late).all() and alone.length.tolist() == [0, 0, 0]


def test_a_row_that_ends_at_zero_is_undefined():
    rows = np.random.default_rng(0).normal(size=(5, 3, 4))
    rows[-1, 1] = 0
    found = drift(made(rows, STEPS), "only")
    assert np.isnan(found.late[1]) and np.isnan(found.length[1]) and not found.still[1]


# ── cosine to the final bank, and the plane ─────────────────────────────────────────────────────────────────────────────


def test_cosine_to_the_final_bank():
    random = np.random.default_rng(0)
    bank, mean = random.normal(size=(5, 3, 4)), random.normal(size=(5, 3, 4))
    time = made(mean, STEPS, bank=bank)
    np.testing.assert_allclose(time.cosine_to_final("only", "bank")[-1], 1)
    a, b = mean[2, 1], bank[-1, 1]
    expected = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert time.cosine_to_final("only", "mean")[2, 1] == pytest.approx(expected)


def test_the_plane_is_scikit_learns_pca():
    from sklearn.decomposition import PCA

    rows = np.random.default_rng(0).normal(size=(8, 5, 6)) * np.arange(1, 7)
    found = trajectories(made(rows, list(range(8))), "only")
    pca = PCA(2, svd_solver="full").fit(rows.reshape(-1, 6))
    np.testing.assert_allclose(found.explained, pca.explained_variance_ratio_)
    np.testing.assert_allclose(np.abs(found.axes @ pca.components_.T), np.eye(2), atol=1e-9)
    np.testing.assert_allclose(found.project(rows), found.points, atol=1e-12)
    assert found.points.shape == (8, 5, 2)
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(2), atol=1e-12)


def test_the_plane_does_not_depend_on_the_order_of_rows():
    rows, order = np.random.default_rng(1).normal(size=(8, 5, 6)) * np.arange(1, 7), [3, 1, 4, 0, 2]
    one = trajectories(made(rows, list(range(8))), "only")
    other = trajectories(made(rows[:, order], list(range(8))), "only")
    np.testing.assert_allclose(other.points, one.points[:, order], atol=1e-9)
    for axis in one.axes:
        assert axis[np.abs(axis).argmax()] > 0


def test_a_plane_of_nothing_and_of_one_channel():
    flat = trajectories(made(np.ones((3, 2, 4)), [0, 1, 2]), "only")
    assert np.isnan(flat.explained).all() and not flat.points.any()
    line = trajectories(made(np.arange(6.0).reshape(3, 2, 1), [0, 1, 2]), "only")
    assert line.explained.tolist() == [1, 0] and line.axes.tolist() == [[1], [0]]


# ── the demo model's ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not REAL.is_file(), reason="the demo model's moments are not here")
def test_the_demo_models_moments_end_in_its_bank():
    from engine import bank, checkpoints

    segmenter = checkpoints.load(REAL.with_name("cpt.safetensors")).segmenter
    banks = bank.banks(segmenter)
    time = read_moments(REAL, banks)
    k = len(segmenter.spec.classes)
    for stage in time.stages:
        assert time.series(stage).shape == (len(time.steps), k, segmenter.spec.channels)
        np.testing.assert_allclose(time.cosine_to_final(stage, "bank")[-1], 1, atol=1e-6)
        np.testing.assert_allclose(bank.norms(time.series(stage, "bank")[0]), 1, atol=1e-2)  # as initialised
        moved = drift(time, stage)
        assert np.isfinite(moved.late).all() and (moved.length > moved.late).all()
        assert moved.start <= 0.9 * time.total_steps < moved.end
        plane = trajectories(time, stage)
        assert 0 < plane.explained.sum() <= 1 and np.isfinite(plane.points).all()
