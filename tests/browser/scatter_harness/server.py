"""Serves points to the scatter on a page without Streamlit: the app's own routes, and a page of a few lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from app import viewer
from app.held import Body, Held
from app.routes import routes
from app.scatter import Panel, Points
from tests.browser.viewer_harness.server import Harness

PAGE = Path(__file__).with_name("page.html")
STYLES = ("viewer.css", "panes.css", "scatter/scatter.css")


class ScatterHarness(Harness):
    """A running server. data[name]: what the page called `name` gives the scatter; photos[name]: its photo pane, if any."""

    def __init__(self, base: str = "") -> None:
        super().__init__(base)
        self.plots: Held[Body] = Held(1 << 28)
        self.photos: dict[str, dict[str, Any]] = {}
        self.shown: dict[str, tuple[Points, list[Panel]]] = {}

    def _page(self, request: Request) -> Response:
        name = request.query_params["name"]
        data = {**self.data[name], **json.loads(request.query_params.get("view", "{}")), "group": "test"}
        photo = {**self.photos[name], "group": "test"} if name in self.photos else None
        text = PAGE.read_text(encoding="utf-8").replace("__VERSION__", viewer.version())
        text = text.replace("/*DATA*/", json.dumps(data)).replace("/*PHOTO*/", json.dumps(photo))
        text = text.replace("/*CSS*/", "\n".join(map(viewer.text, STYLES)))
        return HTMLResponse(text.replace("__THEME__", request.query_params.get("theme", "light")))

    def app(self) -> Starlette:
        served = routes(self.store, self.base, plots=self.plots)
        return Starlette(routes=[Route(f"{self.base}/", self._page), *served])
