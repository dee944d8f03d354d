"""Datasets by name, and their caches: kept, resumed, grown, and never shown half-made."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from engine.data import datasets
from engine.data.datasets import SIZE, SPLITS, MemoryMapped, SceneDataset, Split, materialise, open_dataset
from engine.data.scenes import CLASS_NAMES, PALETTE, VERSION, render
from engine.errors import LoupeError


@pytest.fixture
def painted(monkeypatch):
    """A split of 6 (at most 9) scenes, and the list of seeds painted so far; painting is quick and tells the seed."""
    monkeypatch.setitem(SPLITS, "scenes-tiny", Split(first=40, count=6, most=9))
    seeds: list[int] = []

    def paint(seed: int, size: int):
        seeds.append(seed)
        flat = np.full((size, size), seed, np.uint8)
        return np.stack([flat] * 3, axis=2), flat + 1, flat + 2

    monkeypatch.setattr(datasets, "render", paint)
    return seeds


def test_splits_are_fixed_by_seed(tmp_path):
    train, val = open_dataset("scenes-train", tmp_path), open_dataset("scenes-val", tmp_path)
    assert (len(train), train.first) == (3000, 0) and (len(val), val.first) == (500, 1_000_000)
    assert SPLITS["scenes-train"].most <= SPLITS["scenes-val"].first
    sample, scene = val[499], render(1_000_499)
    assert sample.id == "1000499" == val[-1].id and sample.modes is not None
    for one, two in zip((sample.image, sample.labels, sample.modes), scene, strict=True):
        assert np.array_equal(one, two)
    assert val.classes == CLASS_NAMES and np.array_equal(val.colours, PALETTE) and val.name == "scenes-val"
    for index in (500, -501):
        with pytest.raises(IndexError, match=str(index)):
            val[index]


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path):
    for ask in (open_dataset, materialise):
        with pytest.raises(LoupeError, match=r"'ade20k'.*scenes-train, scenes-val"):
            ask("ade20k", root=tmp_path)


def test_cache_holds_what_render_gives(tmp_path):
    told = []
    data = materialise("scenes-val", 2, tmp_path, progress=lambda *seen: told.append(seen))
    assert (tmp_path / f"scenes-val-{VERSION}").is_dir() and told == [(1, 2), (2, 2)]
    assert data.images.shape == (2, SIZE, SIZE, 3) and data.labels.shape == data.modes.shape == (
        2,
        SIZE,
        SIZE,
    )
    for index, sample in enumerate(data):
        scene = render(1_000_000 + index)
        assert sample.id == str(1_000_000 + index) and sample.modes is not None
        for one, two in zip((sample.image, sample.labels, sample.modes), scene, strict=True):
            assert np.array_equal(one, two) and not isinstance(one, np.memmap)
    assert isinstance(open_dataset("scenes-val", tmp_path), SceneDataset), "two of 500 are no complete cache"


def test_a_killed_run_is_resumed_and_a_complete_one_reused(tmp_path, painted):
    class Killed(Exception):
        pass

    def kill(written: int, wanted: int) -> None:
        if written == 3:
            raise Killed

    with pytest.raises(Killed):
        materialise("scenes-tiny", root=tmp_path, progress=kill)
    assert painted == [40, 41, 42]
    assert isinstance(open_dataset("scenes-tiny", tmp_path), SceneDataset)
    data = materialise("scenes-tiny", root=tmp_path)
    assert painted == [40, 41, 42, 43, 44, 45]
    again = materialise("scenes-tiny", root=tmp_path)
    opened = open_dataset("scenes-tiny", tmp_path)
    assert len(painted) == 6 and isinstance(opened, MemoryMapped)
    for each in (data, again, opened):
        assert each.images[:, 0, 0, 2].tolist() == [40, 41, 42, 43, 44, 45]
        assert each.labels[:, 9, 9].tolist() == [41, 42, 43, 44, 45, 46]
        assert each.modes[:, -1, -1].tolist() == [42, 43, 44, 45, 46, 47]


def test_an_image_whose_writing_was_cut_short_is_painted_again(tmp_path, painted, monkeypatch):
    def cut(folder, first, index):
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(datasets, "_write", cut)
        with pytest.raises(KeyboardInterrupt):
            materialise("scenes-tiny", root=tmp_path)
    assert materialise("scenes-tiny", 1, tmp_path).images[0].max() == 40 and painted == [40]


def test_a_cache_grows_and_keeps_what_it_has(tmp_path, painted):
    assert len(materialise("scenes-tiny", 2, tmp_path)) == 2
    assert len(materialise("scenes-tiny", 9, tmp_path)) == 9 and painted == [
        40,
        41,
        42,
        43,
        44,
        45,
        46,
        47,
        48,
    ]
    assert materialise("scenes-tiny", 9, tmp_path).images[:, 0, 0, 0].tolist() == painted
    assert (
        len(materialise("scenes-tiny", 4, tmp_path))
        == 4
        == len(list(islice(open_dataset("scenes-tiny", tmp_path), 4)))
    )


@pytest.mark.parametrize("limit", [0, 10, -1])
def test_a_limit_beyond_the_split_is_refused(tmp_path, painted, limit):
    with pytest.raises(LoupeError, match=f"{limit} images"):
        materialise("scenes-tiny", limit, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_damaged_cache_is_made_again(tmp_path, painted):
    materialise("scenes-tiny", root=tmp_path)
    (tmp_path / f"scenes-tiny-{VERSION}" / "labels.npy").write_bytes(b"no array")
    assert open_dataset("scenes-tiny", tmp_path)[0].labels.max() == 41
    assert materialise("scenes-tiny", root=tmp_path).labels[:, 0, 0].tolist() == [41, 42, 43, 44, 45, 46]
    assert len(painted) == 13


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, painted):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LoupeError, match=r"scenes-tiny cannot be kept in .*file"):
        materialise("scenes-tiny", root=tmp_path / "file")


@pytest.mark.slow
def test_several_processes_write_the_same_as_one(tmp_path):
    data = materialise("scenes-train", 36, tmp_path, workers=2)
    for index in (0, 17, 35):
        assert np.array_equal(data.images[index], render(index).image)
