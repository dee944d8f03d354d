"""Killed while it walks over a dataset: what was walked is kept, no half of it is read; the next start says which."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from app.aside import Build, quietly
from engine import LoupeError
from engine.atlas import open_atlas
from tests.faults.acts import CHUNK
from tests.faults.nursery import Nursery

IMAGES = 5  # two whole chunks and a ragged one


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_what_was_walked_is_kept_and_said(nursery: Nursery, models: Path, tmp_path: Path):
    given = {"model": models / "cpt.safetensors", "limit": IMAGES}
    undisturbed = nursery.run("atlas", **given, out=tmp_path / "whole")
    assert undisturbed.code == 0 and undisturbed.err == "", undisturbed.err
    out = tmp_path / "parts"
    assert nursery.run("atlas", **given, out=out, amid="state.safetensors", nth=2).code == -signal.SIGKILL
    for amid, walked in (("manifest.json", CHUNK), ("", 2 * CHUNK)):
        found = nursery.run("atlas", **given, out=out, amid=amid)
        removed, goes_on = found.err.splitlines()
        assert removed.endswith(
            f"half-written file{'s' * (not amid)} of a process that was killed from {out}"
        )
        assert goes_on.endswith(f"goes on after {walked} of {IMAGES} images, which an earlier walk did")
        if amid:
            assert found.code == -signal.SIGKILL
            with pytest.raises(LoupeError, match="is not finished"):
                open_atlas(out)
    assert found.code == 0 and contents(out) == contents(tmp_path / "whole"), "byte for byte"


def test_the_walk_of_the_app_says_what_it_found(nursery: Nursery, models: Path, tmp_path: Path):
    given = {"model": models / "cpt.safetensors", "out": tmp_path, "limit": IMAGES}
    assert nursery.run("atlas_of_the_app", **given, amid="manifest.json").code == -signal.SIGKILL
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-7])  # as no kill leaves it, but a disk may
    again = nursery.run("atlas_of_the_app", **given)
    assert again.code == 0 and [each["found"] for each in again.lines if "found" in each] == [
        f"removed 5 half-written files of a process that was killed from {tmp_path}",
        "what an earlier walk left cannot be gone on with: it begins at the first image",
    ]
    assert len(open_atlas(tmp_path).images.index) == IMAGES


def test_the_page_hears_of_a_walk_that_was_killed_and_of_what_the_next_one_found():
    dies = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    killed = Build([sys.executable, "-c", dies], quietly(), 3)
    killed.wait(30)
    assert killed.error == "the walk was killed (signal 9); what it had written is kept"
    speaks = 'print(\'{"found": "goes on after 4 of 10 images"}\'); print(\'{"done": 10, "total": 10}\')'
    next_one = Build([sys.executable, "-c", speaks], quietly(), 10)
    next_one.wait(30)
    assert next_one.found == ("goes on after 4 of 10 images",) and next_one.error is None
