"""The page as it is sent: our style sheet and name are in it before Streamlit's script runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app.first_paint import SCRIPT, STYLE, FirstPaint

PAGE = "<html><head><title>Streamlit</title></head><body>ä</body></html>"


async def whole(_: Request) -> Response:
    return HTMLResponse(PAGE, headers={"etag": '"of the file"'})


async def in_pieces(_: Request) -> Response:
    async def pieces():
        for at in range(0, len(PAGE), 7):
            yield PAGE[at : at + 7].encode()

    return StreamingResponse(pieces(), media_type="text/html")


async def missing(_: Request) -> Response:
    return HTMLResponse(PAGE, status_code=404)


async def data(_: Request) -> Response:
    return Response(PAGE, media_type="application/json")


@pytest.fixture(scope="module")
def client() -> TestClient:
    routes = [Route(f"/{each.__name__}", each) for each in (whole, in_pieces, missing, data)]
    inner = Middleware(GZipMiddleware, minimum_size=1)
    return TestClient(Starlette(routes=routes, middleware=[Middleware(FirstPaint), inner]))


@pytest.mark.parametrize("path", ["/whole", "/in_pieces"])
def test_a_page_has_its_styles_and_name_in_its_head(client: TestClient, path: str):
    answer = client.get(path, headers={"accept": "text/html,*/*", "accept-encoding": "gzip"})
    head = answer.text.partition("</head>")[0]
    assert STYLE.read_text(encoding="utf-8") in head and SCRIPT.read_text(encoding="utf-8") in head
    assert "<title>Loupe</title>" in head and "<title>Streamlit" not in head
    assert answer.text.endswith("</head><body>ä</body></html>")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert "etag" not in answer.headers


@pytest.mark.parametrize("path", ["/missing", "/data"])
def test_all_else_stays_as_it_is(client: TestClient, path: str):
    answer = client.get(path, headers={"accept-encoding": "gzip"})
    assert answer.text == PAGE and answer.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("file", [STYLE, SCRIPT])
def test_what_is_put_into_the_head_cannot_end_its_element(file: Path):
    assert "</" not in file.read_text(encoding="utf-8")
