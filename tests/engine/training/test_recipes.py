"""Recipes: what ships is valid and comparable; what is wrong is refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import LoupeError
from engine.training.recipes import Recipe, load_recipe, recipe_names

DEMO = {"bilinear": "bilinear", "qup": "pixels", "cpt-image": "prototypes", "cpt": "memory"}


def test_the_demo_models_differ_in_their_sources_alone():
    plain = []
    for name, sources in DEMO.items():
        recipe = load_recipe(name).json()
        assert recipe.pop("name") == name
        recipe.pop("title")
        assert recipe["spec"].pop("sources") == sources
        assert recipe["spec"].pop("memory_share", 0.1) == 0.1
        plain.append(recipe)
    assert all(recipe == plain[0] for recipe in plain)
    assert plain[0]["spec"]["auxiliary_masks"] is True
    assert plain[0]["initial_backbone"] == "backbone.safetensors"


GUIDANCE = {"hfgd": {}, "fpn-cut": {"own_tokens": True}, "fpn": {"method": "fpn"}}


def test_hfgd_and_its_baselines_are_trained_like_the_first_four():
    shared = load_recipe("cpt").json()
    for name in (*GUIDANCE, "dilated"):
        recipe = load_recipe(name).json()
        for key in shared.keys() - {"name", "title", "spec"}:
            assert recipe[key] == shared[key], (name, key)
        assert recipe["spec"]["channels"] == shared["spec"]["channels"]
    hfgd = load_recipe("hfgd").spec
    for name, differs in GUIDANCE.items():
        assert load_recipe(name).spec == hfgd | differs
    assert load_recipe("dilated").spec["output_stride"] == 8


def test_every_shipped_recipe_loads():
    assert set(DEMO) | {"backbone"} <= set(recipe_names())
    backbone = load_recipe("backbone").spec["backbone"]
    assert {load_recipe(name).spec["backbone"] for name in recipe_names()} == {backbone}


def test_extending_states_only_what_differs(tmp_path: Path):
    (tmp_path / "base.toml").write_text("steps = 7\nbatch = 4\n[spec]\nchannels = 16\nheads = 2\n")
    (tmp_path / "child.toml").write_text('extends = "base"\nsteps = 9\n[spec]\nheads = 4\n')
    recipe = load_recipe(tmp_path / "child.toml")
    assert (recipe.name, recipe.steps, recipe.batch) == ("child", 9, 4)
    assert recipe.spec == {"channels": 16, "heads": 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps = ", "is not valid TOML"),
        ("stepz = 3", "unknown key 'stepz'"),
        ('steps = "many"', "steps is 'many' but must be of type int"),
        ("steps = true", "steps is True but must be of type int"),
        ("seed = 1.5", "seed is 1.5 but must be of type int"),
        ('optimiser = "adam"', "optimiser is 'adam' but must be one of adamw, muon, sgd"),
        ("steps = 0", "steps is 0 but must be 1 or more"),
        ("batch = 1", "batch is 1 but must be 2 or more"),
        ('task = "poetry"', "task is 'poetry' but must be one of segmentation, recognition"),
        ('memory_schedule = "steps"', "must be one of constant, poly"),
        ("category_limit = 0.0", "category_limit is 0.0"),
        ("crop_from = 200", "crop_from is 200 but must be between 1 and crop_to"),
        ('spec = "cpt"', "spec is 'cpt' but must be of type dict"),
        ('extends = "me"', "extends itself"),
        ('extends = "gone"', "no recipe 'gone'"),
        ("extends = 3", "extends is 3"),
    ],
)
def test_refusals(tmp_path: Path, text: str, message: str):
    path = tmp_path / "me.toml"
    path.write_text(text)
    with pytest.raises(LoupeError, match=message) as refusal:
        load_recipe(path)
    assert "\n" not in str(refusal.value)


def test_a_missing_recipe_names_the_known_ones():
    with pytest.raises(LoupeError, match=r"no recipe 'nothing': give a TOML file or one of .*cpt"):
        load_recipe("nothing")


def test_a_whole_number_is_a_number(tmp_path: Path):
    path = tmp_path / "r.toml"
    path.write_text("clip = 5")
    assert load_recipe(path).clip == 5.0 and isinstance(load_recipe(path), Recipe)
