"""Shape annotations: jaxtyping where it is installed, silent stand-ins where it is not.

The engine must import on a bare GPU machine (torch, timm, numpy, einops, safetensors); annotations are checked in
tests only, so their absence costs nothing at run time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Integer
else:
    try:
        from jaxtyping import Bool, Float, Int, Integer
    except ImportError:

        class _Unchecked:
            def __class_getitem__(cls, item):
                return item[0]

        Bool = Float = Int = Integer = _Unchecked

__all__ = ["Bool", "Float", "Int", "Integer"]
