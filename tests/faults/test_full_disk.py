"""A full disk: one sentence, the old file whole, no half of a new one, and what was asked for is answered all the same."""

from __future__ import annotations

from pathlib import Path

from tests.faults.nursery import Nursery
from tests.faults.test_training import RECIPE


def test_a_checkpoint(nursery: Nursery, models: Path, tmp_path: Path):
    (found,) = nursery.run("checkpoint", model=models / "cpt.safetensors", folder=tmp_path / "disk").lines
    path = tmp_path / "disk" / "m.safetensors"
    assert found["said"] == f"{path} cannot be written: {found['why']}; the one that was there is kept"
    assert found["same"] and found["left"] == ["m.safetensors"]


def test_a_training_goes_on_without_its_resume_file_and_ends_in_one_sentence(
    nursery: Nursery, tmp_path: Path
):
    recipe, folder = tmp_path / "tiny.toml", tmp_path / "disk"
    recipe.write_text(RECIPE.format(steps=6))
    ended = nursery.run("training", recipe=recipe, folder=folder, room=200_000)
    (found,) = ended.lines
    assert found["code"] == 1 and "Traceback" not in ended.err
    assert ended.err.splitlines() == [
        f"tiny: step 2 cannot be kept for resuming ({found['why']}); the training goes on",
        f"error: {folder / 'tiny.safetensors'} cannot be written: {found['why']}",
    ]
    assert "tiny.safetensors" not in found["full"] and not any("partial" in name for name in found["full"])
    assert found["again"] == 0 and found["left"] == ["tiny.memory.safetensors", "tiny.safetensors"]


def test_the_cache_of_scenes_does_not_take_the_process_with_it(nursery: Nursery, tmp_path: Path):
    ended = nursery.run("scenes", folder=tmp_path / "disk")
    assert ended.code == 0, "killed by the system for writing through a map"
    (found,) = ended.lines
    assert found["said"].startswith("the images of scenes-val cannot be kept in ")
    assert found["said"].endswith(f": {found['why']}") and found["same"] and found["images"] == 3


def test_maps_findings_and_audits(nursery: Nursery, models: Path, tmp_path: Path):
    full, emptied = nursery.run("stores", folder=tmp_path / "disk", models=models).lines
    why, maps = full["why"], tmp_path / "disk" / "maps"
    assert full["note"] == f"This result is not kept for later: {maps} cannot be written ({why})."
    assert full["kept"] == f"the finding could not be written ({why})"
    assert full["audited"] and full["audit"].startswith("This audit is not kept for later: ")
    assert full["audit"].endswith(f": {why}.")
    assert full["same"] and full["titles"] == ["first"]
    assert emptied["titles"] == ["first", "third"] and emptied["again"] is None


def test_an_export(nursery: Nursery, models: Path, tmp_path: Path):
    ended = nursery.run("export", model=models / "cpt.safetensors", folder=tmp_path / "disk")
    found, path = ended.lines[-1], tmp_path / "disk" / "numbers.npz"
    assert found["code"] == 1 and found["same"] and found["left"] == ["numbers.npz"]
    assert ended.err.splitlines() == [
        f"error: {path} cannot be written: {found['why']}; the one that was there is kept"
    ]
