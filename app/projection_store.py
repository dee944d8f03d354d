"""Finished maps on disk, named by what they depend on: each is computed once, also over restarts.

A file is written at once or not at all; a damaged one counts as none and is made again. Above a size the least recently used go.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from engine.atlas.shards import write_bytes
from engine.data.datasets import DATA_ROOT
from engine.errors import LoupeError
from engine.projection_packing import pack_answer, read_answer
from engine.projection_request import Answer
from engine.writing import FORGOTTEN, sweep, why

LIMIT = 512 * 2**20  # bytes


class ProjectionStore:
    """root: the folder; default LOUPE_CACHE/projections, else data/projections. limit: bytes. Safe for many threads."""

    def __init__(self, root: Path | str | None = None, limit: int = LIMIT) -> None:
        cache = os.environ.get("LOUPE_CACHE")
        self.root = Path(root or (Path(cache) if cache else DATA_ROOT) / "projections")
        self.limit = limit

    def path(self, key: str) -> Path:
        return self.root / f"{key}.safetensors"

    def get(self, key: str) -> Answer | None:
        """None where there is none, or a damaged one, which goes."""
        path = self.path(key)
        try:
            answer = read_answer(path.read_bytes())
        except OSError:
            return None
        except LoupeError:
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used just now
        return answer

    def put(self, key: str, answer: Answer) -> str | None:
        """Keeps it; the sentence that says why it could not be kept, or None."""
        try:
            write_bytes(self.path(key), pack_answer(answer))
        except OSError as error:
            return f"This result is not kept for later: {self.root} cannot be written ({why(error)})."
        self._make_room()
        return None

    def sweep(self) -> int:
        """Removes what killed processes left half written; how many files that were."""
        return sweep(self.root)

    def clear(self) -> None:
        """Removes all maps; those that are being made come afterwards."""
        with contextlib.suppress(OSError):
            for path in self.root.glob("*.safetensors"):
                with contextlib.suppress(OSError):
                    path.unlink()

    def _make_room(self) -> None:
        files = []
        with contextlib.suppress(OSError):
            for path in self.root.iterdir():
                with contextlib.suppress(OSError):  # another process may have removed it
                    state = path.stat()
                    if path.suffix == ".partial" and time.time() - state.st_mtime > FORGOTTEN:
                        path.unlink()
                    elif path.suffix == ".safetensors":
                        files.append((state.st_mtime_ns, state.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files)[:-1]:  # the one just written stays
            if total <= self.limit:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size
