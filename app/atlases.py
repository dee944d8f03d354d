"""Atlases of the models on show: which one there is, and the walk that makes one where there is none.

The walk runs in a process of its own, at low priority and with one thread of torch, so that clicks never wait for it. It dies
with the server, ends between two chunks of images when asked to, keeps what it has written, and goes on from there next time.
Neither streamlit nor torch is imported here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from app import datasets
from app.aside import Build, quietly
from app.atlas_walk import ANEW
from engine.atlas import Atlas, open_atlas
from engine.atlas.folder import MANIFEST, default_folder
from engine.catalogue import ModelCard
from engine.data.datasets import DATA_ROOT, SPLITS
from engine.data.scenes import VERSION
from engine.errors import LoupeError

IMAGES = 320  # of a split: enough for quiet statistics, a few minutes of work


@dataclass(frozen=True)
class Found:
    """The atlas of a model. atlas is None where there is none, `why` says in one sentence what is wrong with the one that is.

    key: names the contents, for caches; it changes when the atlas does. anew: it must be thrown away to make one, as it is of
    another version, checkpoint or scenes; one that is merely damaged is mended, and keeps what is whole. without: no dataset fits
    the model, so none can be made.
    """

    atlas: Atlas | None
    why: str | None
    key: str
    anew: bool = False
    without: bool = False


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
        """Of the model's atlas over its dataset. Raises LoupeError where there is no dataset of its categories."""
        data = datasets.of(card)
        if data is None:
            raise LoupeError(datasets.missing(card))
        return default_folder(card, data, self._root)

    def find(self, card: ModelCard) -> Found:
        """The model's atlas as it is now on disk; opened once and again when it has changed."""
        try:
            folder = self.folder(card)
        except LoupeError as error:
            return Found(None, str(error), "", without=True)
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
        if datasets.of(card) is None:
            return None
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
                data = str(datasets.of(card))
                images = wanted(data)
                command = _command(card, data, images, folder, device)
                build = self._builds[folder] = Build(command + [ANEW] * anew, quietly(), images)
            return build

    @property
    def root(self) -> Path:
        """The folder that holds them."""
        return self._root if self._root is not None else DATA_ROOT / "atlas"

    def running(self) -> list[tuple[Path, Build]]:
        """Walks under way, with their folders."""
        with self._lock:
            return [(folder, build) for folder, build in self._builds.items() if build.running]

    def clear(self) -> None:
        """Removes all atlases from the disk but those that are being made."""
        kept = {folder for folder, _ in self.running()}
        with contextlib.suppress(OSError):
            for folder in self.root.iterdir():
                if folder.is_dir() and folder not in kept:
                    shutil.rmtree(folder, ignore_errors=True)

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


def wanted(data: str) -> int:
    """How many images the app asks for of a split."""
    return min(IMAGES, datasets.size(data))


def complete(atlas: Atlas) -> bool:
    """Whether the atlas is over as many images as the app asks for."""
    return atlas.manifest.dataset_size >= wanted(atlas.manifest.data)


def beyond_mending(why: str) -> bool:
    """Whether the engine's sentence says that only a new atlas will do, in the words that all such sentences of it end with."""
    return "build it anew" in why


def _opened(folder: Path, checkpoint: str, key: str) -> Found:
    try:
        atlas = open_atlas(folder, checkpoint)
    except LoupeError as error:
        return Found(None, str(error), "", beyond_mending(str(error)))
    painted = atlas.manifest.versions.get("scenes")
    if (
        atlas.manifest.data in SPLITS and painted != VERSION
    ):  # the patches would be cut out of other pictures than were walked
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


def _command(card: ModelCard, data: str, images: int, folder: Path, device: str) -> list[str]:
    return [
        sys.executable, "-m", "app.atlas_walk", str(card.path), data, str(images), str(folder), device,
    ]  # fmt: skip
