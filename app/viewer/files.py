"""The viewer's static files and the version under which they are served."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

folder = Path(__file__).parent
FILES = tuple(sorted(path.name for path in folder.glob("*.js") if path.name != "bootstrap.js"))


@cache
def version() -> str:
    """Twelve hex digits over names and contents of all served modules: part of their address."""
    digest = hashlib.sha256()
    for name in FILES:
        digest.update(name.encode())
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:12]


def text(name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")
