"""The block's MLP in bands of rows is the MLP, and costs what it costs."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from engine.costs import multiply_adds
from engine.decoders import block


@pytest.mark.parametrize("height", [1, 2, 7, 8, 9, 21])
@pytest.mark.parametrize("rows", [1, 2, 3, 8])
def test_bands_are_the_whole(height, rows, monkeypatch):
    torch.manual_seed(0)
    mlp, x = block.BlockMLP(8).eval(), torch.randn(2, 8, height, 13)
    monkeypatch.setattr(block, "BAND_BYTES", rows * 4 * x[..., 0, :].numel() * 4)
    with torch.no_grad():
        expected = nn.Sequential.forward(mlp, x)
        assert_close(mlp(x), expected, rtol=1e-5, atol=1e-6)
        assert [len(band[0, 0]) for band in mlp._bands(x, rows)] == [
            min(rows, height - start) for start in range(0, height, rows)
        ]
        assert multiply_adds(lambda: mlp(x)) == multiply_adds(lambda: nn.Sequential.forward(mlp, x))


def test_with_gradients_it_goes_through_whole(monkeypatch):
    monkeypatch.setattr(block, "BAND_BYTES", 1)
    monkeypatch.setattr(block.BlockMLP, "_bands", lambda *_: pytest.fail("in bands"))
    mlp, x = block.BlockMLP(8), torch.randn(1, 8, 5, 6)
    assert mlp(x).requires_grad
