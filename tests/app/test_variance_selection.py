"""What is selected on the Variance page: lassos, strokes, clusters."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html import unescape
from urllib.parse import parse_qsl

import numpy as np
import pytest

from app import scatter
from app.scatter import Stroke
from app.selection import Selection, from_params
from app.views import variance_clusters as clustering
from tests.app.pages import address, html_of, text_of
from tests.app.variance_page import lasso_of, notes_of, opened, settled, shown_of, taken

pytestmark = pytest.mark.usefixtures("here")


def test_a_lasso_in_the_link_selects_its_pixels_and_each_leads_to_inspect():
    now = shown_of(opened(sites="f2,fused"))
    part = lasso_of(now, 1)
    assert now.points is not None
    inside = scatter.inside(now.pairs[1][1].xy, part.polygon)
    assert 30 < inside.sum() < len(inside)
    page = opened(sites="f2,fused", lasso=scatter.write([part]))
    assert taken(page) == inside.sum()
    assert address(page)["lasso"] == scatter.write([part])
    sample = now.look.samples[0]
    rows = np.flatnonzero(inside)
    links = re.findall(r'<a class="lp-tile" href="([^"]*)"[^>]*data-row="(\d+)"', html_of(page))
    assert len(links) == 24
    for link, row in links:
        assert int(row) in rows
        place, _, query = unescape(link).partition("?")
        chosen, problems = from_params(dict(parse_qsl(query, keep_blank_values=True)), Selection())
        assert place == "./" and problems == []
        assert chosen.pins == (tuple(sample.pixel[int(row)].tolist()),)
        assert chosen.image == f"data-scenes-val-{sample.names[int(sample.image[int(row)])]}"
    counts = dict(zip(*np.unique(sample.category[rows], return_counts=True), strict=True))
    most = max(counts, key=lambda c: counts[c])
    assert f"{now.look.card.classes[most]} {counts[most]} of" in text_of(page)


def test_strokes_add_and_remove_and_foreign_maps_take_nothing():
    now = shown_of(opened(sites="f2"))
    sample = now.look.samples[0]
    image = int(sample.image[0])
    here = np.flatnonzero(sample.image == image)
    row, col = sample.pixel[here[0]].tolist()
    stroke = Stroke(sample.names[image], ((row, col),), 20)
    near = here[np.hypot(*(sample.pixel[here] - (row, col)).T) <= 20]
    assert taken(opened(sites="f2", lasso=scatter.write([stroke]))) == len(near)
    both = [lasso_of(now), replace(stroke, mode="remove")]
    expected = scatter.inside(now.pairs[0][1].xy, both[0].polygon)
    expected[near] = False
    assert taken(opened(sites="f2", lasso=scatter.write(both))) == expected.sum()
    page = opened(sites="f2", lasso=scatter.write([replace(lasso_of(now), map="deadbeef")]))
    assert taken(page) == 0 and "belongs to a map that is not on show" in text_of(page)
    page = opened(sites="f2", lasso="nonsense")
    assert taken(page) == 0 and "The link's lasso was left out" in text_of(page)


def test_clusters_are_counted_named_and_taken_along():
    page = settled(opened(sites="fused", clusters="8", names="first, of all,"))
    now = shown_of(page)
    assert now.chosen is not None
    job = clustering.job_of(now.look, now.chosen)
    job.wait(60)
    (found,) = job.results.values()
    (said,) = re.findall(r'data-clusters="(\d+)"', html_of(page))
    assert int(said) == len(found.clusters.sizes)
    selection = now.look.selection
    rows = list(
        csv.DictReader(io.StringIO(clustering.points_csv(selection, now.look.samples[0], found).decode()))
    )
    assert len(rows) == len(found.clusters.rows)
    sample = now.look.samples[0]
    for at, (row, label) in enumerate(zip(found.clusters.rows, found.clusters.label, strict=True)):
        told, pixel = rows[at], sample.pixel[found.rows[row]].tolist()
        assert [int(told["row"]), int(told["col"])] == pixel
        assert told["cluster"] == ("" if label < 0 else str(label + 1))
        if label == 0:
            assert told["name"] == "first"
    told = json.loads(clustering.clusters_json(selection, sample, found))
    assert [one["pixels"] for one in told["clusters"]] == list(found.clusters.sizes)
    assert len(found.patches) == min(clustering.SHOWN, len(found.clusters.sizes))


def test_too_few_selected_pixels_are_not_clustered():
    page = settled(opened(sites="f2", clusters="9000"))
    assert any("too few" in one for one in notes_of(page))
