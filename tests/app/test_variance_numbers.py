"""What the Variance page says and hands out: the engine's numbers."""

from __future__ import annotations

import csv
import io
import json
import re
from html import unescape
from typing import Any

import numpy as np
import pytest

from app import process
from app.selection import PAINTS
from app.sheets_variance import MapSheet
from app.views import variance_download as download
from app.words import number
from engine import LoupeError
from engine.pixels import from_atlas
from engine.planted import planted
from engine.substitution import substitution
from engine.variance import spread
from tests.app.pages import atlas_of, html_of, text_of
from tests.app.variance_page import notes_of, opened, settled, shown_of

pytestmark = pytest.mark.usefixtures("here")


# ── numbers ──


def test_the_numbers_are_the_engine_s():
    page = settled(opened(sites="f2,fused", number="silhouette"))
    now = shown_of(page)
    body = text_of(page)
    for sample in now.look.samples:
        found = spread(sample)
        for one in (found.ratio, found.silhouette, found.purity):
            digits = 3 if one is found.ratio else 2
            assert (
                f"{number(one.value, digits)} ({number(one.low, digits)} to {number(one.high, digits)})"
                in body
            )
        for each in found.categories:
            assert f"{each.name}: {sample.site} {number(each.silhouette.value)}" in html_of(page).replace(
                "cpt · ", ""
            )


def test_a_category_alone_is_measured_against_all_the_others():
    page = settled(opened(sites="f2", categories="tree", pixels="500"))
    now = shown_of(page)
    assert set(now.look.samples[0].category.tolist()) == {now.look.card.classes.index("tree")}
    every = from_atlas(atlas_of(), "f2", count=500 * len(now.look.card.classes))
    found = spread(every).of(now.look.card.classes.index("tree"))
    assert found is not None
    assert f"tree: f2 {number(found.share.value)}" in html_of(page)
    assert "sky: f2" not in html_of(page)


def test_the_truth_is_the_engine_s():
    page = settled(opened(show="truth", sites="f2"))
    every = from_atlas(atlas_of(), "f2", count=10**6)
    body = text_of(page)
    assert f"in cells of one category: {len(every)} (f2)" in body
    for one in planted(every):
        if one.scored:
            assert f"{one.name}: clusters {number(one.clusters.value)}" in html_of(page)
            assert f"{one.name}: linear probe {number(one.probe.value)}" in html_of(page)
        else:
            assert one.reason in body


def test_substitution_is_the_engine_s_and_is_refused_where_there_is_none():
    page = settled(opened(show="substitution", beside="bilinear", sites="fused"))
    body = text_of(page)
    for one in substitution(atlas_of()):
        for price in (one.before, one.after, one.null):
            assert f"{number(price.ratio)} ({number(price.low)} to {number(price.high)})" in body
        assert f"After ÷ before: ×{number(one.reduction.value, 2)}" in body
    assert any(one.startswith("bilinear: ") for one in notes_of(page))


def test_distances_between_categories_are_the_engine_s():
    page = settled(opened(show="distances", sites="f2"))
    found = spread(shown_of(page).look.samples[0])
    names = process.engine().models()["cpt"].classes
    said = [unescape(one) for one in re.findall(r'data-said="([^"]*)"', html_of(page))]
    at = found.distances.categories
    for i, a in enumerate(at):
        for j, b in enumerate(at):
            if i != j:
                value = number(float(found.distances.value[i, j]))
                assert any(one.startswith(f"{names[a]} · {names[b]} {value}") for one in said)


# ── downloads ──


@pytest.mark.parametrize("paint", PAINTS)
def test_what_is_on_show_is_a_figure(paint):
    page = settled(opened(sites="stride8.value,fused", colour=paint, pixels="500"))
    now = shown_of(page)
    first, *_ = download.sheets_of(now)
    assert isinstance(first, MapSheet)
    drawn = download.figure(first, "svg", "cividis").decode()
    assert "PCA, coloured by" in drawn and "component 1" in drawn
    assert download.figure(first, "png", "cividis").startswith(b"\x89PNG")


def test_points_and_numbers_are_files():
    page = settled(opened(sites="f2,fused", show="truth"))
    now = shown_of(page)
    with np.load(io.BytesIO(download.points_npz(now))) as found:
        about = json.loads(str(found["about"]))
        np.testing.assert_array_equal(found["cpt/f2/xy"], now.pairs[0][1].xy)
        np.testing.assert_array_equal(found["cpt/fused/features"], now.look.samples[1].features)
        np.testing.assert_array_equal(found["pixel"], now.look.samples[0].pixel)
    assert about["models"]["cpt"] == now.look.card.hash
    rows = list(csv.DictReader(io.StringIO(download.numbers_csv(now).decode())))
    ratio = spread(now.look.samples[0]).ratio.value
    (said,) = [
        row for row in rows if (row["sheet"], row["quantity"], row["of"]) == ("site", "ratio", "cpt · f2")
    ]
    assert float(said["value"]) == pytest.approx(ratio, rel=1e-12)
    assert {"map", "truth"} <= {row["sheet"] for row in rows}


def test_a_part_that_fails_is_one_sentence(monkeypatch):
    from app.views import variance_selection

    def fails(*_: Any) -> Any:
        raise LoupeError("the image cannot be read")

    monkeypatch.setattr(variance_selection, "tiles", fails)
    monkeypatch.setattr(variance_selection.cache, "made", lambda _, make: make())
    page = opened(sites="f2")
    assert "the image cannot be read" in notes_of(page)
