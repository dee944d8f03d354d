"""What a list of findings says: drafts, findings, the list, and how they are read from its file. No disk, no widgets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

NOTE = 4000  # letters
NAME = 200  # letters of titles and names

FILE_NAME = re.compile(r"([0-9a-f]{16})\.[a-z0-9-]{1,24}\.(svg|png|webp|npz|csv|json)")  # finding, kind
LINK = re.compile(r"\./[a-z]{0,20}(\?[^\s\"'<>\\]*)?")
_FINDING = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Figure:
    """A figure to be kept. png: of the first one, whose small picture the card shows."""

    title: str
    svg: bytes
    png: bytes | None = None


@dataclass(frozen=True)
class Draft:
    """What is to be kept. link: reopens the state, relative to the app's root; models: (id, checkpoint's hash);
    data: kind → file."""

    page: str
    title: str
    link: str
    note: str = ""
    models: tuple[tuple[str, str], ...] = ()
    image: str = ""
    image_hash: str = ""
    figures: tuple[Figure, ...] = ()
    data: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """What was kept. kept: ISO 8601, UTC; figures: (title, SVG's file, PNG's file or ""); small, data: files."""

    id: str
    page: str
    title: str
    link: str
    note: str
    kept: str
    models: tuple[tuple[str, str], ...]
    image: str
    image_hash: str
    figures: tuple[tuple[str, str, str], ...]
    small: str
    data: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that it names."""
        drawn = [name for _, svg, png in self.figures for name in (svg, png)]
        return tuple(name for name in (*drawn, self.small, *self.data) if name)


@dataclass(frozen=True)
class Listed:
    """A list. removed: (its former place, the finding), the latest last."""

    title: str = ""
    findings: tuple[Finding, ...] = ()
    removed: tuple[tuple[int, Finding], ...] = ()


def parsed(told: Any) -> Listed:
    """What the file says; ValueError where it says anything that was never written."""
    return Listed(
        title=_text(told["title"], NAME),
        findings=tuple(_finding(one) for one in told["findings"]),
        removed=tuple((int(at), _finding(one)) for at, one in told["removed"]),
    )


def _finding(told: Any) -> Finding:
    made = Finding(
        id=told["id"],
        page=_text(told["page"], NAME),
        title=_text(told["title"], NAME),
        link=told["link"],
        note=_text(told["note"], NOTE),
        kept=datetime.fromisoformat(told["kept"]).isoformat(timespec="seconds"),
        models=tuple((_text(name, NAME), _text(digest, NAME)) for name, digest in told["models"]),
        image=_text(told["image"], NAME),
        image_hash=_text(told["image_hash"], NAME),
        figures=tuple((_text(title, NAME), svg, png) for title, svg, png in told["figures"]),
        small=told["small"],
        data=tuple(told["data"]),
    )
    if not _FINDING.fullmatch(made.id) or not LINK.fullmatch(made.link):
        raise ValueError("no finding")
    for name in made.files:
        match = FILE_NAME.fullmatch(name)
        if match is None or match.group(1) != made.id:
            raise ValueError("no file of this finding")
    return made


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError("no text")
    return value
