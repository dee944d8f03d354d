"""The maps of the Variance page: components at once, the projection that was asked for as soon as the worker has it.

A map has a name that says what it is of: pixels, method, parameters. What is drawn on one holds for that map alone. The
components are always there, also behind a map that was asked for, so that a lasso drawn on them while the worker was busy keeps
its points.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from app import cache, process
from app.views.variance_look import Look
from app.views.variance_panels import Panel
from app.words import percent
from engine import LoupeError
from engine.pixels import PixelSample

if TYPE_CHECKING:
    from app.projections import Task
    from engine.projection import Projection
    from engine.projection_request import Request


@dataclass(frozen=True, eq=False)
class Map:
    """One panel's map. projection: what it comes from, `place` in its maps."""

    name: str
    xy: np.ndarray
    projection: Projection
    place: int = 0

    @property
    def axes(self) -> tuple[str, str] | None:
        """Names of the axes; None where they have no units."""
        if self.projection.explained is None:
            return None
        first, second = (percent(share, 2) for share in self.projection.explained)
        return f"component 1 · {first} of the variance", f"component 2 · {second}"


@dataclass(frozen=True, eq=False)
class Maps:
    """Of the panels with pixels, in their order. shown: what is on screen; components: always; tasks: of what was asked for;
    method: of what is on screen."""

    shown: tuple[Map, ...]
    components: tuple[Map, ...]
    tasks: tuple[Task, ...]
    method: str

    @property
    def waiting(self) -> bool:
        return any(task.running for task in self.tasks)

    @property
    def overtaken(self) -> bool:
        """The tasks ended after the components had been taken for what is shown."""
        return self.method == "pca" and bool(self.tasks) and all(task.state == "done" for task in self.tasks)

    @property
    def errors(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(task.error for task in self.tasks if task.error is not None))

    @property
    def notes(self) -> tuple[str, ...]:
        """What went wrong beside the result."""
        return tuple(dict.fromkeys(task.note for task in self.tasks if task.note is not None))


def charted(look: Look) -> tuple[Look, tuple[Map, ...]]:
    """The components of every panel; a panel whose pixels cannot be projected says why, and the others stay."""
    panels, maps = list(look.panels), []
    for i in look.shown:
        sample = panels[i].sample
        assert sample is not None
        try:
            maps.append(components(sample))
        except LoupeError as error:
            panels[i] = replace(panels[i], sample=None, why=str(error))
    if len(maps) < len(look.shown):
        look = replace(look, panels=tuple(panels))
    return look, tuple(maps)


def components(sample: PixelSample) -> Map:
    """The first two principal components."""

    def make() -> Map:
        from engine.projection import pca

        found = pca(sample.features)
        return Map(name_of(sample.key(), "pca"), found.xy, found)

    return cache.made(("components", sample.key()), make)


def maps_of(look: Look, found: tuple[Map, ...]) -> Maps:
    """What is to be shown: asks the worker for what is not components. found: the components."""
    chosen = look.selection
    if chosen.projection == "pca" or not found:
        return Maps(found, found, (), "pca")
    samples = look.samples
    try:
        requests = [request_of(look, i) for i in range(1 if chosen.projection == "aligned" else len(samples))]
        tasks = tuple(process.projections().ask(request, again=False) for request in requests)
    except LoupeError as error:
        return Maps(found, found, (Refused(str(error)),), "pca")  # pyright: ignore[reportArgumentType]
    if any(task.state != "done" for task in tasks):
        return Maps(found, found, tasks, "pca")
    maps = []
    for i, sample in enumerate(samples):
        aligned = chosen.projection == "aligned"
        result = cast("Projection", tasks[0 if aligned else i].result)
        place = i if aligned else 0
        maps.append(Map(name_of(sample.key(), result.key, str(place)), result.maps[place], result, place))
    return Maps(tuple(maps), found, tasks, chosen.projection)


def request_of(look: Look, place: int) -> Request:
    """What the worker is asked of the panel at that place among those with pixels; of all of them where maps are aligned.

    Kept, since checking and naming some megabytes takes longer than all the rest of a rerun.
    """
    chosen = look.selection
    options = {"n_neighbours": chosen.neighbours, "min_dist": chosen.min_dist, "seed": chosen.seed}
    method = chosen.projection
    of = look.samples if method == "aligned" else look.samples[place : place + 1]

    def make() -> Request:
        from engine.projection_request import mapping

        features = [sample.features for sample in of]
        return mapping(method, features if method == "aligned" else features[0], **options)

    return cache.made(("map request", method, *(sample.key() for sample in of), *options.values()), make)


@dataclass(frozen=True)
class Refused:
    """Stands for a task that could not be asked for: it has ended before it began."""

    error: str
    key: str = ""
    note: None = None
    running: bool = False
    state: str = "failed"
    fraction: float = 0.0
    said: str = ""
    result: None = None


def name_of(*parts: str) -> str:
    """Short, the same for the same map."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def with_pixels(look: Look) -> tuple[Panel, ...]:
    return tuple(look.panels[i] for i in look.shown)
