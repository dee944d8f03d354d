"""The browser's mathematics against the engine's: same numbers, for every kind of source, at every stage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from app import viewer
from engine import affinity
from engine.cell_labels import cell_labels
from engine.images import cell
from engine.trace import Stage, Trace
from tests.browser.viewer_harness import decoded
from tests.browser.viewer_harness.server import Harness

PIXELS = [(0, 0), (77, 101), (169, 233), (33, 180)]
CLOSE = 1 / 255  # of a row's maximum: less than one step of an 8-bit colour

READ = """
async ([root, name, pixel, view]) => {
  const { prepareStage, addExtras, rootTable } = await import(root + "stage.js");
  const { parse } = await import(root + "tensors.js");
  const readings = await import(root + "readings.js");
  const affinity = await import(root + "affinity.js");
  const { centres, majority } = await import(root + "labels.js");
  const { sinks } = await import(root + "sinks.js");
  const get = async (path) => parse(await (await fetch(path)).arrayBuffer());
  const stage = prepareStage(await get(given.tensors[name]));
  const maps = await get(given.maps);
  const [H, W] = maps.tensors.labels.shape;
  const grid = (y, x) => majority(maps.tensors.labels.data, H, W, y, x, given.classes.length);
  const seen = readings.inForce(stage, { reading: "reads", measure: "weight", relative: "raw", scale: "linear", head: "mean",
    source: null, ...view });
  if (view.heavy) {
    stage.light = false; // as for a stage that is too large for a table
    if (!stage.bilinear) addExtras(stage, await get(given.tensors[name] + "/extras"));
  }
  const context = {
    original: given.image.original, classes: given.classes, alike: null, absent: () => false,
    labelAt: (at) => maps.tensors.labels.data[Math.floor((2 * at[0] + 1) * H / (2 * given.image.original[0])) * W
      + Math.floor((2 * at[1] + 1) * W / (2 * given.image.original[1]))],
    centreLabels: (one) => centres(maps.tensors.labels.data, H, W, one.h, one.w),
    cellLabels: (one) => grid(one.y, one.x), queryLabels: (one) => grid(one.h, one.w),
  };
  const own = readings.ownRow(stage, seen, pixel, context);
  const reading = readings.read(stage, seen, pixel, own, context);
  return {
    view: seen, rows: Array.from(own.rows), weights: Array.from(own.weights), values: Array.from(reading.values),
    shape: [reading.rows, reading.cols], bars: reading.bars, mass: reading.mass && Array.from(reading.mass),
    entropy: affinity.entropy(own.weights), differ: affinity.disagreement(own.rows, own.weights, stage.n),
    sinks: sinks(stage, context, view.over),
    cells: Array.from(context.cellLabels(stage)), source: reading.source ?? null, scale: reading.scale,
  };
}
"""


@pytest.fixture(scope="module", params=decoded.KINDS)
def traced(request, harness) -> Trace:
    return harness.traces[request.param]


@pytest.fixture(scope="module")
def opened(browser, harness, traced):
    """A page with the viewer, given the trace of this kind."""
    page = browser.new_page()
    page.goto(harness.url(traced.model.id))
    page.wait_for_selector(".strip .stage")
    yield page
    page.close()


def read(page, harness: Harness, stage: Stage, pixel: tuple[int, int], **view: Any) -> dict[str, Any]:
    root = f"{harness.address}/viewer/{viewer.version()}/"
    return page.evaluate(READ, [root, stage.name, list(pixel), view])


def at(stage: Stage, pixel: tuple[int, int]) -> tuple[int, int]:
    return cell(*pixel, decoded.ORIGINAL, stage.grid)


def assert_close(got: list[float], expected: torch.Tensor, tolerance: float = CLOSE) -> None:
    wanted = expected.numpy().ravel()
    assert len(got) == wanted.size
    error = np.abs(np.array(got) - wanted).max() / np.abs(wanted).max()
    assert error < tolerance, error


def test_the_row_under_the_pointer(opened, harness, traced):
    for stage in traced.stages:
        for pixel in PIXELS:
            got = read(opened, harness, stage, pixel)
            row, col = at(stage, pixel)
            assert_close(got["rows"], stage.affinity(row, col))
            assert_close(got["values"], stage.pixel_affinity(row, col))
            assert got["shape"] == list(stage.source_grid)
            assert sum(got["values"]) == pytest.approx(1 - stage.memory_share, abs=1e-3)
            weights = stage.affinity(row, col)
            assert got["entropy"] == pytest.approx(float(affinity.entropy(weights.mean(0))), abs=3e-3)
            differ = affinity.disagreement(weights)
            assert got["differ"] == (None if differ is None else pytest.approx(differ, abs=3e-3))


def test_one_head(opened, harness, traced):
    stage = traced.stages[-1]
    head = stage.heads - 1
    got = read(opened, harness, stage, PIXELS[1], head=head)
    weights = stage.affinity(*at(stage, PIXELS[1]))[head]
    assert_close(got["weights"], weights)
    assert_close(got["values"], stage.over_pixels(weights))


def test_contributions(opened, harness, traced):
    for stage in traced.stages:
        for pixel in PIXELS[:2]:
            got = read(opened, harness, stage, pixel, measure="contribution")
            row, col = at(stage, pixel)
            norms = stage.contribution(row, col).norm
            best = norms.topk(min(len(got["bars"]), len(norms))).values
            assert [bar["value"] for bar in got["bars"]] == pytest.approx(best.tolist(), rel=5e-3)
            if stage.assignment is None:
                assert_close(got["values"], norms)
            else:
                spread = torch.einsum("nm,ms->ns", stage.affinity(row, col), stage.assignment.flatten(1))
                values = torch.einsum("ndc,cs->nsd", stage.value_weight, stage.aligned.flatten(1))
                vectors = torch.einsum("ns,nsd,cnd->sc", spread, values, stage.output_weight)
                assert_close(got["values"], (1 - stage.memory_share) * vectors.norm(dim=-1))


@pytest.mark.parametrize("heavy", [False, True], ids=["table", "normaliser"])
def test_who_reads_a_cell(opened, harness, traced, heavy):
    for stage in traced.stages:
        y, x = cell(*PIXELS[3], decoded.ORIGINAL, stage.source_grid)
        got = read(opened, harness, stage, PIXELS[3], reading="read by", heavy=heavy)
        assert got["source"]["index"] == y * stage.source_grid[1] + x
        assert got["shape"] == list(stage.grid)
        assert_close(got["values"], stage.pixel_readers(y, x))


def test_who_reads_a_prototype_and_what_it_is_made_of(opened, harness, traced):
    stage = traced.stages[-1]
    if stage.assignment is None:
        refused = read(opened, harness, stage, PIXELS[0], reading="made of", source=2)["view"]
        assert (refused["reading"], refused["source"]) == ("reads", None)
        return
    assert_close(
        read(opened, harness, stage, PIXELS[0], reading="read by", source=2)["values"], stage.readers(2)
    )
    got = read(opened, harness, stage, PIXELS[0], reading="made of", source=4)
    assert_close(got["values"], stage.assignment[4])
    assert sum(bar["value"] for bar in got["bars"]) == pytest.approx(1, abs=2e-3)
    # Without a chosen source it is the category predicted under the pointer.
    y, x = (PIXELS[1][i] * decoded.TRACED[i] // decoded.ORIGINAL[i] for i in (0, 1))
    here = read(opened, harness, stage, PIXELS[1], reading="made of")["source"]["index"]
    assert here == int(traced.labels[y, x])


def test_readers_by_contribution(opened, harness, traced):
    stage = traced.stages[0]
    row, col = cell(*PIXELS[3], decoded.ORIGINAL, stage.source_grid)
    got = read(opened, harness, stage, PIXELS[3], reading="read by", measure="contribution")
    if stage.assignment is not None:
        got = read(opened, harness, stage, PIXELS[3], reading="read by", measure="contribution", source=5)
    source = 5 if stage.assignment is not None else row * stage.source_grid[1] + col
    cells = [(r, c) for r in range(stage.grid[0]) for c in range(stage.grid[1])]
    assert_close(got["values"], torch.stack([stage.contribution(r, c).norm[source] for r, c in cells]), 1e-2)


def test_reads_alike(opened, harness, traced):
    for stage in traced.stages:
        got = read(opened, harness, stage, PIXELS[1], reading="reads alike")
        assert_close(got["values"], stage.profile_similarity(*at(stage, PIXELS[1])))


def test_relative_to_the_average(opened, harness, traced):
    stage = traced.stages[-1]
    got = read(opened, harness, stage, PIXELS[1], relative="relative")
    average = stage.over_pixels(stage.mean_affinity().mean(0))
    ratio = stage.pixel_affinity(*at(stage, PIXELS[1])) / average
    assert_close(got["values"], ratio, 1e-2)
    assert got["scale"]["log"] is True


def test_times_uniform(opened, harness, traced):
    stage = traced.stages[-1]
    got = read(opened, harness, stage, PIXELS[1], scale="uniform")
    size = stage.source_grid[0] * stage.source_grid[1]
    assert_close(got["values"], stage.pixel_affinity(*at(stage, PIXELS[1])) * size)


def test_mass_by_category(opened, harness, traced):
    for stage in traced.stages:
        got = read(opened, harness, stage, PIXELS[1])
        majority = cell_labels(traced, stage).majority
        assert np.array_equal(np.array(got["cells"]).reshape(stage.source_grid), majority)
        mass = stage.pixel_affinity(*at(stage, PIXELS[1])).numpy()
        expected = [mass[majority == j].sum() for j in range(decoded.K)] + [mass[majority == 255].sum()]
        assert got["mass"] == pytest.approx(expected, abs=3e-3)


def test_sinks(opened, harness, traced, monkeypatch):
    """The same sources, read most by as many categories; made-up affinities have hardly any above the limit, so it is lowered."""
    monkeypatch.setattr(affinity, "SINK", 1.2)
    for stage in traced.stages:
        got = read(opened, harness, stage, PIXELS[0], over=1.2)["sinks"]
        expected = affinity.sinks(traced, stage)
        assert [one["source"] for one in got] == [sink.index for sink in expected]
        assert bool(expected) == (stage.query is not None)
        for one, sink in zip(got, expected, strict=True):
            assert (one["readBy"], one["present"]) == (sink.read_most_by, sink.present)
            assert one["times"] == pytest.approx(sink.times_uniform, rel=1e-2)
