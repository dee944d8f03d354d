"""Edits as JSON: every kind there and back, and one sentence for whatever is none."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from engine.edits import (
    Ablate,
    MemoryShare,
    Region,
    Replace,
    Swap,
    Temperature,
    Token,
    describe,
    edits_key,
    from_json,
    read_edits,
    to_json,
)
from engine.edits.values import KINDS, kind_of, stage_of
from engine.errors import LoupeError
from tests.engine.edits.toys import EDITS, VECTOR

TOKENS = (
    Token("a", other="b"),
    Token("a", other="b", degrees=12.5, branch="upsampler"),
    Token("a", by="vector", vector=VECTOR, branch="guide"),
)


@pytest.mark.parametrize("edit", [*EDITS, *TOKENS], ids=describe)
def test_every_edit_comes_back_as_it_was(edit):
    for one in (edit,) if isinstance(edit, Token) else (edit, replace(edit, stage="stride8")):
        text = json.dumps(to_json([one]), allow_nan=False)
        assert from_json(json.loads(text)) == (one,)
        assert describe(one) and (stage_of(one) is None or "at stride8" in describe(one))


def test_every_kind_is_in_the_table():
    assert {type(edit) for edit in (*EDITS, *TOKENS)} == set(KINDS.values())
    assert {kind_of(edit) for edit in (*EDITS, *TOKENS)} == set(KINDS)


def test_only_what_differs_from_a_default_is_written():
    assert to_json([Ablate("tree")]) == {"loupe_edits": 1, "edits": [{"kind": "ablate", "category": "tree"}]}


def test_phrases_say_what_and_where():
    assert describe(Ablate("tree", stage="stride4")) == "ablate tree (masked) at stride4"
    assert (
        describe(Replace("tree", keep_norm=True))
        == "replace tree by its memory row, norm kept at every stage"
    )
    assert describe(TOKENS[1]) == "token a turned 12.5° towards b's (upsampler)"


def test_keys_differ_for_everything_that_matters():
    lists = [
        [],
        [Ablate("a")],
        [Ablate("b")],
        [Ablate("a", "zero")],
        [Ablate("a", stage="stride4")],
        [Ablate("a"), Temperature(2.0)],
        [Temperature(2.0), Ablate("a")],
        [Swap("a", "b")],
        [Swap("b", "a")],
        [MemoryShare(0.1)],
        [MemoryShare(0.1 + 1e-16)],
        [Replace("a", by="vector", vector=(1.0, 2.0))],
        [Replace("a", by="vector", vector=(1.0, 2.0000001))],
        [Replace("a", by="pixels", pixels=((1, 2),))],
        [Replace("a", by="pixels", pixels=((2, 1),))],
        *([edit] for edit in EDITS),
    ]
    keys = {edits_key(edits) for edits in lists}
    assert len(keys) == len(set(map(tuple, lists))) > 40
    assert edits_key([Ablate("a")]) == edits_key((Ablate("a", "masked", None),))


def file(*entries, version=1):
    return {"loupe_edits": version, "edits": list(entries)}


WRONG = [
    ([], 'lacks "loupe_edits"'),
    ({"edits": []}, 'lacks "loupe_edits"'),
    (file(version=2), "version 2; this Loupe reads version 1"),
    (file(version="1"), "version '1'"),
    (file(version=True), "version True"),
    ({"loupe_edits": 1}, 'lacks "edits"'),
    ({"loupe_edits": 1, "edits": {}}, 'lacks "edits"'),
    (file(*[{"kind": "update"}] * 65), "65 edits are more than the 64"),
    (file({"kind": "update"}, {"kind": "explode"}), "edit 2: no kind 'explode'"),
    (file("ablate"), "edit 1: no kind 'ablate'"),
    (file({"kind": []}), "edit 1: no kind '\\[\\]'"),
    (file(None), "edit 1: no kind 'None'"),
    (file({"kind": "ablate"}), "edit 1: ablate lacks category"),
    (file({"kind": "ablate", "category": 3}), "category of ablate cannot be '3'"),
    (file({"kind": "ablate", "category": "a" * 201}), "category of ablate cannot be 'aaa"),
    (file({"kind": "ablate", "category": "a", "colour": 1}), "ablate has no field 'colour'"),
    (file({"kind": "ablate", "category": "a", "meaning": "gone"}), "choose masked, zero, mean"),
    (file({"kind": "temperature", "value": "2"}), "value of temperature cannot be '2'"),
    (file({"kind": "temperature", "value": True}), "value of temperature cannot be 'True'"),
    (file({"kind": "temperature", "value": 10**400}), "value of temperature is too large a number"),
    (file({"kind": "share-head", "head": 1.0}), "head of share-head cannot be '1.0'"),
    (file({"kind": "replace", "category": "a", "keep_norm": 1}), "keep_norm of replace cannot be '1'"),
    (file({"kind": "replace", "category": "a", "vector": [1, "2"]}), "must be a list of finite numbers"),
    (file({"kind": "replace", "category": "a", "vector": [1, float("nan")]}), "must be a list of finite"),
    (file({"kind": "replace", "category": "a", "vector": [10**400]}), "is too large a number"),
    (file({"kind": "replace", "category": "a", "pixels": [[1, 2.5]]}), "must be a list of \\[row, col\\]"),
    (file({"kind": "replace", "category": "a", "pixels": None}), "must be a list of \\[row, col\\]"),
    (file({"kind": "hide-region", "region": [1]}), "must have rows, cols and bits"),
    (
        file({"kind": "hide-region", "region": {"rows": 2, "cols": 2, "bits": "101"}}),
        "rows · cols of 0 and 1",
    ),
    (file({"kind": "hide-region", "region": {"rows": 1, "cols": 2, "bits": "1²"}}), "rows · cols of 0 and 1"),
    (file({"kind": "hide-region", "region": {"rows": 2000, "cols": 0, "bits": ""}}), "at most 1024 each way"),
]


@pytest.mark.parametrize(("data", "why"), WRONG, ids=[why for _, why in WRONG])
def test_what_is_no_list_of_edits_is_refused_in_one_sentence(data, why, tmp_path):
    with pytest.raises(LoupeError, match=why) as caught:
        from_json(data)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250
    path = tmp_path / "edits.json"
    path.write_text(json.dumps(data))
    with pytest.raises(LoupeError, match=f"edits.json: .*{why}"):
        read_edits(path)


def test_files_that_cannot_be_read_are_one_sentence_too(tmp_path):
    path = tmp_path / "edits.json"
    with pytest.raises(LoupeError, match=r"edits.json: No such file"):
        read_edits(path)
    for content in (b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5000):
        path.write_bytes(content)
        with pytest.raises(LoupeError, match=r"edits.json: no JSON"):
            read_edits(path)
    path.write_bytes(b" " * (1 << 21))
    with pytest.raises(LoupeError, match=r"larger than the 1 MB"):
        read_edits(path)
    with pytest.raises(LoupeError, match="directory"):
        read_edits(tmp_path)


def test_a_file_is_read(tmp_path):
    path = tmp_path / "edits.json"
    path.write_text(json.dumps(to_json(EDITS)))
    assert read_edits(path) == EDITS
    assert Region(2, 2, "1000") in [getattr(edit, "region", None) for edit in read_edits(path)]
