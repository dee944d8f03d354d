"""The Variance page without a browser: it opens, survives links of every kind, and says the engine's numbers."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app import atlases, process, scatter
from app.atlases import default_folder
from app.scatter import Lasso, Stroke
from app.selection import PAINTS, VARIANCE, Selection, from_params, to_params
from app.sheets_variance import MapSheet
from app.views import variance_clusters as clustering
from app.views import variance_download as download
from app.views import variance_look as looking
from app.views import variance_panels as panels_of
from app.views import variance_points as pointing
from app.views import variance_shown as showing
from app.words import number
from engine import Engine, LoupeError
from engine.atlas.walk import build
from engine.data.datasets import open_dataset
from engine.pixels import from_atlas
from engine.planted import planted
from engine.projection import Projection, pca
from engine.substitution import substitution
from engine.variance import spread
from tests.app.conftest import forget
from tests.app.pages import address, html_of, run_with

IMAGES = 7
MODELS = {
    "cpt": {"sources": "memory"},
    "bilinear": {"sources": "bilinear"},
    "hfgd": {"method": "hfgd", "level_channels": 8, "context_channels": 16, "context_keys": 8},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny untrained models, one of them with categories of its own."""
    from engine import checkpoints
    from engine.data.categories import CLASS_NAMES
    from engine.segmenter import SegmenterSpec, build

    folder = tmp_path_factory.mktemp("variance")
    specs = {name: (CLASS_NAMES, spec) for name, spec in MODELS.items()}
    specs["other"] = (("cat", "dog"), {"sources": "pixels"})
    for name, (classes, spec) in specs.items():
        torch.manual_seed(5)
        made = build(SegmenterSpec("mobilenetv4_conv_small_050", classes=classes, channels=16, **spec))
        checkpoints.save(folder / f"{name}.safetensors", made, provenance={"recipe": "stand-in"})
    return folder


@pytest.fixture(scope="module")
def shelf(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Atlases of cpt and bilinear over a few scenes; hfgd has none."""
    root = tmp_path_factory.mktemp("atlases")
    engine = Engine(device="cpu", models_dir=models)
    for name in ("cpt", "bilinear"):
        card = engine.models()[name]
        folder = default_folder(card, atlases.DATA, root)
        build(
            engine.segmenter(name), card, open_dataset(atlases.DATA), folder, limit=IMAGES, memory_effects=False
        )  # fmt: skip
    return root


@pytest.fixture(autouse=True)
def here(models: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process reads these models and these atlases, and never begins a walk by itself."""
    monkeypatch.setenv("LOUPE_MODELS", str(models))
    monkeypatch.setenv("LOUPE_ATLASES", str(shelf))
    monkeypatch.setenv("LOUPE_ATLAS", "0")
    monkeypatch.setattr(atlases, "IMAGES", IMAGES)
    forget()
    yield
    process.photos().wait(30)
    forget()


def script() -> None:
    from app.views import variance

    variance.render()


def opened(**params: str) -> AppTest:
    return run_with(AppTest.from_function(script, default_timeout=120), **params)


def settled(page: AppTest) -> AppTest:
    """The page once more, when all that is computed beside it is there."""
    for _ in range(3):
        for job in list(process.jobs()._jobs.values()):
            job.wait(60)
        page.run()
    assert not page.exception, page.exception
    return page


def text_of(page: AppTest) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html_of(page))))


def notes_of(page: AppTest) -> list[str]:
    """The sentences that stand in the place of what cannot be had."""
    found = re.findall(r'data-nothing="1">(.*?)</p>', html_of(page), re.S)
    return [unescape(re.sub(r"<[^>]+>", "", one)) for one in found]


def shown_of(page: AppTest) -> showing.Shown:
    """What the page showed, made again outside of it."""
    selection = page.session_state["selection"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(looking.state, "begin", lambda *_: selection)
        patch.setattr(looking.state, "hold", lambda *_: None)
        patch.setattr(pointing.state, "keep", lambda *_: None)
        look = looking.look(whole_run=False)
        assert look is not None
        return showing.shown(look)


def atlas_of(model: str = "cpt"):
    found = process.atlases().find(process.engine().models()[model])
    assert found.atlas is not None
    return found.atlas


# ---------------------------------------------------------------------------------------------- opening and links


def test_it_opens_on_maps_and_numbers():
    page = opened()
    assert not page.error and not page.warning
    written = address(page)
    assert set(written) == set(VARIANCE.parameters)
    assert (written["model"], written["sites"], written["projection"]) == ("cpt", "f2,fused", "pca")
    body = text_of(page)
    for said in (
        "How varied is a category, and what does substitution remove?",
        "In the original space",
        "f2 (stride 16",
        f"{IMAGES} images of scenes-val",
        "one training seed",
        "What substitution does",
        "Draw around points in a map above",
    ):
        assert said in body
    assert notes_of(page) == []


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"model": "gpt"}, "gpt"),
        ({"categories": "unicorn"}, "unicorn"),
        ({"pixels": "3"}, "pixels"),
        ({"projection": "tsne"}, "projection"),
        ({"colour": "red"}, "colour"),
        ({"image": "nowhere"}, "nowhere"),
        ({"show": "everything"}, "show"),
        ({"sites": "f0,f1,f2", "beside": "bilinear"}, "more than 4 panels"),
    ],
)
def test_a_bad_link_is_answered_by_a_sentence_and_the_page_stays_usable(params, said):
    page = opened(**params)
    (warning,) = page.warning
    assert said in warning.value.replace("\\", "") and "\n" not in warning.value.strip()
    assert "In the original space" in text_of(page)
    assert address(page) == to_params(page.session_state["selection"], VARIANCE)


