"""The Guidance page without a browser: it opens, survives links of every kind, and says the engine's numbers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from app import process
from app.selection import GUIDANCE, Selection, to_params
from app.views import guidance as view
from app.views import guidance_download as download
from app.views import guidance_tokens as tokens
from app.views.inspect_panel import Names
from app.words import DASH, number
from engine.branches import (
    OUTCOMES,
    branch_readings,
    guide_labels,
    logit_maps,
    measures,
    outcomes,
    token_angles,
)
from engine.gradients import PARTS
from engine.guidance import CLOSED, OPEN, Cuts
from tests.app.conftest import forget
from tests.app.pages import address, html_of, run_with

CUT = ("stage 1", "stage 2", "stage 3", "stage 4", "CAE", "tokens")


@pytest.fixture(scope="module", autouse=True)
def guided(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The process's engine reads two tiny untrained models with guidance, and one without."""
    folder = tmp_path_factory.mktemp("guided")
    save(folder, "hfgd", method="hfgd")
    save(folder, "fpn-cut", method="hfgd", own_tokens=True)
    save(folder, "cpt", method="cpt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOUPE_MODELS", str(folder))
        forget()
        yield folder
    forget()


def save(folder: Path, name: str, **spec) -> None:
    from engine import checkpoints
    from engine.data.categories import CLASS_NAMES
    from engine.segmenter import SegmenterSpec, build

    torch.manual_seed(3)
    small = {"channels": 16, "level_channels": 8, "context_channels": 16, "context_keys": 8}
    made = build(SegmenterSpec("mobilenetv4_conv_small_050", **{"classes": CLASS_NAMES, **small, **spec}))
    checkpoints.save(folder / f"{name}.safetensors", made, provenance={"recipe": "stand-in"})


def script() -> None:
    from app.views import guidance

    guidance.render()


def opened(**params: str) -> AppTest:
    return run_with(AppTest.from_function(script, default_timeout=60), **params)


def matrix_of(page: AppTest) -> dict[str, tuple[str, str, str]]:
    """The gradient matrix as the page prints it: part → (‖∇L_h‖, ‖∇L_u‖, cosine)."""
    (table,) = re.findall(r'<table class="lp-table lp-gradients">.*?</table>', html_of(page), re.S)
    found = {}
    for row in re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', table, re.S):
        values = re.findall(r"<b[^>]*>(.*?)</b>", row[1])
        assert len(values) == 3
        found[row[0]] = tuple(values)
    return found


def expected(model: str, image: str, cuts: Cuts) -> dict[str, tuple[str, str, str]]:
    picture = process.gallery().get(image)
    assert picture.truth is not None
    lines = process.engine().gradients(model, picture.image, picture.truth).at(cuts)
    return {line.part: (number(line.guide), number(line.upsampler), number(line.cosine)) for line in lines}


def first_scene():
    return process.gallery().samples()[0]


def photograph():
    picture = process.gallery().samples()[-1]
    assert picture.truth is None
    return picture


# ---------------------------------------------------------------------------------------------- opening and links


def test_it_opens_on_a_guided_model_with_a_pixel_pinned():
    page = opened()
    assert not page.error and not page.warning
    written = address(page)
    assert written["model"] == "hfgd" and re.fullmatch(r"\d+,\d+", written["pins"])
    assert set(written) == set(GUIDANCE.parameters)
    body = html_of(page)
    for said in (
        "What each loss",
        "boundary band",
        "Cosine between class tokens",
        "The pinned pixels",
        "Relative logit of",
    ):
        assert said in body
    titles = {name: card.title for name, card in process.engine().models().items()}
    assert page.selectbox[0].options == [titles["fpn-cut"], titles["hfgd"]]  # and not cpt


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"model": "gpt"}, "gpt"),
        ({"category": "unicorn"}, "unicorn"),
        ({"token": "2"}, "token"),
        ({"low": "-0.5"}, "low"),
        ({"third": "fourth"}, "third"),
        ({"context": "yes"}, "context"),
        ({"pins": "5000,2"}, "5000,2"),
        ({"pins": "a,b"}, "a,b"),
        ({"image": "feedfacefeedface"}, "feedfacefeedface"),
    ],
)
def test_a_bad_link_is_answered_by_a_sentence_and_the_page_stays_usable(params, said):
    page = opened(**params)
    (warning,) = page.warning
    assert said in warning.value.replace("\\", "") and "\n" not in warning.value.strip()
    assert "What each loss" in html_of(page)
    assert address(page) == to_params(page.session_state["selection"], GUIDANCE)


