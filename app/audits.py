"""Audits of the models on show: what there is of them on disk, and the work that makes more.

An audit is named by what it is over: checkpoints, data, images, pixels, seed. It is made in a process of its own
(app.audit_walk), which writes what it has so far again and again: the page draws as it goes. A small one over a few images takes
seconds and is made on the spot, so that no page is empty. Above a size the least recently used go.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from app.aside import Build, quietly
from app.selection import AUDITED
from engine.audit import Audit
from engine.audit.files import FORMAT, MANIFEST, read_audit, write_audit
from engine.catalogue import ModelCard
from engine.data.datasets import DATA_ROOT
from engine.data.scenes import VERSION as SCENES
from engine.errors import LoupeError
from engine.writing import sweep

SMALL = AUDITED[0]  # images of the audit that is made on the spot
EACH = 40  # pixels of an image, about
DELETION_EACH = (
    0.25  # pixels of an image for which source cells are hidden: each takes 36 runs of the decoder a stage
)
LIMIT = 512 * 2**20  # bytes of all audits on disk
HELD = 8  # small audits in memory, where the disk does not take them


@dataclass(frozen=True)
class Wanted:
    """What an audit is over; images: at most."""

    cards: tuple[ModelCard, ...]
    data: str
    images: int
    seed: int

    @property
    def pixels(self) -> int:
        return EACH * self.images

    @property
    def deletion_pixels(self) -> int:
        """None in the small audit, which is to be there at once."""
        return 0 if self.images <= SMALL else round(DELETION_EACH * self.images)

    @property
    def name(self) -> str:
        """Of its folder. The models' order says nothing."""
        made = [sorted(card.hash for card in self.cards), EACH, DELETION_EACH, FORMAT, SCENES]
        digest = hashlib.sha256(json.dumps(made).encode()).hexdigest()[:16]
        return f"{self.data}-{self.seed}-{digest}-{self.images}"

    def of(self, images: int) -> Wanted:
        return replace(self, images=images)


@dataclass(frozen=True)
class Found:
    """audit is None where there is none; `why`: what is wrong with one that is there, in a sentence. key: names the contents.
    note: a sentence on one that could not be kept on disk."""

    audit: Audit | None
    why: str | None
    key: str
    note: str = ""


