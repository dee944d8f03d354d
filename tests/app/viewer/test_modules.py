"""The viewer's pure modules, run in the browser that will run them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from app import figures, viewer
from engine.images import cell
from tests.browser.viewer_harness.server import serve


@pytest.fixture(scope="module")
def run(browser) -> Iterator[Any]:
    """run(module, expression, *values): the expression may use the module's exports as `it` and the values as `v`."""
    with serve() as harness:
        page = browser.new_page()
        page.goto(
            f"{harness.address}/viewer/{viewer.version()}/scale.js"
        )  # any page of the server: imports need its origin

        def run(module: str, expression: str, *values: Any) -> Any:
            return page.evaluate(
                f"async (v) => {{ const it = await import('/viewer/{viewer.version()}/{module}.js'); return {expression}; }}",
                list(values),
            )

        yield run
        page.close()


def test_half_precision_is_exact(run):
    bits = np.arange(65536, dtype=np.uint16)
    expected = bits.view(np.float16).astype(np.float64)
    got = run("tensors", "Array.from(it.decodeHalf(Uint16Array.from(v[0])), String)", bits.tolist())
    assert np.array_equal(
        np.array([float(text.replace("Infinity", "inf")) for text in got]), expected, equal_nan=True
    )


def test_safetensors_are_read_as_they_were_written(run):
    tensors = {
        "half": np.array([[1.5, -2], [0.25, 3]], np.float16),
        "single": np.array([0.1, 2], np.float32),
        "small": np.array([3, 255, 7], np.uint8),
        "short": np.array([-5, 300], np.int16),
    }
    data = save(tensors, {"loupe": json.dumps({"name": "stride4"})})
    got = run(
        "tensors",
        "(() => { const { about, tensors } = it.parse(Uint8Array.from(v[0]).buffer); return [about, "
        "Object.fromEntries(Object.entries(tensors).map(([n, t]) => [n, [t.shape, Array.from(it.single(t))]]))]; })()",
        list(data),
    )
    assert got[0] == {"name": "stride4"}
    for name, array in tensors.items():
        shape, values = got[1][name]
        assert shape == list(array.shape)
        assert values == pytest.approx(array.ravel().astype(float).tolist())


@pytest.mark.parametrize("keep", [0, 5, 40, -1])
def test_truncated_tensors_are_refused(run, keep):
    data = save({"a": np.zeros(64, np.float32)}, {"loupe": "{}"})[: keep or 0]
    got = run(
        "tensors",
        "(() => { try { it.parse(Uint8Array.from(v[0]).buffer); } catch (e) { return e.message; } })()",
        list(data),
    )
    assert got == "the tensors are truncated"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234.5, "1230"),
        (0.012345, "0.0123"),
        (0.00001234, "1.23e−5"),
        (-0.5, "−0.5"),
        (41.26, "41.3"),
        (2e7, "2e7"),
        (None, "–"),
    ],
)
def test_numbers_have_three_digits(run, value, text):
    assert run("scale", "it.format(v[0])", value) == text


@pytest.mark.parametrize("top", [1.0, 0.00656, 0.09, 3.2, 47.0, 1e-7, 1234.0, 0.999])
def test_ticks_are_round_and_within_the_scale(run, top):
    ticks = run("scale", "it.linear(0, v[0]).ticks", top)
    assert 3 <= len(ticks) <= 6
    steps = np.diff([tick["value"] for tick in ticks])
    assert np.allclose(steps, steps[0])
    mantissa = steps[0] / 10 ** np.floor(np.log10(steps[0]) + 1e-9)
    assert min(abs(mantissa - nice) for nice in (1, 2, 5)) < 1e-6
    for tick in ticks:
        assert 0 <= tick["at"] <= 1 + 1e-9
        assert tick["at"] == pytest.approx(tick["value"] / top)
        assert float(tick["text"].replace("−", "-")) == pytest.approx(tick["value"], rel=1e-2)


def test_a_map_without_differences_still_has_a_scale(run):
    scale = run("scale", "it.linear(0.5, 0.5)")
    assert scale["span"] > 0
    assert np.isfinite(scale["top"])


def test_figures_and_viewer_draw_alike(run):
    """Opacity, colour and the ends of the logarithmic scales are the same on screen and in a downloaded figure."""
    t = np.linspace(0, 1, 101)
    assert run("colour", "v[0].map(it.follow)", t.tolist()) == pytest.approx(
        figures.follow(t).tolist(), abs=1e-9
    )
    assert run("scale", "[it.UNIFORM.bottom, it.UNIFORM.top]") == list(figures.UNIFORM)


@pytest.mark.parametrize(
    ("largest", "reach"), [(1.0, 1.25), (1.44, 1.5), (2.0, 2), (3.0, 4), (29.0, 32), (500.0, 32)]
)
def test_ratios_are_drawn_symmetrically_about_one(run, largest, reach):
    scale = run("scale", "it.relative(v[0])", largest)
    assert (scale["bottom"], scale["top"]) == (pytest.approx(1 / reach), pytest.approx(reach))
    photo = np.zeros((4, 4, 3), np.uint8)
    panel = figures.Panel(1, (0, 0), np.array([[0.5, largest]]), ())
    drawn = figures.norm_of(figures.Sheet(photo, (4, 4), (panel,), "", "", "", scale="relative"))
    assert (drawn.vmin, drawn.vmax) == (pytest.approx(1 / reach), pytest.approx(reach)), (
        "a figure, as on screen"
    )
    middle = [tick for tick in scale["ticks"] if tick["value"] == 1]
    assert [tick["at"] for tick in middle] == pytest.approx([0.5])
    # What is read as on average leaves the photo as it is; both ends are as opaque as can be.
    alpha = run("colour", "Array.from(it.ramp('cividis', 1, v[0]), (pixel) => pixel >>> 24)", scale["middle"])
    assert max(alpha[127:129]) < 20
    assert alpha[0] == alpha[255] == 255


