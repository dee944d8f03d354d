"""Killed while it trains: the next run goes on from the last whole resume file, says so, and ends with the same weights."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.faults.nursery import PATIENCE, Nursery

RECIPE = """
train_images = 4
validation_images = 2
batch = 2
crop = 64
crop_from = 64
crop_to = 64
category_limit = 1.0
steps = {steps}
warmup = 2
precision = "fp32"
save_every = 2
moments = 5

[spec]
backbone = "mobilenetv4_conv_small_050"
sources = "memory"
channels = 8
heads = 2
pool_channels = 4
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "tiny.toml"
    path.write_text(RECIPE.format(steps=6))
    return path


def test_killed_amid_every_kind_of_write_it_ends_as_if_it_had_not_been(
    nursery: Nursery, recipe: Path, tmp_path: Path
):
    assert nursery.run("train", recipe=recipe, out=tmp_path / "whole").code == 0
    out = tmp_path / "parts"
    killed = nursery.run("train", recipe=recipe, out=out, amid="resume.pt", nth=2)
    assert killed.code == -signal.SIGKILL and killed.err == ""
    assert (out / "tiny.resume.pt").is_file() and len(list(out.glob(".*.partial"))) == 1

    for amid, found in (("memory.safetensors", 2), (".tiny.safetensors", 4)):
        killed = nursery.run("train", recipe=recipe, out=out, amid=amid)
        assert killed.code == -signal.SIGKILL
        assert killed.err.splitlines() == [
            f"tiny: removed 1 half-written file of a process that was killed from {out}",
            f"tiny: goes on from tiny.resume.pt, after step {found} of 6",
        ]
        assert not (out / "tiny.safetensors").exists(), "half of it has no name that is read"

    ended = nursery.run("train", recipe=recipe, out=out)
    assert ended.code == 0 and "goes on from tiny.resume.pt, after step 4 of 6" in ended.err
    assert sorted(path.name for path in out.iterdir()) == ["tiny.memory.safetensors", "tiny.safetensors"]
    for name in ("tiny.safetensors", "tiny.memory.safetensors"):
        first, second = load_file(tmp_path / "whole" / name), load_file(out / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[each], second[each]) for each in first), name


def test_killed_from_outside_at_any_moment(nursery: Nursery, tmp_path: Path):
    recipe, out = tmp_path / "long.toml", tmp_path / "out"
    recipe.write_text(RECIPE.format(steps=5000))
    pid = nursery.start("train", recipe=recipe, out=out)
    state, deadline = out / "long.resume.pt", time.monotonic() + PATIENCE
    while not state.is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    os.kill(pid, signal.SIGKILL)
    assert nursery.wait(pid).code == -signal.SIGKILL
    kept = torch.load(state, map_location="cpu", weights_only=True)
    recipe.write_text(RECIPE.format(steps=5000).replace("batch = 2", "batch = 4"))
    other = nursery.run("train", recipe=recipe, out=out)
    assert other.code == 1 and "belongs to another recipe: delete it" in other.err.splitlines()[-1]
    assert torch.load(state, map_location="cpu", weights_only=True)["step"] == kept["step"] >= 2


def test_half_a_resume_file_is_refused_in_one_sentence(nursery: Nursery, recipe: Path, tmp_path: Path):
    """None is ever written; a copy that broke off may be one."""
    nursery.run("train", recipe=recipe, out=tmp_path, amid="resume.pt", nth=2)
    state = tmp_path / "tiny.resume.pt"
    state.write_bytes(state.read_bytes()[:-1000])
    found = nursery.run("train", recipe=recipe, out=tmp_path)
    assert found.code == 1 and not (tmp_path / "tiny.safetensors").exists()
    assert (
        found.err.splitlines()[-1]
        == "error: The resume file tiny.resume.pt cannot be read: delete it to start again."
    )
