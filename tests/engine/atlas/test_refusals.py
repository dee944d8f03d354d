"""What cannot be read or is not there: one sentence each, counted and listed, and no other atlas is written over."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.atlas import open_atlas, walk
from engine.atlas.folder import default_folder
from engine.atlas.walk import build
from engine.data.datasets import Sample
from engine.errors import LoupeError
from engine.stage import Stopped
from tests.engine.atlas.conftest import CHUNK
from tests.engine.atlas.toys import (
    COUNT,
    K,
    Nods,
    Toys,
    again,
    assert_equal,
    card_of,
    files_of,
    one_sentence,
    read_everything,
    said,
    toy,
    toys,
)

pytestmark = pytest.mark.usefixtures("small_walks")


@pytest.fixture(scope="module")
def segmenter():
    return toy("memory")


@pytest.fixture(scope="module")
def reference(small_walks, segmenter, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    again(segmenter, folder)
    return folder


@pytest.fixture
def copy(reference, tmp_path) -> Path:
    shutil.copytree(reference, tmp_path / "atlas")
    return tmp_path / "atlas"


# ── images that cannot be read ──────────────────────────────────────────────────────────────────────────────────────────


def without(indices: tuple[int, ...]) -> Toys:
    dataset = toys(COUNT)
    for index in indices:
        dataset.broken[index] = [
            OSError(errno.EIO, "Input/output\nerror"),
            LoupeError("it is cut short"),
            ValueError(),
        ][index % 3]
    return dataset


@pytest.mark.parametrize(
    "gone",
    [(1,), (0, 1, 2, 3), (4, 5, 6, 7), (8, 9), (0, 1, 2, 3, 8, 9), tuple(range(9))],
    ids=["one", "first chunk", "a chunk", "the ragged one", "both ends", "all but the last"],
)
def test_unreadable_images_are_skipped_counted_and_listed(segmenter, tmp_path, gone: tuple[int, ...]):
    dataset = without(gone)
    manifest = again(segmenter, tmp_path, dataset)
    assert [one.index for one in manifest.skipped] == list(gone)
    assert manifest.images == COUNT - len(gone) and manifest.dataset_size == COUNT
    for one in manifest.skipped:
        assert one.id == f"id-{one.index}" and one_sentence(one.reason)
    atlas = open_atlas(tmp_path)
    assert atlas.manifest == manifest
    read_everything(atlas)
    kept = [i for i in range(COUNT) if i not in gone]
    assert atlas.images.index.tolist() == kept
    valid = sum(int((dataset.samples[i].labels < K).sum()) for i in kept)
    assert atlas.confusion.sum() == valid == atlas.confusions.sum()


def test_the_rest_is_as_if_the_image_had_never_been(segmenter, tmp_path):
    again(segmenter, tmp_path / "a", without((2,)))
    rest = Toys([sample for i, sample in enumerate(toys(COUNT).samples) if i != 2])
    again(segmenter, tmp_path / "b", rest)
    a, b = open_atlas(tmp_path / "a"), open_atlas(tmp_path / "b")
    assert a.confusion.tolist() == b.confusion.tolist()
    for site in a.manifest.sites:
        np.testing.assert_allclose(a.moments(site).mean, b.moments(site).mean, atol=1e-5)
        assert sorted(a.reservoir(site).pixel.tolist()) == sorted(b.reservoir(site).pixel.tolist())
    assert [p.id for p in a.patches("stride4", 1)] == [p.id for p in b.patches("stride4", 1)]


def test_skipped_images_are_remembered_by_a_walk_that_goes_on(segmenter, tmp_path):
    again(segmenter, tmp_path / "whole", without((1, 5)))
    with pytest.raises(Stopped):
        again(segmenter, tmp_path / "parts", without((1, 5)), stop=Nods(1))
    again(segmenter, tmp_path / "parts", without((1, 5)))
    assert_equal(tmp_path / "parts", tmp_path / "whole")


def test_no_image_that_can_be_read(segmenter, tmp_path):
    message = said(lambda: again(segmenter, tmp_path, without(tuple(range(COUNT)))))
    assert str(COUNT) in message and "toys" in message and "id-0" in message
    assert "there is no atlas" in said(lambda: open_atlas(tmp_path))


def test_labels_of_another_size_are_skipped(segmenter, tmp_path):
    dataset = toys(COUNT)
    bad = dataset.samples[3]
    dataset.samples[3] = Sample(bad.image, bad.labels[:-2], bad.modes, bad.id)
    (one,) = again(segmenter, tmp_path, dataset).skipped
    assert one.index == 3 and "another size" in one_sentence(one.reason)
    assert all(effect.images == 3 for effect in open_atlas(tmp_path).effects)


def test_no_images_and_other_categories(segmenter, tmp_path):
    assert "no image" in said(lambda: again(segmenter, tmp_path / "a", Toys([])))
    assert "no image" in said(lambda: again(segmenter, tmp_path / "a", limit=0))
    other = toys(COUNT)
    other.classes = ("cat", "dog")
    message = said(lambda: again(segmenter, tmp_path / "a", other))
    assert "toys" in message and "2" in message and not (tmp_path / "a").exists() and other.reads == []


# ── the wrong atlas ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [CHUNK - 1, COUNT])
def test_another_models_atlas_is_not_overwritten(segmenter, tmp_path, count: int):
    again(segmenter, tmp_path, toys(count))
    before = files_of(tmp_path)
    other = lambda: build(segmenter, card_of(segmenter, hash="b" * 64), toys(count), tmp_path)  # noqa: E731
    assert "checkpoint" in said(other) and files_of(tmp_path) == before
    renamed = toys(count)
    renamed.name = "others"
    assert "data" in said(lambda: again(segmenter, tmp_path, renamed)) and files_of(tmp_path) == before
    assert (
        "seed" in said(lambda: again(segmenter, tmp_path, toys(count), seed=1))
        and files_of(tmp_path) == before
    )
    build(segmenter, card_of(segmenter, hash="b" * 64), toys(count), tmp_path, anew=True)
    assert open_atlas(tmp_path).manifest.checkpoint == "b" * 64


def test_an_unfinished_atlas_of_another_model_is_not_overwritten(segmenter, tmp_path):
    with pytest.raises(Stopped):
        again(segmenter, tmp_path, stop=Nods(1))
    assert "not finished" in said(lambda: open_atlas(tmp_path))
    state = (tmp_path / "state.safetensors").read_bytes()
    other = card_of(segmenter, hash="b" * 64)
    assert "checkpoint" in said(lambda: build(segmenter, other, toys(COUNT), tmp_path))
    assert (tmp_path / "state.safetensors").read_bytes() == state


def test_opening_asks_for_the_checkpoint(reference):
    assert open_atlas(reference, "a" * 64).manifest.checkpoint == "a" * 64
    assert "another checkpoint" in said(lambda: open_atlas(reference, "b" * 64))


def test_an_atlas_of_another_version(segmenter, copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["manifest"]["format"] = "loupe-atlas-0"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    assert "another version" in said(lambda: open_atlas(copy))
    assert "another version" in said(lambda: again(segmenter, copy))
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_an_atlas_of_the_first_demo_version_of_scenes(segmenter, reference, copy, monkeypatch):
    monkeypatch.setattr(walk, "SCENES", "another")
    assert "scenes" in said(lambda: again(segmenter, copy))
    assert files_of(copy) == files_of(reference)


def test_an_atlas_over_older_scenes_is_not_read(copy):
    """Its indices would point into other pictures."""
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["manifest"]["versions"]["scenes"] = "scenes-0"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert "another version of the scenes" in said(lambda: open_atlas(copy))


# ── asking for what is not there ────────────────────────────────────────────────────────────────────────────────────────


def test_no_such_site_stage_or_category(reference, tmp_path):
    atlas = open_atlas(reference)
    for ask in (atlas.moments, atlas.reservoir):
        message = said(lambda: ask("f9"))  # noqa: B023
        assert '"f9"' in message and "stride8.value" in message
    for ask in (atlas.usage, atlas.parts, atlas.prototype_means, atlas.pairs, atlas.live):
        message = said(lambda: ask("stride2"))  # noqa: B023
        assert '"stride2"' in message and "stride16" in message
    said(lambda: list(atlas.prototypes("stride2")))
    said(lambda: atlas.patches("stride2", 0))
    for category in (-1, K, 99):
        assert str(category) in said(lambda: atlas.patches("stride8", category))  # noqa: B023
        assert str(category) in said(lambda: atlas.reservoir("f0", category))  # noqa: B023
    assert set(atlas.reservoir("f0", 2).category.tolist()) == {2}
    assert "there is no atlas" in said(lambda: open_atlas(tmp_path / "nowhere"))


def test_a_model_without_prototypes_says_so(tmp_path):
    segmenter = toy("hfgd")
    build(segmenter, card_of(segmenter), toys(3), tmp_path)
    atlas = open_atlas(tmp_path)
    assert "none" in said(lambda: atlas.usage("stride8"))
    assert atlas.effects == () and atlas.price == () and atlas.manifest.stages == ()


def test_folders_are_told_apart_by_the_checkpoint(segmenter):
    a, b = (default_folder(card_of(segmenter, hash=h * 64), "toys", "root") for h in "ab")
    assert a == Path("root/toy-aaaaaaaa-toys") and a != b