def test_times_uniform_leaves_the_photo_alone_where_all_is_uniform(run):
    """Opacity follows the distance from ×1, which lies at a third of the scale from ×0.1 to ×100."""
    middle = run("scale", "it.UNIFORM.middle")
    assert middle == pytest.approx(1 / 3)
    got = run("colour", "Array.from(it.ramp('cividis', 1, v[0]), (pixel) => pixel >>> 24)", middle)
    distance = np.clip(np.abs(np.arange(256) / 255 - 1 / 3) / (2 / 3), 0, 1)
    assert got == pytest.approx((255 * figures.follow(distance)).tolist(), abs=0.51)
    assert got[85] == 0
    assert run("scale", "it.linear(0, 1).middle") is None


def test_nothing_comes_from_the_image_where_all_is_memory(run):
    got = run(
        "affinity",
        "Array.from(it.pixelContributions({ n: 1, m: 2, s: 3, mu: v[0], prototypes: true, "
        "assignment: new Float32Array(6).fill(1 / 3), pixelGram: new Float32Array(3).fill((1 - v[0]) ** 2), "
        "scratch: { pixels: new Float32Array(3) } }, "
        "Float32Array.from([0.25, 0.75]), 'mean', new Float32Array(3)))",
        1,
    )
    assert got == [0, 0, 0]


def test_absent_goes_by_the_truth_where_it_is_known(run):
    absent = (
        "(() => { const one = new it.Data({}, '', () => {}); one.maps = { tensors: {} }; "
        "for (const [name, data] of Object.entries(v[0])) one.maps.tensors[name] = { data: Uint8Array.from(data) }; "
        "return [0, 1, 2].map((k) => one.isAbsent(k)); })()"
    )
    assert run("data", absent, {"labels": [0, 1, 1]}) == [False, False, True]
    assert run("data", absent, {"labels": [0, 1, 1], "truth": [0, 2, 255]}) == [False, True, False]


def test_painting_maps_the_scale_onto_the_colours(run):
    got = run(
        "colour",
        "(() => { const out = new Uint32Array(4); it.paint(Float32Array.from(v[0]), v[1], "
        "Uint32Array.from({ length: 256 }, (_, i) => i), out); return Array.from(out); })()",
        [-1.0, 0.0, 0.5, 9.0],
        {"log": False, "low": 0, "span": 1},
    )
    assert got == [0, 0, 128, 255]
    got = run(
        "colour",
        "(() => { const out = new Uint32Array(4); it.paint(Float32Array.from(v[0]), v[1], "
        "Uint32Array.from({ length: 256 }, (_, i) => i), out); return Array.from(out); })()",
        [0.0, 1.0, 4.0, 16.0],
        {"log": True, "low": 0, "span": 4},
    )
    assert got == [0, 0, 128, 255]


def test_pixels_and_cells_agree_with_the_engine(run):
    for size, cells in [(170, 21), (234, 29), (512, 128), (33, 33), (101, 7)]:
        got = run("geometry", "Array.from({ length: v[0] }, (_, i) => it.cellOf(i, v[0], v[1]))", size, cells)
        assert got == [cell(i, 0, (size, 9), (cells, 9))[0] for i in range(size)]
        centres = run(
            "geometry", "Array.from({ length: v[1] }, (_, i) => it.pixelOf(i, v[0], v[1]))", size, cells
        )
        assert [cell(i, 0, (size, 9), (cells, 9))[0] for i in centres] == list(range(cells))


def test_zoom_keeps_the_point_and_never_shows_the_outside(run):
    for u, v in [(0.3, 0.8), (0.0, 1.0), (0.5, 0.5)]:
        zoomed = run("geometry", "it.zoomAbout({ zoom: 1, left: 0, top: 0 }, 3, ...v[0])", [u, v])
        point = run("geometry", "it.toImage(v[0], ...v[1])", zoomed, [u, v])
        assert point == pytest.approx([u, v], abs=1e-9)
        assert run("geometry", "it.toFrame(v[0], ...v[1])", zoomed, point) == pytest.approx([u, v])
        for axis in ("left", "top"):
            assert 1 - zoomed["zoom"] <= zoomed[axis] <= 0
    back = run("geometry", "it.zoomAbout(v[0], 0.001, 0.9, 0.1)", zoomed)
    assert back == {"zoom": 1, "left": 0, "top": 0}


def test_outlines_run_between_categories(run):
    labels = np.array([[1, 1, 2], [1, 3, 2]], np.uint8)
    runs = run("labels", "Array.from(it.outline(Uint8Array.from(v[0]), 2, 3))", labels.ravel().tolist())
    segments = {tuple(int(x) for x in runs[i : i + 4]) for i in range(0, len(runs), 4)}
    assert segments == {(1, 1, 2, 1), (1, 1, 1, 2), (2, 0, 2, 2)}


def test_the_largest_come_first(run):
    values = np.random.default_rng(0).normal(size=200).round(3)
    got = run("affinity", "Array.from(it.largest(Float32Array.from(v[0]), 8))", values.tolist())
    assert [values[i] for i in got] == sorted(values, reverse=True)[:8]
