"""The plain classifier on a dilated backbone (output stride 8): the baseline without an upsampler.  [choice] the common FCN head

    logits = 1×1 Dropout2d (BN-ReLU 3×3 (f3)),   at the stride of f3

| symbol | attribute |
|---|---|
| BN-ReLU 3×3 | `embed` |
| 1×1 | `classifier` |
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from engine.decoders.decoder import Decoder, Prediction
from engine.decoders.layers import ConvNormRelu
from engine.guidance import Cuts
from engine.trace import Pyramid, Trace


class DilatedDecoder(Decoder):
    """The plain classifier on a dilated backbone: BN-ReLU 3×3 of f3, Dropout2d, 1×1.  [choice] the common FCN head

    Args:
        in_channels: of f0..f3; f3 alone is read.
        classes: k.
        channels: C.
        dropout: Dropout2d before the classifier.
    """

    reads = ("f3",)

    def __init__(
        self, in_channels: Sequence[int], classes: int, channels: int = 256, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.classes = classes
        self.embed = ConvNormRelu(in_channels[3], channels, 3)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(channels, classes, 1)

    def predict(self, features: Pyramid | Sequence[Tensor], cuts: Cuts | None = None) -> Prediction:
        return Prediction(self._run(Pyramid.of(features))[0])

    def trace(self, features: Pyramid | Sequence[Tensor]) -> Trace:
        pyramid = Pyramid.of(features)
        logits, fused = self._run(pyramid)
        return Trace(logits.float(), pyramid.levels, (), image_size=pyramid.image_size, fused=fused)

    def _run(self, pyramid: Pyramid) -> tuple[Tensor, Tensor]:
        fused = self.embed(pyramid.levels[3])
        return self.classifier(self.dropout(fused)), fused