def test_a_good_link_shows_just_what_it_says():
    selection = Selection(
        model="cpt", beside=("bilinear",), sites=("fused",), categories=("sky", "tree"), amount=700, paint="mode",
        colours="magma", number="purity", look="distances", seed=3, neighbours=9, min_dist=0.25, image="", smallest=7, at=1,
        named=("leaves", ""), isolated="mode.1",
    )  # fmt: skip
    params = {name: value for name, value in to_params(selection, VARIANCE).items() if name != "image"}
    page = opened(**params)
    assert not page.warning
    assert {name: value for name, value in address(page).items() if name != "image"} == params
    assert "pixels of sky, tree" in text_of(page)


def test_what_other_pages_chose_is_kept():
    page = AppTest.from_function(script, default_timeout=120)
    kept = Selection(model="bilinear", image="data-scenes-val-1000020", pins=((3, 4), (50, 60)), active=1)
    page.session_state["selection"] = kept
    page.run()
    assert not page.exception
    now: Selection = page.session_state["selection"]
    assert (now.model, now.image, now.pins, now.active) == ("bilinear", kept.image, kept.pins, 1)


def test_choices_reach_the_address_and_forget_what_was_drawn():
    page = opened(lasso=scatter.write([Lasso("c1b39ce0", ((0, 0), (1, 0), (0, 1)))]))
    page.selectbox(key="choose paint").set_value("confidence").run()
    assert address(page)["colour"] == "confidence" and address(page)["lasso"]
    page.multiselect(key="choose sites").set_value(["f1"]).run()
    assert (address(page)["sites"], address(page)["lasso"]) == ("f1", "")
    page.multiselect(key="choose beside").set_value(["bilinear", "cpt"]).run()
    assert (address(page)["model"], address(page)["beside"]) == ("bilinear", "cpt")
    page.multiselect(key="choose sites").set_value([]).run()  # nothing chosen changes nothing
    assert address(page)["sites"] == "f1" and not page.exception


# ---------------------------------------------------------------------------------------------- panels


def test_panels_that_cannot_be_had_say_why_and_the_others_stay():
    page = opened(sites="fused", beside="hfgd,other,gpt")
    said = notes_of(page)
    assert [one.split(":")[0] for one in said[:3]] == ["hfgd · fused", "other · fused", "gpt · fused"]
    assert "no atlas of hfgd yet" in said[0] and "other categories" in said[1] and "gpt" in said[2]
    assert [panel.title for panel, _ in shown_of(page).pairs] == ["cpt · fused"]
    page = opened(sites="high,f2", beside="bilinear")
    assert [one.split(":")[0] for one in notes_of(page)[:2]] == ["cpt · high", "bilinear · high"]
    assert [panel.title for panel, _ in shown_of(page).pairs] == ["cpt · f2", "bilinear · f2"]


def test_all_panels_show_the_same_pixels():
    now = shown_of(opened(sites="f2,stride8.update", beside="bilinear", pixels="500"))
    first, *others = now.look.samples
    assert len(now.look.samples) == 4 and len(first) == 500
    for other in others:
        assert other.names == first.names
        np.testing.assert_array_equal(other.image, first.image)
        np.testing.assert_array_equal(other.pixel, first.pixel)
    assert len({sample.key() for sample in now.look.samples}) == 4


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda x: np.where(np.arange(len(x))[:, None] == 3, np.nan, x), "finite"),
        (lambda x: np.zeros_like(x), ""),
    ],
)
def test_spoiled_features_of_one_site_are_one_sentence(spoil, said, monkeypatch):
    def spoiled(atlas, site, **options):
        sample = from_atlas(atlas, site, **options)
        return replace(sample, features=spoil(sample.features)) if site == "f2" else sample

    monkeypatch.setattr(panels_of, "from_atlas", spoiled)
    monkeypatch.setattr(panels_of.cache, "held", lambda _, make: make())
    page = opened(sites="f2,fused")
    (why,) = notes_of(page)
    assert why.startswith("cpt · f2: ") and said in why
    assert [panel.title for panel, _ in shown_of(page).pairs] == ["cpt · fused"]


def test_one_image_only_has_a_map_and_says_what_it_cannot_have():
    page = settled(opened(**{"from": "image", "sites": "f1,fused", "pixels": "500"}))
    assert not page.error
    assert any("one image" in one for one in notes_of(page))
    now = shown_of(page)
    assert len(now.pairs) == 2 and now.chosen is not None
    assert len(set(now.look.samples[0].image.tolist())) == 1


