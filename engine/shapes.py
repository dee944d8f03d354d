"""Shape annotations: jaxtyping where it is installed, silent stand-ins where it is not.

The engine must import on a bare GPU machine (torch, timm, numpy, einops, safetensors); annotations are checked in
tests only, so their absence costs nothing at run time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Integer
else:
    try:
        from jaxtyping import Float, Int, Integer
    except ImportError:

        class _Unchecked:
            def __class_getitem__(cls, item):
                return item[0]

        Float = Int = Integer = _Unchecked

__all__ = ["Float", "Int", "Integer"]
