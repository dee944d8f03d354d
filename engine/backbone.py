"""timm backbones as pyramids: feature maps at strides 4, 8, 16, 32 and, where there is one, 2."""

from __future__ import annotations

from typing import Any

import timm
from torch import Tensor, nn

from engine.errors import LoupeError
from engine.shapes import Float
from engine.trace import Pyramid


class Backbone(nn.Module):
    """Any timm model with `features_only`.

    Args:
        name: timm's model name.
        pretrained: load timm's pretrained weights (needs the network, or timm's cache).
        output_stride: 32, or 16 or 8 with dilations where the architecture offers them.

    Raises:
        LoupeError: timm does not know the model, or it has no maps at strides 4, 8, 16 and 32.
    """

    def __init__(self, name: str, pretrained: bool = False, output_stride: int = 32) -> None:
        super().__init__()
        if not timm.is_model(name):
            raise LoupeError(f'timm has no backbone "{name}"')
        if output_stride not in (8, 16, 32):
            raise LoupeError(f'output stride {output_stride} of backbone "{name}": choose 8, 16 or 32')
        extra: dict[str, Any] = {} if output_stride == 32 else {"output_stride": output_stride}
        try:
            self.body = timm.create_model(name, pretrained=pretrained, features_only=True, **extra)
        except (RuntimeError, TypeError, AttributeError, NotImplementedError) as error:
            raise LoupeError(
                f'backbone "{name}" at output stride {output_stride} cannot be made: {str(error).splitlines()[0]}'
            ) from error
        info: Any = self.body.feature_info
        channels, strides = info.channels(), info.reduction()
        wanted = [min(stride, output_stride) for stride in (4, 8, 16, 32)]
        # With dilation several maps share a stride: the last four are the pyramid, whatever comes before is finer.
        if strides[-4:] != wanted:
            raise LoupeError(f'backbone "{name}" has maps at strides {strides}, not at {wanted}')
        self.name = name
        self.output_stride = output_stride
        self.channels: tuple[int, ...] = tuple(channels[-4:])  # of strides 4, 8, 16, 32
        self._channels: list[int] = channels[-5:]
        self.has_stride2 = len(strides) > 4 and strides[-5] == 2
        self.stride2_channels = channels[-5] if self.has_stride2 else 0

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Pyramid:
        """Normalised images → Pyramid. Maps have ceil(H / stride) rows."""
        maps = [_channels_first(x, c) for x, c in zip(self.body(images)[-5:], self._channels, strict=True)]
        return Pyramid(
            levels=(maps[-4], maps[-3], maps[-2], maps[-1]),
            image_size=(images.shape[-2], images.shape[-1]),
            image=images,
            stride2=maps[-5] if self.has_stride2 else None,
        )


def _channels_first(x: Tensor, channels: int) -> Tensor:
    # timm's Swin and its kin emit (b, h, w, c).
    return x.permute(0, 3, 1, 2).contiguous() if x.shape[1] != channels and x.shape[-1] == channels else x
