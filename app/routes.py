"""Tensors, photo and JavaScript of the viewer over HTTP, on the app's own port, behind unguessable keys.

A key names one trace in one server process and tells nothing about it. The store is bounded in bytes: the trace that was
asked for least recently goes first, its key then answers 410, and the viewer asks the page for a new one. Bodies are made
on demand and cached by the browser (their content never changes under one key). Handlers are plain functions, so that
Starlette runs them in its thread pool and the event loop stays free.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app import viewer
from app.held import Body, Held
from engine import wire
from engine.edits import edits_key
from engine.errors import LoupeError
from engine.images import LoadedImage
from engine.influence import Influence
from engine.stage import Stopped
from engine.trace import Trace, tensor_bytes

CAPACITY = 1 << 30
# "identity" keeps Streamlit's gzip layer away: half-precision numbers hardly shrink, and level 9 takes a second a stage.
HEADERS = {
    "Cache-Control": "private, max-age=31536000, immutable",
    "Content-Encoding": "identity",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
GONE = {"Cache-Control": "no-store"}


@dataclass
class Entry:
    """One trace in the store, with its photo and, where known, its labels (H, W) at the traced size."""

    trace: Trace
    image: LoadedImage
    truth: np.ndarray | None
    bodies: dict[str, bytes] = field(default_factory=dict)  # the few that take long to make
    lock: threading.Lock = field(default_factory=threading.Lock)
    asked: dict[str, object] = field(default_factory=dict)  # viewer → token of the similarity it waits for
    asking: threading.Lock = field(default_factory=threading.Lock)  # of `asked`, held for moments


class Store(Held[Entry]):
    """Traces that viewers may ask for; safe for many threads; bounded in bytes (at least one trace is always kept)."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        super().__init__(capacity)

    def put(self, trace: Trace, truth: np.ndarray | None = None, identity: Hashable = None) -> str:
        """The key under which this trace's tensors are served.

        `identity` says what the trace is of: the same identity gives the same key while it is held, so that a rerun changes no
        address. By default it is the checkpoint's hash, the image's hash, whether labels are known, and the edits.
        Raises LoupeError for a trace without its image.
        """
        image = trace.image
        if image is None:
            raise LoupeError(
                "the viewer shows an affinity over its photo, and this trace was made without one"
            )
        if identity is None and trace.model is not None:
            identity = (trace.model.hash, image.hash, truth is not None, edits_key(trace.edits))
        return self.keep(
            lambda: (Entry(trace, image, truth), tensor_bytes(trace) + image.pixels.nbytes), identity
        )


Ask = Callable[[Trace, tuple[int, int], str], Influence]
"""What one pixel (row, col of the original) of a trace's image depends on at a site: runs a model."""


def routes(
    store: Store, base: str = "", ask: Ask | None = None, plots: Held[Body] | None = None
) -> list[Route]:
    """Everything the viewer fetches. `base`: the server's base path ("server.baseUrlPath"), without which Streamlit serves us.

    ask: computes influences; without it nobody is given any. plots: what scatters fetch.
    """
    root = "/" + base.strip("/") if base.strip("/") else ""

    def photo(request: Request) -> Response:
        return _answer(store, request, _photo, "image/png")

    def maps(request: Request) -> Response:
        return _answer(store, request, lambda entry, _: wire.map_tensors(entry.trace, entry.truth))

    def logits(request: Request) -> Response:
        return _answer(store, request, lambda entry, _: wire.logit_tensors(entry.trace))

    def guidance(request: Request) -> Response:
        return _answer(store, request, lambda entry, _: wire.guidance_tensors(entry.trace))

    def stage(request: Request) -> Response:
        return _answer(store, request, lambda entry, asked: wire.stage_tensors(_stage(entry, asked)))

    def extras(request: Request) -> Response:
        return _answer(store, request, _extras)

    def alike(request: Request) -> Response:
        return _answer(store, request, _alike)

    def influence(request: Request) -> Response:
        return _answer(store, request, lambda entry, asked: _influence(entry, asked, ask))

    def plot(request: Request) -> Response:
        body = plots.get(request.path_params["key"]) if plots is not None else None
        if body is None:
            return PlainTextResponse("these points are no longer held: ask for them again", 410, headers=GONE)
        return Response(body.content, media_type=body.media_type, headers=HEADERS)

    under_keys = {
        "plots/{key}": plot,
        "tensors/{key}/image.png": photo,
        "tensors/{key}/maps": maps,
        "tensors/{key}/logits": logits,
        "tensors/{key}/guidance": guidance,
        "tensors/{key}/influence": influence,
        "tensors/{key}/{stage}": stage,
        "tensors/{key}/{stage}/extras": extras,
        "tensors/{key}/{stage}/alike": alike,
    }
    scripts = Route(f"{root}/viewer/{{version}}/{{file:path}}", _script)  # the same for everybody
    return [scripts, *(Route(f"{root}/{path}", _ours(answer)) for path, answer in under_keys.items())]


