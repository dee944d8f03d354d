"""Serves traces to the viewer on a page without Streamlit: the app's own routes, and a page of a few lines."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from app import viewer
from app.routes import Ask, Store, routes
from engine.errors import LoupeError
from engine.influence import Influence
from engine.trace import Trace

PAGE = Path(__file__).with_name("page.html")


class Harness:
    """A running server. `data[name]` is what the page called `name` gives the viewer; `store` serves from `traces`."""

    def __init__(self, base: str = "") -> None:
        self.store = Store()
        self.data: dict[str, dict[str, Any]] = {}
        self.traces: dict[str, Trace] = {}
        self.modules: dict[str, str] = {}  # page → the module that it mounts; main otherwise
        self.ask: Ask | None = None
        self.base = base
        self.address = ""

    def url(self, name: str, **view: Any) -> str:
        """The page of `data[name]`; keyword arguments override settings; theme="dark" darkens it."""
        theme = view.pop("theme", "light")
        return f"{self.address}{self.base}/?name={name}&theme={theme}&view={json.dumps(view)}"

    def _page(self, request: Request) -> Response:
        name = request.query_params.get("name", next(iter(self.data), ""))
        data = self.data[name]
        given: Mapping[str, Any] = json.loads(request.query_params.get("view", "{}"))
        data = {**data, "view": {**data["view"], **given}}
        text = PAGE.read_text(encoding="utf-8")
        styles = "\n".join((viewer.folder / f"{sheet}.css").read_text() for sheet in ("viewer", "panes"))
        text = text.replace("/*DATA*/", json.dumps(data)).replace("/*CSS*/", styles)
        text = text.replace("__VERSION__", viewer.version())
        text = text.replace("__MODULE__", self.modules.get(name, "main"))
        return HTMLResponse(text.replace("__THEME__", request.query_params.get("theme", "light")))

    def app(self) -> Starlette:
        served = routes(self.store, self.base, lambda *asked: self.answer(*asked))
        return Starlette(routes=[Route(f"{self.base}/", self._page), *served])

    def answer(self, trace: Trace, pixel: tuple[int, int], site: str) -> Influence:
        """Influences, by the engine of the test that set `ask`."""
        if self.ask is None:
            raise LoupeError("this harness has no engine")
        return self.ask(trace, pixel, site)


Made = TypeVar("Made", bound=Harness)


@contextlib.contextmanager
def serving(harness: Made) -> Iterator[Made]:
    """The harness on a free port of localhost."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(harness.app(), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        harness.address = f"http://127.0.0.1:{port}"
        try:
            yield harness
        finally:
            server.should_exit = True
            thread.join(10)


def serve(base: str = "") -> contextlib.AbstractContextManager[Harness]:
    """A harness for the viewer, running."""
    return serving(Harness(base))
