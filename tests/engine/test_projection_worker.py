"""The process that makes maps: its messages, its answers, its end; requests and answers as bytes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine import projection_worker
from engine.errors import LoupeError
from engine.projection import Projection, pca
from engine.projection_packing import pack_answer, pack_request, read_answer, read_request
from engine.projection_quality import Stability
from engine.projection_request import Request, mapping, placing, run, stability
from engine.projection_worker import receive, send

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
X = np.random.default_rng(0).normal(size=(80, 5)).astype(np.float32)


def same(one: Projection, other: Projection, seconds: bool = True) -> bool:
    fields = ("method", "params", "seed", "qualities", "explained", "by", "key")
    return (
        all(getattr(one, name) == getattr(other, name) for name in (*fields, *(["seconds"] * seconds)))
        and all(np.array_equal(a, b) for a, b in zip(one.maps, other.maps, strict=True))
        and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("centre", "axes"))
    )


# ── bytes ──


def answers() -> list[Projection | Stability | np.ndarray]:
    made = run(mapping("pca", X))
    assert isinstance(made, Projection)
    maps = (X[:, :2].copy(), X[:, 1:3].copy())
    two = Projection("aligned", {"n_neighbours": 5, "metric": "cosine"}, 3, maps, (), None, "by", 1.5, "k")
    return [made, two, Stability(0.5, 0.25, 15, (1, 2)), X[:4, :2].copy()]


@pytest.mark.parametrize("answer", answers(), ids=["pca", "aligned", "stability", "place"])
def test_answers_come_back_from_their_bytes(answer):
    again = read_answer(pack_answer(answer))
    if isinstance(answer, Projection):
        assert isinstance(again, Projection) and same(answer, again)
    else:
        np.testing.assert_equal(again, answer)


def requests() -> list[Request]:
    umap, base = mapping("umap", X, seed=4), pca(X)
    return [
        umap,
        mapping("aligned", [X, X[:, ::-1]], metric="cosine"),
        stability(umap, base, 2),
        placing(mapping("pca", X), base, X[:3]),
    ]


@pytest.mark.parametrize("request_", requests(), ids=["umap", "aligned", "stability", "place"])
def test_requests_come_back_from_their_bytes(request_):
    again = read_request(pack_request(request_))
    assert again.key == request_.key and again.kind == request_.kind and again.seeds == request_.seeds
    assert again.params == request_.params and again.seed == request_.seed
    for ours, theirs in zip(again.xs, request_.xs, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_damaged_bytes_are_told_from_whole_ones():
    whole = pack_answer(run(mapping("pca", X)))
    for place in range(0, len(whole), 61):
        spoilt = bytearray(whole)
        spoilt[place] ^= 0x01
        with pytest.raises(LoupeError, match="damaged"):
            read_answer(bytes(spoilt))
    for length in (0, 7, 100, len(whole) - 1):
        with pytest.raises(LoupeError, match="damaged"):
            read_answer(whole[:length])


def test_messages_cross_a_pipe_or_are_no_message():
    pipe = io.BytesIO()
    send(pipe, {"said": "a line\nand another"}, b"\n\x00bytes")
    send(pipe, {"fraction": 0.5})
    pipe.seek(0)
    assert receive(pipe) == ({"said": "a line\nand another", "bytes": 7}, b"\n\x00bytes")
    assert receive(pipe) == ({"fraction": 0.5, "bytes": 0}, b"")
    assert receive(pipe) is None
    too_large = json.dumps({"bytes": projection_worker.MOST_BYTES + 1}).encode() + b"\n"
    for wrong in (b'{"bytes": 5}\nab', b"chatter\n", b"[1]\n", b'{"bytes": -1}\n', b'{"no": 1}\n', too_large):
        assert receive(io.BytesIO(wrong)) is None


# ── the process ──


@pytest.fixture(scope="module")
def worker() -> Iterator[subprocess.Popen[bytes]]:
    with started() as process:
        yield process
        process.kill()


def started(**environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "engine.projection_worker"],
        cwd=ROOT,
        env={**os.environ, "LOUPE_PROJECTIONS": "0", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def ask(worker: subprocess.Popen[bytes], data: bytes) -> tuple[list[dict], dict, bytes]:
    """(the lines on the way, the last one, its bytes)."""
    assert worker.stdin is not None and worker.stdout is not None
    send(worker.stdin, {}, data)  # pyright: ignore[reportArgumentType]
    lines = []
    while (message := receive(worker.stdout)) is not None:  # pyright: ignore[reportArgumentType]
        if "done" in message[0] or "error" in message[0]:
            return lines, *message
        lines.append(message[0])
    raise AssertionError("the worker ended")


def test_it_answers_as_the_functions_do(worker):
    request = mapping("pca", X)
    lines, last, data = ask(worker, pack_request(request))
    theirs, ours = read_answer(data), run(request)
    assert last["done"] and isinstance(theirs, Projection) and isinstance(ours, Projection)
    assert same(theirs, ours, seconds=False)
    assert lines and all(0 <= line["fraction"] <= 1 and line["said"] for line in lines)


@pytest.mark.slow
def test_it_tells_how_far_it_is(worker):
    x = np.random.default_rng(1).normal(size=(1500, 8)).astype(np.float32)
    lines, last, data = ask(worker, pack_request(mapping("umap", x)))
    made = read_answer(data)
    assert last["done"] and isinstance(made, Projection) and made.quality is not None
    shares = [line["fraction"] for line in lines]
    assert shares == sorted(shares) and len(set(shares)) > 3
    assert sum("laying out the map: epoch" in line["said"] for line in lines) > 2


def test_what_is_wrong_is_a_sentence_and_it_goes_on(worker):
    spoilt = Request("map", "pca", (np.ones((20, 3), np.float32),), {}, None)
    _, last, data = ask(worker, pack_request(spoilt))
    assert "there is nothing to project" in last["error"] and data == b""
    _, last, _ = ask(worker, pack_request(Request("map", "umap", (X,), {"no": 1}, 0)))
    assert last["error"] == "it failed; the log of the app says why"
    _, last, _ = ask(worker, b"no request")
    assert "error" in last
    assert ask(worker, pack_request(mapping("pca", X)))[1]["done"]


@pytest.mark.parametrize("busy", [False, True])
def test_it_ends_when_its_owner_is_gone(busy):
    with started() as process:
        assert process.stdin is not None and process.stdout is not None
        assert ask(process, pack_request(mapping("pca", X)))[1]["done"]
        if busy:
            x = np.random.default_rng(2).normal(size=(20_000, 64)).astype(np.float32)
            send(process.stdin, {}, pack_request(mapping("umap", x)))  # pyright: ignore[reportArgumentType]
            assert receive(process.stdout) is not None  # pyright: ignore[reportArgumentType]
        began = time.monotonic()
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
        assert time.monotonic() - began < 5


def test_warming_fits_each_method_once(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "engine.projection_request.run", lambda request, progress: asked.append(request.method)
    )
    for step in projection_worker._warming():
        step()
    assert asked == ["umap", "densmap", "aligned"]
