"""What pages work out once: by one visitor at a time, bounded in bytes, weighed as it lies in memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from app.computed import Computed, weight
from engine.errors import LoupeError


def test_it_is_made_once_and_again_after_it_went():
    computed, made = Computed(10_000), []

    def get(key: str, size: int) -> np.ndarray:
        return computed.get(key, lambda: made.append(key) or np.zeros(size, np.uint8))

    assert get("a", 4000) is get("a", 4000) and made == ["a"]
    get("b", 4000)
    get("a", 4000)  # asked for last: b goes first
    assert 8000 <= computed.used <= 10_000 == computed.limit
    get("c", 4000)
    get("a", 4000)
    assert made == ["a", "b", "c"]
    get("b", 4000)
    assert made == ["a", "b", "c", "b"]
    get("large", 20_000)
    get("large", 20_000)
    assert made[-2:] == ["large", "large"] and computed.used <= 10_000
    computed.clear()
    assert computed.used == 0


def test_nothing_can_be_a_value():
    computed, made = Computed(1000), []
    for _ in range(2):
        assert computed.get("a", lambda: made.append(1)) is None
    assert made == [1]


def test_others_wait_for_the_one_who_works_it_out():
    computed, made, inside = Computed(10_000), [], threading.Event()
    found: list[object] = []

    def make() -> object:
        made.append(1)
        inside.wait(0.2)
        return object()

    threads = [threading.Thread(target=lambda: found.append(computed.get("a", make))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert made == [1] and len(set(map(id, found))) == 1 and len(found) == 8
    assert not computed._turns


def test_what_fails_is_kept_for_nobody():
    computed = Computed(1000)

    def fails() -> int:
        raise LoupeError("there is no atlas")

    with pytest.raises(LoupeError, match="there is no atlas"):
        computed.get("a", fails)
    assert computed.get("a", lambda: 3) == 3 and not computed._turns


def test_one_may_need_another():
    computed = Computed(1000)
    assert computed.get("a", lambda: computed.get("b", lambda: 2) + 1) == 3


@dataclass(frozen=True)
class Pair:
    pixels: np.ndarray
    features: torch.Tensor


def test_arrays_and_tensors_count_once_and_whole():
    whole = np.zeros((1000, 10), np.float32)
    features = torch.zeros(500, 8)
    pair = Pair(whole[:10], features[3:4])
    assert 56_000 <= weight(pair) < 57_000
    assert weight([pair, pair, whole, features.T]) < 57_000
    assert weight({"a": [Pair(whole, features)], "b": (whole.copy(),)}) > 96_000
    assert weight(np.array([np.zeros(1000), None], dtype=object)) > 8000
    assert weight("é" * 1000) >= 1000 and weight(b"x" * 1000) >= 1000 and weight(None) < 100
