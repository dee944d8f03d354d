"""What the pages keep: readings run with one thread and leave the process with all of them."""

from __future__ import annotations

import threading

import pytest
import torch

from app import cache


def counted() -> int:
    """The number of threads that a new thread gets."""
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def test_overlapping_readings_leave_all_threads(monkeypatch: pytest.MonkeyPatch):
    """The second begins inside the first and ends after it: what it found on entry, 1, must not be what it leaves."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    monkeypatch.setattr(cache, "THREADS", 3)
    inside, ended = threading.Event(), threading.Event()
    seen: dict[str, int] = {}

    def first() -> None:
        with cache._one_thread():
            seen["first inside"] = torch.get_num_threads()
            inside.set()
            assert begun.wait(10)
        seen["first after"] = torch.get_num_threads()
        ended.set()

    def second() -> None:
        assert inside.wait(10)
        with cache._one_thread():
            seen["second inside"] = torch.get_num_threads()
            begun.set()
            assert ended.wait(10)
        seen["second after"] = torch.get_num_threads()

    begun = threading.Event()
    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert seen == {"first inside": 1, "first after": 3, "second inside": 1, "second after": 3}
        assert counted() == 3
    finally:
        torch.set_num_threads(before)