def test_without_an_atlas_the_sample_images_are_shown_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_ATLASES", str(tmp_path))
    process.atlases.cache_clear()
    page = opened(sites="stride8.value,stride8.update", pixels="500")
    assert "cpt has no atlas to draw pixels from" in text_of(page)
    assert any(button.label.startswith("Make the atlas") for button in page.button)
    now = shown_of(page)
    assert now.look.drawn == "samples" and len(now.pairs) == 2
    assert address(page)["from"] == "atlas"  # as soon as there is one, it is drawn from


# ---------------------------------------------------------------------------------------------- numbers


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


# ---------------------------------------------------------------------------------------------- what is selected


def lasso_of(now: showing.Shown, panel: int = 0) -> Lasso:
    """A triangle over a good part of a map."""
    _, chart = now.pairs[panel]
    low, high = chart.xy.min(0), chart.xy.max(0)
    corners = ((low[0], low[1]), (high[0], low[1]), (low[0], high[1]))
    return Lasso(chart.name, tuple((round(float(x), 3), round(float(y), 3)) for x, y in corners))


def taken(page: AppTest) -> int:
    (found,) = re.findall(r'data-taken="(\d+)"', html_of(page))
    return int(found)


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


# ---------------------------------------------------------------------------------------------- projections


@dataclass
class Task:
    """A task of the worker, in whatever state a test wants it."""

    state: str
    result: Any = None
    error: str | None = None
    note: str | None = None
    fraction: float = 0.4
    said: str = "laying out"

    @property
    def running(self) -> bool:
        return self.state in ("queued", "running")

    def cancel(self) -> None:
        self.state, self.error = "cancelled", "the projection was cancelled"


class Worker:
    """Stands for the process that makes maps."""

    def __init__(self, **task: Any) -> None:
        self.asked: list[Any] = []
        self.tasks: list[Task] = []
        self.task = task

    def ask(self, request: Any) -> Task:
        self.asked.append(request)
        found = pca(request.xs[0])
        made = Projection(
            request.method, dict(request.params), 0, tuple(pca(x).maps[0][:, ::-1] for x in request.xs), (), None, "stand-in",
            0.0, f"key of {request.key}",
        )  # fmt: skip
        assert found.explained
        task = Task(**{"result": made if self.task["state"] == "done" else None, **self.task})
        self.tasks.append(task)
        return task


def with_worker(monkeypatch: pytest.MonkeyPatch, **task: Any) -> Worker:
    worker = Worker(**task)
    monkeypatch.setattr(process, "projections", lambda: worker)
    return worker


def test_components_are_shown_while_the_worker_is_busy_and_it_can_be_cancelled(monkeypatch):
    worker = with_worker(monkeypatch, state="running")
    page = opened(sites="f2", projection="umap", neighbours="9", distance="0.25", seed="4")
    assert len(worker.asked) == 1 and worker.asked[0].method == "umap"
    assert worker.asked[0].params["n_neighbours"] == 9 and worker.asked[0].params["min_dist"] == 0.25
    assert worker.asked[0].seed == 4
    body = text_of(page)
    assert "PCA is a shadow" in body and "PCA of f2" in body
    (cancel,) = [button for button in page.button if button.label == "Cancel"]
    cancel.click().run()
    assert address(page)["projection"] == "pca" and worker.tasks[0].state == "cancelled"
    assert not page.exception


def test_a_map_that_is_there_is_shown_with_its_caveat(monkeypatch):
    with_worker(monkeypatch, state="done")
    page = opened(sites="f2", projection="umap")
    body = text_of(page)
    assert "Do not ask a UMAP" in body and "UMAP, 15 neighbours, min. distance 0.10, seed 0 of f2" in body
    assert not [button for button in page.button if button.label == "Cancel"]


def test_a_lasso_on_components_keeps_its_points_on_another_map(monkeypatch):
    now = shown_of(opened(sites="f2"))
    part = lasso_of(now)
    expected = scatter.inside(now.pairs[0][1].xy, part.polygon).sum()
    with_worker(monkeypatch, state="done")
    page = opened(sites="f2", projection="umap", lasso=scatter.write([part]))
    assert taken(page) == expected and address(page)["lasso"] == scatter.write([part])


def test_a_worker_that_dies_is_one_sentence(monkeypatch):
    with_worker(monkeypatch, state="failed", error="the process that makes maps ended early")
    page = opened(sites="f2", projection="densmap")
    (warning,) = page.warning
    assert "ended early" in warning.value.replace("\\", "") and "PCA of f2" in text_of(page)


def test_parameters_that_cannot_be_had_are_one_sentence(monkeypatch):
    with_worker(monkeypatch, state="done")
    page = opened(sites="f2,fused", projection="aligned", pixels="5000")
    if page.warning:  # as many as are not too many for aligned maps are drawn without a word
        assert "3000" in page.warning[0].value
    else:
        assert "Aligned maps" in text_of(page)


# ---------------------------------------------------------------------------------------------- downloads


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
