"""Findings: states of pages, kept with a note on disk, one folder for each list.

    data/findings/<name>/list.json                 title, findings in their order, the last ones removed
    data/findings/<name>/<finding>.<what>.<kind>   its figures, its small picture, its data

A list belongs to whoever holds its id: 192 random bits in the person's browser. The folder's name is a hash of the id, so that
neither a listing of the disk nor a backup opens a list, and no id can name a place elsewhere. `list.json` is exchanged as a whole
after all files that it names are there: whatever ends in between leaves the list as it was. Imports neither streamlit nor torch.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import secrets
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from app.findings_records import FILE_NAME, LINK, NAME, NOTE, Draft, Finding, Listed, parsed
from app.findings_svg import check_svg
from engine import LoupeError
from engine.writing import sweep, together, why

MOST = 100  # findings in a list
FINDING_BYTES = 64 << 20
LIST_BYTES = 512 << 20
ALL_BYTES = 8 << 30
UNDONE = 5  # removed findings that can still be brought back
SMALL = 960  # pixels across the picture of a card
FILE = "list.json"

_ID = re.compile(r"[A-Za-z0-9_-]{32}")


def new_id() -> str:
    """An id that nobody can guess."""
    return secrets.token_urlsafe(24)


def is_id(text: object) -> bool:
    """Whether it could be one of `new_id`."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


