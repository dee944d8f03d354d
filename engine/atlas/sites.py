"""Which maps of a trace an atlas measures, by name.

    f0..f3              the backbone's maps, strides 4 to 32
    lateral0..          the decoder's own 1×1 of each level
    STAGE.aligned       aligned source pixels            STAGE.value    the same after W_v and W_o, without biases
    STAGE.update        what the query update broadcasts (in the space of STAGE.value, plus a constant)
    fused               the map that is classified (HFGD's upsampler: F_u)
    high                F_h, the context encoder's output

A site's level says on whose grid it lies, so that labels are counted once for each grid.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.shapes import Float
from engine.trace import Stage, Trace


def site_maps(trace: Trace) -> dict[str, Float[Tensor, "*b c h w"]]:
    """Every site of a traced batch, or of one image, fp32."""
    maps = {f"f{i}": level for i, level in enumerate(trace.features)}
    # An upsampler to stride 2 has one lateral more, before f0's.
    finer = len(trace.laterals) - len(trace.features) if len(trace.laterals) > len(trace.features) else 0
    maps |= {f"lateral{i - finer}": lateral for i, lateral in enumerate(trace.laterals)}
    for stage in trace.stages:
        if stage.aligned is not None:
            maps[f"{stage.name}.aligned"] = stage.aligned
            maps[f"{stage.name}.value"] = in_value_space(stage, stage.aligned)
        maps[f"{stage.name}.update"] = stage.update
    if trace.fused is not None:
        maps["fused"] = trace.fused
    if trace.high is not None:
        maps["high"] = trace.high
    return {name: each.float() for name, each in maps.items()}


def level_of(trace: Trace, grid: tuple[int, int]) -> int:
    """The backbone's level that has this grid; −1 for a finer one."""
    for level, features in enumerate(trace.features):
        if (features.shape[-2], features.shape[-1]) == grid:
            return level
    return -1


def in_value_space(stage: Stage, aligned: Float[Tensor, "*b c y x"]) -> Float[Tensor, "*b c y x"]:
    """Aligned pixels as the update would add them: W_o W_v, without biases and without 1 − μ.  (methods: `value_i`)"""
    through = torch.einsum("cnd,nde->ce", stage.output_weight.float(), stage.value_weight.float())
    return torch.einsum("ce,...eyx->...cyx", through, aligned.float())
