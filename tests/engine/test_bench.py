"""The benchmark: its rows are measured, its ratios follow, and what it is asked for in vain is one sentence."""

from __future__ import annotations

import pytest
import torch

from engine import LoupeError
from engine.bench import Row, run, scene
from engine.measuring import peak_bytes


def test_ratio_and_bound():
    row = Row("a", measured=3.0, against=2.0, unit="ms", bound=1.4)
    assert row.ratio == 1.5 and not row.held and row.json()["held"] is False
    assert Row("b", measured=2.0, against=2.0, unit="ms", bound=1.0).held


def test_the_input_is_a_picture_and_not_zeros():
    pixels = scene(96)
    assert pixels.shape == (96, 96, 3) and pixels.std() > 20


def test_peak_counts_what_is_held_at_once():
    """Three maps of 4 MB one after the other are 8 MB at most: the second is freed before the third is made."""

    def sequential() -> None:
        x = torch.ones(1 << 20)
        y = x + 1
        del x
        y = y * 2

    assert 8 * 2**20 <= peak_bytes(sequential, torch.device("cpu")) < 9 * 2**20


def test_unknown_measurement():
    with pytest.raises(LoupeError, match='no measurement "nothing"'):
        run(device="cpu", only="nothing")
