"""Layers that several decoders are built from."""

from __future__ import annotations

from torch import nn


class ConvNormRelu(nn.Sequential):
    """Convolution without bias, BatchNorm (eps 1e-5), ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
