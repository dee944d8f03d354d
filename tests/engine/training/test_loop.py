"""The loop: an interrupted run ends as an uninterrupted one; what decays; what is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from engine import checkpoints
from engine.data.datasets import Sample
from engine.errors import LoupeError
from engine.training import data, loop, objective, pretraining, segmentation
from engine.training.recipes import Recipe
from engine.training.schedules import memory_share, rate_factor

CLASSES = ("sky", "water", "grass", "house")
TINY = Recipe(
    name="tiny",
    spec={"backbone": "mobilenetv4_conv_small_050", "channels": 8, "heads": 2, "pool_channels": 4},
    batch=2,
    crop=64,
    crop_from=64,
    crop_to=64,
    category_limit=1.0,
    steps=6,
    warmup=2,
    precision="fp32",
    validation_images=2,
    save_every=2,
    moments=5,
)


class Stripes:
    """Six images of four coloured stripes, one per category."""

    classes = CLASSES

    def __init__(self) -> None:
        random = np.random.default_rng(3)
        self.labels = np.repeat(np.arange(4, dtype=np.uint8), 24)[None, :, None].repeat(6, 0).repeat(96, 2)
        colour = np.array([[80, 140, 220], [20, 50, 120], [60, 140, 40], [160, 80, 60]])
        noise = random.integers(-15, 16, (*self.labels.shape, 3))
        self.images = (colour[self.labels] + noise).clip(0, 255).astype(np.uint8)
        self.modes = np.zeros_like(self.labels)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.images[index], self.labels[index], self.modes[index], str(index))


@pytest.fixture(autouse=True)
def stripes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "materialise", lambda name, count: Stripes())
    for module in (segmentation, pretraining):
        monkeypatch.setattr(module, "open_dataset", lambda name: Stripes())


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Two threads wait for each other longer than these sizes take."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Killed(Exception):
    pass


def killed_at(step: int):
    def progress(finished: int, steps: int, figures: dict) -> None:
        if finished == step:
            raise Killed

    return progress


@pytest.mark.parametrize(
    ("task", "optimiser"), [("segmentation", "adamw"), ("segmentation", "muon"), ("recognition", "adamw")]
)
def test_a_killed_run_ends_as_an_uninterrupted_one(tmp_path: Path, task: str, optimiser: str):
    recipe = dataclasses.replace(TINY, task=task, optimiser=optimiser)
    whole = loop.train(recipe, tmp_path / "whole", device="cpu")
    with pytest.raises(Killed):
        loop.train(recipe, tmp_path / "parts", device="cpu", progress=killed_at(3))
    assert (tmp_path / "parts" / "tiny.resume.pt").is_file(), "saved at step 2"
    seen = []
    parts = loop.train(
        recipe, tmp_path / "parts", device="cpu", progress=lambda done, steps, _: seen.append((done, steps))
    )
    assert seen == [(3, 6), (4, 6), (5, 6), (6, 6)], "goes on after step 2"
    assert not (tmp_path / "parts" / "tiny.resume.pt").exists()
    first, second = load_file(whole), load_file(parts)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    if task == "segmentation":
        names = [path.with_name("tiny.memory.safetensors") for path in (whole, parts)]
        first, second = map(load_file, names)
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_seed_and_steps_override_and_the_seed_matters(tmp_path: Path):
    paths = [
        loop.train(TINY, tmp_path / f"{seed}.safetensors", device="cpu", seed=seed, steps=1)
        for seed in (0, 0, 1)
    ]
    weights = [load_file(path)["decoder.classifier.weight"] for path in (paths[0], paths[2])]
    assert not torch.equal(*weights)
    provenance = checkpoints.read_header(paths[2]).provenance
    assert provenance["seed"] == 1 and provenance["step"] == 1 and provenance["recipe"]["steps"] == 1


def test_the_checkpoint_knows_where_it_comes_from(tmp_path: Path):
    path = loop.train(dataclasses.replace(TINY, watch_every=3), tmp_path, device="cpu")
    checkpoint = checkpoints.load(path)
    provenance = checkpoint.provenance
    assert checkpoint.segmenter.spec.classes == CLASSES
    assert provenance["recipe"]["spec"] == TINY.spec
    assert set(provenance["categories"]) == set(CLASSES)
    assert 0 <= provenance["mIoU"] <= 100 and 0 <= provenance["boundary_IoU"] <= 100
    assert provenance["packages"]["torch"] == torch.__version__.split("+")[0]
    assert [entry["step"] for entry in provenance["history"]] == [3, 6]
    assert not list(tmp_path.glob("*.resume.pt")) and not list(tmp_path.glob("*.part"))


GUIDED = dataclasses.replace(
    TINY,
    spec={
        "backbone": "mobilenetv4_conv_small_050",
        "method": "hfgd",
        "channels": 8,
        "level_channels": 6,
        "context_channels": 10,
        "context_keys": 4,
        "dropout": 0.3,
    },
    clip=0.05,  # far below the gradients: every step is clipped
)


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
@pytest.mark.parametrize("own_tokens", [False, True])
def test_the_guide_branch_never_notices_the_upsamplers_loss(tmp_path, monkeypatch, optimiser, own_tokens):
    """The same weights after N steps with and without L_u: optimiser state, clipping and dropout are all drawn apart."""
    recipe = dataclasses.replace(
        GUIDED, optimiser=optimiser, spec=GUIDED.spec | {"own_tokens": own_tokens}, validation_images=0
    )
    both = loop.train(recipe, tmp_path / "both.safetensors", device="cpu")
    whole = objective.segmentation_losses

    def guide_alone(prediction, labels):
        return {name: loss for name, loss in whole(prediction, labels).items() if name == "guide"}

    monkeypatch.setattr(objective, "segmentation_losses", guide_alone)
    alone = loop.train(recipe, tmp_path / "alone.safetensors", device="cpu")
    first, second = load_file(both), load_file(alone)
    upsampler = ("decoder.upsampler.", "decoder.skips.", "decoder.own_tokens.")
    guide = [name for name in first if not name.startswith(upsampler)]
    assert any(name.startswith("decoder.context.") for name in guide) and "decoder.tokens.weight" in guide
    assert any("running_mean" in name for name in guide)
    different = [name for name in guide if not torch.equal(first[name], second[name])]
    assert different == []
    moved = [n for n in first if n.startswith("decoder.upsampler.") and not torch.equal(first[n], second[n])]
    assert moved, "and the upsampler does learn from L_u"


def test_open_cuts_do_reach_the_guide_branch(tmp_path, monkeypatch):
    """The law above can fail: with one cut open the guide's weights differ."""
    recipe = dataclasses.replace(GUIDED, spec=GUIDED.spec | {"high_cut": 1.0}, validation_images=0)
    both = load_file(loop.train(recipe, tmp_path / "both.safetensors", device="cpu"))
    closed = dataclasses.replace(GUIDED, validation_images=0)
    cut = load_file(loop.train(closed, tmp_path / "cut.safetensors", device="cpu"))
    assert not torch.equal(both["decoder.context.project.weight"], cut["decoder.context.project.weight"])


