"""Segmenter and losses as one module: what the loop trains. It needs no data sets, so that a bench of a step needs none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.losses import segmentation_losses
from engine.segmenter import Segmenter


class SegmentationObjective(nn.Module):
    """Segmenter and losses in one module, so that one wrapped forward does for one process or many.

    full_backbone: keep the backbone out of autocast (fp32), where the decoder runs in bf16.
    """

    def __init__(self, segmenter: Segmenter, full_backbone: bool = False) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.full_backbone = full_backbone

    def forward(self, images: Tensor, labels: Tensor, modes: Tensor | None = None) -> dict[str, Tensor]:
        """images (b, S, S, 3) uint8, labels (b, S, S) int64, 255 ignored → named scalar losses. `modes` is not used."""
        normalised = self.segmenter.normalise(images)
        if self.full_backbone:
            with torch.autocast(images.device.type, enabled=False):
                pyramid = self.segmenter.backbone(normalised)
        else:
            pyramid = self.segmenter.backbone(normalised)
        return segmentation_losses(self.segmenter.decoder.predict(pyramid), labels)
