"""The viewer's routes: keys, eviction, refusals."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load
from starlette.applications import Starlette
from starlette.testclient import TestClient

import engine.stage
from app import viewer
from app.held import Body, Held
from app.routes import Store, routes
from engine.errors import LoupeError
from engine.runtime import ModelCard
from tests.browser.viewer_harness import synthetic


def make(seed: int = 0, sources: str = "memory"):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, (64, 96)).astype(np.uint8)
    image = rng.integers(0, 255, (64, 96, 3), dtype=np.uint8)
    return synthetic.trace(image, labels, 5, sources, channels=16, seed=seed), labels


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def client(store) -> TestClient:
    return TestClient(Starlette(routes=routes(store)))


def test_everything_under_a_key(store, client):
    trace, labels = make()
    key = store.put(trace, labels)
    for stage in trace.stages:
        answer = client.get(f"/tensors/{key}/{stage.name}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        # Streamlit's gzip layer leaves a declared encoding alone; compressing half-precision numbers only costs time.
        assert answer.headers["content-encoding"] == "identity"
        assert load(answer.content)["query"].shape == (4, stage.grid[0] * stage.grid[1], 4)
    assert np.array_equal(load(client.get(f"/tensors/{key}/maps").content)["truth"], labels)
    assert load(client.get(f"/tensors/{key}/stride4/extras").content)["normaliser"].shape == (4, 16 * 24)
    alike = load(client.get(f"/tensors/{key}/stride4/alike?row=3&col=20").content)["alike"]
    assert alike[3, 20] == pytest.approx(1, abs=1e-5)
    photo = Image.open(io.BytesIO(client.get(f"/tensors/{key}/image.png").content))
    assert trace.image is not None
    assert np.array_equal(np.asarray(photo), trace.image.pixels)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("stride2", 400, 'no stage "stride2"'),
        ("stride2/extras", 400, 'no stage "stride2"'),
        ("stride4/alike", 400, "row=…&col=…"),
        ("stride4/alike?row=3&col=x", 400, "row=…&col=…"),
        ("stride4/alike?row=3&col=999", 400, "lies outside"),
        ("stride4/alike?row=-1&col=0", 400, "lies outside"),
        ("stride4/alike?row=0&col=0&head=4", 400, "no head 4"),
        ("stride4/alike?row=0&col=0&head=x", 400, "head=…"),
    ],
)
def test_refusals_are_sentences(store, client, path, status, words):
    key = store.put(make()[0])
    answer = client.get(f"/tensors/{key}/{path}")
    assert answer.status_code == status
    assert words in answer.text
    assert answer.headers["cache-control"] == "no-store"


def test_similarity_of_one_head(store, client):
    trace, _ = make(sources="pixels")
    address = f"/tensors/{store.put(trace)}/stride4/alike?row=3&col=20"
    maps = {
        head: load(client.get(f"{address}&head={head}").content)["alike"]
        for head in ("mean", "0", "1", "2", "3")
    }
    mean = maps.pop("mean")
    assert torch.equal(mean, load(client.get(address).content)["alike"])
    torch.testing.assert_close(torch.stack(list(maps.values())).mean(0), mean)
    torch.testing.assert_close(maps["1"], trace.stage("stride4").profile_similarity(3, 20, head=1))


def test_a_newer_request_of_the_same_viewer_ends_the_older_one(store, client, monkeypatch):
    """Whether it computes or still waits for its turn; another viewer's request goes on."""
    key = store.put(make(sources="pixels")[0])
    entry = store.get(key)
    assert entry is not None
    monkeypatch.setattr(engine.stage, "BLOCK_BYTES", 1)  # one query a block
    real, reached, go_on = engine.stage.go_on, threading.Event(), threading.Event()

    def slowly(stop):
        reached.set()
        assert go_on.wait(20)
        real(stop)

    monkeypatch.setattr(engine.stage, "go_on", slowly)
    ask = f"/tensors/{key}/stride4/alike?row=1&col="
    with ThreadPoolExecutor(4) as pool:
        computing = pool.submit(client.get, f"{ask}1&viewer=a")
        assert reached.wait(20)
        first = entry.asked["a"]
        other = pool.submit(client.get, f"{ask}9&viewer=b")
        waiting = pool.submit(client.get, f"{ask}2&viewer=a")
        while len(entry.asked) < 2 or entry.asked["a"] is first:
            time.sleep(0.01)
        last = pool.submit(client.get, f"{ask}3&viewer=a")
        assert waiting.result(20).status_code == 409  # at once, though the first still computes
        go_on.set()
        answers = [one.result(60) for one in (computing, other, last)]
    assert [answer.status_code for answer in answers] == [409, 200, 200]
    assert answers[0].headers["cache-control"] == "no-store"
    assert load(answers[2].content)["alike"][1, 3] == pytest.approx(1, abs=1e-5)
    assert entry.asked == {} and not entry.lock.locked()


def test_bilinear_has_no_extras(store, client):
    key = store.put(make(sources="bilinear")[0])
    answer = client.get(f"/tensors/{key}/stride4/extras")
    assert (answer.status_code, "bilinear" in answer.text) == (400, True)


def test_unknown_and_evicted_keys_are_gone(store, client):
    first, second = make(0)[0], make(1)[0]
    assert client.get("/tensors/nonsense/maps").status_code == 410
    key = store.put(first)
    store.capacity = store.used + 1  # one fits, two do not
    other = store.put(second)
    for path in ("maps", "image.png", "stride4", "stride4/extras", "stride4/alike?row=0&col=0"):
        answer = client.get(f"/tensors/{key}/{path}")
        assert (answer.status_code, answer.headers["cache-control"]) == (410, "no-store")
    assert client.get(f"/tensors/{other}/maps").status_code == 200
    assert store.put(first) != key  # a new key: the old one may still be in somebody's cache


