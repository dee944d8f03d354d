"""What pages work out once: values behind keys that name their contents, bounded in bytes, each worked out by one visitor while
the others wait for it. No streamlit here.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch

from engine.cache import ByteCache

T = TypeVar("T")


class Computed:
    """Values by key. limit: bytes; a value that is larger is made anew every time, and the one used least recently goes first."""

    def __init__(self, limit: int) -> None:
        self._values = ByteCache(limit)
        self._turns: dict[Hashable, tuple[threading.RLock, int]] = {}  # and how many want it
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value; `make` gives it where it is not held. What `make` raises is kept for nobody."""
        found = self._values.get(key)
        if found is None:
            with self._turn(key):
                found = self._values.get(key)
                if found is None:
                    found = (make(),)
                    self._values.put(key, found, weight(found))
        return found[0]

    @property
    def used(self) -> int:
        """Bytes held."""
        return self._values.info().bytes

    @property
    def limit(self) -> int:
        return self._values.limit

    def clear(self) -> None:
        """Forgets everything."""
        self._values.clear()

    @contextmanager
    def _turn(self, key: Hashable) -> Iterator[None]:
        with self._lock:
            lock, wanted = self._turns.get(key, (threading.RLock(), 0))
            self._turns[key] = lock, wanted + 1
        try:
            with lock:
                yield
        finally:
            with self._lock:
                wanted = self._turns[key][1] - 1
                if wanted:
                    self._turns[key] = lock, wanted
                else:
                    del self._turns[key]


def weight(value: Any) -> int:
    """About how many bytes a value keeps in memory: arrays and tensors exactly, what shares memory once."""
    seen: set[int] = set()
    total, todo = 0, [value]
    while todo:
        one = todo.pop()
        if isinstance(one, torch.Tensor):
            storage = one.untyped_storage()
            name, size, parts = storage.data_ptr(), storage.nbytes(), ()
        else:
            while isinstance(one, np.ndarray) and isinstance(one.base, np.ndarray):
                one = one.base
            name, size, parts = id(one), _alone(one), _parts(one)
        if name not in seen:
            seen.add(name)
            total += size
            todo.extend(parts)
    return total


def _alone(value: Any) -> int:
    return value.nbytes if isinstance(value, np.ndarray) else sys.getsizeof(value, 64)


def _parts(value: Any) -> Iterator[Any] | tuple[Any, ...]:
    if isinstance(value, Mapping):
        return (part for pair in value.items() for part in pair)
    if isinstance(value, (list, tuple, set, frozenset)):
        return iter(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return (getattr(value, field.name, None) for field in dataclasses.fields(value))
    if isinstance(value, np.ndarray) and value.dtype == object:
        return iter(value.flat)
    return ()
