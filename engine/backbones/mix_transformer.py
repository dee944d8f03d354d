"""Mix Transformer (MiT), SegFormer's encoder.  Xie et al., NeurIPS 2021; layers of the optional package transformers.

Deviations from transformers: every LayerNorm has eps 1e-6, as mmsegmentation builds them (transformers' default is 1e-5).
No vectors of the author's pin this backbone.  [choice]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from engine.backbones.base import Backbone
from engine.errors import LoupeError

if TYPE_CHECKING:
    from transformers.models.segformer.modeling_segformer import SegformerModel

PREFIX = "mmseg/mit_"
HUB = "nvidia/mit-{}"
NORM_EPS = 1e-6

WIDTH_AND_DEPTHS = {
    "b0": (32, (2, 2, 2, 2)),
    "b1": (64, (2, 2, 2, 2)),
    "b2": (64, (3, 4, 6, 3)),
    "b3": (64, (3, 4, 18, 3)),
    "b4": (64, (3, 8, 27, 3)),
    "b5": (64, (3, 6, 40, 3)),
}


class MixTransformer(Backbone):
    """MiT-B0 … B5.

    Args:
        name: "mmseg/mit_b0" … "mmseg/mit_b5".
        pretrained: ImageNet weights from the hub (needs the network, or its cache).
        drop_path: of the last block; 0.1 in the author's recipes.

    Raises:
        LoupeError: no such name, no transformers, no weights.
    """

    def __init__(self, name: str, pretrained: bool = False, drop_path: float = 0.1) -> None:
        size = name.removeprefix(PREFIX)
        if not name.startswith(PREFIX) or size not in WIDTH_AND_DEPTHS:
            raise LoupeError(f'no backbone "{name}": {PREFIX}SIZE, SIZE one of {", ".join(WIDTH_AND_DEPTHS)}')
        width, depths = WIDTH_AND_DEPTHS[size]
        channels = [width * times for times in (1, 2, 5, 8)]
        super().__init__(name, channels)
        self.stages = _body(channels, depths, drop_path, HUB.format(size) if pretrained else None).stages
        for module in self.stages.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = NORM_EPS

    def maps(self, images: Tensor) -> list[Tensor]:
        x, found = images, []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


def _body(channels: list[int], depths: tuple[int, ...], drop_path: float, hub: str | None) -> SegformerModel:
    try:
        from transformers.models.segformer.configuration_segformer import SegformerConfig
        from transformers.models.segformer.modeling_segformer import SegformerModel
    except ImportError as error:
        raise LoupeError("MiT needs the package transformers: pip install 'transformers==5.24.0'") from error
    settings: dict[str, Any] = {
        "hidden_sizes": channels,
        "depths": list(depths),
        "num_attention_heads": [1, 2, 5, 8],
        "sr_ratios": [8, 4, 2, 1],
        "drop_path_rate": drop_path,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    if hub is None:
        return SegformerModel(SegformerConfig(**settings))
    try:
        return SegformerModel.from_pretrained(hub, **settings)
    except Exception as error:  # what a network does on the way comes as any exception of any library
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise LoupeError(f"the weights of {hub} cannot be had: {said}") from error