def test_what_is_used_stays(store):
    store.put(make(0)[0])
    store.capacity = int(2.5 * store.used)
    first, second = store.put(make(0)[0]), store.put(make(1)[0])
    assert store.get(first)
    store.put(make(2)[0])
    assert store.get(first)
    assert store.get(second) is None
    assert store.used <= store.capacity


def test_the_same_trace_keeps_its_key(store):
    trace, labels = make()
    assert store.put(trace) == store.put(trace)
    assert store.put(trace, labels) != store.put(trace)  # with labels the maps differ
    other = make(1)[0]
    assert store.put(other) != store.put(trace)
    assert len(store.put(other)) >= 32


def test_larger_than_the_store_is_served_all_the_same(client, store):
    store.capacity = 1
    key = store.put(make()[0])
    assert client.get(f"/tensors/{key}/maps").status_code == 200


def test_a_trace_without_image_is_refused(store):
    trace = make()[0]
    with pytest.raises(LoupeError, match="without one"):
        store.put(cast(type(trace), SimpleNamespace(image=None, model=cast(ModelCard, None))))


def test_scripts_and_nothing_else(client):
    version = viewer.version()
    answer = client.get(f"/viewer/{version}/main.js")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]
    # Another version's address gives what there is, and must not be kept under it.
    assert client.get("/viewer/0000/main.js").headers["cache-control"] == "no-store"
    for name in ("component.py", "bootstrap.js", "viewer.css", "..%2Froutes.py"):
        assert client.get(f"/viewer/{version}/{name}").status_code == 404


def test_a_base_path(store):
    key = store.put(make()[0])
    client = TestClient(Starlette(routes=routes(store, "/some/base/")))
    assert client.get(f"/some/base/tensors/{key}/maps").status_code == 200
    assert client.get(f"/tensors/{key}/maps").status_code == 404


@pytest.fixture
def asked():
    """Routes over a stand-in for the engine: what it was asked, and what it answers."""
    from engine.influence import Influence

    calls = []

    def ask(trace, pixel, site):
        calls.append((pixel, site))
        if site == "f9":
            raise LoupeError('no site "f9": choose f3, image')
        return Influence(site, torch.full((2, 3), 1 / 6), 4.5, 1.25, 2, 0)

    store = Store()
    return store, TestClient(Starlette(routes=routes(store, ask=ask))), calls


def test_an_influence_is_asked_for_by_pixel_and_site(asked):
    store, client, calls = asked
    key = store.put(make()[0])
    answer = client.get(f"/tensors/{key}/influence?row=5&col=90&site=f2")
    assert answer.status_code == 200 and calls == [((5, 90), "f2")]
    assert load(answer.content)["shares"].shape == (2, 3)
    assert b'\\"margin\\": 1.25' in answer.content and b'\\"total\\": 4.5' in answer.content


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "row=…&col=…"),
        ("row=x&col=1", "row=…&col=…"),
        ("row=64&col=1", "outside"),
        ("row=0&col=-1", "outside"),
        ("row=0&col=0&site=f9", "no site"),
    ],
)
def test_influences_that_cannot_be_are_refused_in_a_sentence(asked, query, words):
    store, client, _ = asked
    key = store.put(make()[0])
    answer = client.get(f"/tensors/{key}/influence?{query}")
    assert answer.status_code == 400 and words in answer.text


def test_an_influence_that_waits_can_be_stopped(asked):
    store, client, calls = asked
    key = store.put(make()[0])
    entry = store.get(key)
    assert entry is not None
    with ThreadPoolExecutor() as pool:
        with entry.lock:  # somebody else is being answered
            waiting = pool.submit(client.get, f"/tensors/{key}/influence?row=1&col=1&viewer=me")
            while "me" not in entry.asked:
                time.sleep(0.01)
            assert client.get(f"/tensors/{key}/influence?viewer=me&stop=1").status_code == 409
            assert waiting.result(10).status_code == 409
        assert calls == []


def test_without_an_engine_nobody_is_given_an_influence(store, client):
    key = store.put(make()[0])
    assert "no engine" in client.get(f"/tensors/{key}/influence?row=1&col=1").text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # no browser: the key is what protects
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),  # typed into the address bar
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),  # another port of the machine
        ({"Origin": "http://testserver"}, 200),
        ({"Origin": "http://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://elsewhere.example", "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_only_our_own_pages_are_answered(store, headers, status):
    plots: Held[Body] = Held(1 << 20)
    body = plots.keep(lambda: (Body(b"points"), 6))
    client = TestClient(Starlette(routes=routes(store, plots=plots)))
    key = store.put(make()[0])
    for path in (f"/tensors/{key}/maps", f"/tensors/{key}/image.png", f"/plots/{body}"):
        answer = client.get(path, headers=headers)
        assert answer.status_code == status
        assert "access-control-allow-origin" not in answer.headers


def test_a_key_cannot_be_guessed(store):
    keys = {store.put(make(seed)[0]) for seed in range(4)}
    assert len(keys) == 4 and all(len(key) >= 32 for key in keys)  # 24 random bytes
    again = Store()
    assert again.put(make(0)[0]) not in keys  # it says nothing about what it names