def test_a_model_without_guidance_names_those_that_have_it():
    page = opened(model="cpt")
    (warning,) = page.warning
    text = warning.value.replace("\\", "")
    assert "cpt has no class tokens; fpn-cut and hfgd have: hfgd is shown" in text
    assert address(page)["model"] == "hfgd" and matrix_of(page)


def test_without_any_guided_model_there_is_one_sentence(other_models, guided):
    (other_models / "cpt.safetensors").write_bytes((guided / "cpt.safetensors").read_bytes())
    page = opened()
    (info,) = page.info
    assert "class tokens" in info.value and "cpt" in info.value
    assert not page.get("html")


def test_a_good_link_shows_just_what_it_says():
    selection = Selection(
        model="fpn-cut", image=first_scene().id, pins=((3, 4), (50, 60)), active=1, category="grass",
        token_cut=0.25, high_cut=0.5, low_cut=1.0, third="outcomes", context=True, outline="both", smooth=True,
        opacity=0.4, colours="magma", hold=True,
    )  # fmt: skip
    page = opened(**to_params(selection, GUIDANCE))
    assert not page.warning
    assert address(page) == to_params(selection, GUIDANCE)
    assert page.session_state["selection"] == selection
    body = html_of(page)
    assert (
        "Relative logit of grass" in body
        and "Black lines: ground truth" in body
        and "which branch is right" in body
    )
    assert matrix_of(page) == expected("fpn-cut", selection.image, Cuts(0.25, 0.5, 1.0))


def test_what_the_viewer_reports_reaches_the_address_and_the_numbers():
    page = opened(image=first_scene().id)
    report = {
        "pins": [[7, 8], [60, 70]],
        "active": 1,
        "view": {"category": "road", "third": "outcomes", "context": True, "outline": "truth"},
        "revision": "test:1",
    }
    page.session_state["guidance"] = {"state": report}
    page.run()
    assert not page.exception
    written = address(page)
    assert (written["pins"], written["active"], written["category"]) == ("7,8;60,70", "2", "road")
    assert (written["third"], written["context"], written["outline"]) == ("outcomes", "1", "truth")
    body = html_of(page)
    assert "60,70" in body and "Relative logit of road" in body and "IoU of" in body


def test_the_category_follows_the_pin_until_one_is_chosen():
    picture = first_scene()
    trace = process.engine().trace("hfgd", picture.image)
    names = trace.model.classes if trace.model else ()
    for pixel in ((10, 20), (250, 200)):
        page = opened(image=picture.id, pins=f"{pixel[0]},{pixel[1]}", category="*")
        assert f"Relative logit of {names[int(trace.labels[pixel])]} " in html_of(page)
        assert address(page)["category"] == "*"
    assert "Relative logit of boat " in html_of(opened(image=picture.id, category="boat"))


def test_no_pin_is_a_sentence_and_the_middle_chooses_the_category():
    page = opened(pins="")
    assert "Click a picture to pin a pixel" in html_of(page) and address(page)["pins"] == ""


# ---------------------------------------------------------------------------------------------- gradients


def test_closed_cuts_are_exact_zeros_and_dashes():
    page = opened(image=first_scene().id)
    found = matrix_of(page)
    assert list(found) == list(PARTS)
    assert found == expected("hfgd", first_scene().id, CLOSED)
    for part in CUT:
        assert found[part][1:] == ("0", DASH) and float(found[part][0]) > 0
    assert found["upsampler"][0] == "0" and found["upsampler"][2] == DASH and float(found["upsampler"][1]) > 0
    assert html_of(page).count("exactly: cut") == len(CUT)


