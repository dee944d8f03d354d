"""The static files of our components and the version under which they are served."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

folder = Path(__file__).parent
BESIDE = ("scatter",)  # folders beside this one whose modules are served as scatter/….js and stand on these


def _modules(place: Path) -> list[str]:
    return sorted(path.name for path in place.glob("*.js") if path.name != "bootstrap.js")


FILES = (
    *_modules(folder),
    *(f"{name}/{file}" for name in BESIDE for file in _modules(folder.parent / name)),
)


@cache
def version() -> str:
    """Twelve hex digits over names and contents of all served modules: part of their address."""
    digest = hashlib.sha256()
    for name in FILES:
        digest.update(name.encode())
        digest.update(text(name).encode())
    return digest.hexdigest()[:12]


def text(name: str) -> str:
    """A file of this folder, or of one beside it ("scatter/main.js")."""
    place = folder.parent if name.partition("/")[0] in BESIDE else folder
    return (place / name).read_text(encoding="utf-8")


def bootstrap(module: str) -> str:
    """The `js=` string of a component whose module, one of FILES without its ending, exports `mount`."""
    return text("bootstrap.js").replace("__VERSION__", version()).replace("__MODULE__", module)
