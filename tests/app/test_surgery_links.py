"""Edits in links and files: every kind comes back, and what is wrong is said entry by entry."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from app import surgery_links as links
from engine.edits import (
    Ablate,
    HideRegion,
    MemoryRow,
    MemoryShare,
    Move,
    Oracle,
    Region,
    Replace,
    ShareHead,
    SilenceHead,
    Swap,
    Temperature,
    Token,
    Update,
    to_json,
)
from engine.edits.values import KINDS
from engine.errors import LoupeError

VECTOR = (0.5, -1.25, 3.0)
EDITS = (
    Ablate("tree"),
    Ablate("a, strange; name", "zero", stage="stride4"),
    Oracle("masked"),
    Replace("tree"),
    Replace("tree", by="category", other="grass", stage="stride8"),
    Replace("tree", by="pixels", pixels=((1, 20), (300, 4)), keep_norm=True),
    Replace("tree", by="vector", vector=VECTOR),
    Swap("tree", "grass"),
    Move("tree", -0.5, "direction", vector=VECTOR, stage="stride4"),
    MemoryShare(0.0),
    MemoryRow(None),
    MemoryRow("tree", "category", "sky"),
    HideRegion(Region(2, 3, "010011"), stage="stride16"),
    ShareHead(0),
    SilenceHead(3, "stride8"),
    Temperature(0.25),
    Update("mean", "stride4"),
    Token("tree", other="sky", degrees=12.5, branch="guide"),
)


def test_every_kind_comes_back_from_a_link():
    assert {type(edit) for edit in EDITS} == set(KINDS.values())
    text = links.write(EDITS)
    assert links.read(text) == (EDITS, [])
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789,;-_.% ")


def test_links_are_short_and_can_be_read():
    assert (
        links.write((Ablate("tree"), MemoryShare(0.5, "stride4"))) == "ablate,tree;memory-share,0.5,stride4"
    )
    assert links.write(()) == "" and links.read("") == ((), [])
    blob = np.zeros((64, 64), bool)
    blob[20:40, 10:50] = True
    region = HideRegion(Region(64, 64, "".join("01"[int(bit)] for bit in blob.ravel())))
    assert len(links.write((region,))) < 250


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("explode,tree", "there is no kind “explode”"),
        ("ablate", "ablate lacks category"),
        ("ablate,tree,gone", "choose masked, zero, mean"),
        ("memory-share,much", "value cannot be “much”"),
        ("share-head,1.5", "head cannot be “1.5”"),
        ("ablate,a,zero,stride4,x", "3 fields and not 4"),
        ("replace,t,vector,,,zz", "vector cannot be “zz”"),
        ("replace,t,pixels,,1.x", "pixels cannot be"),
        ("hide-region,2x2-1.1", "region cannot be"),
        ("hide-region,9999x9999-1", "region cannot be"),
    ],
)
def test_a_bad_entry_is_left_out_with_a_sentence_and_the_rest_stays(entry, said):
    found, problems = links.read(f"ablate,tree;{entry};update")
    assert found == (Ablate("tree"), Update())
    assert len(problems) == 1 and problems[0].startswith("Edit 2 of the link") and said in problems[0]


def test_regions_are_what_the_browser_spells():
    region = Region(2, 3, "010011")
    assert links.write_region(region) == "2x3-1.1.2.2"
    assert links.write_region(Region(1, 2, "10")) == "1x2-0.1.1"
    for one in (region, Region(1, 40, "1" * 40), Region(40, 1, "0" * 40)):
        assert links.read_region(links.write_region(one)) == one


def test_vectors_are_read_from_files():
    saved = io.BytesIO()
    np.save(saved, np.array([VECTOR]))
    assert links.vector_of(saved.getvalue(), "v.npy") == VECTOR
    assert links.vector_of(b"[0.5, -1.25, 3]", "v.json") == VECTOR
    assert links.vector_of(b"0.5,-1.25\n3\n", "v.CSV") == VECTOR
    third = links.vector_of(b"[0.1]", "v.json")
    edit = Replace("t", by="vector", vector=third)
    assert links.read(links.write((edit,)))[0] == (edit,)  # in single precision already: a link loses nothing


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (b"1,2", "v.txt", ".npy, .json or .csv"),
        (b"one two", "v.csv", "no list of numbers"),
        (b"\xff\xfe", "v.csv", "no list of numbers"),
        (b"{}", "v.json", "no list of numbers"),
        (b"[1, NaN]", "v.json", "not finite"),
        (b"[]", "v.json", "no numbers"),
        (b"not numpy", "v.npy", "no list of numbers"),
    ],
)
def test_what_is_no_vector_is_refused_by_a_sentence(data, name, said):
    with pytest.raises(LoupeError, match=said):
        links.vector_of(data, name)


def test_files_come_back_and_bad_ones_are_named():
    assert links.from_bytes(links.to_bytes(EDITS), "mine.json") == EDITS
    assert json.loads(links.to_bytes(EDITS)) == to_json(EDITS)
    for data, said in ((b"{", "no JSON"), (b"[]", "no list of edits"), (b'{"loupe_edits": 9}', "version 9")):
        with pytest.raises(LoupeError, match=f"^mine.json: .*{said}"):
            links.from_bytes(data, "mine.json")
