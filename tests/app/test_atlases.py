"""Which atlas a model has, and the walks that make them: shared, stopped, told of, never twice at once."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from app import atlas_walk, atlases, datasets
from app.atlas_walk import ANEW
from app.atlases import Atlases, Build, beyond_mending, complete, may_begin
from engine import Engine
from engine.atlas.folder import MANIFEST, default_folder, locked
from engine.atlas.resume import _check
from engine.errors import LoupeError

PATIENCE = 30.0

WALKER = """
import json, sys, threading, time
gone = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), gone.set()), daemon=True).start()
print("chatter of a library")
for done in range(1, 2001):
    print(json.dumps({"done": done, "total": 2000}), flush=True)
    if gone.wait(0.01):
        sys.exit(0)
"""


def walker(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def until(condition, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


@pytest.fixture
def card(tiny_checkpoint):
    return Engine(device="cpu").card(tiny_checkpoint)


@pytest.fixture(autouse=True)
def any_model_fits(request, monkeypatch):
    """The stand-ins' categories are none of the demo world's."""
    if "real_datasets" not in request.fixturenames:
        monkeypatch.setattr(datasets, "of", lambda card: datasets.DEMO)


@pytest.fixture
def real_datasets():
    """Datasets are looked for as they are in the app."""


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Atlases:
    """Its walks are a stand-in that counts slowly."""
    monkeypatch.setattr(atlases, "_command", lambda *_: walker(WALKER))
    return Atlases(tmp_path)


def test_a_walk_tells_how_far_it_is_and_ends_when_asked(shelf, card):
    build = shelf.build(card)
    until(lambda: build.done > 3)
    assert build.running and build.total == 2000 and not build.stopped
    assert shelf.busy() and build.seconds_left is not None and build.seconds_left > 0
    build.stop()
    build.wait(PATIENCE)
    assert not build.running and build.stopped and not build.stopping and build.error is None
    assert not shelf.busy() and build.seconds_left is None
    build.stop()  # again: nothing happens


def test_two_sessions_share_a_walk_and_a_stopped_one_goes_on(shelf, card):
    found: list[Build] = []
    threads = [threading.Thread(target=lambda: found.append(shelf.build(card))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = found[0]
    assert all(build is first for build in found) and shelf.build_of(card) is first
    shelf.stop_all()
    first.wait(PATIENCE)
    second = shelf.build(card)
    assert second is not first and second.running
    second.stop()
    second.wait(PATIENCE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('import json; print(json.dumps({"error": "the disk is full"})); raise SystemExit(1)', "the disk is full"),
        ("import sys; print('boom', file=sys.stderr); sys.exit(3)", "exit status 3"),
    ],
)  # fmt: skip
def test_what_went_wrong_is_one_sentence(tmp_path, card, monkeypatch, text, said, capfd):
    monkeypatch.setattr(atlases, "_command", lambda *_: walker(text))
    build = Atlases(tmp_path).build(card)
    build.wait(PATIENCE)
    assert build.error is not None and said in build.error and not build.stopped
    if "exit" in said:
        assert "boom" in capfd.readouterr().err


def test_no_atlas_is_no_fault(tmp_path, card):
    found = Atlases(tmp_path).find(card)
    assert (found.atlas, found.why, found.key) == (None, None, "")


def test_another_version_is_a_sentence_and_can_be_made_anew(shelf, card):
    folder = shelf.folder(card)
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(json.dumps({"manifest": {"format": "loupe-atlas-0"}, "files": {}}))
    found = shelf.find(card)
    assert found.atlas is None and found.why is not None and "another version" in found.why and found.anew
    build = shelf.build(card, anew=True)
    assert build.command[-1] == ANEW and ANEW not in shelf.build(card).command[:-1]
    build.stop()
    build.wait(PATIENCE)


def test_damaged_manifest_is_a_sentence(shelf, card):
    folder = shelf.folder(card)
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text("{")
    found = shelf.find(card)
    assert "damaged" in (found.why or "") and not found.anew  # the walk mends it and keeps what is whole


def test_an_atlas_of_another_checkpoint_is_beyond_mending(shelf, card):
    folder = shelf.folder(card)
    assert not beyond_mending(f"another process is building the atlas in {folder}")
    assert not beyond_mending("the atlas cannot be written: the disk is full; what is there is kept")
    with pytest.raises(LoupeError) as caught:
        _check(folder, {"checkpoint": "a"}, {"checkpoint": "b"})
    assert beyond_mending(str(caught.value))


def test_the_walks_process_makes_an_atlas_that_is_found(tmp_path, card, tiny_checkpoint, monkeypatch, capsys):
    """In this process, with a dataset of its own: five categories, three small images."""
    import numpy as np

    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(3)]
    labels = [rng.integers(0, 5, (2, 3), dtype=np.uint8).repeat(32, 0).repeat(32, 1) for _ in range(3)]

    class Three:
        name, classes = "scenes-val", card.classes

        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int):
            return SimpleNamespace(
                image=images[index], labels=labels[index], modes=None, id=str(1_000_000 + index)
            )

    monkeypatch.setattr(atlas_walk, "_await_end", lambda gone: None)
    monkeypatch.setattr(atlas_walk.os, "nice", lambda step: None)
    monkeypatch.setattr("engine.data.datasets.open_dataset", lambda name: Three())
    shelf = Atlases(tmp_path)
    folder = shelf.folder(card)
    assert folder == default_folder(card, datasets.DEMO, tmp_path)
    assert atlas_walk.main(str(tiny_checkpoint), datasets.DEMO, "3", str(folder), "cpu") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["done"] == lines[-1]["total"]
    found = shelf.find(card)
    assert found.atlas is not None and found.atlas.manifest.images == 3 and found.key
    assert shelf.find(card) is found and not complete(found.atlas)
    # What cannot be used is thrown away first where that is asked for.
    (folder / MANIFEST).write_text("{")
    assert shelf.find(card).why is not None
    assert atlas_walk.main(str(tiny_checkpoint), datasets.DEMO, "3", str(folder), "cpu", ANEW) == 0
    found = shelf.find(card)
    assert found.atlas is not None
    # Another file behind the same path is another atlas.
    state = (folder / MANIFEST).read_bytes()
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).write_bytes(state + b"\n")
    assert shelf.find(card) is not found and shelf.find(card).key != found.key


def test_a_walk_waits_while_another_process_is_at_the_same_atlas(tmp_path, monkeypatch, capsys, card):
    """The wait is real and the lock too: held through another open file."""
    folder, begun = tmp_path / "atlas", []

    def build(segmenter, card, dataset, folder, *, anew, **_):
        with locked(folder):
            begun.append(anew)

    monkeypatch.setattr(atlas_walk, "_await_end", lambda gone: None)
    monkeypatch.setattr(atlas_walk.os, "nice", lambda step: None)
    monkeypatch.setattr(atlas_walk, "WAIT", 0.02)
    monkeypatch.setattr("engine.atlas.walk.build", build)
    with locked(folder):
        walk = threading.Thread(
            target=atlas_walk.main,
            args=(str(card.path), "scenes-val", "3", str(folder), "cpu", ANEW),
            daemon=True,
        )
        walk.start()
        said = ""
        deadline = time.monotonic() + PATIENCE
        while "waiting" not in said:
            assert time.monotonic() < deadline
            said += capsys.readouterr().out
            time.sleep(0.05)
        time.sleep(0.1)
        assert walk.is_alive() and not begun
    walk.join(PATIENCE)
    said += capsys.readouterr().out
    # What the other has just made is not thrown away; that it waited is said once.
    assert begun == [False] and [json.loads(line) for line in said.splitlines()] == [{"waiting": True}]


def test_a_waiting_walk_ends_when_its_server_is_gone(tmp_path, monkeypatch, capsys, card):
    folder = tmp_path / "atlas"

    def build(*_, **__):
        with locked(folder):
            raise AssertionError("the lock is held")

    monkeypatch.setattr(atlas_walk, "_await_end", lambda gone: gone.set())
    monkeypatch.setattr(atlas_walk.os, "nice", lambda step: None)
    monkeypatch.setattr("engine.atlas.walk.build", build)
    with locked(folder):
        assert atlas_walk.main(str(card.path), "scenes-val", "3", str(folder), "cpu") == 0


def test_a_walk_outlives_its_listener(monkeypatch):
    """Until the end of its chunk: a pipe that nobody reads any more is no reason to lose the accumulation."""

    class Gone:
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    atlas_walk._progress(1, 2, {})


def test_what_a_walk_waits_for_is_told(shelf, card, monkeypatch):
    text = WALKER.replace(
        'print("chatter of a library")', 'print(json.dumps({"waiting": True}), flush=True); time.sleep(0.5)'
    )
    monkeypatch.setattr(atlases, "_command", lambda *_: walker(text))
    build = shelf.build(card)
    until(lambda: build.waiting)
    until(lambda: build.done > 1)
    assert not build.waiting
    build.stop()
    build.wait(PATIENCE)


def test_the_walks_process_says_what_it_cannot_do(tmp_path, tiny_checkpoint, monkeypatch, capsys):
    monkeypatch.setattr(atlas_walk, "_await_end", lambda gone: None)
    monkeypatch.setattr(atlas_walk.os, "nice", lambda step: None)
    # The demo world's categories are not the five of this model.
    assert atlas_walk.main(str(tiny_checkpoint), "scenes-val", "3", str(tmp_path / "a"), "cpu") == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert "categories" in json.loads(line)["error"]


def test_walks_begin_by_themselves_unless_told_not_to(monkeypatch):
    monkeypatch.delenv("LOUPE_ATLAS", raising=False)
    assert may_begin()
    monkeypatch.setenv("LOUPE_ATLAS", "0")
    assert not may_begin()


def test_the_root_is_the_environments(tmp_path, monkeypatch, card):
    monkeypatch.setenv("LOUPE_ATLASES", str(tmp_path / "elsewhere"))
    assert Atlases().folder(card).parent == tmp_path / "elsewhere"
    monkeypatch.delenv("LOUPE_ATLASES")
    assert Atlases().folder(card).parent == Path(default_folder(card, datasets.DEMO)).parent


def test_without_a_dataset_of_its_categories_a_model_has_no_atlas_and_is_told_why(shelf, card, real_datasets):
    found = shelf.find(card)
    assert (
        found.atlas is None
        and found.without
        and "no dataset here has the 5 categories of tiny" in (found.why or "")
    )
    assert shelf.build_of(card) is None
    with pytest.raises(LoupeError, match="no dataset here"):
        shelf.build(card)
