"""A least-recently-used cache bounded in bytes, in two tiers: what falls out of the device's moves to the host's.

Safe for many threads. Values are frozen (traces, pyramids), so handing the same one to every caller is safe.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEAST, MOST = 2 << 30, 8 << 30  # bytes of traces in host memory by default
_GROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def host_budget() -> int:
    """Bytes of traces that host memory may hold: a quarter of what this process may have, 2 to 8 GiB.  [choice]

    A ResNet-50's trace of 2048×1024 at C = 256 holds 1.2 GiB, and its pyramid 0.4 beside it. Were there room for fewer than a
    page shows, each would push the others out and every run would trace all of them again.
    """
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not told here
        return LEAST
    for path in _GROUPS:
        try:
            memory = min(memory, int(path.read_text()))
        except (OSError, ValueError):  # no control group, or "max"
            continue
    return max(LEAST, min(MOST, memory // 4))


@dataclass(frozen=True)
class TierInfo:
    """How full a tier is."""

    entries: int
    bytes: int
    limit: int  # bytes


class ByteCache:
    """One tier.

    Args:
        limit: bytes; an entry larger than that is never held.
        evicted: called with (key, value) for what falls out, outside the lock.
    """

    def __init__(self, limit: int, evicted: Callable[[Hashable, Any], None] | None = None) -> None:
        self.limit = limit
        self._evicted = evicted
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any | None:
        """The value, now the most recently used; None if it is not held."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Hold a value of `size` bytes, dropping the least recently used to make room."""
        out = []
        with self._lock:
            self._drop(key)
            if size > self.limit:
                out.append((key, value))
            else:
                while self._bytes + size > self.limit:
                    old, (dropped, _) = next(iter(self._entries.items()))
                    out.append((old, dropped))
                    self._drop(old)
                self._entries[key] = (value, size)
                self._bytes += size
        if self._evicted is not None:
            for item in out:
                self._evicted(*item)

    def remove(self, key: Hashable) -> None:
        """Forget one entry, without the eviction call."""
        with self._lock:
            self._drop(key)

    def items(self) -> list[tuple[Hashable, Any]]:
        """(key, value) of all entries, the least recently used first."""
        with self._lock:
            return [(key, value) for key, (value, _) in self._entries.items()]

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def info(self) -> TierInfo:
        with self._lock:
            return TierInfo(len(self._entries), self._bytes, self.limit)

    def _drop(self, key: Hashable) -> None:
        if key in self._entries:
            self._bytes -= self._entries.pop(key)[1]


class TieredCache:
    """Device tier before host tier. Without an accelerator the first is switched off.

    Args:
        device_bytes, host_bytes: limits.
        to_host, to_device: move a value between the tiers; the sizes are taken to be the same.
    """

    def __init__(
        self,
        device_bytes: int,
        host_bytes: int,
        to_host: Callable[[Any], Any],
        to_device: Callable[[Any], Any],
    ) -> None:
        self._sizes: dict[Hashable, int] = {}
        self._to_host, self._to_device = to_host, to_device
        self.host = ByteCache(host_bytes, self._forget)
        self.device = ByteCache(device_bytes, self._demote)

    def get(self, key: Hashable) -> Any | None:
        """The value on the device, moved back there if it had fallen to the host."""
        value = self.device.get(key)
        if value is not None:
            return value
        value = self.host.get(key)
        if value is None or not self.device.limit:
            return value
        value = self._to_device(value)
        size = self._sizes.get(key, 0)
        self.host.remove(key)
        self.put(key, value, size)
        return value

    def put(self, key: Hashable, value: Any, size: int) -> None:
        self._sizes[key] = size
        if self.device.limit:
            self.device.put(key, value, size)
        else:
            self.host.put(key, value, size)

    def clear(self) -> None:
        self.device.clear()
        self.host.clear()
        self._sizes.clear()

    def give_back(self) -> None:
        """Empties the device: to the host, or, where they are one, for good."""
        if not self.device.limit:
            self.clear()
        for key, value in self.device.items():
            self.device.remove(key)
            self._demote(key, value)

    def _demote(self, key: Hashable, value: Any) -> None:
        self.host.put(key, self._to_host(value), self._sizes.get(key, 0))

    def _forget(self, key: Hashable, value: Any) -> None:
        self._sizes.pop(key, None)
