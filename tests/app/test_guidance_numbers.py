"""What the Guidance page says and hands out: the engine's numbers, as tables, files and figures, and over the route."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from app import process
from app.selection import Selection
from app.views import guidance as view
from app.views import guidance_download as download
from app.views import guidance_tokens as tokens
from app.views.inspect_panel import Names
from app.words import number
from engine.branches import (
    OUTCOMES,
    branch_readings,
    guide_labels,
    logit_maps,
    measures,
    outcomes,
    token_angles,
)
from engine.guidance import CLOSED, Cuts
from tests.app.guidance_page import first_scene, opened, photograph
from tests.app.pages import address, html_of
from tests.stand_ins import save

pytestmark = pytest.mark.usefixtures("guided")


# ── other numbers ──


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


# ── downloads ──


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


# ── the route ──


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
