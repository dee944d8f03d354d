"""Loupe's engine: runs segmentation decoders and returns their internals as plain, named, shaped data.

    from engine import Engine
    trace = Engine().trace("cpt", "photo.jpg")
    trace.stages[-1].pixel_affinity(30, 40)

It knows nothing of widgets, colours or pages, and does not know what a picture of its numbers should look like.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import LoupeError

if TYPE_CHECKING:
    from engine.runtime import Engine

__all__ = ["Engine", "LoupeError"]


def __getattr__(name: str):
    # torch and timm take seconds to import; `python -m engine --help` must not wait for them.
    if name == "Engine":
        from engine.runtime import Engine

        return Engine
    raise AttributeError(f"module 'engine' has no attribute '{name}'")
