"""A checkpoint exchanged on the disk while it is loaded: numbers and hash stay of one file, or both are the new one's, which is
said; garbage in its place is one sentence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults.nursery import Nursery

REFUSED = "cpt.safetensors was exchanged on the disk for another file: try again to see the new one"


@pytest.fixture
def own(models: Path, tmp_path: Path) -> dict[str, Path]:
    """A folder of one's own, and what its checkpoint is exchanged for."""
    shutil.copyfile(models / "cpt.safetensors", tmp_path / "cpt.safetensors")
    return {"models": tmp_path, "other": models / "other.safetensors.aside"}


def test_numbers_and_hash_are_of_one_file(nursery: Nursery, own: dict[str, Path]):
    exchanged, garbage = nursery.run("exchanged", **own).lines
    assert exchanged.pop("refused") == REFUSED
    assert all(exchanged.values()), exchanged
    assert garbage == {
        "garbage": "cpt.safetensors is no safetensors checkpoint: it is truncated or damaged",
        "still": True,
    }


def test_exchanged_while_it_is_read(nursery: Nursery, own: dict[str, Path]):
    (found,) = nursery.run("exchanged_while_read", **own).lines
    assert found["said"] == [REFUSED, [True, True]]


def test_the_page_says_so_and_garbage_is_one_sentence(nursery: Nursery, own: dict[str, Path]):
    ended = nursery.run("page", **own)
    (found,) = ended.lines
    assert not found["exception"] and "Traceback" not in ended.err
    assert found["first"] == [] and found["redrawn"]
    (said,) = found["second"]
    assert said.replace("\\", "") == (
        f"The file of cpt was exchanged on the disk: what is shown is of the new one ({found['hash']})."
    )
    assert sum("damaged" in each or "not opened" in each for each in found["third"]) == 1, found
