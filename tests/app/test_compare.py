"""Compare without a browser: it opens, survives links of every kind, and says the engine's numbers."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app import comparison, process
from app.selection import COMPARE, Selection, to_params
from app.views import compare_differences as differences
from app.views import compare_download as download
from app.views import compare_numbers as numbers
from app.views import compare_sides
from app.views.compare_sides import Look, Missing, Side
from app.words import number
from engine import metrics
from engine.images import cell
from tests.app import pages
from tests.app.pages import address, html_of, page_of, settled
from tests.stand_ins import save

pytestmark = pytest.mark.usefixtures("stand_ins")


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured beside the page unless a test asks for it: measuring takes its time."""
    monkeypatch.setattr(numbers, "LARGE", 0)


def opened(**params: str) -> AppTest:
    return pages.opened("compare", **params)


def look_of(*models: str, **fields) -> Look:
    picture = fields.pop("picture", process.gallery().samples()[0])
    selection = Selection(
        models=models, model=models[0], image=picture.id, stage="stride8", pins=((30, 40),), **fields
    )
    places = tuple(compare_sides.place(name, picture) for name in models)
    return Look(compare_sides.fit(selection, places)[0], picture, places)


def test_it_opens_on_several_models_with_a_pixel_pinned():
    page = opened()
    assert not page.error and not page.warning
    written = address(page)
    assert written["models"] == "cpt,bilinear,qup" and re.fullmatch(r"\d+,\d+", written["pins"])
    body = html_of(page)
    assert "Side by side" in body and "IoU by category" in body and "Where they disagree" in body
    assert page.session_state["selection"].model == "cpt"


def test_two_and_four_models():
    page = opened(models="qup,cpt-image")
    assert address(page)["models"] == "qup,cpt-image" and page.session_state["selection"].model == "qup"
    page = opened(models="qup,cpt,bilinear,cpt-image", shows="influence,auto,auto,affinity")
    assert not page.warning and address(page)["shows"] == "influence,auto,auto,affinity"
    assert [card in html_of(page) for card in ("qup", "cpt", "bilinear", "cpt-image")] == [True] * 4


def test_one_model_is_shown_and_a_second_asked_for():
    page = opened(models="qup")
    assert "second model" in page.info[0].value
    assert "Side by side" not in html_of(page)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"models": "gpt"}, "gpt"),
        ({"models": "a,b,c,d,e"}, "at most 4"),
        ({"stage": "stride3"}, "stride3"),
        ({"pins": "9999,9999"}, "9999,9999"),
        ({"image": "feedfacefeedface"}, "feedfacefeedface"),
        ({"site": "f7"}, "f7"),
        ({"shows": "<script>"}, "shows"),
        ({"pair": "3,3"}, "pair"),
    ],
)
def test_a_bad_link_is_answered_by_a_sentence_and_the_page_stays_usable(params, said):
    page = opened(**params)
    (warning,) = page.warning
    assert said in warning.value.replace("\\", "") and "\n" not in warning.value.strip()
    assert "Side by side" in html_of(page)
    assert address(page) == to_params(page.session_state["selection"], COMPARE)


def test_a_good_link_shows_just_what_it_says():
    picture = process.gallery().samples()[1]
    selection = Selection(
        model="qup",
        models=("qup", "bilinear", "cpt"),
        image=picture.id,
        stage="stride16",
        pins=((3, 4), (50, 60)),
        active=1,
        shows=("influence", "affinity", "auto"),
        site="f1",
        marks="error",
        smooth=True,
        opacity=0.4,
        colours="magma",
        pair=(2, 1),
    )
    page = opened(**to_params(selection, COMPARE))
    assert not page.warning
    assert page.session_state["selection"] == selection
    assert address(page) == to_params(selection, COMPARE)


def test_a_model_that_is_not_there_says_why_and_the_others_live():
    page = opened(models="cpt,gone,qup")
    assert not page.warning and not page.error
    look = look_of("cpt", "gone", "qup")
    assert [type(one) for one in look.places] == [Side, Missing, Side]
    assert "There is no model “gone”" in str(page.get("bidi_component")[-1].proto) or look.places[1].why
    assert look.marks == [("cpt", 0), ("qup", 2)]


