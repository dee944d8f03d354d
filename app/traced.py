"""A picture's trace for whoever waits for it: where the device's memory is too small for the picture, all pages go on with a
smaller one, and say so."""

from __future__ import annotations

from app import process, state
from app.gallery import Picture
from app.words import size
from engine.catalogue import ModelCard
from engine.trace import Trace


def traced(model: ModelCard, picture: Picture) -> Trace:
    """The trace, of the picture's own size. Where only a smaller one fits, the page begins anew with that, and a sentence.

    Raises:
        LoupeError: as `Engine.trace`; OutOfMemory where not even the smallest fits.
    """
    trace = process.engine().trace(model, picture.image, smaller=True)
    assert trace.image is not None  # the engine's traces know theirs
    if trace.image.size != picture.image.size:
        process.gallery().reduce(picture.id, trace.image)
        state.notice(
            f"{picture.title} is shown at {size(trace.image.size)}: at {size(picture.image.size)} its trace with {model.id} did "
            "not fit into the device's memory, not even after all caches were given back."
        )
        state.again()
    return trace
