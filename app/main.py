"""The server: `streamlit run app/main.py`. Streamlit's own pages and the viewer's routes, on one port.

Plain `streamlit run` puts only this folder on the path, where `app` and `engine` are not to be found and where files such as
`state.py` could be taken for top-level modules: so the repository's root takes its place.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import pkgutil
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parent), *(entry for entry in sys.path if entry and Path(entry).resolve() != HERE)]

import streamlit as st  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402

from app import atlases, process, views  # noqa: E402
from app.first_paint import FirstPaint  # noqa: E402
from app.routes import routes  # noqa: E402
from app.views import inspect, prototypes, variance  # noqa: E402
from app.visitors import Visitors  # noqa: E402
from engine import LoupeError  # noqa: E402
from engine.writing import swept  # noqa: E402

M_ARENA_MAX = -8  # of glibc's malloc.h


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncGenerator[None, None]:
    """While the server runs. What the first visitor needs is made aside: the server answers meanwhile."""
    threading.Thread(target=_warm_up, daemon=True).start()
    yield
    process.projections().stop_all()
    process.atlases().stop_all()
    process.audits().stop_all()
    process.walks().stop_all()
    process.checks().stop_all()


def _few_arenas() -> None:
    """Threads come and go with visits, and each may get an arena of its own from glibc's allocator, which keeps pages that are
    mostly free. Two are enough for an interpreter with one lock; a setting of the person's own (MALLOC_ARENA_MAX) stays."""
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def _sweep() -> None:
    """What an earlier server left half written when it was killed goes, and the log says so."""
    for shelf in (process.projections().store, process.audits(), process.findings()):
        if count := shelf.sweep():
            print(swept(count, shelf.root), file=sys.stderr)


def _warm_up() -> None:
    _sweep()
    # What is wrong with a model or an image is told by the page that shows it.
    with suppress(LoupeError):
        inspect.warm_up()
    with suppress(LoupeError):
        prototypes.warm_up()
    with suppress(LoupeError):
        variance.warm_up()
    for module in pkgutil.iter_modules(views.__path__, "app.views."):
        importlib.import_module(module.name)
    # Of the PCA that the server makes itself; it brings pandas.
    import sklearn.decomposition  # noqa: F401

    # Streamlit collects garbage after every run of a script, and walking the half million objects that torch and timm bring takes
    # longer than the run itself, while the answer waits. They stay for good: collections pass them over from now on.
    gc.collect()
    gc.freeze()
    process.projections().start()
    with suppress(LoupeError):
        _begin_atlas()


def _begin_atlas() -> None:
    """The atlas that the Prototypes page opens on is made aside, unless it is there or LOUPE_ATLAS=0."""
    cards = process.engine().models()
    if atlases.may_begin() and (card := cards.get(prototypes.OPENING_MODEL)) is not None:
        found = process.atlases().find(card)
        if found.atlas is None and found.why is None:
            process.atlases().build(card, str(process.engine().device))


_few_arenas()
try:
    process.gallery()  # a setting that cannot be meant ends the start, in one sentence
except LoupeError as error:
    sys.exit(str(error))

app = st.App(
    HERE / "home.py",
    lifespan=lifespan,
    middleware=[Middleware(Visitors), Middleware(FirstPaint)],
    routes=routes(
        process.store(), st.get_option("server.baseUrlPath") or "", process.influence, process.plots()
    ),
)