@pytest.mark.parametrize(
    "cuts", [Cuts(0.5, 0.0, 0.0), Cuts(0.0, 0.3, 0.0), Cuts(0.0, 0.0, 1.0), Cuts(0.25, 0.75, 0.1)]
)
def test_the_sliders_move_the_matrix_to_the_engines_values(cuts):
    page = opened(image=first_scene().id)
    for name in ("token", "high", "low"):
        page.slider(key=f"choose {name}_cut").set_value(getattr(cuts, name))
    page.run()
    assert not page.exception
    assert matrix_of(page) == expected("hfgd", first_scene().id, cuts)
    written = address(page)
    assert [float(written[name]) for name in ("token", "high", "low")] == [cuts.token, cuts.high, cuts.low]


def test_with_open_cuts_the_upsamplers_loss_reaches_everything():
    page = opened(image=first_scene().id)
    button = next(one for one in page.button if one.label.startswith("all open"))
    button.click().run()
    found = matrix_of(page)
    assert found == expected("hfgd", first_scene().id, OPEN)
    assert all(float(value[1]) > 0 for value in found.values())
    assert all(-1 <= float(found[part][2].replace("−", "-")) <= 1 for part in CUT)
    next(one for one in page.button if one.label.startswith("as trained")).click().run()
    assert matrix_of(page) == expected("hfgd", first_scene().id, CLOSED)


def test_tokens_of_its_own_are_never_reached_and_the_slider_says_why():
    page = opened(model="fpn-cut", image=first_scene().id, token="1", high="1", low="1")
    assert (
        page.slider(key="choose token_cut").disabled
        and "tokens of its own" in page.slider(key="choose token_cut").help
    )
    assert not page.slider(key="choose high_cut").disabled
    found = matrix_of(page)
    assert found["tokens"][1:] == ("0", DASH) and float(found["CAE"][1]) > 0
    assert "exactly: own tokens" in html_of(page)


def test_a_models_own_cuts_are_the_sliders_first_setting(other_models):
    save(other_models, "soft", method="hfgd", token_cut=0.5, low_cut=0.25)
    page = opened(image=first_scene().id)
    written = address(page)
    assert (written["token"], written["high"], written["low"]) == ("0.50", "0.00", "0.25")
    assert matrix_of(page) == expected("soft", first_scene().id, Cuts(0.5, 0.0, 0.25))


# ---------------------------------------------------------------------------------------------- other numbers


def test_iou_and_outcomes_are_the_engines():
    picture = first_scene()
    assert picture.truth is not None
    page = opened(image=picture.id, category="grass")
    trace = process.engine().trace("hfgd", picture.image)
    assert trace.model is not None
    (table,) = re.findall(r'<table class="lp-table lp-numbers">.*?</table>', html_of(page), re.S)
    grass = trace.model.classes.index("grass")
    for one in measures(trace, picture.truth):
        cells = [
            one.miou,
            one.band_miou,
            one.inside_miou,
            one.iou[grass],
            one.band_iou[grass],
            one.inside_iou[grass],
        ]
        for value in cells:
            assert f"<td>{number(float(value))}</td>" in table
    found = np.bincount(outcomes(trace, picture.truth)[picture.truth != 255], minlength=4)
    for outcome, count in zip(OUTCOMES, found, strict=True):
        (row,) = re.findall(rf"{outcome}</th>(.*?)</tr>", table)
        assert f"<td>{count} " in row
    assert "within 7 px of an edge" in table