class Findings:
    """All lists of a server. Safe for many sessions at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()

    def read(self, owner: str) -> Listed:
        """The list; an empty one where nothing was kept yet."""
        path = self._folder(owner) / FILE
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return Listed()
        except (OSError, UnicodeDecodeError) as error:
            raise LoupeError(f"the list of findings cannot be read ({type(error).__name__})") from None
        try:
            return parsed(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise LoupeError(
                "the list of findings is damaged; its figures and data are still on the server"
            ) from None

    def set_aside(self, owner: str) -> str:
        """Puts a damaged list's file aside, whole, so that a new list can begin; returns the file's new name."""
        with self._lock:
            path = self._folder(owner) / FILE
            aside = path.with_name(f"list.damaged-{secrets.token_hex(4)}.json")
            with suppress(FileNotFoundError):
                path.rename(aside)
            return aside.name

    def keep(self, owner: str, draft: Draft) -> Finding:
        """Adds a finding at the end."""
        check(draft)
        with self._lock:
            now = self.read(owner)
            if len(now.findings) >= MOST:
                raise LoupeError(f"the list is full: it holds {MOST} findings; export it and remove some")
            made, files = _made(draft)
            size = sum(len(data) for data in files.values())
            if size > FINDING_BYTES:
                raise LoupeError(f"this is too large to keep: {size >> 20} MiB of {FINDING_BYTES >> 20}")
            folder = self._folder(owner)
            if _bytes(folder) + size > LIST_BYTES:
                raise LoupeError(
                    f"the list is full: it holds {LIST_BYTES >> 20} MiB; export it and remove some"
                )
            if _bytes(self.root) + size > ALL_BYTES:
                raise LoupeError("the server has no room for more findings; export yours instead")
            try:
                self._write(folder, replace(now, findings=(*now.findings, made)), files)
            except OSError as error:
                raise LoupeError(f"the finding could not be written ({why(error)})") from None
            return made

    def sweep(self) -> int:
        """Removes what killed processes left half written; how many files that were."""
        with suppress(OSError):
            return sum(sweep(folder) for folder in self.root.iterdir())
        return 0

    def rename(self, owner: str, title: str) -> None:
        """Gives the list a title."""
        self._change(owner, lambda now: replace(now, title=" ".join(title.split())[:NAME]))

    def annotate(self, owner: str, finding: str, note: str) -> None:
        """Exchanges a note."""

        def noted(now: Listed) -> Listed:
            at = _place(now, finding)
            found = list(now.findings)
            found[at] = replace(found[at], note=note.strip()[:NOTE])
            return replace(now, findings=tuple(found))

        self._change(owner, noted)

    def move(self, owner: str, finding: str, by: int) -> None:
        """Moves a finding `by` places down; it stops at the ends."""

        def moved(now: Listed) -> Listed:
            found = list(now.findings)
            at = _place(now, finding)
            one = found.pop(at)
            found.insert(max(0, at + by), one)
            return replace(now, findings=tuple(found))

        self._change(owner, moved)

    def remove(self, owner: str, finding: str) -> None:
        """Takes a finding off the list; `undo` brings it back."""

        def without(now: Listed) -> Listed:
            at = _place(now, finding)
            found = list(now.findings)
            removed = (*now.removed, (at, found.pop(at)))[-UNDONE:]
            return replace(now, findings=tuple(found), removed=removed)

        self._change(owner, without)

    def undo(self, owner: str) -> None:
        """Brings the finding back that was removed last, where it was."""

        def again(now: Listed) -> Listed:
            if not now.removed:
                raise LoupeError("nothing was removed that could be brought back")
            if len(now.findings) >= MOST:
                raise LoupeError(f"the list is full: it holds {MOST} findings")
            at, one = now.removed[-1]
            found = list(now.findings)
            found.insert(at, one)
            return replace(now, findings=tuple(found), removed=now.removed[:-1])

        self._change(owner, again)

    def file(self, owner: str, name: str) -> bytes | None:
        """A file that a finding names; None where it is gone."""
        if not name or not FILE_NAME.fullmatch(name):
            return None
        try:
            return (self._folder(owner) / name).read_bytes()
        except OSError:
            return None

    def _folder(self, owner: str) -> Path:
        if not is_id(owner):
            raise LoupeError("this is no list of findings")
        return self.root / hashlib.sha256(owner.encode()).hexdigest()[:40]

    def _change(self, owner: str, change: Any) -> None:
        with self._lock:
            before = self.read(owner)
            after = change(before)
            folder = self._folder(owner)
            try:
                self._write(folder, after)
            except OSError as error:
                raise LoupeError(f"the list could not be written ({why(error)})") from None
            for name in _names(before) - _names(after):  # what can no longer be brought back
                with suppress(OSError):
                    (folder / name).unlink()

    def _write(self, folder: Path, listed: Listed, files: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """The list, and before it the files that are new in it; all of them or none."""
        text = json.dumps({"version": 1, **asdict(listed)}, ensure_ascii=False, indent=1)
        contents = {**files, FILE: text.encode()}  # the list takes its place last
        with together([folder / name for name in contents]) as partials:
            for partial, data in zip(partials, contents.values(), strict=True):
                partial.write_bytes(data)


def check(draft: Draft) -> None:
    """Refuses what could not be shown again safely."""
    if not LINK.fullmatch(draft.link):
        raise LoupeError("the link of this finding does not lead to a page of this program")
    for figure in draft.figures:
        check_svg(figure.svg)


def _made(draft: Draft) -> tuple[Finding, dict[str, bytes]]:
    """The finding, and its files by name."""
    key = secrets.token_hex(8)
    files: dict[str, bytes] = {}
    figures = []
    small = ""
    for index, figure in enumerate(draft.figures, 1):
        svg, png = f"{key}.figure-{index}.svg", ""
        files[svg] = figure.svg
        if figure.png is not None:
            png = f"{key}.figure-{index}.png"
            files[png] = figure.png
            if not small:
                small = f"{key}.small.webp"
                files[small] = _small(figure.png)
        figures.append((figure.title[:NAME], svg, png))
    data = []
    for kind, content in draft.data.items():
        name = f"{key}.data.{kind}"
        if not FILE_NAME.fullmatch(name):
            raise LoupeError(f"data cannot be kept as {kind[:20]}")
        files[name] = content
        data.append(name)
    made = Finding(
        id=key,
        page=draft.page,
        title=draft.title[:NAME],
        link=draft.link,
        note=draft.note.strip()[:NOTE],
        kept=datetime.now(UTC).isoformat(timespec="seconds"),
        models=draft.models,
        image=draft.image[:NAME],
        image_hash=draft.image_hash,
        figures=tuple(figures),
        small=small,
        data=tuple(data),
    )
    return made, files


def _small(png: bytes) -> bytes:
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.thumbnail((SMALL, SMALL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=86)
    return buffer.getvalue()


def _place(listed: Listed, finding: str) -> int:
    for index, one in enumerate(listed.findings):
        if one.id == finding:
            return index
    raise LoupeError("this finding is no longer on the list")


def _names(listed: Listed) -> set[str]:
    return {name for one in (*listed.findings, *(one for _, one in listed.removed)) for name in one.files}


def _bytes(folder: Path) -> int:
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.stat(os.path.join(base, name)).st_size
    return total
