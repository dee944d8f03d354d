"""The page without a browser: it opens, survives links of every kind, and says the engine's numbers."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app import process
from app.selection import Selection, to_params
from app.views import inspect_download as download
from app.views import inspect_panel as panel
from app.views import inspect_words as words
from app.words import number
from engine.affinity import Sink, reading
from engine.overlays import Ask, overlay
from tests.app.pages import address, html_of, run_with

SCRIPT = Path(__file__).resolve().parents[2] / "app" / "home.py"

pytestmark = pytest.mark.usefixtures("stand_ins")


def opened(**params: str) -> AppTest:
    return run_with(AppTest.from_file(str(SCRIPT), default_timeout=60), **params)


def test_it_opens_on_a_demo_scene_with_a_pixel_pinned():
    page = opened()
    assert not page.error and not page.warning
    written = address(page)
    assert written["model"] == "cpt" and re.fullmatch(r"\d+,\d+", written["pins"])
    body = html_of(page)
    assert "top sources by weight" in body and "memory share" in body and "held fixed" in body
    assert page.selectbox[0].options == [card.title for card in process.engine().models().values()]


def test_the_numbers_are_the_engines():
    page = opened(pins="100,30")
    picture = process.gallery().get(address(page)["image"])
    trace = process.engine().trace("cpt", picture.image)
    body = html_of(page)
    for stage in trace.stages:
        one = reading(trace, stage, pixel=(100, 30), truth=picture.truth)
        for value in (one.mean_distance, one.by_weight[0].weight, one.entropy, one.own_predicted.pixel_mass):
            assert number(value) in body


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"model": "gpt"}, "gpt"),
        ({"stage": "stride2"}, "stride2"),
        ({"pins": "5000,2"}, "5000,2"),
        ({"pins": "a,b"}, "a,b"),
        ({"image": "feedfacefeedface"}, "feedfacefeedface"),
        ({"reading": "<script>alert(1)</script>"}, "reading"),
        ({"head": "77"}, "77"),
        ({"source": "500"}, "500"),
        ({"model": "bilinear", "reading": "made-of"}, "bilinear"),
    ],
)
def test_a_bad_link_is_answered_by_a_sentence_and_the_page_stays_usable(params, said):
    page = opened(**params)
    (warning,) = page.warning
    assert said in warning.value.replace("\\", "") and "\n" not in warning.value.strip()
    assert "top sources by weight" in html_of(page)
    assert address(page) | {} == to_params(page.session_state["selection"])


def test_a_good_link_shows_just_what_it_says():
    first = process.gallery().samples()[1]
    selection = Selection(
        model="qup",
        image=first.id,
        stage="stride8",
        pins=((3, 4), (50, 60)),
        active=1,
        reading="reads alike",
        head=1,
        scale="linear",
        smooth=True,
        opacity=0.4,
        colours="magma",
        outline="truth",
    )
    page = opened(**to_params(selection))
    assert not page.warning
    assert address(page) == to_params(selection)
    assert page.session_state["selection"] == selection
    assert "The pinned pixels at stride8" in html_of(page)


def test_another_model_keeps_image_and_pins():
    page = opened(pins="9,9;20,20")
    before = address(page)
    page.selectbox[0].select("bilinear").run()
    assert not page.exception
    after = address(page)
    assert after == before | {"model": "bilinear"}
    assert "memory share" not in html_of(page)  # not defined for bilinear: left out, not shown as a dash


def test_what_the_viewer_reports_reaches_the_address_and_the_numbers():
    page = opened()
    before = page.session_state["selection"]
    report = {"pins": [[7, 8], [60, 70]], "active": 1, "view": {"reading": "read by"}, "revision": "test:1"}
    page.session_state["viewer"] = {"state": report}
    page.run()
    assert not page.exception
    expected = replace(before, pins=((7, 8), (60, 70)), active=1, reading="read by")
    assert page.session_state["selection"] == expected
    assert address(page) == to_params(expected)
    assert "row 60, col 70" in html_of(page)
    # The same report again says nothing new: what happened since then stays.
    page.selectbox[0].select("qup").run()
    assert page.session_state["selection"] == replace(expected, model="qup")


def test_without_models_the_page_says_so(other_models):
    (other_models / "bad.safetensors").write_bytes(b"PK not a checkpoint")
    page = opened()
    (error,) = page.error
    assert "no model" in error.value and "bad" in error.value


def test_a_damaged_checkpoint_is_one_sentence_and_the_page_stays_usable(stand_ins, other_models):
    for name in ("cpt", "qup"):
        whole = (stand_ins / f"{name}.safetensors").read_bytes()
        (other_models / f"{name}.safetensors").write_bytes(
            whole[: None if name == "cpt" else len(whole) // 2]
        )
    page = opened(model="qup")
    (warning,) = page.warning
    assert "qup" in warning.value and "truncated" in warning.value
    assert address(page)["model"] == "cpt" and "top sources by weight" in html_of(page)


def test_a_link_names_models_and_never_paths(stand_ins):
    page = opened(model=str(stand_ins / "qup.safetensors"))
    (warning,) = page.warning
    assert "no model" in warning.value and address(page)["model"] == "cpt"


def test_downloads_hold_the_engines_numbers():
    picture = process.gallery().samples()[0]
    selection = Selection(
        model="cpt", image=picture.id, stage="stride8", pins=((30, 40), (100, 100)), active=1
    )
    trace = process.engine().trace("cpt", picture.image)
    stage = trace.stage("stride8")
    cell = reading(trace, stage, pixel=(30, 40)).cell
    loaded = np.load(io.BytesIO(download._numbers("npz", selection, picture)))
    np.testing.assert_allclose(loaded["pin1/stride8/affinity"], stage.affinity(*cell), rtol=1e-6)
    np.testing.assert_allclose(loaded["pin1/stride8/pixel_affinity"], stage.pixel_affinity(*cell), rtol=1e-6)
    drawn = overlay(trace, stage, (30, 40), Ask()).values
    np.testing.assert_array_equal(loaded["pin1/stride8/overlay"], drawn)
    assert "pin2/stride4/contribution_share" in loaded
    rows = list(csv.DictReader(io.StringIO(download._numbers("csv", selection, picture).decode())))
    one = reading(trace, "stride8", pixel=(100, 100), truth=picture.truth)
    (found,) = [
        row
        for row in rows
        if (row["pin"], row["stage"], row["quantity"]) == ("2", "stride8", "mean distance")
    ]
    assert float(found["value"]) == pytest.approx(one.mean_distance)
    assert trace.model is not None and {row["checkpoint"] for row in rows} == {trace.model.hash}
    image = Image.open(io.BytesIO(download._figure("png", selection, picture)))
    assert image.format == "PNG"


@pytest.mark.parametrize("model", ["bilinear", "qup", "cpt-image", "cpt"])
@pytest.mark.parametrize("reading_", ["reads", "read by", "made of", "reads alike"])
def test_every_reading_of_every_model_can_be_drawn_and_captioned(model, reading_):
    picture = process.gallery().samples()[0]
    selection = Selection(
        model=model, image=picture.id, stage="stride16", pins=((30, 40),), reading=reading_, outline="both"
    )
    trace = process.engine().trace(model, picture.image)
    made = download.sheet(selection, picture, trace)
    assert trace.model is not None
    assert (
        trace.model.hash[:8] in made.caption
        and "stride16" in made.caption
        and "row 30, col 40" in made.caption
    )
    assert made.panels[0].overlay.shape in (trace.stages[0].grid, trace.stages[0].source_grid)
    assert np.isfinite(made.panels[0].overlay).all()


def drawn(model: str, **fields) -> tuple[str, str, str]:
    """Title and caption of the figure, and caption of the page."""
    picture = process.gallery().samples()[0]
    selection = replace(Selection(model=model, image=picture.id, stage="stride8", pins=((30, 40),)), **fields)
    trace = process.engine().trace(model, picture.image)
    made = download.sheet(selection, picture, trace)
    return made.title, made.caption, words.caption(selection, trace, picture)


@pytest.mark.parametrize("reading_", ["read by", "made of"])
def test_a_chosen_source_is_named_and_not_the_pins(reading_):
    model = process.engine().card("cpt")
    for text in drawn("cpt", reading=reading_, source=5):
        assert f"the prototype “{model.classes[5]}”" in text
    for text in drawn("cpt", reading=reading_, source=5)[1:]:
        assert "row 30, col 40" not in text


def test_what_lies_under_the_pin_is_named():
    picture = process.gallery().samples()[0]
    trace = process.engine().trace("cpt", picture.image)
    y, x = trace.stage("stride8").source_grid
    cell = f"source cell {int(30.5 * y / 256)},{int(40.5 * x / 256)}"
    for model in ("qup", "cpt", "bilinear"):
        for text in drawn(model, reading="read by"):
            assert cell in text
    assert trace.model is not None
    name = trace.model.classes[int(trace.labels[30, 40])]
    for text in drawn("cpt", reading="made of"):
        assert f"the prototype “{name}”" in text
    # Sources of a model without prototypes cannot be chosen: what is under the pin stays.
    assert cell in drawn("qup", reading="read by", source=3)[1]
    assert "the source under the pin" in drawn("qup", reading="read by", pins=((30, 40), (200, 200)))[0]


def test_captions_count_heads_from_one_and_give_none_to_what_has_none():
    for text in drawn("cpt", head=1)[1:]:
        assert "head 2 of 4" in text
    for text in drawn("cpt", head=1, reading="made of"):
        assert "head" not in text


def test_outlines_are_named_in_the_caption_when_drawn():
    assert "lines" not in drawn("cpt")[1]
    for both in drawn("cpt", outline="both")[1:]:
        assert "White lines: prediction." in both and "Black lines: ground truth." in both
    assert "Black" not in drawn("cpt", outline="prediction")[1]


def test_the_panel_says_what_labels_go_by():
    scene, photograph = process.gallery().samples()[0], process.gallery().samples()[-1]
    assert scene.truth is not None and photograph.truth is None
    assert "pixel mass of its category, by ground truth" in html_of(opened(image=scene.id))
    body = html_of(opened(image=photograph.id, pins="30,40;50,60"))
    assert "pixel mass of its category, by prediction" in body and "own pixel mass, by prediction" in body
    assert "by ground truth" not in body and "{by}" not in body


def test_a_number_that_is_not_defined_is_one_dash():
    """qup has no prototypes: neither the predicted category nor a differing true one has a weight there."""
    picture = process.gallery().samples()[0]
    trace = process.engine().trace("qup", picture.image)
    assert picture.truth is not None
    row, col = np.argwhere(trace.labels.numpy() != picture.truth)[0]
    one = reading(trace, "stride8", pixel=(int(row), int(col)), truth=picture.truth)
    assert one.own_true is not None and one.own_true.category != one.own_predicted.category
    names = panel.Names(trace.model.classes, ["#000000"] * 99) if trace.model else None
    assert names is not None
    assert panel._both("prototype_weight")(one, names) == "–"
    assert "true" in panel._both("pixel_mass")(one, names)


def test_sinks_are_shown_with_their_ratio_and_sample():
    picture = process.gallery().samples()[0]
    trace = process.engine().trace("qup", picture.image)
    one = reading(trace, "stride8", pixel=(30, 40))
    assert trace.model is not None
    names = panel.Names(trace.model.classes, ["#000000"] * 99)

    def row(asked: int) -> str:
        sink = Sink(5, None, (0, 5), 0.25, 16.0, 3, 7, asked, 1024)
        return panel._sink_row([one], names, "stride8", {"stride8": [sink]})

    assert "3 × uniform" in row(1024) and "16.0 uniform" in row(1024)
    assert "on a sample of queries: 64 of 1024" in row(64) and "64 of" not in row(1024)


def test_without_pins_there_is_a_sentence_and_no_button():
    page = opened(pins="")
    assert address(page)["pins"] == ""
    assert not page.get("download_button")
    assert any("Pin a pixel first" in one.value for one in page.caption)
    picture = process.gallery().samples()[0]
    empty = Selection(model="cpt", image=picture.id, stage="stride8", pins=())
    for kind in ("png", "svg"):
        assert download._figure(kind, empty, picture)
    for kind in ("npz", "csv"):
        assert download._numbers(kind, empty, picture)
    assert opened(pins="3,4").get("download_button")


def test_an_upload_is_listed_in_its_own_session_only():
    noise = np.random.default_rng(7).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    picture = process.gallery().add(buffer.getvalue(), "mine.png")

    def listed(page: AppTest) -> bool:
        return any(picture.id in str(one.proto) for one in page.get("bidi_component"))

    mine = opened()
    assert not listed(mine)
    mine.session_state["ids of my uploads"] = [picture.id]
    mine.run()
    assert not mine.exception and listed(mine)
    # A link still opens it.
    other = opened(image=picture.id)
    assert not other.warning and address(other)["image"] == picture.id