def test_pins_say_what_the_engine_says():
    picture = first_scene()
    page = opened(image=picture.id, pins="100,30;200,250")
    trace = process.engine().trace("hfgd", picture.image)
    assert trace.guidance is not None
    (table,) = re.findall(r"The pinned pixels.*?</table>", html_of(page), re.S)
    for pixel in ((100, 30), (200, 250)):
        for values in (torch.from_numpy(one.probabilities) for one in branch_readings(trace, pixel)):
            assert f"<b>{number(float(values.max()))}</b>" in table
        read = trace.guidance.context_affinity(pixel[0] * 8 // 256, pixel[1] * 8 // 256)
        assert f"×\u2009{number(float(read.max()) * 64)} uniform" in table


def test_token_cosines_and_angles_are_the_engines():
    picture = first_scene()
    page = opened(image=picture.id)
    trace = process.engine().trace("hfgd", picture.image)
    assert trace.guidance is not None and trace.model is not None
    body, names = html_of(page), trace.model.classes
    cosines = trace.guidance.token_cosines()
    for a, b in ((0, 3), (5, 2), (13, 12)):
        assert f'data-said="{names[a]} · {names[b]} {number(float(cosines[a, b]))}"' in body
    angles = token_angles(trace, picture.truth)
    (table,) = re.findall(r'<table class="lp-table lp-angles">.*?</table>', body, re.S)
    for values in angles.values():
        for value in values[np.isfinite(values)]:
            assert f"<td>{number(float(value))}°</td>" in table
    assert "by ground truth" in body


def test_without_truth_what_needs_it_is_hidden_and_the_rest_works():
    picture = photograph()
    page = opened(image=picture.id, third="outcomes")
    assert not page.warning and not page.slider
    body = html_of(page)
    assert body.count("need ground truth") == 1 and "lp-gradients" not in body and "IoU of" not in body
    assert "means of pure cells, by prediction" in body and "by ground truth" not in body
    assert "Relative logit of" in body and "truly" not in body


def test_many_categories_show_those_of_the_image():
    order = list(range(100))
    assert tokens.shown_tokens(order[:14], set()) == (order[:14], "")
    shown, said = tokens.shown_tokens(order, {3, 50, 99})
    assert shown == [3, 50, 99] and "3 of 100" in said


def test_names_of_categories_are_other_peoples_text():
    names = Names(["<b>x</b>", 'a"b', "c"], ["#000000"] * 3)
    text = tokens.token_matrix(np.eye(3), [0, 1, 2], names)
    assert "<b>x" not in text and 'a"b' not in text
    nowhere = {site: np.full(3, np.nan) for site in ("high", "upsampled")}
    assert "<tbody></tbody>" in tokens.angle_rows(nowhere, [0, 1, 2], names, "prediction", False)


# ---------------------------------------------------------------------------------------------- downloads


def selection_of(picture, **fields) -> Selection:
    return Selection(model="hfgd", image=picture.id, pins=((30, 40), (100, 100)), active=1, **fields)


def test_downloads_hold_the_engines_numbers():
    picture = first_scene()
    assert picture.truth is not None
    selection, cuts = selection_of(picture), Cuts(0.5, 0.25, 1.0)
    trace = process.engine().trace("hfgd", picture.image)
    assert trace.model is not None and trace.guidance is not None
    loaded = np.load(io.BytesIO(download.numbers("npz", selection, picture, trace, 4, cuts)))
    for name, values in zip(("guide", "upsampler", "difference"), logit_maps(trace, 4), strict=True):
        np.testing.assert_array_equal(loaded[f"map/{name}"], values)
    np.testing.assert_array_equal(loaded["guide_labels"], guide_labels(trace))
    np.testing.assert_array_equal(loaded["outcomes"], outcomes(trace, picture.truth))
    np.testing.assert_array_equal(
        loaded["pin2/upsampler"], branch_readings(trace, (100, 100))[1].probabilities
    )
    np.testing.assert_array_equal(loaded["pin1/context_affinity"], trace.guidance.context_affinity(0, 1))
    lines = process.engine().gradients("hfgd", picture.image, picture.truth).at(cuts)
    np.testing.assert_allclose(loaded["gradients/upsampler"], [line.upsampler for line in lines], rtol=1e-5)
    rows = list(
        csv.DictReader(io.StringIO(download.numbers("csv", selection, picture, trace, 4, cuts).decode()))
    )

    def value(quantity: str, of: str, stage: str = "") -> float:
        (row,) = [r for r in rows if (r["quantity"], r["of"], r["stage"]) == (quantity, of, stage)]
        return float(row["value"])

    assert value("gradient norm", "upsampler's loss", "stage 2") == pytest.approx(
        lines[1].upsampler, rel=1e-5
    )
    assert value("IoU, band", "mean", "guide") == pytest.approx(measures(trace, picture.truth)[0].band_miou)
    assert value("cut factor", "low") == 1.0
    assert {row["checkpoint"] for row in rows} == {trace.model.hash}
    assert not [row for row in rows if row["value"] == "nan"]


@pytest.mark.parametrize("third", ["difference", "outcomes"])
def test_figures_of_maps_tokens_and_gradients_are_drawn_and_captioned(third):
    from app import figures_guidance_drawing as drawing

    picture = first_scene()
    selection = selection_of(picture, third=third, outline="both")
    trace = process.engine().trace("hfgd", picture.image)
    assert trace.model is not None
    sheets = [
        download.map_sheet(selection, picture, trace, 0),
        download.token_sheet(picture, trace),
        download.gradient_sheet(picture, trace, CLOSED),
    ]
    for sheet in sheets:
        assert trace.model.hash[:8] in sheet.caption and picture.image.hash[:8] in sheet.caption
        assert Image.open(io.BytesIO(drawing.draw(sheet, "png"))).format == "PNG"
    assert b"<svg" in drawing.draw(sheets[0], "svg") and drawing.draw(sheets[2], "pdf").startswith(b"%PDF")
    assert "8×8" in sheets[0].caption and "64×64" in sheets[0].caption


def test_without_truth_or_pins_what_is_left_can_be_taken_along():
    picture = photograph()
    trace = process.engine().trace("hfgd", picture.image)
    selection = Selection(model="hfgd", image=picture.id, pins=(), third="outcomes", outline="both")
    loaded = np.load(io.BytesIO(download.numbers("npz", selection, picture, trace, 0, CLOSED)))
    assert "truth" not in loaded and "gradients/guide" not in loaded
    assert download.numbers("csv", selection, picture, trace, 0, CLOSED)
    assert download.map_sheet(selection, picture, trace, 0).words is None
    labels = [button.label for button in opened(image=picture.id).get("download_button")]
    assert labels == ["PNG", "SVG", "PDF"] * 2 + ["NPZ", "CSV"]
    assert len(opened(image=first_scene().id).get("download_button")) == 11


def test_opening_constants_name_a_scene_that_exists():
    titles = [picture.title for picture in process.gallery().samples()]
    assert view.OPENING_SCENE in titles


# ---------------------------------------------------------------------------------------------- the route


def test_the_route_serves_both_branches_under_an_unguessable_key():
    from safetensors.torch import load
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    from app.routes import Store, routes

    store = Store()
    client = TestClient(Starlette(routes=routes(store)))
    picture = first_scene()
    key = store.put(process.engine().trace("hfgd", picture.image), picture.truth)
    answer = client.get(f"/tensors/{key}/guidance")
    assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"]
    assert load(answer.content)["guide"].shape == (14, 8, 8)
    assert "truth" in load(client.get(f"/tensors/{key}/maps").content)
    plain = client.get(f"/tensors/{store.put(process.engine().trace('cpt', picture.image))}/guidance")
    assert plain.status_code == 400 and "no guide branch" in plain.text
    assert client.get("/tensors/nothing/guidance").status_code == 410


def test_a_model_that_numbers_its_categories_otherwise_is_measured_by_name(other_models):
    """The scenes' labels are in the scenes' numbering: compared as numbers they would name the wrong categories."""
    from engine.data.categories import CLASS_NAMES

    names = tuple(reversed(CLASS_NAMES))
    save(other_models, "hfgd", method="hfgd", classes=names)
    page = opened(model="hfgd")
    picture = process.gallery().get(address(page)["image"])
    trace = process.engine().trace("hfgd", picture.image)
    truth = picture.truth_for(names)
    assert not np.array_equal(truth, picture.truth)
    body = html_of(page)
    for one in measures(trace, truth):
        assert f"<td>{number(one.miou)}</td>" in body
    row, col = (int(part) for part in address(page)["pins"].split(","))
    (pins,) = re.findall(r'<table class="lp-table lp-rows">.*?</table>', body, re.S)
    true = re.sub(r"<[^>]*>", " ", pins.split("<td>")[1]).split()
    assert true == [CLASS_NAMES[picture.truth[row, col]]]
