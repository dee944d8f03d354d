"""Descriptions of datasets: every shipped one leads to each category once; what is wrong is one sentence."""

from __future__ import annotations

import numpy as np
import pytest

from engine.data.descriptions import IGNORED, describe, names
from engine.errors import LoupeError

CATEGORIES = {
    "ade20k": 150,
    "cityscapes": 19,
    "coco-stuff-10k": 171,
    "coco-stuff-164k": 171,
    "pascal-context-59": 59,
    "pascal-context-60": 60,
    "pascal-voc": 21,
}


@pytest.mark.parametrize("name", CATEGORIES)
def test_every_category_is_one_number(name):
    assert names() == list(CATEGORIES)
    found = describe(name)
    k = CATEGORIES[name]
    assert len(found.classes) == len(found.colours) == k
    counts = np.bincount(found.table[found.known], minlength=256)
    if name == "pascal-context-60":  # all the other numbers are its background
        counts[0] = 1
    assert (counts[:k] == 1).all() and (counts[k:IGNORED] == 0).all()
    assert found.url.startswith("http") and found.home


def test_numbers_mean_what_the_datasets_say():
    assert describe("ade20k").table[[0, 1, 150]].tolist() == [IGNORED, 0, 149]
    city = describe("cityscapes")
    at = [city.classes.index(name) for name in ("road", "person", "bicycle")]
    assert city.table[[7, 24, 33]].tolist() == at and city.table[0] == IGNORED and not city.known[40]
    for name, first in (("coco-stuff-164k", 0), ("coco-stuff-10k", 1)):
        coco = describe(name)
        # Ids of COCO: 1 person, 13 stop sign (12 was never used), 92 banner, the first stuff, 182 wood.
        numbers = np.array([1, 13, 92, 182]) - 1 + first
        assert [coco.classes[c] for c in coco.table[numbers]] == ["person", "stop sign", "banner", "wood"]
        assert not coco.known[11 + first]
    context = describe("pascal-context-59")
    assert [context.classes[c] for c in context.table[[2, 258, 420]]] == ["aeroplane", "motorbike", "tree"]
    assert context.table[1] == IGNORED and describe("pascal-context-60").table[1] == 0


GOOD = """
classes = ["a", "b"]
[labels]
first = 0
[splits.val]
images = "images/*.png"
labels = "labels/{stem}.png"
"""


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('["a", "b"]', '["a"]', "2 to 255 names"),
        ('["a", "b"]', '["a", "a"]', "each once"),
        ('["a", "b"]', '"nothing"', 'no list of classes "nothing"'),
        ("first = 0", "frist = 0", "labels.frist is unknown"),
        ("first = 0", 'first = "0"', "wrong type"),
        ("first = 0", "first = 0\nignore = [1]", "both ignored and category 1"),
        ("first = 0", 'map = { "3" = 0 }', "no label leads to 1 of 2 categories, first category 1"),
        ("first = 0", 'map = { "3" = 0, "x" = 1 }', "from numbers to categories"),
        ("first = 0", 'map = { "3" = 0, "4" = 2 }', "label 4 cannot be category 2"),
        ("first = 0", "first = 0\nothers = 5", "labels.others"),
        ("images/*.png", "../*.png", "within the dataset's folder"),
        ("labels/{stem}.png", "/etc/{stem}.png", "within the dataset's folder"),
        ('labels = "labels/{stem}.png"', "", "splits.val.labels is missing"),
        ("[labels]", "[labels", "not valid TOML"),
    ],
)
def test_a_wrong_description_is_one_sentence(tmp_path, old, new, sentence):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, encoding="utf-8")
    assert describe(path).classes == ("a", "b")
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(LoupeError) as caught:
        describe(path)
    assert (
        sentence in str(caught.value) and "mine.toml" in str(caught.value) and "\n" not in str(caught.value)
    )


def test_unknown_names_are_refused():
    for name in ("nothing", "../ade20k", "nothing.toml"):
        with pytest.raises(LoupeError, match="known are ade20k, cityscapes"):
            describe(name)
