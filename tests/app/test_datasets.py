"""Which datasets there are for a model: the demo world's and folders' that lie here with its very categories."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from app import datasets
from app.gallery import Gallery, data_id
from engine.data.categories import CLASS_NAMES
from engine.errors import LoupeError

TOML = """
title = "Mine"
classes = ["cat", "dog"]
home = "mine"
[labels]
first = 1
ignore = [0]
[splits.train]
images = "train/*.png"
labels = "labels/train/{stem}.png"
[splits.val]
images = "val/deep/*.png"
labels = "labels/val/{stem}.png"
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.toml").write_text(TOML, encoding="utf-8")
    for folder in ("train", "val/deep", "labels/train", "labels/val"):
        (tmp_path / "mine" / folder).mkdir(parents=True)
    for split, folder in (("train", "train"), ("val", "val/deep")):
        for i in range(3):
            Image.fromarray(np.full((40, 60, 3), 60 * i, np.uint8)).save(tmp_path / f"mine/{folder}/{i}.png")
            labels = np.ones((40, 60), np.uint8)
            labels[:, 30:] = 2
            Image.fromarray(labels).save(tmp_path / f"mine/labels/{split}/{i}.png")
    monkeypatch.setenv("LOUPE_DATA", str(tmp_path))
    datasets.look_again()
    return tmp_path


def card(*classes: str, id: str = "m"):
    return SimpleNamespace(classes=classes, id=id)


def test_models_have_the_datasets_of_their_categories(mine):
    assert datasets.fitting(CLASS_NAMES) == ("scenes-val", "scenes-train")
    assert datasets.fitting(("cat", "dog")) == (
        "mine-val",
        "mine-train",
    )  # what they were trained on comes last
    assert datasets.of(card("cat", "dog")) == "mine-val" and datasets.size("mine-val") == 3
    assert datasets.of(card("dog", "cat")) is None
    assert "the 1 categories of m" in datasets.missing(card("dog"))


def test_a_folder_without_images_is_no_ones_dataset(mine):
    for file in (mine / "mine/val/deep").iterdir():
        file.unlink()
    datasets.look_again()
    assert datasets.size("mine-val") == 0 and datasets.of(card("cat", "dog")) == "mine-train"


def test_files_are_listed_once_until_somebody_looks_again(mine):
    first = datasets.opened("mine-val")
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(mine / "mine/val/deep/9.png")
    assert datasets.opened("mine-val") is first
    datasets.look_again()
    assert len(datasets.opened("mine-val").unlabelled) == 1
    with pytest.raises(LoupeError, match="there is no dataset"):
        datasets.opened("nothing-val")


def test_images_of_folders_are_pictures(mine, tmp_path):
    gallery = Gallery(tmp_path / "none")
    picture = gallery.get(data_id("mine-val", "val/deep/1"))
    assert picture.classes == ("cat", "dog") and picture.title == "mine-val val/deep/1"
    assert picture.truth is not None and picture.truth[0, 0] == 0 and picture.truth[0, -1] == 1
    assert gallery.pixels(data_id("mine-val", "val/deep/2"))[0, 0].tolist() == [120] * 3