class Audits:
    """The audits of one process; safe for many sessions at once.

    root: the folder that holds them; default LOUPE_CACHE/audits, else data/audits. limit: bytes.
    """

    def __init__(self, root: Path | str | None = None, limit: int = LIMIT) -> None:
        cache = os.environ.get("LOUPE_CACHE")
        self.root = Path(root or (Path(cache) if cache else DATA_ROOT) / "audits")
        self.limit = limit
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._open: dict[Path, tuple[str, Found]] = {}
        self._work: dict[Path, Build] = {}
        self._unkept: dict[Path, Found] = {}  # small ones that the disk did not take

    def folder(self, wanted: Wanted) -> Path:
        return self.root / wanted.name

    def find(self, wanted: Wanted) -> Found:
        """The audit as it is now on disk, whole or so far; opened once and again when it has changed."""
        folder = self.folder(wanted)
        key = _state(folder)
        with self._lock:
            known = self._open.get(folder)
            unkept = self._unkept.get(folder)
        if key == "" and unkept is not None:
            return unkept
        if known is not None and known[0] == key:
            return known[1]
        found = Found(None, None, "") if key == "" else _opened(folder, wanted, key)
        with self._lock:
            self._open[folder] = (key, found)
            while len(self._open) > 16:
                del self._open[next(iter(self._open))]
        return found

    def best(self, wanted: Wanted) -> Found:
        """The audit that was asked for when it is whole; until then the one of its kind, not larger, with the most images."""
        asked = self.find(wanted)
        if asked.audit is not None and asked.audit.complete:
            return asked
        others = [self.find(wanted.of(images)) for images in AUDITED if images < wanted.images]
        known = [found for found in (asked, *others) if found.audit is not None]
        if not known:
            return asked
        return max(known, key=lambda found: len(found.audit.images) if found.audit is not None else 0)

    def small(self, wanted: Wanted, make: Callable[[Wanted], Audit]) -> Found:
        """An audit over a few images, made now by `make`; two sessions that want it make it once. One that cannot be written is
        held in memory, and says so.

        Raises:
            LoupeError: it cannot be made.
        """
        few = wanted.of(min(SMALL, wanted.images))
        with self._making:
            found = self.find(few)
            if found.audit is None:
                self.forget(few)
                found = self._kept(few, make(few))
        self.tidy(few)
        return found

    def _kept(self, few: Wanted, audit: Audit) -> Found:
        """A small audit as it is found from now on."""
        folder = self.folder(few)
        try:
            write_audit(audit, folder)
            if (found := self.find(few)).audit is not None:
                return found
            why = found.why or f"{folder} holds nothing that was written there"
        except LoupeError as error:
            why = str(error)
        held = Found(
            audit, None, f"{folder.name}:held:{id(audit)}", f"This audit is not kept for later: {why}."
        )
        with self._lock:
            self._unkept[folder] = held
            while len(self._unkept) > HELD:
                del self._unkept[next(iter(self._unkept))]
        return held

    def work_of(self, wanted: Wanted) -> Build | None:
        """The last process that was begun for this audit, under way or ended."""
        with self._lock:
            return self._work.get(self.folder(wanted))

    def work(self, wanted: Wanted, device: str = "cpu") -> Build:
        """The process that makes the audit: the running one, or a new one. What is damaged is thrown away first."""
        folder = self.folder(wanted)
        damaged = self.find(wanted).why is not None
        with self._lock:
            work = self._work.get(folder)
            if work is None or not work.running:
                if damaged:
                    shutil.rmtree(folder, ignore_errors=True)
                work = self._work[folder] = Build(_command(wanted, folder, device), quietly(), wanted.images)
        self.tidy(wanted)
        return work

    def running(self) -> list[tuple[Path, Build]]:
        """Those that are being made, with their folders."""
        with self._lock:
            return [(folder, work) for folder, work in self._work.items() if work.running]

    def sweep(self) -> int:
        """Removes what killed processes left half written; how many files that were."""
        with contextlib.suppress(OSError):
            return sum(sweep(folder) for folder in self.root.iterdir())
        return 0

    def clear(self) -> None:
        """Removes all from the disk but those that are being made, and those that it did not take from memory."""
        with self._lock:
            self._unkept.clear()
        kept = {folder for folder, _ in self.running()}
        with contextlib.suppress(OSError):
            for folder in self.root.iterdir():
                if folder not in kept:
                    shutil.rmtree(folder, ignore_errors=True)

    def busy(self) -> bool:
        """Whether any is being made: one at a time begins by itself."""
        with self._lock:
            return any(work.running for work in self._work.values())

    def stop_all(self) -> None:
        """When the server ends."""
        with self._lock:
            for work in self._work.values():
                work.stop()

    def forget(self, wanted: Wanted) -> None:
        """Removes an audit from the disk."""
        shutil.rmtree(self.folder(wanted), ignore_errors=True)

    def tidy(self, kept: Wanted) -> None:
        """Removes the least recently used audits above the limit, but never `kept` and what is being made."""
        with self._lock:
            safe = {self.folder(kept), *(folder for folder, work in self._work.items() if work.running)}
        sizes = []
        with contextlib.suppress(OSError):
            for folder in self.root.iterdir():
                with contextlib.suppress(OSError):  # another process may have removed it
                    size = sum(file.stat().st_size for file in folder.iterdir())
                    sizes.append((folder.stat().st_mtime_ns, size, folder))
        total = sum(size for _, size, _ in sizes)
        for _, size, folder in sorted(sizes):
            if total <= self.limit:
                return
            if folder not in safe:
                shutil.rmtree(folder, ignore_errors=True)
                total -= size


def ordered(audit: Audit, names: tuple[str, ...]) -> Audit:
    """The same audit with its models in this order; others are left out."""
    places = {entry.model: entry for entry in audit.entries}
    return replace(audit, entries=tuple(places[name] for name in names if name in places))


def _opened(folder: Path, wanted: Wanted, key: str) -> Found:
    try:
        audit = read_audit(folder)
    except LoupeError as error:
        return Found(None, str(error), "")
    hashes = {card.id: card.hash for card in wanted.cards}
    if any(hashes.get(entry.model) != entry.checkpoint for entry in audit.entries):
        return Found(None, f"the audit in {folder} is of other checkpoints than its name says", "")
    with contextlib.suppress(OSError):
        os.utime(folder)  # used just now
    return Found(audit, None, f"{folder.name}:{key}")


def _state(folder: Path) -> str:
    """A word that changes with the audit; empty where there is none. The manifest is written last."""
    try:
        state = (folder / MANIFEST).stat()
    except OSError:
        return ""
    return f"{state.st_mtime_ns}-{state.st_size}-{state.st_ino}"


def _command(wanted: Wanted, folder: Path, device: str) -> list[str]:
    paths = [str(card.path) for card in wanted.cards]
    few = [wanted.data, wanted.images, wanted.pixels, wanted.deletion_pixels, wanted.seed]
    return [sys.executable, "-m", "app.audit_walk", str(folder), device, *map(str, few), *paths]
