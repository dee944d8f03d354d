"""The shipped class list and sample scenes are those that the generator gives."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from engine.data.categories import CATEGORIES, PALETTE
from engine.data.samples import ASSETS, SAMPLES, classes_json, index_json
from engine.data.scenes import render

SCENES = ASSETS / "scenes"


def opened(stem: str) -> np.ndarray:
    with Image.open(SCENES / f"{stem}.png") as image:
        return np.array(image)


def test_class_list_and_index_are_generated():
    assert (ASSETS / "classes" / "scenes.json").read_text(encoding="utf-8") == classes_json()
    assert (SCENES / "index.json").read_text(encoding="utf-8") == index_json()
    classes = json.loads(classes_json())["classes"]
    assert [(one["name"], one["modes"]) for one in classes] == [(c.name, list(c.modes)) for c in CATEGORIES]
    assert [one["colour"] for one in classes] == PALETTE.tolist()


def test_24_different_validation_scenes_with_captions():
    rows = json.loads(index_json())
    assert len(rows) == 24 == len({row["seed"] for row in rows}) == len({row["caption"] for row in rows})
    assert all(1_000_000 <= row["seed"] < 1_000_500 and 5 < len(row["caption"]) < 50 for row in rows)
    assert sum(path.stat().st_size for path in SCENES.iterdir()) < 5_000_000


@pytest.mark.parametrize("number", [0, 11, 23])
def test_files_hold_the_scene_of_their_seed(number):
    scene = render(SAMPLES[number][0])
    for ending, array in zip(("", ".labels", ".modes"), scene, strict=True):
        assert np.array_equal(opened(f"{number:03d}{ending}"), array)


def test_label_images_carry_the_palette():
    with Image.open(SCENES / "000.labels.png") as image:
        labels = np.array(image)
        assert image.mode == "P" and np.array_equal(np.array(image.convert("RGB")), PALETTE[labels])


def test_the_samples_show_every_mode_of_every_category():
    shown = set()
    for number in range(len(SAMPLES)):
        pairs = opened(f"{number:03d}.labels").astype(int) * 256 + opened(f"{number:03d}.modes")
        shown.update(np.unique(pairs).tolist())
    assert shown == {label * 256 + mode for label, c in enumerate(CATEGORIES) for mode in range(len(c.modes))}
