"""What the viewer is given: one JSON object, and how to make it from a trace.

    model    {"id", "title", "hash"}
    image    {"url", "height", "width" (traced), "original": [H0, W0], "name", "hash"}
    classes  [{"name", "colour": "#rrggbb"}, …]
    tensors  {stage name: address}; under each also …/extras and …/alike?row=&col=
    maps     address of labels, truth, presence
    stages   [{"name", "sources", "grid": [h, w], "source_grid": [y, x], "heads", "memory_share"}, …] coarse → fine
    view     see VIEW
    pins     [[row, col], …] pixels of the oriented original · active: index into pins (any value without pins)
    revision the last `ViewerResult.revision` that the page adopted, None at first
Addresses are relative to the server's base path, with or without a leading slash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import LoupeError
from engine.trace import Trace

# Every setting, with its default. Missing keys in `data["view"]` take these.
VIEW: dict[str, Any] = {
    "stage": None,  # a stage's name; None: the finest
    "reading": "reads",  # "reads" | "read by" | "made of" | "reads alike"
    "measure": "weight",  # "weight" | "contribution"
    "relative": "raw",  # "raw" | "relative" (to the image's average)
    "scale": "linear",  # "linear" | "uniform" (× uniform, logarithmic)
    "head": "mean",  # "mean" | 0 … n − 1, shown to people as 1 … n
    "smooth": False,  # false: true cells
    "opacity": 0.85,  # 0 … 1
    "colours": "cividis",  # "cividis" | "magma" | "viridis"
    "outline": "none",  # "none" | "prediction" | "truth" | "both"
    "source": None,  # for "read by" and "made of": index of a prototype; None: what is under the pointer or pin
    "hold": False,  # true: the overlay stays with the active pin while the pointer reads values
}


def describe_guidance(
    trace: Trace,
    key: str,
    classes: Sequence[Mapping[str, str]],
    *,
    pins: Sequence[tuple[int, int]] = (),
    active: int = 0,
    view: Mapping[str, Any] | None = None,
    revision: str | None = None,
) -> dict[str, Any]:
    """The Guidance viewer's data: as `describe`, with the address of both branches instead of stages. `view`: see guidance.js."""
    given = describe(trace, key, classes, pins=pins, active=active, revision=revision)
    kept = ("model", "image", "classes", "maps", "pins", "active", "revision")
    return {
        **{name: given[name] for name in kept},
        "guidance": f"tensors/{key}/guidance",
        "view": dict(view or {}),
    }


def describe_surgery(
    before: tuple[Trace, str],
    after: tuple[Trace, str],
    classes: Sequence[Mapping[str, str]],
    *,
    hidden: Sequence[str] = (),
    unhidden: str | None = None,
    pins: Sequence[tuple[int, int]] = (),
    active: int = 0,
    view: Mapping[str, Any] | None = None,
    revision: str | None = None,
) -> dict[str, Any]:
    """The Surgery viewer's data: an unedited and an edited trace of one image, each with its key.

    hidden: regions that the edits hide, as app.surgery_links spells them; unhidden: why none can be in this model, or None.
    """
    given = describe(before[0], before[1], classes, pins=pins, active=active, revision=revision)
    kept = ("model", "image", "classes", "stages", "pins", "active", "revision")
    sides = {}
    for name, (trace, key) in (("before", before), ("after", after)):
        told = describe(trace, key, classes)
        sides[name] = {"tensors": told["tensors"], "maps": told["maps"], "logits": f"tensors/{key}/logits"}
    return {
        **{name: given[name] for name in kept},
        **sides,
        "hidden": list(hidden),
        "unhidden": unhidden,
        "view": dict(view or {}),
    }


def describe(
    trace: Trace,
    key: str,
    classes: Sequence[Mapping[str, str]],
    *,
    pins: Sequence[tuple[int, int]] = (),
    active: int = 0,
    view: Mapping[str, Any] | None = None,
    revision: str | None = None,
) -> dict[str, Any]:
    """The viewer's data for a trace held under `key` in the store of app.routes.

    classes: name and colour ("#rrggbb") of each category. Raises LoupeError for a trace without its image.
    """
    if trace.image is None:
        raise LoupeError("the viewer shows an affinity over its photo, and this trace was made without one")
    height, width = trace.image_size
    card = trace.model
    return {
        "model": {} if card is None else {"id": card.id, "title": card.title, "hash": card.hash},
        "image": {
            "url": f"tensors/{key}/image.png",
            "height": height,
            "width": width,
            "original": list(trace.image.original_size),
            "name": trace.image.name,
            "hash": trace.image.hash,
        },
        "classes": [{"name": one["name"], "colour": one["colour"]} for one in classes],
        "tensors": {stage.name: f"tensors/{key}/{stage.name}" for stage in trace.stages},
        "maps": f"tensors/{key}/maps",
        "stages": [
            {
                "name": stage.name,
                "sources": stage.sources,
                "grid": list(stage.grid),
                "source_grid": list(stage.source_grid),
                "heads": stage.heads,
                "memory_share": stage.memory_share,
            }
            for stage in trace.stages
        ],
        "view": {**VIEW, **(view or {})},
        "pins": [list(pin) for pin in pins],
        "active": active,
        "revision": revision,
    }


def pane(
    trace: Trace, key: str, classes: Sequence[Mapping[str, str]], sites: Sequence[str]
) -> dict[str, Any]:
    """One model's part of Compare's data. sites: where its influence can be asked for."""
    given = describe(trace, key, classes)
    context = trace.guidance is not None and trace.guidance.context_query is not None
    shared = {name: given[name] for name in ("model", "classes", "tensors", "maps", "stages")}
    return {"key": key, **shared, "sites": list(sites), "context": context}