def test_memory_moments_are_beside_the_checkpoint(tmp_path: Path):
    path = loop.train(dataclasses.replace(TINY, memory_schedule="poly"), tmp_path, device="cpu")
    moments = load_file(tmp_path / "tiny.memory.safetensors")
    assert moments["steps"].tolist() == [0, 1, 2, 3, 6]
    segmenter = checkpoints.load(path).segmenter
    for stage, bank in zip(("stride16", "stride8", "stride4"), segmenter.decoder.memory_banks(), strict=True):
        assert moments[f"{stage}.bank"].shape == (5, 4, 8)
        assert moments[f"{stage}.bank"].dtype == torch.float16
        assert torch.equal(moments[f"{stage}.bank"][-1].float(), bank.bank[0]), (
            "the last moment is the model's"
        )
    assert segmenter.spec.memory_share == pytest.approx(memory_share("poly", 5, 6, 0.1)), "the last μ used"
    with safe_open(tmp_path / "tiny.memory.safetensors", "pt") as file:
        assert file.metadata()["checkpoint"] == "tiny.safetensors"


def test_no_moments_without_memory(tmp_path: Path):
    recipe = dataclasses.replace(TINY, spec=TINY.spec | {"sources": "prototypes"}, steps=1)
    loop.train(recipe, tmp_path, device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.safetensors"]


def test_a_pretrained_backbone_is_where_training_starts(tmp_path: Path):
    backbone = loop.train(
        dataclasses.replace(TINY, task="recognition", steps=2), tmp_path / "b", device="cpu"
    )
    stored = load_file(backbone)
    task = segmentation.SegmentationTask(dataclasses.replace(TINY, initial_backbone=str(backbone)))
    state = task.segmenter.backbone.state_dict()
    assert all(torch.equal(state[name], stored[name].to(state[name].dtype)) for name in state)


def test_groups(tmp_path: Path):
    recipe = dataclasses.replace(TINY, backbone_rate=0.25, weight_decay=0.5)
    task = loop.make_task(recipe)
    groups = loop.parameter_groups(task, recipe)
    backbone = {id(p) for p in task.backbone_parameters()}
    counted = [p for group in groups for p in group["params"]]
    assert {id(p) for p in counted} == {id(p) for p in task.objective.parameters()}
    assert len(counted) == len({id(p) for p in counted})
    for group in groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.5 if parameter.ndim > 1 else 0.0)
            assert group["lr"] == pytest.approx(3e-3 * (0.25 if id(parameter) in backbone else 1.0))


