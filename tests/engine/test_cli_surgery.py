"""`python -m engine surgery`: what it says is what the engine says; bad input is one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine import Engine, checkpoints, cli
from engine.catalogue import ASSETS
from engine.data.datasets import open_dataset
from engine.edits import Ablate, MemoryRow, Move, Oracle, Replace, SilenceHead, Swap, Token, read_edits
from engine.edits.values import Update
from engine.surgery import consequences
from engine.terminal import plain

SCENE, TRUTH = ASSETS / "scenes" / "000.png", ASSETS / "scenes" / "000.labels.png"
IMAGE = ("--model", "cpt", "--image", SCENE, "--device", "cpu")
DATA = ("--model", "cpt", "--data", "scenes-val", "--limit", 2, "--device", "cpu")


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    capsys.readouterr()
    assert cli.main([str(each) for each in ("surgery", *arguments, "--json")]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out, parse_constant=pytest.fail)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert cli.main([str(each) for each in ("surgery", *arguments)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and err.startswith("error: ")
    return err


def test_one_image_is_the_difference_of_two_traces(capsys):
    found = said(capsys, *IMAGE, "--ablate", "tree", "--pixel", "120,200")
    engine = Engine(device="cpu")
    before, after = engine.trace("cpt", SCENE), engine.trace("cpt", SCENE, edits=[Ablate("tree")])
    image = found["image"]
    changed = (before.labels != after.labels).numpy()
    assert image["changed_pixels"] == int(changed.sum()) > 0
    assert image["changed"] == pytest.approx(changed.mean())
    logit = float((after.logits - before.logits).abs().mean())
    assert image["mean_absolute_logit_change"] == pytest.approx(logit, rel=1e-4)
    assert image["recomputed"] == list(after.recomputed) and image["milliseconds"] > 0
    sky = image["areas"]["sky"]
    assert (sky["before"], sky["after"]) == (
        pytest.approx((before.labels == 0).float().mean().item(), abs=1e-6),
        pytest.approx((after.labels == 0).float().mean().item(), abs=1e-6),
    )
    assert sum(each["after"] for each in image["areas"].values()) == pytest.approx(1)
    finest = image["pixel"]["stages"][-1]
    weights = before.stages[-1].affinity(30, 50).mean(0)  # pixel 120,200 of 256² on a grid of 64²
    assert finest["stage"] == "stride4"
    assert [each["before"] for each in finest["affinity"].values()] == pytest.approx(
        weights.tolist(), abs=1e-5
    )
    assert finest["affinity"]["tree"]["after"] == 0
    assert (found["model"], found["checkpoint"]) == ("cpt", engine.card("cpt").hash)


def test_an_image_that_was_reduced_says_so(capsys):
    found = said(capsys, *IMAGE, "--ablate", "tree", "--long-side", 128)["image"]
    assert (found["size"], found["original_size"]) == ([128, 128], [256, 256])
    assert cli.main([str(each) for each in ("surgery", *IMAGE, "--ablate", "tree", "--long-side", 128)]) == 0
    assert "000.png, reduced to 128×128: " in capsys.readouterr().out


def test_flags_become_edits_and_a_file_that_is_read_again(capsys, tmp_path):
    file, again = tmp_path / "edits.json", tmp_path / "again.json"
    flags = ("--ablate", "tree", "--meaning", "zero", "--stage", "stride8", "--replace", "sky=memory")
    flags += ("--replace", "road=sand", "--swap", "fence,pole", "--zero-memory", "boat", "--silence-head", 2)
    flags += ("--move", "snow=sky:0.5")
    found = said(capsys, *IMAGE, *flags, "--save", file)
    at = "stride8"
    assert set(read_edits(file)) == {
        MemoryRow("boat", stage=at),
        Replace("sky", stage=at),
        Replace("road", by="category", other="sand", stage=at),
        Move("snow", 0.5, toward="category", other="sky", stage=at),
        Swap("fence", "pole", stage=at),
        Ablate("tree", "zero", at),
        SilenceHead(2, at),
    }
    assert found["saved"] == str(file) and len(found["image"]["edits"]) == 7
    second = said(capsys, *IMAGE, "--edits", file, "--temperature", 0.5, "--save", again)
    assert read_edits(again)[:7] == read_edits(file)
    assert second["image"]["described"][-1] == "temperature 0.5 at every stage"
    assert second["image"]["changed_pixels"] != found["image"]["changed_pixels"]


def test_oracle_takes_the_truth_of_the_image(capsys):
    assert "the ground truth of this image is not known" in refusal(capsys, *IMAGE, "--oracle")
    found = said(capsys, *IMAGE, "--oracle", "--absent", "masked", "--labels", TRUTH)
    assert found["image"]["changed_pixels"] > 0 and "absent ones masked" in found["image"]["described"][0]


def test_tokens_and_sources_that_are_no_prototypes(capsys):
    guided = ("--model", "hfgd", "--image", SCENE, "--device", "cpu")
    turned = said(capsys, *guided, "--token", "tree=grass:30", "--pixel", "1,1")
    assert turned["image"]["pixel"]["stages"] == []
    whole = said(capsys, *guided, "--token", "tree=grass")
    expected = Engine(device="cpu").trace("hfgd", SCENE, edits=[Token("tree", other="grass")]).recomputed
    assert whole["image"]["recomputed"] == list(expected)
    bilinear = said(capsys, "--model", "bilinear", "--image", SCENE, "--update", "zero", "--pixel", "1,1")
    assert all(each["affinity"] is None for each in bilinear["image"]["pixel"]["stages"])


def test_a_dataset_is_what_the_engine_says(capsys):
    found = said(capsys, *DATA, "--update", "zero", "--stage", "stride4")
    engine = Engine(device="cpu")
    segmenter = checkpoints.load(engine.card("cpt").path, engine.device).segmenter
    expected = consequences(
        segmenter,
        open_dataset("scenes-val"),
        [Update(stage="stride4")],
        limit=2,
        model="cpt",
        data="scenes-val",
    )
    wanted = plain(expected.json())
    assert {**found["data"], "seconds": 0} == {**wanted, "seconds": 0, "finding": expected.finding()}
    assert found["data"]["images"] == 2 and found["data"]["mIoU"]["mean"]["delta"] < 0


def test_the_matrix_and_what_attention_says_of_it(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.atlas.folder.DATA_ROOT", tmp_path)
    small = ("--model", "cpt", "--data", "scenes-val", "--limit", 1, "--device", "cpu", "--stage", "stride4")
    found = said(capsys, *small, "--matrix", "--ablate", "tree")
    matrix = found["matrix"]
    assert np.shape(matrix["delta"]) == (14, 14) and matrix["stage"] == "stride4"
    tree = matrix["categories"].index("tree")
    column = [each["delta"] for each in found["data"]["mIoU"]["categories"].values()]
    assert [row[tree] for row in matrix["delta"]] == column
    assert "there is no atlas" in found["attention_predicts"]["reason"]
    assert "python -m engine atlas --model cpt --data scenes-val" in found["attention_predicts"]["reason"]
    assert "there is no atlas" in refusal(capsys, *small, "--matrix", "--atlas", tmp_path / "none")


def test_the_tables_are_for_people(capsys):
    capsys.readouterr()
    arguments = (*IMAGE, "--ablate", "tree", "--pixel", "9,9", "--data", "scenes-val", "--limit", 1)
    assert cli.main([str(each) for each in ("surgery", *arguments)]) == 0
    text = capsys.readouterr().out
    for words in ("Share of the image", "stride4 after", "boundary IoU", "changed most", "one training seed"):
        assert words in text
    assert "nan" not in text


def test_help_names_every_flag(capsys):
    capsys.readouterr()
    assert cli.main(["surgery", "--help"]) == 0
    text = capsys.readouterr().out
    for flag in (
        "--oracle",
        "--replace",
        "--swap",
        "--zero-memory",
        "--matrix",
        "--edits",
        "--save",
        "--token",
    ):
        assert flag in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--model", "cpt", "--ablate", "tree"), "nothing to operate on"),
        (IMAGE, "nothing to edit"),
        ((*DATA, "--pixel", "1,1", "--oracle"), "--pixel belongs to --image"),
        ((*IMAGE, "--oracle", "--limit", 2), "--limit belongs to --data"),
        ((*IMAGE, "--oracle", "--atlas", "here"), "--atlas belongs to --matrix"),
        ((*IMAGE, "--ablate", "cow"), 'has no category "cow"'),
        ((*IMAGE, "--ablate", "tree", "--meaning", "gone"), "cannot be 'gone'"),
        (("--model", "cpt", "--matrix", "--meaning", "gone", "--limit", 1), "cannot mean 'gone'"),
        ((*IMAGE, "--ablate", "tree", "--stage", "stride2"), 'has no stage "stride2"'),
        ((*IMAGE, "--replace", "tree"), "must be two names with '='"),
        ((*IMAGE, "--swap", "tree"), "must be two names with ','"),
        ((*IMAGE, "--move", "tree=sky:much"), "'much' is no number"),
        ((*IMAGE, "--memory-share", 2), "not in [0, 1]"),
        ((*IMAGE, "--token", "tree=sky"), "has no class tokens"),
        ((*IMAGE, "--edits", "/nowhere.json"), "No such file"),
        ((*IMAGE, "--ablate", "tree", "--pixel", "900,1"), "outside the image"),
        ((*IMAGE, "--ablate", "tree", "--pixel", "here"), "must be row,col"),
        (("--model", "cpt", "--image", "/no.png", "--oracle"), "no.png"),
        (("--model", "cpt", "--data", "nowhere", "--update", "zero"), "there is no dataset 'nowhere'"),
        (("--model", "fpn", "--matrix", "--limit", 1), "no stages that read sources"),
        (("--model", "nobody", "--data", "scenes-val", "--update", "zero"), "no model"),
    ],
)
def test_bad_input_is_one_line(capsys, arguments, sentence):
    assert sentence in refusal(capsys, *arguments)


def test_what_belongs_to_one_image_is_refused_over_a_dataset(capsys, tmp_path: Path):
    file = tmp_path / "edits.json"
    region = {"kind": "hide-region", "region": {"rows": 1, "cols": 2, "bits": "10"}}
    file.write_text(json.dumps({"loupe_edits": 1, "edits": [region]}))
    assert "belongs to one image" in refusal(capsys, *DATA, "--edits", file)
    assert said(capsys, *IMAGE, "--edits", file)["image"]["changed_pixels"] >= 0
    assert Oracle() not in read_edits(file)
