"""What exists once in a server process: the engine, the pictures, and the store that the viewer's routes serve from.

Made here and not in a page's script: Streamlit runs scripts again and again, modules only once (file watching is off, see
.streamlit/config.toml; a reload would make a second engine). Everything here is safe for many sessions at once.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from app.atlases import Atlases
from app.audits import Audits
from app.cutouts import Photos
from app.findings import Findings
from app.gallery import Gallery, long_side
from app.held import Body, Held
from app.jobs import Jobs
from app.projections import Projections
from app.routes import Store
from app.surgery_walk import Walks
from engine import Engine
from engine.cache import host_budget
from engine.influence import Influence
from engine.trace import Trace

ROOT = Path(__file__).resolve().parents[1]
PLOTS = 256 << 20  # bytes


@cache
def engine() -> Engine:
    """Devices, models and traces. Models are read from assets/models, or from the folder that LOUPE_MODELS names."""
    return Engine()


@cache
def gallery() -> Gallery:
    """Pictures are reduced to a long side of 1024 pixels, or of what LOUPE_LONG_SIDE says."""
    return Gallery(ROOT / "assets" / "scenes", long_side=long_side())


@cache
def store() -> Store:
    """As large as the engine's cache, whose tensors it hands out: where there was room for fewer traces than a page shows, its
    viewers would make each other's keys answer 410 in turn."""
    return Store(host_budget())


@cache
def plots() -> Held[Body]:
    """Points, maps and photos of the scatters."""
    return Held(PLOTS)


@cache
def jobs() -> Jobs:
    return Jobs()


@cache
def atlases() -> Atlases:
    return Atlases()


@cache
def audits() -> Audits:
    return Audits()


@cache
def projections() -> Projections:
    """The maps that take long, and the process that makes them."""
    return Projections()


@cache
def walks() -> Walks:
    """Surgery over splits."""
    return Walks()


@cache
def checks() -> Walks:
    """Looks at whole datasets."""
    return Walks()


@cache
def findings() -> Findings:
    """Kept in data/findings, or in the folder that LOUPE_FINDINGS names."""
    return Findings(Path(os.environ.get("LOUPE_FINDINGS") or ROOT / "data" / "findings"))


@cache
def photos() -> Photos:
    """The images that pixels are cut out of."""
    return Photos(lambda name: gallery().pixels(name))


def influence(trace: Trace, pixel: tuple[int, int], site: str) -> Influence:
    """What one pixel's decision depends on, for the routes: by the very checkpoint that made the trace."""
    assert trace.model is not None and trace.image is not None
    return engine().influence(trace.model, trace.image, pixel, site)
