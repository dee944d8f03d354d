"""What is tried on a full disk, and on one that cannot be written; each process says what became of it."""

from __future__ import annotations

import os
from pathlib import Path

from tests.faults.acts import say
from tests.faults.disk import SmallDisk, mounted


def left(folder: Path) -> list[str]:
    """Names of all files below, but what the disk is filled with."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != "filler")


def checkpoint(model: str, folder: str) -> int:
    """A checkpoint over an older one."""
    from engine import LoupeError, checkpoints

    disk, path = SmallDisk(Path(folder)), Path(folder) / "m.safetensors"
    segmenter = checkpoints.load(model).segmenter
    checkpoints.save(path, segmenter, {"run": 1})
    before = checkpoints.file_hash(path)
    disk.fill(leave=4096)
    try:
        checkpoints.save(path, segmenter, {"run": 2})
        said = ""
    except LoupeError as error:
        said = str(error)
    same = checkpoints.load(path).content_hash == before
    say(said=said, why=disk.why, same=same, left=left(disk.folder))
    return 0


def training(recipe: str, folder: str, room: int) -> int:
    """`python -m engine train` onto a disk with so much room."""
    from engine import cli

    disk = SmallDisk(Path(folder), 64)
    disk.fill(leave=room)
    code = cli.main(["train", recipe, "--out", folder, "--device", "cpu"])
    full = left(disk.folder)
    disk.empty()
    again = cli.main(["train", recipe, "--out", folder, "--device", "cpu"])
    say(why=disk.why, code=code, full=full, again=again, left=left(disk.folder))
    return 0


def scenes(folder: str) -> int:
    """The cache of painted scenes, which is written through a memory map."""
    from engine import LoupeError
    from engine.data.datasets import materialise, open_dataset

    disk = SmallDisk(Path(folder), 2)
    first = materialise("scenes-val", 1, folder, workers=1)[0]
    disk.fill(leave=100_000)
    try:
        materialise("scenes-val", 6, folder, workers=1)
        said = ""
    except LoupeError as error:
        said = str(error)
    painted = open_dataset("scenes-val", folder)[0]
    disk.empty()
    data = materialise("scenes-val", 3, folder, workers=1)
    same = all((a == b).all() for a, b in ((data[0].image, first.image), (painted.image, first.image)))
    say(said=said, why=disk.why, same=bool(same), images=len(data))
    return 0


def stores(folder: str, models: str) -> int:
    """Maps, findings and audits of the app."""
    import numpy as np

    from app.audits import Audits, Wanted
    from app.findings import Findings, new_id
    from app.findings_records import Draft, Figure
    from app.projection_store import ProjectionStore
    from engine import LoupeError
    from engine.catalogue import read_catalogue
    from engine.projection import pca
    from tests.app.audits import DATA, made_up

    disk = SmallDisk(Path(folder))
    maps, lists = ProjectionStore(disk.folder / "maps"), Findings(disk.folder / "findings")
    found = pca(np.random.default_rng(0).normal(size=(4000, 3)).astype(np.float32))
    assert maps.put("old", found) is None

    def draft(title: str) -> Draft:
        figure = Figure("drawn", b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"></svg>', None)
        return Draft("inspect", title, "./?model=cpt", figures=(figure,), data={"npz": os.urandom(60_000)})

    owner = new_id()
    lists.keep(owner, draft("first"))
    before = left(disk.folder)
    disk.fill(leave=16_384)
    note = maps.put("new", found)
    try:
        lists.keep(owner, draft("second"))
        kept = ""
    except LoupeError as error:
        kept = str(error)
    wanted = Wanted(tuple(read_catalogue([Path(models)])[0].values()), DATA, 12, 0)
    disk.fill()
    audit = Audits(disk.folder / "audits").small(wanted, lambda few: made_up(few.cards, 12))
    after = left(disk.folder)
    old = maps.get("old")
    say(
        why=disk.why,
        note=note,
        kept=kept,
        audit=audit.note,
        audited=audit.audit is not None,
        same=before == after and old is not None and bool((old.xy == found.xy).all()),
        titles=[one.title for one in lists.read(owner).findings],
    )
    disk.empty()
    lists.keep(owner, draft("third"))
    say(titles=[one.title for one in lists.read(owner).findings], again=maps.put("new", found))
    return 0


def export(model: str, folder: str) -> int:
    """`python -m engine trace --npz` over an older file."""
    from engine import cli

    disk, path = SmallDisk(Path(folder)), Path(folder) / "numbers.npz"
    command = ["trace", "--model", model, "--image", "assets/scenes/000.png", "--device", "cpu", "--pixel"]
    assert cli.main([*command, "9,9", "--npz", str(path), "--long-side", "64"]) == 0
    before = path.read_bytes()
    disk.fill(leave=4096)
    code = cli.main([*command, "20,20", "--npz", str(path), "--long-side", "64"])
    say(why=disk.why, code=code, same=path.read_bytes() == before, left=left(disk.folder))
    return 0


def pages(models: str, cache: str, read_only: bool) -> int:
    """Audit and Inspect on a server that cannot keep anything. read_only: a disk that is; else the path ends at a file."""
    if read_only and not mounted(Path(cache), 1, read_only=True):
        say(skipped="no file system may be mounted here")
        return 0
    os.environ |= {"LOUPE_MODELS": models, "LOUPE_CACHE": cache, "LOUPE_ATLASES": f"{cache}/atlases"}
    os.environ["LOUPE_FINDINGS"] = f"{cache}/findings"
    from app import audits, process
    from tests.app.pages import opened, text_of

    audits.SMALL = 2
    looked = opened("inspect", model="cpt")
    page = opened("audit", model="cpt", beside="")
    notes = [str(each.value) for each in page.warning]
    page.run()
    again = [str(each.value) for each in page.warning]
    say(
        inspect="top sources by weight" in text_of(looked),
        audit="AUC" in text_of(page),
        notes=notes,
        again=again,
        errors=[str(each.value) for each in page.error] + [str(each.value) for each in looked.error],
        held=len(process.audits()._unkept),
    )
    return 0
