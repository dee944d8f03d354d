"""`python -m engine variance`: what it says is what the engine says; bad input is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine import Engine, cli
from engine.atlas import open_atlas
from engine.catalogue import ASSETS
from engine.markers import live_of, marker_distances, markers, parts_of
from engine.pixels import from_atlas
from engine.planted import planted
from engine.substitution import finding, substitution
from engine.terminal import plain
from engine.variance import spread

CPT = ASSETS / "models" / "cpt.safetensors"
IMAGES = 6
SHORT = ("--limit", IMAGES, "--device", "cpu")
SITES = ("--site", "stride8.value", "--site", "stride8.update")
BOTH = ("--model", "cpt", "--model", "bilinear")


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    capsys.readouterr()
    assert cli.main([str(each) for each in ("variance", *arguments, "--json")]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out, parse_constant=pytest.fail)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert cli.main([str(each) for each in ("variance", *arguments)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and err.startswith("error: ")
    return err


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Made by the command itself, where there was no atlas."""
    folders = tmp_path_factory.mktemp("cpt"), tmp_path_factory.mktemp("bilinear")
    given = [each for folder in folders for each in ("--atlas", folder)]
    arguments = ("variance", *BOTH, *given, *SHORT, "--site", "f2", "--json")
    assert cli.main([str(each) for each in arguments]) == 0
    return folders


@pytest.fixture(scope="module")
def given(folders) -> tuple:
    return tuple(each for folder in folders for each in ("--atlas", folder))


def test_it_says_what_the_engine_says(capsys, folders, given):
    found = said(capsys, *BOTH, *given, *SITES, "--device", "cpu", "--pixels", 900)
    assert found["data"] == "scenes-val" and "one training seed" in found["intervals"]
    cpt, bilinear = found["models"]
    assert (cpt["model"], bilinear["model"], cpt["images"]) == ("cpt", "bilinear", IMAGES)
    atlas = open_atlas(folders[0])
    sample = from_atlas(atlas, "stride8.value", count=900)
    site = cpt["sites"]["stride8.value"]
    expected = plain(spread(sample).json())
    assert {name: site[name] for name in expected} == expected
    assert site["planted"] == {each.name: plain(each.json()) for each in planted(sample)}
    parts = parts_of(Engine(device="cpu").segmenter("cpt"))
    for each in marker_distances(sample, markers(sample.site, parts, live_of(atlas))):
        assert site["markers"][each.kind][each.name]["value"] == plain(each.distance.value)
    stages = substitution(atlas)
    assert cpt["substitution"] == plain([each.json() for each in stages])
    assert found["finding"] == cpt["finding"] == list(finding(stages, "cpt", "scenes-val"))


def test_a_site_that_one_model_lacks_is_said_for_it_alone(capsys, given):
    found = said(capsys, *BOTH, *given, *SITES, "--device", "cpu", "--pixels", 400)
    cpt, bilinear = (each["sites"] for each in found["models"])
    assert 'no site "stride8.value"' in bilinear["stride8.value"]["refused"]
    assert "ratio" in cpt["stride8.value"] and "ratio" in bilinear["stride8.update"]
    assert "no distance is taken" in cpt["stride8.update"]["markers"]["refused"]
    assert "lies in the space of" in bilinear["stride8.update"]["markers"]["refused"]
    assert found["models"][1]["substitution"] == []
    assert "substitutes nothing" in found["models"][1]["finding"][0]


def test_by_default_it_measures_every_stage_f2_and_fused(capsys, folders):
    found = said(capsys, "--model", "bilinear", "--atlas", folders[1], "--device", "cpu", "--pixels", 300)
    stages = [f"stride{s}.update" for s in (16, 8, 4)]
    assert sorted(found["models"][0]["sites"]) == sorted([*stages, "f2", "fused"])
    assert found["finding"] == found["models"][0]["finding"]


def test_the_seed_is_what_is_drawn_with(capsys, folders):
    asked = ("--model", "cpt", "--atlas", folders[0], "--site", "fused", "--device", "cpu", "--pixels", 300)
    first, again, other = (said(capsys, *asked, "--seed", seed) for seed in (3, 3, 4))
    assert first == again and first["seed"] == 3
    one, two = (each["models"][0]["sites"]["fused"]["silhouette"] for each in (first, other))
    assert one["value"] == two["value"] and one["low"] != two["low"]


def test_the_tables_are_for_people(capsys, given):
    capsys.readouterr()
    arguments = ("variance", *BOTH, *given, *SITES, "--device", "cpu", "--pixels", 400)
    assert cli.main([str(each) for each in arguments]) == 0
    text = capsys.readouterr().out
    for words in (
        "Within ÷ between, whole images",
        "planted modes",
        "k-NN purity",
        "Prototype substitution in cpt",
    ):
        assert words in text
    assert "Estimate(" not in text and "nan" not in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--model", "nobody"), "no model"),
        (("--model", "cpt", "--data", "nowhere"), "there is no dataset 'nowhere'"),
        (("--model", "cpt", "--model", "cpt"), "named twice"),
        (("--model", "cpt", "--limit", 0), "Invalid value"),
        (("--model", "cpt", "--pixels", 0), "Invalid value"),
        ((), "Missing option"),
    ],
)
def test_bad_input_is_one_line(capsys, arguments, sentence):
    assert sentence in refusal(capsys, *arguments)


def test_bad_atlases_and_sites_are_one_line(capsys, folders, given):
    one = ("--model", "cpt", "--atlas", folders[0], "--device", "cpu")
    assert 'no site "f9" in these models: they have f0, f1' in refusal(capsys, *one, "--site", "f9")
    assert "--atlas is given 2 times and --model 1" in refusal(
        capsys, "--model", "cpt", *given, "--device", "cpu"
    )
    assert f"of {IMAGES} images, more than 2" in refusal(capsys, *one, "--limit", 2)
    swapped = refusal(capsys, "--model", "bilinear", "--atlas", folders[0], "--device", "cpu")
    assert "is of another checkpoint" in swapped
    train = refusal(capsys, *one, "--data", "scenes-train")
    assert "is over scenes-val, not scenes-train" in train
