"""Atlases of the models on show: which one there is, and the walk that makes one where there is none.

The walk runs in a process of its own, at low priority and with one thread of torch, so that clicks never wait for it. It dies
with the server, ends between two chunks of images when asked to, keeps what it has written, and goes on from there next time.
Neither streamlit nor torch is imported here.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.atlas_walk import ANEW
from engine.atlas import Atlas, open_atlas
from engine.atlas.folder import MANIFEST, default_folder
from engine.catalogue import ModelCard
from engine.data.scenes import VERSION
from engine.errors import LoupeError

DATA = "scenes-val"  # what the app's own atlases are over
IMAGES = 320  # of it: enough for quiet statistics, a few minutes of work
ROOT = Path(__file__).resolve().parents[1]
SAID = 2000  # characters of an ended walk's last words that are kept for the log


@dataclass(frozen=True)
class Found:
    """The atlas of a model. atlas is None where there is none, `why` says in one sentence what is wrong with the one that is.

    key: names the contents, for caches; it changes when the atlas does. anew: it must be thrown away to make one, as it is of
    another version, checkpoint or scenes; one that is merely damaged is mended, and keeps what is whole.
    """

    atlas: Atlas | None
    why: str | None
    key: str
    anew: bool = False


class Build:
    """One walk over a dataset, under way or ended."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self.done, self.total = 0, IMAGES
        self.error: str | None = None
        self.waiting = False  # for another process that is building the same atlas
        self.command = tuple(command)
        self._asked_to_stop = False
        self._began, self._first = time.monotonic(), None
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._last_words = ""
        threads = [threading.Thread(target=one, daemon=True) for one in (self._listen, self._overhear)]
        for thread in threads:
            thread.start()
        self._threads = threads

    @property
    def running(self) -> bool:
        return self._threads[0].is_alive()

    @property
    def stopping(self) -> bool:
        """Asked to end, and still at the images in hand."""
        return self._asked_to_stop and self.running

    @property
    def stopped(self) -> bool:
        """A person ended it before it was done."""
        return self._asked_to_stop and not self.running and self.done < self.total

    @property
    def seconds_left(self) -> float | None:
        """By the speed so far; None before the first images are done."""
        if self._first is None or not self.running:
            return None
        began, already = self._first
        walked, took = self.done - already, time.monotonic() - began
        return None if walked <= 0 else (self.total - self.done) * took / walked

    def stop(self) -> None:
        """After the images that are in hand; what is written stays."""
        self._asked_to_stop = True
        self._close_stdin()  # the walk reads its end there

    def wait(self, seconds: float | None = None) -> None:
        self._threads[0].join(seconds)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._hear(line)
        code = self._process.wait()
        self._close_stdin()
        if code and self.error is None and not self._asked_to_stop:
            self.error = f"the walk ended early (exit status {code}); the log of the app says why"
            self._threads[1].join(1)
            print(self._last_words, file=sys.stderr)

    def _hear(self, line: str) -> None:
        try:
            said: dict[str, Any] = json.loads(line)
        except ValueError:
            return  # a library's chatter
        self.waiting = bool(said.get("waiting"))
        if "error" in said:
            self.error = str(said["error"])
        elif "done" in said:
            if self._first is None:
                self._first = (time.monotonic(), int(said["done"]))
            self.done, self.total = int(said["done"]), int(said["total"])

    def _overhear(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._last_words = (self._last_words + line)[-SAID:]

    def _close_stdin(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):  # its other end may be gone
                self._process.stdin.close()


class Atlases:
    """The atlases of one process; safe for many sessions at once.

    root: the folder that holds them; default LOUPE_ATLASES, else the engine's own (data/atlas).
    """

    def __init__(self, root: Path | str | None = None) -> None:
        given = root or os.environ.get("LOUPE_ATLASES")
        self._root = Path(given) if given else None
        self._lock = threading.Lock()
        self._open: dict[Path, tuple[str, Found]] = {}
        self._builds: dict[Path, Build] = {}

    def folder(self, card: ModelCard) -> Path:
        return default_folder(card, DATA, self._root)

    def find(self, card: ModelCard) -> Found:
        """The model's atlas as it is now on disk; opened once and again when it has changed."""
        folder = self.folder(card)
        key = _state(folder)
        with self._lock:
            known = self._open.get(folder)
        if known is not None and known[0] == key:
            return known[1]
        if key == "":
            found = Found(None, None, "")
        else:
            found = _opened(folder, card.hash, f"{folder}:{key}")
        with self._lock:
            self._open[folder] = (key, found)
        return found

    def build_of(self, card: ModelCard) -> Build | None:
        """The last walk that was begun for this model in this process, under way or ended."""
        with self._lock:
            return self._builds.get(self.folder(card))

    def build(self, card: ModelCard, device: str = "cpu", anew: bool = False) -> Build:
        """The walk that makes or goes on with the model's atlas: the running one, or a new one.

        anew: what is there is thrown away first, as it cannot be used; otherwise what is damaged is mended.
        """
        folder = self.folder(card)
        with self._lock:
            build = self._builds.get(folder)
            if build is None or not build.running:
                command = _command(card, folder, device)
                build = self._builds[folder] = Build(command + [ANEW] * anew, _environment())
            return build

    def busy(self) -> bool:
        """Whether any model's walk is under way: one at a time begins by itself."""
        with self._lock:
            return any(build.running for build in self._builds.values())

    def stop_all(self) -> None:
        """When the server ends."""
        with self._lock:
            for build in self._builds.values():
                build.stop()


def may_begin() -> bool:
    """Whether walks begin by themselves: LOUPE_ATLAS=0 leaves them to a click."""
    return os.environ.get("LOUPE_ATLAS", "1") != "0"


def complete(atlas: Atlas) -> bool:
    """Whether the atlas is over as many images as the app asks for."""
    return atlas.manifest.dataset_size >= IMAGES


def beyond_mending(why: str) -> bool:
    """Whether the engine's sentence says that only a new atlas will do, in the words that all such sentences of it end with."""
    return "build it anew" in why


def _opened(folder: Path, checkpoint: str, key: str) -> Found:
    try:
        atlas = open_atlas(folder, checkpoint)
    except LoupeError as error:
        return Found(None, str(error), "", beyond_mending(str(error)))
    painted = atlas.manifest.versions.get("scenes")
    if painted != VERSION:  # the patches would be cut out of other pictures than were walked
        why = f"the atlas in {folder} is over other scenes ({painted}, wanted {VERSION}): build it anew"
        return Found(None, why, "", anew=True)
    return Found(atlas, None, key)


def _state(folder: Path) -> str:
    """A word that changes with the atlas; empty where there is none."""
    try:
        state = (folder / MANIFEST).stat()
    except OSError:
        return ""
    return f"{state.st_mtime_ns}-{state.st_size}-{state.st_ino}"


def _command(card: ModelCard, folder: Path, device: str) -> list[str]:
    return [
        sys.executable, "-m", "app.atlas_walk", str(card.path), DATA, str(IMAGES), str(folder), device,
    ]  # fmt: skip


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
