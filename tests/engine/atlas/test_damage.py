"""Damage, a full disk, two at once: one sentence each, nothing that was written is lost, and building again mends it."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest

from engine.atlas import memory_effect, open_atlas
from engine.errors import LoupeError
from engine.stage import Stopped
from tests.engine.atlas.toys import (
    COUNT,
    Nods,
    again,
    assert_equal,
    files_of,
    read_everything,
    said,
    toy,
    toys,
)

pytestmark = pytest.mark.usefixtures("small_walks")


@pytest.fixture(scope="module")
def segmenter():
    return toy("memory")


@pytest.fixture(scope="module")
def reference(small_walks, segmenter, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    again(segmenter, folder)
    return folder


@pytest.fixture
def copy(reference, tmp_path) -> Path:
    shutil.copytree(reference, tmp_path / "atlas")
    return tmp_path / "atlas"


# ── damage ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def flip(path: Path, at: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 0x40
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE = [
    ("statistics.safetensors", flip),
    ("reservoir.safetensors", cut),
    ("reservoir.parquet", Path.unlink),
    ("results.json", lambda path: path.write_text("{}")),
    ("images/00000.parquet", flip),
    ("vectors/00001.safetensors", Path.unlink),
    ("vectors/00000.safetensors", flip),
    ("images/00002-ragged2.parquet", cut),
]


@pytest.mark.parametrize(("name", "harm"), DAMAGE, ids=[f"{name}-{i}" for i, (name, _) in enumerate(DAMAGE)])
def test_a_damaged_file_is_said_and_mended(segmenter, reference, copy, name: str, harm):
    others = {file: data for file, data in files_of(copy).items() if file != name}
    harm(copy / name)
    if name != "reservoir.parquet":  # a table for other programs: nothing here reads it
        message = said(lambda: read_everything(open_atlas(copy)))
        assert name in message and "again" in message
    assert {file: (copy / file).read_bytes() for file in others} == others
    dataset = toys(COUNT)
    again(segmenter, copy, dataset)
    assert_equal(copy, reference)
    read_everything(open_atlas(copy))
    # Only what the damage took is walked again; the ragged end and the memory's effects are always.
    chunk = {"00000": range(4), "00001": range(4, 8)}.get(name.split("/")[-1][:5], ())
    assert set(dataset.reads) <= {*chunk, *memory_effect.spread_over(COUNT), 8, 9}


MANIFESTS = [
    "",
    "{",
    "[]",
    "null",
    '{"manifest": {}}',
    '{"manifest": {"format": "loupe-atlas-2"}, "files": {}}',
    "\x00\xff",
]


@pytest.mark.parametrize("text", MANIFESTS)
def test_a_damaged_manifest_is_said_and_mended(segmenter, reference, copy, text: str):
    (copy / "manifest.json").write_bytes(text.encode("latin-1"))
    assert "manifest.json" in said(lambda: open_atlas(copy))
    again(segmenter, copy)
    assert_equal(copy, reference)


@pytest.mark.parametrize("key", ["sites", "skipped", "classes", "stages"])
def test_a_manifest_with_values_of_another_kind(reference, copy, key: str):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["manifest"][key] = [3] if key != "classes" else 3
    if key == "stages":
        manifest["files"] = 3
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert "damaged" in said(lambda: open_atlas(copy))


def test_a_manifest_that_forgot_a_file(segmenter, reference, copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["files"]["statistics.safetensors"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert "statistics.safetensors" in said(lambda: read_everything(open_atlas(copy)))


STATES = {
    "a flipped bit in the numbers": lambda path: flip(path, 0.7),
    "a flipped bit near the end": lambda path: flip(path, 0.999),
    "a flipped bit in the header": lambda path: flip(path, 0.01),
    "another count of chunks": lambda path: path.write_bytes(
        path.read_bytes().replace(b'\\"chunks\\": 2', b'\\"chunks\\": 1')
    ),
    "cut": cut,
    "empty": lambda path: path.write_bytes(b""),
    "not safetensors": lambda path: path.write_bytes(b"{}" * 500),
}


@pytest.mark.parametrize("harm", STATES.values(), ids=STATES.keys())
def test_a_damaged_state_changes_no_number(segmenter, reference, tmp_path, harm):
    """A walk never goes on from numbers that are not those that were written."""
    stop = Nods(2)
    with pytest.raises(Stopped):
        again(segmenter, tmp_path, stop=stop)
    before = (tmp_path / "state.safetensors").read_bytes()
    harm(tmp_path / "state.safetensors")
    assert (tmp_path / "state.safetensors").read_bytes() != before
    again(segmenter, tmp_path)
    assert_equal(tmp_path, reference)


def test_a_state_whose_shards_are_gone(segmenter, reference, tmp_path):
    with pytest.raises(Stopped):
        again(segmenter, tmp_path, stop=Nods(2))
    shutil.rmtree(tmp_path / "vectors")
    flip(tmp_path / "images/00001.parquet")
    again(segmenter, tmp_path)
    assert_equal(tmp_path, reference)


def test_what_cannot_be_mended_is_not_mended_by_half(segmenter, reference, copy):
    """The accumulation holds an image that cannot be read any more: a shard without it would not belong to it."""
    (copy / "vectors/00000.safetensors").unlink()
    before = {path: path.read_bytes() for path in copy.rglob("*.*") if path.is_file()}
    dataset = toys(COUNT)
    dataset.broken[1] = LoupeError("gone")
    message = said(lambda: again(segmenter, copy, dataset))
    assert "id-1" in message and "anew" in message
    assert {path: path.read_bytes() for path in copy.rglob("*.*") if path.is_file()} == before
    again(segmenter, copy)
    assert_equal(copy, reference)


def test_effects_that_were_not_asked_for_are_added(segmenter, reference, tmp_path):
    again(segmenter, tmp_path, memory_effects=False)
    assert open_atlas(tmp_path).effects == ()
    again(segmenter, tmp_path)
    assert_equal(tmp_path, reference)
    again(segmenter, tmp_path, memory_effects=False)  # and are not taken away again
    assert_equal(tmp_path, reference)


# ── the disk, and others ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_full_disk_loses_nothing(segmenter, reference, tmp_path, monkeypatch):
    """Full at the third write of every call, so that each gets a little further, and at last it is not full any more."""
    plain = Path.write_bytes
    room = counted = 0

    def full(path: Path, data) -> int:
        nonlocal counted
        counted += 1
        if counted >= room:
            plain(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    kept: dict[str, bytes] = {}
    for writes in (1, 2, 4, 6, 3, 6, 7):
        room, counted = writes, 0
        message = said(lambda: again(segmenter, tmp_path))
        assert "disk is full" in message and str(tmp_path) in message
        now = {
            p.relative_to(tmp_path).as_posix(): p.read_bytes() for p in tmp_path.rglob("*.*") if p.is_file()
        }
        assert not [name for name in now if name.endswith(".partial")]
        shards = {name: data for name, data in now.items() if name.startswith(("images/", "vectors/"))}
        assert kept.items() <= shards.items()
        kept = shards
        assert not (tmp_path / "manifest.json").exists()
    room, counted = 1000, 0
    again(segmenter, tmp_path)
    assert_equal(tmp_path, reference)


def test_a_full_disk_while_growing_leaves_the_old_atlas_readable(segmenter, reference, copy, monkeypatch):
    before = files_of(copy)
    plain = Path.write_bytes

    def full(path: Path, data) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert "disk is full" in said(lambda: again(segmenter, copy, toys(COUNT + 5)))
    monkeypatch.setattr(Path, "write_bytes", plain)
    assert files_of(copy) == before
    read_everything(open_atlas(copy))


def test_a_folder_that_cannot_be_one(segmenter, tmp_path):
    (tmp_path / "file").write_text("here")
    message = said(lambda: again(segmenter, tmp_path / "file"))
    assert str(tmp_path / "file") in message
    assert (tmp_path / "file").read_text() == "here"
    said(lambda: again(segmenter, tmp_path / "file" / "below"))
    said(lambda: open_atlas(tmp_path / "file"))


def test_two_at_once(segmenter, reference, copy):
    fcntl = pytest.importorskip("fcntl")
    before = files_of(copy)
    with (copy / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # another process's would be the same: it belongs to the open file
        assert "another process" in said(lambda: again(segmenter, copy))
        read_everything(open_atlas(copy))  # reading needs no lock
    assert files_of(copy) == before
    again(segmenter, copy)
