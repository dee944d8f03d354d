"""Recipes: what ships is valid and comparable; what is wrong is refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.costs import gmacs_of
from engine.data.class_lists import class_list
from engine.data.descriptions import split_of
from engine.errors import LoupeError
from engine.segmenter import SegmenterSpec, build
from engine.training.recipes import Recipe, load_recipe, recipe_names
from engine.training.segmentation import make_spec

SWIN = "mmseg/swin_large_window12"
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
    demo = {*DEMO, *GUIDANCE, "dilated", "demo", "backbone"}
    assert demo | set(PAPERS) | {"papers"} == set(recipe_names())
    backbone = load_recipe("backbone").spec["backbone"]
    assert {load_recipe(name).spec["backbone"] for name in demo} == {backbone}


# Rows of the author's table: backbone, stride, sources, μ, optimiser, rate and decay of head and backbone, steps, crop.
PAPERS = {
    "cpt-r50-ade20k": ("resnet50c", 32, "prototypes", None, "adamw", 6e-4, 6e-5, 1e-2, 1e-5, 160_000, 512),
    "cpt-r101-ade20k": ("resnet101c", 8, "memory", 0.1, "adamw", 6e-4, 6e-5, 1e-2, 2e-5, 160_000, 512),
    "cpt-r101-cityscapes": (
        "resnet101c",
        8,
        "prototypes",
        None,
        "adamw",
        1e-4,
        1e-4,
        5e-4,
        5e-4,
        160_000,
        768,
    ),
    "cpt-r101-context": ("resnet101c", 8, "memory", 0.1, "adamw", 1e-5, 1e-5, 4e-5, 4e-5, 80_000, 480),
    "cpt-r101-coco-stuff10k": ("resnet101c", 32, "memory", 0.1, "sgd", 0.01, 0.01, 5e-4, 5e-4, 80_000, 512),
    "cpt-mit-b2-ade20k": ("mmseg/mit_b2", 32, "memory", 0.2, "adamw", 6e-5, 6e-5, 0.01, 0.01, 160_000, 512),
    "cpt-mit-b5-ade20k": ("mmseg/mit_b5", 32, "memory", 0.2, "adamw", 6e-5, 6e-5, 0.04, 0.04, 160_000, 640),
    "cpt-swin-l-ade20k": (SWIN, 32, "memory", 0.2, "adamw", 6e-4, 6e-5, 0.03, 0.03, 160_000, 640),
    "cpt-swin-l-cityscapes": (SWIN, 32, "memory", 0.1, "adamw", 4e-4, 4e-5, 0.03, 0.03, 160_000, 1024),
    "cpt-swin-l-context": (SWIN, 32, "memory", 0.2, "adamw", 2e-4, 2e-5, 0.01, 0.01, 80_000, 480),
    **{f"hfgd-r101-{data}": None for data in ("cityscapes", "coco-stuff10k", "context")},
}
WINDOWS = {"r101-cityscapes": (768, 512), "swin-l-cityscapes": (1024, 768), "context": (480, 320)}


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_recipes_say_what_the_authors_table_says(name):
    recipe = load_recipe(name)
    found = split_of(recipe.train_data)
    assert found is not None and found[1] == "train"
    data = found[0].name
    spec = make_spec(recipe, found[0].classes)
    assert recipe.validation_data.rsplit("-", 1)[0] == data and recipe.pretrained
    assert (recipe.scale_from, recipe.scale_to, recipe.category_limit) == (0.5, 2.0, 0.75)
    window = next((sizes for key, sizes in WINDOWS.items() if name.endswith(key)), None)
    if "hfgd" not in name or "cityscapes" not in name:
        assert (recipe.test_window, recipe.test_stride) == (window or (0, 0))
    row = PAPERS[name]
    if row is None:
        assert (spec.method, spec.token_cut, spec.high_cut, spec.low_cut) == ("hfgd", 0, 0, 0)
    else:
        found = (
            *(spec.backbone, spec.output_stride, spec.sources, spec.memory_share if spec.remembers else None),
            *(recipe.optimiser, recipe.learning_rate, recipe.learning_rate * recipe.backbone_rate),
            *(recipe.weight_decay, recipe.weight_decay * recipe.backbone_decay, recipe.steps, recipe.crop),
        )
        assert found == tuple(pytest.approx(x) if isinstance(x, float) else x for x in row)
    if "mit" in spec.backbone:
        pytest.importorskip("transformers")
    with torch.device("meta"):
        build(spec)


# Parameters in millions, GMACs by torch's counter where the authors' table has them, size: methods as published, 150 categories.
@pytest.mark.parametrize(
    ("backbone", "side", "millions", "gmacs"),
    [("resnet50c", 512, 31.41, 93.34), ("resnet101c", 512, 50.40, None), (SWIN, 640, 202.81, None)],
)
def test_models_are_as_large_as_published(backbone, side, millions, gmacs):
    spec = SegmenterSpec(backbone, class_list("ade20k"))
    with torch.device("meta"):
        parameters = sum(p.numel() for p in build(spec).parameters())
    assert parameters / 1e6 == pytest.approx(millions, abs=0.005)
    if gmacs is not None:
        assert gmacs_of(spec, (side, side)) == pytest.approx(gmacs, abs=0.005)


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