def test_a_damaged_checkpoint_says_why(stand_ins, other_models):
    for name in ("cpt", "qup"):
        whole = (stand_ins / f"{name}.safetensors").read_bytes()
        (other_models / f"{name}.safetensors").write_bytes(
            whole[: None if name == "cpt" else len(whole) // 2]
        )
    page = opened(models="qup,cpt")
    assert not page.exception and not page.error
    place = compare_sides.place("qup", process.gallery().samples()[0])
    assert isinstance(place, Missing) and "truncated" in place.why


def test_the_model_of_the_other_pages_comes_to_the_front():
    page = opened(models="cpt,bilinear,qup")
    for model, expected in (
        ("qup", ("qup", "cpt", "bilinear")),
        ("cpt-image", ("cpt-image", "cpt", "bilinear")),
    ):
        page.session_state["selection"] = replace(page.session_state["selection"], model=model)
        page.run()
        assert not page.exception
        assert page.session_state["selection"].models == expected
        assert page.session_state["selection"].model == model


def test_what_the_viewers_report_reaches_the_address():
    page = opened()
    before = page.session_state["selection"]
    view = {"shows": ["influence", "affinity", "auto"], "site": "f2", "marks": "truth", "stage": "stride4"}
    report = {"pins": [[7, 8], [60, 70]], "active": 1, "view": view, "revision": "test:1"}
    page.session_state["compare"] = {"state": report}
    page.run()
    assert not page.exception
    expected = replace(
        before,
        pins=((7, 8), (60, 70)),
        active=1,
        shows=("influence", "affinity", "auto"),
        site="f2",
        marks="truth",
        stage="stride4",
    )
    assert page.session_state["selection"] == expected
    assert address(page) == to_params(expected, COMPARE)


def test_the_table_says_what_was_measured(monkeypatch):
    monkeypatch.setattr(numbers, "LARGE", 256 * 256)
    page = settled(opened(models="cpt,bilinear"))
    body = html_of(page)
    look = look_of("cpt", "bilinear", picture=process.gallery().get(address(page)["image"]))
    for side in look.sides:
        costs = numbers.costs_of(side.card, look)
        assert costs is not None and costs.size == look.picture.image.size
        assert number(costs.gmacs) in body and number(costs.milliseconds) in body
        counts = metrics.count(look.picture.truth, side.trace.labels.numpy(), len(side.card.classes))
        expected = 100 * metrics.mean(counts.iou)
        assert numbers.image_miou(side, look) == pytest.approx(expected)
        assert number(expected) in body


def test_without_ground_truth_nothing_is_said_of_it():
    photograph = process.gallery().samples()[-1]
    assert photograph.truth is None
    page = opened(models="cpt,qup", image=photograph.id)
    assert "this image" not in html_of(page)
    assert "Where they disagree" in html_of(page)


@pytest.fixture
def other_names(stand_ins, other_models):
    """A model that knows two of the demo world's categories, in another order, and one of its own."""
    (other_models / "cpt.safetensors").write_bytes((stand_ins / "cpt.safetensors").read_bytes())
    for name, classes in (("mine", ("tree", "lamp", "sky")), ("alien", ("a", "b"))):
        save(other_models, name, seed=1, recipe="other", sources="pixels", classes=classes)


@pytest.mark.usefixtures("other_names")
def test_other_categories_are_matched_by_name_and_the_page_says_so():
    page = opened(models="cpt,mine")
    (info,) = page.info
    assert "matched by name" in info.value and "2" in info.value
    look = look_of("cpt", "mine", picture=process.gallery().get(address(page)["image"]))
    assert look.names == ("sky", "tree")
    cpt, mine = look.sides
    raw = {"sky": 0, "tree": cpt.card.classes.index("tree")}
    own = {"sky": 2, "tree": 0}
    first, second = cpt.trace.labels.numpy(), mine.trace.labels.numpy()
    both = np.isin(first, list(raw.values())) & np.isin(second, list(own.values()))
    same = sum((first == raw[name]) & (second == own[name]) for name in raw).astype(bool)
    if both.any():
        share = comparison.share_of(look.labels["cpt"], look.labels["mine"])
        assert share == pytest.approx((both & ~same).sum() / both.sum())
    assert mine.truth is not None
    assert set(np.unique(mine.truth)) <= {0, 2, 255}
    np.testing.assert_array_equal(mine.truth == 2, look.picture.truth == 0)


@pytest.mark.usefixtures("other_names")
def test_models_that_share_no_category_are_shown_and_not_measured():
    page = opened(models="cpt,alien")
    assert "share no category" in page.info[0].value
    assert "pixels right, this image" not in html_of(page)
    assert look_of("cpt", "alien").sides[1].truth is None


def test_the_walk_over_the_samples_ranks_them():
    look = look_of("cpt", "bilinear")
    assert look.pair is not None
    differences.start(look.pair, look.names)
    job = process.jobs().find(differences._name(look.pair))
    assert job is not None
    job.wait(120)
    samples = process.gallery().samples()
    assert job.total == len(samples) >= 24 and job.done == job.total and not job.errors
    found = differences.ranking(look.pair)
    shares = [known.share for _, known in found]
    assert shares == sorted(shares, reverse=True) and len(found) == len(samples)
    picture, known = found[0]
    first, second = (
        process.engine().trace(name, picture.image).labels.numpy() for name in ("cpt", "bilinear")
    )
    assert known.share == pytest.approx((first != second).mean())
    page = opened(models="cpt,bilinear")
    assert "Click one to see it above" in html_of(page)


def test_downloads_hold_the_engines_numbers():
    look = look_of("cpt", "bilinear", "qup", shows=("affinity", "affinity", "influence"), marks="error")
    loaded = np.load(io.BytesIO(download._npz("npz", look)))
    original = look.picture.image.original_size
    stage = look.sides[0].trace.stage("stride8")
    values = stage.pixel_affinity(*cell(30, 40, original, stage.grid)).numpy()
    np.testing.assert_allclose(loaded["cpt/times_uniform"], values * values.size, rtol=1e-6)
    found = process.engine().influence("qup", look.picture.image, (30, 40), "f3")
    np.testing.assert_allclose(
        loaded["qup/times_uniform"], found.shares.numpy() * found.shares.numel(), rtol=1e-5
    )
    rows = list(csv.DictReader(io.StringIO(download._csv("csv", look).decode())))
    margin = next(row for row in rows if row["model"] == "qup" and row["quantity"] == "margin")
    assert float(margin["value"]) == pytest.approx(found.margin)
    assert {row["checkpoint"] for row in rows} == {side.card.hash for side in look.sides}
    for make in (download.viewers, download.categories, download.disagreement, download.cost):
        assert Image.open(io.BytesIO(make("png", look))).format == "PNG"
        assert make("svg", look).startswith(b"<?xml") and make("pdf", look).startswith(b"%PDF")


@pytest.mark.parametrize("marks", ["none", "prediction", "error", "truth"])
def test_a_figure_is_drawn_without_pins_and_with_any_marks(marks):
    look = look_of("cpt", "qup", marks=marks)
    empty = Look(replace(look.selection, pins=()), look.picture, look.places)
    for one in (look, empty):
        row = download.row(one)
        assert len(row.viewers) == 2 and all(side.card.hash[:8] in row.caption for side in look.sides)
        assert download.viewers("svg", one)


def test_inspect_sends_models_without_a_query_update_elsewhere(stand_ins, other_models):
    save(other_models, "hfgd", seed=1, recipe="other", method="hfgd", classes=("sky", "tree"))
    page = page_of("inspect")
    page.run()
    assert "No model here has a query update" in page.info[0].value
    (other_models / "cpt.safetensors").write_bytes((stand_ins / "cpt.safetensors").read_bytes())
    page = pages.opened("inspect", model="hfgd")
    (warning,) = page.warning
    assert (
        "hfgd has no query update; cpt is shown. Its guidance is on the Guidance page."
        in warning.value.replace("\\", "")
    )
    assert len(page.selectbox[0].options) == 1
