"""The Python side of the viewer: what it reports, what it is given, which files it serves."""

from __future__ import annotations

import posixpath
import re

import numpy as np
import pytest

from app import viewer
from app.viewer import luts
from tests.browser.viewer_harness import synthetic


@pytest.mark.parametrize("raw", [None, {}, [], "x", {"state": None}, {"state": 3}])
def test_nothing_reported(raw):
    assert viewer.parse(raw) is None


def test_a_report():
    state = {"pins": [[3, 4], [9, 1]], "active": 1, "view": {"reading": "read by"}, "revision": "a:3"}
    seen = viewer.parse({"state": state, "expired": None})
    assert seen == viewer.ViewerResult(((3, 4), (9, 1)), 1, {"reading": "read by"}, "a:3", False)


@pytest.mark.parametrize(
    ("pins", "active", "expected"),
    [
        ([[1, 2], "x", [3], [4, -5], [None, 1], [6, 7]], 1, (((1, 2), (6, 7)), 1)),
        ([[1, 2]], 5, (((1, 2),), 0)),
        ([], 0, ((), None)),
        ("nonsense", None, ((), None)),
    ],
)
def test_malformed_reports_lose_only_what_is_malformed(pins, active, expected):
    seen = viewer.parse({"state": {"pins": pins, "active": active}})
    assert seen is not None
    assert (seen.pins, seen.active) == expected


def test_expired_comes_through_without_a_report():
    seen = viewer.parse({"expired": "tensors/key/stride4"})
    assert seen is not None
    assert (seen.expired, seen.revision) == (True, None)


def test_the_data_describe_the_trace():
    labels = np.zeros((64, 96), np.uint8)
    trace = synthetic.trace(np.zeros((64, 96, 3), np.uint8), labels, 3, channels=16)
    given = viewer.describe(
        trace,
        "KEY",
        [{"name": "a", "colour": "#102030", "kind": "stuff"}] * 3,
        pins=[(1, 2)],
        view={"head": 2},
    )
    assert given["image"]["original"] == [64, 96]
    assert given["stages"][-1] == {
        "name": "stride4",
        "sources": "memory",
        "grid": [16, 24],
        "source_grid": [8, 12],
        "heads": 4,
        "memory_share": 0.1,
    }
    assert given["tensors"]["stride8"] == "tensors/KEY/stride8"
    assert given["classes"][0] == {"name": "a", "colour": "#102030"}
    assert given["pins"] == [[1, 2]]
    assert given["view"] == {**viewer.VIEW, "head": 2}
    assert given["revision"] is None


def test_every_import_of_a_module_is_served():
    for name in viewer.FILES:
        text = viewer.text(name)
        for imported in re.findall(r'from "(\.[^"]+)"', text):
            found = posixpath.normpath(posixpath.join(posixpath.dirname(name), imported))
            assert found in viewer.FILES, f"{name} imports {imported}"
        assert text.count("\n") < 350, name


def test_colour_maps_are_matplotlibs():
    assert (viewer.folder / "luts.js").read_text(encoding="utf-8") == luts.source()
