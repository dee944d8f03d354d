"""What routes serve from: values behind unguessable keys, bounded in bytes, the one asked for least recently gone first.

A key names one value in one server process and tells nothing about it. The same identity gives the same key while its value is
held, so that a rerun changes no address. Safe for many threads.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Body:
    """What one address answers, ready to send."""

    content: bytes
    media_type: str = "application/octet-stream"


class Held(Generic[T]):
    """Values and their sizes; at least one is always kept."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._values: OrderedDict[str, tuple[T, int]] = OrderedDict()
        self._keys: dict[Hashable, str] = {}
        self._lock = threading.Lock()

    def keep(self, make: Callable[[], tuple[T, int]], identity: Hashable = None) -> str:
        """The key of the value with this identity; `make` gives value and bytes where it is not held (None: always)."""
        with self._lock:
            known = self._keys.get(identity) if identity is not None else None
            if known is not None:
                self._values.move_to_end(known)
                return known
            key = secrets.token_urlsafe(24)
            self._values[key] = make()
            if identity is not None:
                self._keys[identity] = key
            self._shrink()
        return key

    def get(self, key: str) -> T | None:
        """The value, now the most recently used, or None when it was never there or has gone."""
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    @property
    def used(self) -> int:
        """Bytes held."""
        with self._lock:
            return sum(size for _, size in self._values.values())

    def clear(self) -> None:
        """Forget everything: all keys answer 410 from now on."""
        with self._lock:
            self._values.clear()
            self._keys.clear()

    def _shrink(self) -> None:
        used = sum(size for _, size in self._values.values())
        while used > self.capacity and len(self._values) > 1:
            gone, (_, size) = self._values.popitem(last=False)
            used -= size
            self._keys = {identity: key for identity, key in self._keys.items() if key != gone}
