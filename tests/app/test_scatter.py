"""What the scatter is given and reports, and the route that serves it."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app import scatter
from app.held import Body, Held
from app.routes import Store, routes
from app.scatter.strokes import Lasso
from engine.errors import LoupeError
from tests.browser.scatter_harness import points as made


@pytest.fixture
def plots() -> Held[Body]:
    return Held(1 << 24)


@pytest.fixture
def client(plots) -> TestClient:
    return TestClient(Starlette(routes=routes(Store(), plots=plots)))


def test_bodies_hold_what_was_given(plots, client):
    given = made.points(200)
    panel = made.panel(given, "cpt", 3)
    mask = given.category == 2
    data = scatter.describe(plots, given, [panel], select=mask)
    answer = client.get(f"/{data['points']['url']}")
    assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"]
    table = load(answer.content)
    for name in ("category", "image", "pixel", "mode"):
        assert np.array_equal(table[name], getattr(given, name)), name
    body = load(client.get(f"/{data['panels'][0]['url']}").content)
    assert np.array_equal(body["xy"], panel.xy) and body["xy"].dtype == np.float32
    assert np.array_equal(body["predicted"], panel.predicted)
    assert panel.confidence is not None and panel.value is not None
    assert np.allclose(body["confidence"], panel.confidence) and np.allclose(
        body["value"], panel.value.values
    )
    kinds, categories = body["marker_kind"].tolist(), body["marker_category"].tolist()
    assert [*zip(kinds, categories, strict=True)] == [(kind, c) for _, _, kind, c in panel.markers]
    assert np.array_equal(load(client.get(f"/{data['select']['url']}").content)["mask"], mask)
    assert data["points"]["count"] == 200
    assert data["panels"][0]["map"] == "map3"


def test_the_same_points_keep_their_address_and_others_get_another(plots):
    given = made.points(50)
    first = scatter.describe(plots, given, [made.panel(given, "a", 0)])
    again = scatter.describe(plots, made.points(50), [made.panel(given, "renamed", 0)])
    other = scatter.describe(plots, given, [made.panel(given, "a", 1)])
    assert first["points"]["url"] == again["points"]["url"] == other["points"]["url"]
    assert first["panels"][0]["url"] == again["panels"][0]["url"] != other["panels"][0]["url"]


def test_what_was_let_go_answers_410_and_gets_a_new_address(plots, client):
    given = made.points(50)
    url = scatter.describe(plots, given, [made.panel(given, "a", 0)])["points"]["url"]
    plots.clear()
    answer = client.get(f"/{url}")
    assert answer.status_code == 410 and answer.headers["cache-control"] == "no-store"
    assert scatter.describe(plots, given, [made.panel(given, "a", 0)])["points"]["url"] != url


def test_the_store_lets_the_oldest_go():
    held: Held[Body] = Held(25)
    keys = [held.keep(lambda: (Body(b"x" * 10), 10), name) for name in "abc"]
    assert held.used == 20
    assert held.get(keys[0]) is None and held.get(keys[2]) == Body(b"x" * 10)
    assert held.keep(lambda: (Body(b""), 0), "a") != keys[0]
    large = held.keep(lambda: (Body(b"x" * 99), 99), "large")
    assert held.get(large) is not None and held.used == 99


def test_without_a_store_nothing_is_served():
    client = TestClient(Starlette(routes=routes(Store())))
    assert client.get("/plots/anything").status_code == 410


def test_what_cannot_be_shown_is_refused_in_a_sentence(plots):
    given = made.points(50)
    panel = made.panel(given, "a", 0)
    with pytest.raises(LoupeError, match="same pixels"):
        scatter.describe(plots, made.points(49), [panel])
    with pytest.raises(LoupeError, match="one to 4 panels"):
        scatter.describe(plots, given, [])
    with pytest.raises(LoupeError, match="one to 4 panels"):
        scatter.describe(plots, given, [panel] * 5)
    with pytest.raises(LoupeError, match="not by size"):
        scatter.describe(plots, given, [panel], colour="size")


def test_the_ends_of_a_scale():
    values = np.array([np.nan, *range(101)], np.float32)
    assert scatter.Value(values, "distance").ends() == (1.0, 99.0)
    assert scatter.Value(values, "distance", low=-1, high=2).ends() == (-1.0, 2.0)
    assert scatter.Value(np.array([np.nan, np.inf]), "distance").ends() == (0.0, 1.0)
    assert scatter.Value(np.full(4, 3.0), "distance").ends() == (3.0, 4.0)


def test_a_report_becomes_parts():
    part = {"map": "m", "polygon": [[0, 0], [1, 0], [0, 1]], "mode": "set", "only": None}
    isolated = {"by": "category", "codes": [3]}
    raw = {
        "state": {
            "pins": [],
            "active": None,
            "view": {"parts": [part], "isolated": isolated},
            "revision": "a:1",
        }
    }
    seen = scatter.parse(raw)
    assert seen is not None
    assert seen.parts == (Lasso("m", ((0, 0), (1, 0), (0, 1))),)
    assert (seen.isolated, seen.revision, seen.expired) == (isolated, "a:1", False)
    assert scatter.parse(None) is None
    expired = scatter.parse({"expired": True})
    assert expired is not None and expired.expired and expired.parts == ()


def test_a_photo_and_a_sprite_are_served(plots, client):
    pixels = np.zeros((6, 8, 3), np.uint8)
    data = scatter.describe_photo(plots, "scatter", "scene-3", pixels, (12, 16))
    answer = client.get(f"/{data['url']}")
    assert answer.headers["content-type"] == "image/png" and answer.content[:4] == b"\x89PNG"
    assert data["size"] == [12, 16]
    assert scatter.describe_photo(plots, "other", "scene-3", pixels, (12, 16))["url"] == data["url"]
    assert client.get(f"/{scatter.keep_sprite(plots, b'jpeg')}").headers["content-type"] == "image/jpeg"
