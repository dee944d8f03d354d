"""What every backbone is: an image in, a pyramid of four maps out."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from engine.shapes import Float
from engine.trace import Pyramid

STRIDES = (4, 8, 16, 32)


class Backbone(nn.Module):
    """Images to feature maps at strides 4, 8, 16, 32 and, where there is one, 2. Subclasses say how, in `maps`.

    Args:
        name: what `build_backbone` makes it from.
        channels: of the maps at strides 4, 8, 16, 32.
        output_stride: 32, or the largest stride where dilation keeps it smaller.
        stride2_channels: of the map at stride 2; 0 without one.
    """

    def __init__(
        self, name: str, channels: Sequence[int], output_stride: int = 32, stride2_channels: int = 0
    ) -> None:
        super().__init__()
        self.name = name
        self.channels: tuple[int, ...] = tuple(channels)
        self.output_stride = output_stride
        self.stride2_channels = stride2_channels

    @property
    def has_stride2(self) -> bool:
        return self.stride2_channels > 0

    def maps(self, images: Float[Tensor, "b 3 H W"]) -> Sequence[Tensor]:
        """Four maps, fine → coarse, channels first; before them the one at stride 2 where there is one."""
        raise NotImplementedError

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Pyramid:
        """Normalised images → Pyramid. Maps have ceil(H / stride) rows."""
        maps = self.maps(images)
        return Pyramid(
            levels=(maps[-4], maps[-3], maps[-2], maps[-1]),
            image_size=(images.shape[-2], images.shape[-1]),
            image=images,
            stride2=maps[-5] if self.has_stride2 else None,
        )
