"""The categories' colours stay apart for people with and without a colour-vision deficiency."""

from __future__ import annotations

import numpy as np
import pytest

from app import palette
from engine.data.categories import PALETTE
from engine.data.class_lists import FOLDER, class_list
from engine.errors import LoupeError

COUNTS = {
    "ade20k": 150,
    "cityscapes": 19,
    "coco-stuff": 171,
    "pascal-context-59": 59,
    "pascal-context-60": 60,
    "pascal-voc": 21,
    "scenes": 14,
}

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
VISION = {
    "full": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def lab(colours: np.ndarray, vision: np.ndarray) -> np.ndarray:
    """sRGB (k, 3) uint8 as seen → CIELAB under D65 (k, 3)."""
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    xyz = np.clip(linear @ vision.T, 0, 1) @ TO_XYZ.T / (0.95047, 1, 1.08883)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def test_lab_of_known_colours():
    known = lab(np.array([[255, 255, 255], [255, 0, 0]], np.uint8), VISION["full"])
    np.testing.assert_allclose(known, [[100, 0, 0], [53.24, 80.09, 67.20]], atol=0.05)


@pytest.mark.parametrize("vision", VISION)
def test_any_two_categories_are_far_apart(vision):
    seen = lab(PALETTE, VISION[vision])
    distance = np.linalg.norm(seen[:, None] - seen[None], axis=2)
    assert distance[np.triu_indices(len(seen), 1)].min() > 14


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.json")))
def test_every_shipped_list_names_each_category_once_and_draws_it_in_its_own_colour(name):
    names = class_list(name)
    colours = palette.colours(names)
    assert len(set(names)) == len(names) == COUNTS[name]
    assert len(set(colours)) == len(names) and colours == list(palette.lists()[names].values())


def test_a_list_has_its_own_colours_and_single_names_the_demo_worlds():
    assert palette.colours(class_list("cityscapes"))[0] == "#804080"  # road, as published
    assert palette.colours(["road"]) == [palette.known()["road"]] == ["#48464a"]
    assert palette.colours(["road", "never heard of"])[1] == palette.colours(["never heard of"])[0]


def test_lists_of_classes_come_from_text_files_too(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("cat\n\n dog \n", encoding="utf-8")
    assert class_list(path) == ("cat", "dog")
    for content, sentence in (
        (b"cat\ncat\n", "names cat twice"),
        (b"", "no classes"),
        (b"\xff\xfe", "no text file"),
    ):
        path.write_bytes(content)
        with pytest.raises(LoupeError, match=sentence):
            class_list(path)
    with pytest.raises(LoupeError, match="known are ade20k, cityscapes, coco-stuff"):
        class_list("nothing")
