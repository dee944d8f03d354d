"""timm backbones as pyramids."""

from __future__ import annotations

from typing import Any

import timm
from torch import Tensor

from engine.backbones.base import STRIDES, Backbone
from engine.errors import LoupeError

REFUSED = (RuntimeError, TypeError, AttributeError, NotImplementedError, OSError, ValueError)


class TimmBackbone(Backbone):
    """Any timm model with `features_only`.

    Args:
        name: timm's model name.
        pretrained: load timm's pretrained weights (needs the network, or timm's cache).
        output_stride: 32, or 16 or 8 with dilations where the architecture offers them.

    Raises:
        LoupeError: timm does not know the model, it has no maps at strides 4, 8, 16 and 32, or its weights cannot be had.
    """

    def __init__(self, name: str, pretrained: bool = False, output_stride: int = 32) -> None:
        if output_stride not in (8, 16, 32):
            raise LoupeError(f'output stride {output_stride} of backbone "{name}": choose 8, 16 or 32')
        extra: dict[str, Any] = {} if output_stride == 32 else {"output_stride": output_stride}
        body = timm_model(name, pretrained=pretrained, features_only=True, **extra)
        info: Any = body.feature_info
        channels, strides = info.channels(), info.reduction()
        wanted = [min(stride, output_stride) for stride in STRIDES]
        # With dilation several maps share a stride: the last four are the pyramid, whatever comes before is finer.
        if strides[-4:] != wanted:
            raise LoupeError(f'backbone "{name}" has maps at strides {strides}, not at {wanted}')
        finest = channels[-5] if len(strides) > 4 and strides[-5] == 2 else 0
        super().__init__(name, channels[-4:], output_stride, finest)
        self.body = body
        self._channels: list[int] = channels[-5:]

    def maps(self, images: Tensor) -> list[Tensor]:
        return [_channels_first(x, c) for x, c in zip(self.body(images)[-5:], self._channels, strict=True)]


def timm_model(name: str, pretrained: bool = False, **settings: Any) -> Any:
    """timm's model of that name.

    Raises:
        LoupeError: timm does not know it, it cannot be made so, or its weights cannot be had.
    """
    if not timm.is_model(name):
        raise LoupeError(f'timm has no backbone "{name}"')
    try:
        return timm.create_model(name, pretrained=pretrained, **settings)
    except Exception as error:
        # What a network does on the way to the weights comes as any exception of any library.
        if not pretrained and not isinstance(error, REFUSED):
            raise
        at = f" at output stride {settings['output_stride']}" if "output_stride" in settings else ""
        what = "cannot be had with its weights" if pretrained else "cannot be made"
        raise LoupeError(f'backbone "{name}"{at} {what}: {_first_line(error)}') from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _channels_first(x: Tensor, channels: int) -> Tensor:
    # timm's Swin and its kin emit (b, h, w, c).
    return x.permute(0, 3, 1, 2).contiguous() if x.shape[1] != channels and x.shape[-1] == channels else x
