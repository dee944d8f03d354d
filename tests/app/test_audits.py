"""Which audits there are, the work that makes them, and what goes when the disk is full."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app import audit_walk, audits
from app.audits import Audits, Wanted, ordered
from app.selection import AUDITED
from engine import Engine, LoupeError
from engine.audit import Audit, run
from engine.audit.files import COLUMNS_FILE, MANIFEST, read_audit, write_audit
from engine.data.datasets import open_dataset
from tests.app.audits import DATA, WALKER, made_up, put
from tests.stand_ins import save

PATIENCE = 30.0


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("models")
    save(folder, "cpt", sources="memory")
    save(folder, "qup", sources="pixels")
    found = Engine(device="cpu", models_dir=folder).models()
    return found["cpt"], found["qup"]


@pytest.fixture
def wanted(cards) -> Wanted:
    return Wanted(cards, DATA, 24, 0)


@pytest.fixture
def shelf(tmp_path) -> Audits:
    return Audits(tmp_path / "audits")


def test_an_audit_is_named_by_what_it_is_over(wanted):
    cpt, qup = wanted.cards
    assert replace(wanted, cards=(qup, cpt)).name == wanted.name
    others = [
        replace(wanted, cards=(cpt,)),
        replace(wanted, images=60),
        replace(wanted, seed=1),
        replace(wanted, data="scenes-train"),
        replace(wanted, cards=(cpt, replace(qup, hash="0" * 64))),
    ]
    assert len({one.name for one in (wanted, *others)}) == 6


def test_the_best_is_the_whole_one_that_was_asked_for_or_the_largest_below_it(shelf, wanted):
    assert shelf.best(wanted).audit is None
    put(shelf.root, wanted.of(60))
    assert shelf.best(wanted).audit is None  # larger than was asked for
    small = put(shelf.root, wanted.of(12))
    assert len(shelf.best(wanted).audit) == len(small)
    put(shelf.root, wanted, images=5)
    assert len(shelf.best(wanted).audit.images) == 12  # what was asked for is not that far yet
    put(shelf.root, wanted, images=16)
    assert len(shelf.best(wanted).audit.images) == 16
    put(shelf.root, wanted)
    found = shelf.best(wanted)
    assert found.audit.complete and len(found.audit.images) == 24
    assert shelf.best(wanted) is found  # opened once


@pytest.mark.parametrize("spoil", [COLUMNS_FILE, MANIFEST])
def test_a_damaged_audit_is_one_sentence_and_thrown_away_by_the_next_work(shelf, wanted, spoil, monkeypatch):
    put(shelf.root, wanted)
    file = shelf.folder(wanted) / spoil
    file.write_bytes(file.read_bytes()[:40])
    why = shelf.find(wanted).why
    assert why is not None and "damaged" in why and "\n" not in why
    monkeypatch.setattr(audits, "_command", lambda *_: [sys.executable, "-c", "pass"])
    shelf.work(wanted).wait(PATIENCE)
    assert not shelf.folder(wanted).exists() and shelf.find(wanted).why is None


def test_an_audit_of_other_checkpoints_is_refused(shelf, wanted):
    audit = made_up(wanted.cards)
    write_audit(
        replace(audit, entries=(replace(audit.entries[0], checkpoint="f" * 64),)), shelf.folder(wanted)
    )
    assert "other checkpoints" in (shelf.find(wanted).why or "")


def test_models_stand_in_the_order_asked_for(wanted):
    audit = made_up(wanted.cards)
    assert ordered(audit, ("qup", "cpt")).models == ("qup", "cpt")
    assert ordered(audit, ("qup", "gone")).models == ("qup",)


def test_the_small_one_is_made_once_for_all(shelf, wanted):
    made = []

    def make(few: Wanted) -> Audit:
        made.append(few.images)
        time.sleep(0.1)
        return made_up(few.cards, few.images)

    found: list = []
    threads = [threading.Thread(target=lambda: found.append(shelf.small(wanted, make))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [audits.SMALL] and len({one.key for one in found}) == 1
    assert shelf.best(wanted).key == found[0].key


def test_a_small_one_that_cannot_be_made_is_one_sentence(shelf, wanted):
    def refuse(few: Wanted) -> Audit:
        raise LoupeError("no model has an affinity")

    with pytest.raises(LoupeError, match="no model has an affinity"):
        shelf.small(wanted, refuse)


def test_a_small_one_that_cannot_be_kept_is_there_all_the_same(tmp_path, wanted):
    (tmp_path / "file").write_bytes(b"")
    shelf, made = Audits(tmp_path / "file" / "audits"), []

    def make(few: Wanted) -> Audit:
        made.append(few.images)
        return made_up(few.cards, few.images)

    found = shelf.small(wanted, make)
    assert found.audit is not None and found.note.startswith("This audit is not kept for later: ")
    assert shelf.small(wanted, make) is found and shelf.best(wanted) is found and len(made) == 1


def test_the_least_recently_used_go_but_never_the_one_in_hand(tmp_path, wanted):
    shelf = Audits(tmp_path, limit=1)
    for age, images in enumerate(AUDITED[:3]):
        put(tmp_path, wanted.of(images), images=4)
        os.utime(shelf.folder(wanted.of(images)), (age, age))
    shelf.tidy(wanted.of(12))  # the oldest, but in hand
    assert [one.name for one in tmp_path.iterdir()] == [wanted.of(12).name]
    roomy = Audits(tmp_path)
    put(tmp_path, wanted)
    roomy.tidy(wanted)
    assert len(list(tmp_path.iterdir())) == 2


def test_work_is_shared_told_of_and_stopped(shelf, wanted, monkeypatch):
    monkeypatch.setattr(audits, "_command", lambda *_: [sys.executable, "-c", WALKER])
    work = shelf.work(wanted)
    assert shelf.work(wanted) is work is shelf.work_of(wanted) and shelf.busy()
    deadline = time.monotonic() + PATIENCE
    while work.done < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    shelf.stop_all()
    work.wait(PATIENCE)
    assert work.stopped and not shelf.busy() and work.error is None
    assert shelf.work(wanted) is not work
    shelf.stop_all()


# ---------------------------------------------------------------------------------------------- the process itself


def walk(wanted: Wanted, folder: Path) -> int:
    arguments = audits._command(wanted, folder, "cpu")[3:]
    return audit_walk.main(*arguments)


@pytest.fixture
def alone(monkeypatch) -> None:
    """The walk runs in the tests' process: it is not made slower, and nobody ends it."""
    monkeypatch.setattr(audit_walk, "await_end", lambda gone: None)
    monkeypatch.setattr(audit_walk.os, "nice", lambda step: None)


def test_the_walk_writes_what_the_engine_measures(alone, cards, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(audits, "EACH", 6)
    wanted = Wanted(cards[:1], DATA, 3, 1)
    assert walk(wanted, tmp_path) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told[-1] == {"done": 3, "total": 3}
    audit = read_audit(tmp_path)
    assert audit.complete and len(audit) == wanted.pixels == 18 and audit.models == ("cpt",)
    engine = Engine(device="cpu", models_dir=cards[0].path.parent)
    direct = run(engine, ["cpt"], open_dataset(DATA), pixels=18, limit=3, seed=1, deletion_pixels=0)
    values = [one.values("cpt", "stride4", "auc") for one in (audit, direct)]
    np.testing.assert_allclose(*values, atol=1e-6)


def test_a_stopped_walk_keeps_what_it_has_and_an_error_is_told(alone, cards, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(audit_walk, "await_end", lambda gone: gone.set())
    wanted = Wanted(cards[:1], DATA, 3, 1)
    assert walk(wanted, tmp_path) == 0 and not (tmp_path / MANIFEST).exists()
    capsys.readouterr()
    assert walk(replace(wanted, data="nowhere"), tmp_path) == 1
    (told,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert "nowhere" in told["error"]