def test_rate_rises_then_falls_to_zero():
    factors = [rate_factor(step, 100, 10, 1.0) for step in range(101)]
    assert factors[0] == pytest.approx(0.1) and factors[100] == 0.0
    assert all(a < b for a, b in pairwise(factors[:9]))
    assert all(a > b for a, b in pairwise(factors[10:]))
    assert rate_factor(50, 100, 10, 2.0) == pytest.approx(0.25)


def test_memory_schedules():
    assert {memory_share("constant", step, 10, 0.2) for step in range(10)} == {0.2}
    assert memory_share("poly", 0, 10, 0.1) == pytest.approx(0.1)
    assert memory_share("poly", 10, 10, 0.1) == pytest.approx(0.009)
    assert memory_share("poly", 5, 10, 0.1) == pytest.approx(0.5**0.9 * 0.091 + 0.009)


def test_refusals(tmp_path: Path):
    with pytest.raises(LoupeError, match="no device 'abacus'"):
        loop.train(TINY, tmp_path, device="abacus")
    with pytest.raises(LoupeError, match="spec has the unknown key 'chanels'"):
        loop.train(dataclasses.replace(TINY, spec=TINY.spec | {"chanels": 3}), tmp_path, device="cpu")
    with pytest.raises(LoupeError, match=r"backbone gone\.safetensors is missing"):
        loop.train(dataclasses.replace(TINY, initial_backbone="gone.safetensors"), tmp_path, device="cpu")
    with pytest.raises(LoupeError, match="do not fit"):
        loop.train(dataclasses.replace(TINY, crop_to=200), tmp_path, device="cpu")
    (tmp_path / "tiny.resume.pt").write_bytes(b"PK nonsense")
    with pytest.raises(LoupeError, match=r"tiny\.resume\.pt cannot be read"):
        loop.train(TINY, tmp_path, device="cpu")


def test_a_resume_file_of_another_recipe_is_refused(tmp_path: Path):
    with pytest.raises(Killed):
        loop.train(TINY, tmp_path, device="cpu", progress=killed_at(3))
    with pytest.raises(LoupeError, match="belongs to another recipe"):
        loop.train(TINY, tmp_path, device="cpu", steps=9)
    assert loop.train(TINY, tmp_path, device="cpu", steps=1, resume=False).is_file()


def test_presence():
    labels = torch.full((1, 20, 20), 255)
    labels[0, 0, :2] = 1  # exactly 0.5 %
    labels[0, 1, 0] = 2  # 0.25 %
    labels[0, 2, :] = 3
    modes = torch.full((1, 20, 20), 255)
    modes[0, 0, :2] = 1
    modes[0, 2, :10] = 2
    seen = pretraining.presence(labels, modes, [1, 2, 2, 3])
    assert seen[0, :4].tolist() == [0, 1, 0, 1]
    assert seen[0, 4:].tolist() == [0, 0, 1, 0, 0, 0, 0, 1]
    assert pretraining.presence(labels, None, [1, 2, 2, 3])[0, 4:].sum() == 0


@pytest.mark.parametrize(("sign", "expected"), [(1, 100.0), (-1, 26.67)])
def test_average_precision_leaves_out_what_is_always_there(sign: int, expected: float):
    task = pretraining.RecognitionTask(dataclasses.replace(TINY, task="recognition"))
    shown = Stripes()
    shown.labels[:4] = 1  # four of six images show water alone
    task.validation = shown  # pyright: ignore[reportAttributeAccessIssue]
    scores = torch.linspace(0, 1, 6)[:, None].expand(6, 4) * sign
    task.scores = lambda images: scores  # pyright: ignore[reportAttributeAccessIssue]
    mean, named = task.average_precision(6, torch.device("cpu"))
    assert named["water"] is None
    # ranked last, the two images with sky are found at places 5 and 6: (1/5 + 2/6) / 2
    assert named["sky"] == mean == pytest.approx(expected)