def _ours(answer: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """The handler, for our own pages only.

    Browsers say where a request comes from (Sec-Fetch-Site, on https and on localhost; Origin where scripts of others ask). What
    says nothing is no browser, or an old one: for those the key must do.
    """

    def guarded(request: Request) -> Response:
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        theirs = site not in (None, "same-origin", "none")
        if origin is not None and site is None:
            theirs = urlsplit(origin).netloc != request.headers.get("host")
        if theirs:
            return PlainTextResponse("only the app's own pages are answered", 403, headers=GONE)
        return answer(request)

    return guarded


def _answer(store: Store, request: Request, make, media_type: str = "application/octet-stream") -> Response:
    entry = store.get(request.path_params["key"])
    if entry is None:
        return PlainTextResponse("these tensors are no longer held: ask for a new trace", 410, headers=GONE)
    try:
        return Response(make(entry, request), media_type=media_type, headers=HEADERS)
    except LoupeError as error:
        return PlainTextResponse(str(error), 400, headers=GONE)
    except Stopped:
        return PlainTextResponse("this viewer has asked for another pixel since", 409, headers=GONE)


def _stage(entry: Entry, request: Request):
    return entry.trace.stage(request.path_params["stage"])


def _photo(entry: Entry, request: Request) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(entry.image.pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _extras(entry: Entry, request: Request) -> bytes:
    stage = _stage(entry, request)
    with entry.lock:  # two viewers that ask at once wait for one computation
        if stage.name not in entry.bodies:
            entry.bodies[stage.name] = wire.extra_tensors(stage)
        return entry.bodies[stage.name]


def _alike(entry: Entry, request: Request) -> bytes:
    """One viewer waits for one pixel at a time: its newer request ends the older one between two blocks."""
    stage = _stage(entry, request)
    asked = request.query_params
    try:
        row, col = int(asked["row"]), int(asked["col"])
        head = None if asked.get("head", "mean") == "mean" else int(asked["head"])
    except (KeyError, ValueError):
        raise LoupeError(
            "a cell is asked for as row=…&col=…, two whole numbers, and a head, where wanted, as head=…"
        ) from None
    with _alone(entry, asked.get("viewer", "")) as moved_on:
        return wire.alike_tensor(stage, row, col, head, moved_on)


def _influence(entry: Entry, request: Request, ask: Ask | None) -> bytes:
    """Exact, by a backward pass, which cannot be stopped once it runs: a request that waits for its turn can."""
    asked = request.query_params
    if "stop" in asked:
        with entry.asking:
            entry.asked.pop(asked.get("viewer", ""), None)
        raise Stopped
    try:
        pixel = (int(asked["row"]), int(asked["col"]))
    except (KeyError, ValueError):
        raise LoupeError("a pixel is asked for as row=…&col=…, two whole numbers") from None
    height, width = entry.image.original_size
    if not (0 <= pixel[0] < height and 0 <= pixel[1] < width):
        raise LoupeError(f"pixel {pixel[0]},{pixel[1]} lies outside the image of {height}×{width}")
    if ask is None:
        raise LoupeError("there is no engine here to ask for an influence")
    if entry.trace.edits:
        raise LoupeError("influence is computed for unedited runs only")
    with _alone(entry, asked.get("viewer", "")):
        return wire.influence_tensor(ask(entry.trace, pixel, asked.get("site", "f3")))


@contextmanager
def _alone(entry: Entry, viewer_: str) -> Iterator[Callable[[], bool]]:
    """Holds the entry for one slow answer; gives a function that says whether its viewer wants something else by now.

    Raises Stopped if that happens while it waits for others.
    """
    mine = object()
    with entry.asking:
        entry.asked[viewer_] = mine

    def moved_on() -> bool:
        return entry.asked.get(viewer_) is not mine

    try:
        while not entry.lock.acquire(timeout=0.1):
            if moved_on():
                raise Stopped
        try:
            if moved_on():
                raise Stopped
            yield moved_on
        finally:
            entry.lock.release()
    finally:
        with entry.asking:
            if not moved_on():
                del entry.asked[viewer_]


def _script(request: Request) -> Response:
    name = request.path_params["file"]
    if name not in viewer.FILES:
        return PlainTextResponse(f"the viewer has no file {name[:40]}", 404, headers=GONE)
    headers = HEADERS if request.path_params["version"] == viewer.version() else GONE
    return Response(viewer.text(name), media_type="text/javascript", headers=headers)
