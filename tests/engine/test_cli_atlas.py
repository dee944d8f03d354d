"""`python -m engine atlas`: what it says is what the atlas holds; bad input is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine import cli
from engine.atlas import open_atlas
from engine.catalogue import ASSETS

CPT = ASSETS / "models" / "cpt.safetensors"
SHORT = ("--data", "scenes-val", "--limit", 3, "--device", "cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("atlas")
    assert cli.main([str(each) for each in ("atlas", "--model", CPT, *SHORT, "--out", folder, "--json")]) == 0
    return folder


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    capsys.readouterr()
    assert cli.main([str(each) for each in (*arguments, "--json")]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out, parse_constant=pytest.fail)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert cli.main([str(each) for each in arguments]) == 1
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and err.startswith("error: ")
    return err


def test_it_says_what_the_atlas_holds(capsys, made):
    found = said(capsys, "atlas", "--model", CPT, *SHORT, "--out", made)
    atlas = open_atlas(made)
    assert (found["images"], found["skipped"]) == (3, [])
    assert list(found["stages"]) == list(atlas.manifest.stages)
    keys = {verdict["key"] for verdict in found["stages"]["stride4"]}
    assert {"sinks", "own", "absent", "rank", "memory-part", "effect-zeroed"} <= keys
    assert [row["ratio"] for row in found["price"]] == [row.ratio for row in atlas.price]
    assert {effect["name"] for effect in found["effects"]} == {effect.name for effect in atlas.effects}


def test_its_miou_is_that_of_evaluate(capsys, made):
    """One confusion matrix over the same predictions."""
    atlas = said(capsys, "atlas", "--model", CPT, *SHORT, "--out", made)
    evaluated = said(capsys, "evaluate", "--model", CPT, *SHORT)
    assert atlas["mIoU"] == pytest.approx(evaluated["mIoU"], abs=0.01)


def test_the_table_is_for_people(capsys, made):
    capsys.readouterr()
    assert cli.main([str(each) for each in ("atlas", "--model", CPT, *SHORT, "--out", made)]) == 0
    text = capsys.readouterr().out
    assert "3 images of scenes-val" in text and "stride8" in text and "what is broadcast" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--model", "nobody"), "no model"),
        (("--model", CPT, "--data", "nowhere"), "there is no dataset 'nowhere'"),
        (("--model", CPT, "--limit", 0), "Invalid value"),
    ],
)
def test_bad_input_is_one_line(capsys, tmp_path, arguments, sentence):
    assert sentence in refusal(capsys, "atlas", *arguments, "--out", tmp_path / "none")


def test_a_model_of_other_categories_is_refused(capsys, tmp_path, tiny_checkpoint):
    line = refusal(capsys, "atlas", "--model", tiny_checkpoint, *SHORT, "--out", tmp_path / "other")
    assert "knows 5 categories that are not the 14 of scenes-val" in line


def test_a_folder_of_another_model_is_left_alone(capsys, tmp_path):
    folder = tmp_path / "mine"
    wanted = ("--data", "scenes-val", "--limit", 2, "--device", "cpu", "--out", folder)
    said(capsys, "atlas", "--model", "bilinear", *wanted)
    before = (folder / "manifest.json").read_bytes()
    line = refusal(capsys, "atlas", "--model", "fpn", *wanted)
    assert "holds an atlas of bilinear" in line
    assert (folder / "manifest.json").read_bytes() == before
    assert said(capsys, "atlas", "--model", "fpn", *wanted, "--anew")["model"] == "fpn"


def test_a_file_in_the_folders_place(capsys, tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    refusal(capsys, "atlas", "--model", CPT, *SHORT, "--out", path)
    assert path.read_text() == "mine"


def test_a_larger_atlas_is_not_replaced_by_a_smaller_one(capsys, made):
    line = refusal(capsys, "atlas", "--model", CPT, "--limit", 2, "--device", "cpu", "--out", made)
    assert "holds an atlas of 3 images, more than 2" in line
    assert open_atlas(made).manifest.images == 3
