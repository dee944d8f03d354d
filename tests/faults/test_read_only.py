"""A place for results that cannot be written: pages answer, and say once that nothing is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.nursery import Nursery


@pytest.mark.parametrize("read_only", [False, True], ids=["below a file", "read-only"])
def test_pages_answer_and_say_it_once(nursery: Nursery, models: Path, tmp_path: Path, read_only: bool):
    (tmp_path / "file").write_bytes(b"")
    cache = tmp_path / "disk" if read_only else tmp_path / "file" / "cache"
    ended = nursery.run("pages", models=models, cache=cache, read_only=read_only)
    assert ended.code == 0, ended.err
    found = ended.lines[-1]
    if "skipped" in found:
        pytest.skip(found["skipped"])
    assert found["inspect"] and found["audit"] and found["held"] == 1 and not found["errors"], found
    why = "Read-only file system" if read_only else "Not a directory"
    (note,) = (each.replace("\\", "") for each in found["notes"] if "not kept" in each)
    assert note.startswith("This audit is not kept for later: ") and why in note
    assert found["again"] == found["notes"]
    assert "Traceback" not in ended.err
