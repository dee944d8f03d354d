"""The Surgery page without a browser: it opens on an edit, survives links of every kind, and says the engine's numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load as tensors_of
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from app import datasets, process, surgery_links, surgery_walk
from app.routes import routes
from app.selection import SURGERY
from app.views import surgery_download as download
from app.views.surgery_kinds import NAMES
from app.views.surgery_look import OPENING_EDITS, Look, sifted
from app.words import number, percent
from engine.data.datasets import open_dataset
from engine.edits import Ablate, HideRegion, MemoryShare, Oracle, Region, Token, Update
from engine.edits.files import MOST
from engine.metrics import confusion, iou
from engine.surgery import consequences
from tests.app.conftest import forget
from tests.app.pages import address, html_of, opened, text_of
from tests.stand_ins import save

IMAGES = 3


@pytest.fixture(scope="module", autouse=True)
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The process's engine reads tiny untrained models: with prototypes, with pixels, with tokens, and one without anything."""
    folder = tmp_path_factory.mktemp("models")
    save(folder, "cpt", sources="memory")
    save(folder, "qup", sources="pixels")
    save(folder, "hfgd", method="hfgd")
    save(folder, "dilated", method="dilated")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOUPE_MODELS", str(folder))
        patch.setenv("LOUPE_ATLASES", str(folder / "atlases"))
        patch.setattr(surgery_walk, "IMAGES", IMAGES)
        forget()
        yield
    forget()


def scene():
    return process.gallery().samples()[0]


def photograph():
    picture = process.gallery().samples()[-1]
    assert picture.truth is None
    return picture


def after(text: str, model: str = "cpt", picture=None):
    """The engine's run of a link's edits, and its labels before."""
    picture = picture or scene()
    edits = surgery_links.read(text)[0]
    engine = process.engine()
    found = engine.trace(model, picture.image, edits=edits, truth=picture.truth)
    return found, engine.trace(model, picture.image).labels.numpy()


def edits_of(page: AppTest) -> str:
    return address(page)["edits"]


def press(page: AppTest, key: str) -> AppTest:
    page.button(key=key).click().run()
    assert not page.exception, page.exception
    return page


# ---------------------------------------------------------------------------------------------- opening and links


def test_it_opens_on_an_edit_with_a_pixel_pinned():
    page = opened("surgery")
    assert not page.error and not page.warning
    written = address(page)
    assert set(written) == set(SURGERY.parameters)
    assert written["model"] == "cpt" and written["edits"] == OPENING_EDITS[0] and written["pins"]
    said = text_of(page)
    assert "ablate snow (zero) at stride4" in said and "Computed anew: stride4, fusion, classifier" in said
    titles = {name: card.title for name, card in process.engine().models().items()}
    assert set(page.selectbox(key="choose model").options) == {
        titles[name] for name in ("cpt", "hfgd", "qup")
    }  # nothing to edit in the other


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"edits": "explode,tree;update"}, "no kind “explode”"),
        ({"edits": "memory-share,x;update"}, "value cannot be"),
        ({"region": "2x2-9"}, "painted region"),
        ({"what": "soul"}, "what"),
        ({"model": "gpt"}, "gpt"),
        ({"model": "dilated"}, "neither a query update nor class tokens"),
        ({"category": "unicorn"}, "unicorn"),
        ({"stage": "stride2"}, "stride2"),
        ({"pins": "5000,2"}, "5000,2"),
        ({"image": "feedfacefeedface"}, "feedfacefeedface"),
    ],
)
def test_a_bad_link_is_answered_by_a_sentence_and_the_page_stays_usable(params, said):
    page = opened("surgery", **params)
    assert len(page.warning) == 1 and said in page.warning[0].value.replace("\\", "")
    assert not page.error and set(address(page)) == set(SURGERY.parameters)
    if "edits" in params:
        assert edits_of(page) == "update"  # the rest of the list is kept


def test_edits_that_do_not_fit_stay_in_the_list_with_their_reason_and_the_rest_is_made():
    text = "ablate,unicorn;memory-share,0.5;memory-share,0.2;token,sky,,tree;update,mean,stride8"
    page = opened("surgery", image=scene().id, edits=text)
    said = text_of(page)
    for why in ('no category "unicorn"', "contradicts", "has no class tokens"):
        assert why in said
    assert edits_of(page) == text and not page.warning
    run, before = after("memory-share,0.5;update,mean,stride8")
    assert percent(float((run.labels.numpy() != before).mean())) in said
    assert (
        "memory share μ = 0.5 at every stage; update ← its mean at stride8" in said
    )  # the caption: what was made


def test_what_only_a_run_can_refuse_is_refused_alone():
    picture = photograph()
    hidden = surgery_links.write((HideRegion(Region(1, 2, "10")), HideRegion(Region(1, 2, "01"))))
    page = opened("surgery", image=picture.id, edits=f"oracle;{hidden};update,zero,stride16")
    said = text_of(page)
    assert (
        "ground truth of this image is not known" in said and "no source cell would be left to read" in said
    )
    assert "no IoU" in said and page.button(key="surgery quick oracle").disabled
    assert "Computed anew: stride16" in said


def test_numbers_beside_the_panes_are_the_engines():
    text = "update,zero,stride16"
    page = opened("surgery", image=scene().id, edits=text)
    run, before = after(text)
    labels, truth = run.labels.numpy(), scene().truth
    k = len(run.model.classes)
    held = np.unique(truth)  # categories that it lacks have no IoU
    one, two = (100 * iou(confusion(truth, each, k))[held].mean() for each in (before, labels))
    said = text_of(page)
    assert f"{percent(float((labels != before).mean()))} of the pixels" in said
    assert f"{number(one)} → {number(two)}" in said


def test_every_model_opens_on_an_edit_that_it_can_have():
    for model, said in (("qup", "update ← 0 at stride4"), ("hfgd", "token grass ← sand's")):
        page = opened("surgery", model=model)
        assert said in text_of(page) and "not made" not in text_of(page) and not page.warning
    form = text_of(opened("surgery", model="qup"))
    assert "qup has no prototypes: not offered: ablate a prototype, oracle prototypes" in form


def test_from_another_page_it_opens_on_an_edit_of_the_picture_chosen_there():
    page = AppTest.from_string(
        "import streamlit as st\nfrom app.views import compare, surgery\n\n"
        "(surgery if st.session_state.get('second') else compare).render()\n",
        default_timeout=60,
    )
    page.query_params["image"] = scene().id
    page.run()
    page.session_state["second"] = True
    page.query_params.clear()
    page.run()
    assert not page.exception and not page.warning
    assert address(page)["image"] == scene().id and edits_of(page) == "update,zero,stride4"


# ---------------------------------------------------------------------------------------------- the list


def test_the_list_grows_shrinks_and_can_be_undone():
    page = opened("surgery", image=scene().id, edits="")
    assert "No edit" in text_of(page) and "Without an edit nothing changes" in text_of(page)
    press(page, "surgery quick update")
    first = edits_of(page)
    assert first == "update,,stride4"
    press(page, "surgery quick ablate")
    second = edits_of(page)
    assert second.startswith(f"{first};ablate,")
    press(page, "surgery undo")
    assert edits_of(page) == first
    press(page, "surgery redo")
    assert edits_of(page) == second
    press(page, "surgery remove 0")
    assert edits_of(page) == second.partition(";")[2] and page.button(key="surgery redo").disabled
    press(page, "surgery clear")
    assert edits_of(page) == ""
    for expected in (second.partition(";")[2], second, first, ""):
        press(page, "surgery undo")
        assert edits_of(page) == expected
    assert page.button(key="surgery undo").disabled


def test_a_link_opens_the_same_again():
    page = press(
        opened("surgery", image=scene().id, edits="update", pins="12,200", what="probability"),
        "surgery quick ablate",
    )
    written = address(page)
    again = opened("surgery", **written)
    assert address(again) == written and not again.warning
    assert "Softmax of" in text_of(again)


def test_the_slider_of_memory_writes_one_edit_and_takes_it_away_again():
    page = opened("surgery", image=scene().id, edits="update")
    for value, expected in ((0.5, "update;memory-share,0.5"), (0.0, "update;memory-share,0.0")):
        page.slider(key="choose surgery memory share").set_value(value).run()
        assert edits_of(page) == expected
    page.slider(key="choose surgery memory share").set_value(0.1).run()  # the model's own
    assert edits_of(page) == "update"
    press(page, "surgery undo")
    assert (
        edits_of(page) == "update;memory-share,0.0"
        and page.slider(key="choose surgery memory share").value == 0.0
    )


@pytest.mark.parametrize(
    ("edits", "shown"), [("memory-share,7.0", 0.1), ("memory-share,0.5;memory-share,0.7", 0.5)]
)
def test_the_slider_of_memory_shows_what_was_made_of_a_link(edits, shown):
    page = opened("surgery", image=scene().id, edits=edits)
    assert edits_of(page) == edits and "not made" in text_of(page)
    assert page.slider(key="choose surgery memory share").value == shown
    page.slider(key="choose surgery memory share").set_value(0.3).run()
    assert edits_of(page) == "memory-share,0.3" and "not made" not in text_of(page)


def test_a_painted_region_that_no_list_can_hold_stays_painted_and_is_told():
    full = ";".join(["ablate,tree"] * MOST)
    page = opened("surgery", image=scene().id, edits=full, region="4x4-0.4.c")
    page.selectbox(key="surgery kind").set_value(HideRegion).run()
    press(page, "surgery add")
    assert edits_of(page) == full and address(page)["region"] == "4x4-0.4.c"
    assert f"A list holds {MOST} edits" in page.warning[0].value


def test_the_form_adds_what_it_was_told():
    page = opened("surgery", image=scene().id, edits="")
    page.selectbox(key="surgery kind").set_value(MemoryShare).run()
    page.slider(key="surgery share").set_value(0.25).run()
    page.selectbox(key="surgery stage").set_value("stride8").run()
    press(page, "surgery add")
    assert edits_of(page) == "memory-share,0.25,stride8"
    page.selectbox(key="surgery kind").set_value(HideRegion).run()
    assert page.button(key="surgery add").disabled and "nothing is painted" in text_of(page)
    page = opened("surgery", image=scene().id, edits="", region="4x4-0.4.c")
    page.selectbox(key="surgery kind").set_value(HideRegion).run()
    press(page, "surgery add")
    assert edits_of(page) == "hide-region,4x4-0.4.c" and address(page)["region"] == ""
    assert "a painted region belongs to one image" in text_of(page)  # over a split


def test_every_kind_can_be_asked_for():
    for model, missing in (("cpt", {Token}), ("hfgd", set(NAMES) - {Token})):
        page = opened("surgery", image=scene().id, edits="", model=model)
        for kind in set(NAMES) - missing:
            page.selectbox(key="surgery kind").set_value(kind).run()
            assert not page.exception, (kind, page.exception)
            assert not page.button(key="surgery add").disabled or "Not yet" in text_of(page)
        with pytest.raises(ValueError):
            page.selectbox(key="surgery kind").select(NAMES[next(iter(missing))]).run()


LOADS = """
import streamlit as st
from app.views import surgery, surgery_list

surgery.render()
st.button("load", on_click=surgery_list.load, args=({data!r}, "mine.json"), key="load")
"""


@pytest.mark.parametrize(
    ("data", "expected", "said"),
    [
        (surgery_links.to_bytes((Ablate("sky"), Update())), "ablate,sky;update", None),
        (b"{", "update", "mine.json: no JSON: the list stays as it was."),
        (b'{"loupe_edits": 1, "edits": [{"kind": "explode"}]}', "update", "no kind 'explode'"),
    ],
)
def test_a_file_takes_the_place_of_the_list_and_a_bad_one_changes_nothing(data, expected, said):
    page = AppTest.from_string(LOADS.format(data=data), default_timeout=60)
    page.query_params["edits"] = "update"
    page.run()
    press(page, "load")
    assert edits_of(page) == expected
    warnings = [one.value.replace("\\", "") for one in page.warning]
    assert not warnings if said is None else said in warnings[0]


# ---------------------------------------------------------------------------------------------- over a split


def waited(page: AppTest) -> AppTest:
    process.walks().wait(60)
    page.run()
    assert not page.exception, page.exception
    return page


def test_consequences_over_the_split_are_the_engines():
    page = opened("surgery", image=scene().id, edits="update,zero,stride4")
    waited(press(page, "start consequences"))
    edits = (Update("zero", "stride4"),)
    expected = consequences(
        process.engine().segmenter("cpt"), open_dataset(datasets.DEMO), edits, limit=IMAGES
    )
    said = text_of(page)
    assert f"{number(expected.iou.mean.before)} → {number(expected.iou.mean.after)}" in said
    assert f"over {IMAGES} images of scenes-val" in said and "Images that change most" in said
    assert "start consequences" not in [button.key for button in page.button]
    press(page, "surgery quick ablate")  # other edits: not known yet
    assert "start consequences" in [button.key for button in page.button]


def test_each_prototype_ablated_in_turn():
    page = opened("surgery", image=scene().id, edits="update,zero,stride4", ablation="zero")
    waited(press(page, "start causal"))
    assert 'data-sheet="causal"' in html_of(page)
    assert "is ablated (zero) at every stage" in text_of(page) and "There is no atlas of cpt yet" in text_of(
        page
    )
    page.segmented_control(key="choose ablation").set_value("mean").run()
    assert 'data-sheet="causal"' not in html_of(page) and address(page)["ablation"] == "mean"
    assert "Does attention predict effect?" not in text_of(
        opened("surgery", model="qup")
    )  # it has no prototypes


# ---------------------------------------------------------------------------------------------- what can be taken along


def looked(text: str, picture=None, **fields) -> Look:
    from dataclasses import replace

    from app.selection import Selection

    picture = picture or scene()
    engine = process.engine()
    asked = surgery_links.read(text)[0]
    subject, card = engine.subject("cpt"), engine.models()["cpt"]
    refused = sifted(asked, subject)
    edits = tuple(edit for place, edit in enumerate(asked) if place not in refused)
    selection = replace(Selection(image=picture.id, pins=((12, 200),), edits=text), **fields)
    before = engine.trace("cpt", picture.image)
    run = engine.trace("cpt", picture.image, edits=edits, truth=picture.truth)
    return Look(selection, card, picture, subject, before, run, asked, edits, refused)


def test_downloads_hold_the_exact_numbers():
    look = looked("update,zero,stride16", what="affinity", stage="stride4")
    arrays = np.load(io.BytesIO(download.npz(look)))
    np.testing.assert_array_equal(arrays["after/logits"], look.after.logits.numpy())
    one, two = (run.stage("stride4").pixel_affinity(3, 50).numpy() for run in (look.before, look.after))
    np.testing.assert_allclose(arrays["map/difference"], (two - one) * one.size, rtol=1e-6)
    rows = list(csv.DictReader(io.StringIO(download.csv(look).decode())))
    quantities = {row["quantity"] for row in rows}
    assert {"before", "after", "predicted before", "softmax after", "affinity after, stride4"} <= quantities
    assert all(row["edits"] == "update ← 0 at stride16" and len(row["checkpoint"]) == 64 for row in rows)


@pytest.mark.parametrize("what", ["mask", "affinity"])
def test_the_figure_can_be_drawn(what):
    from app import figures_surgery

    sheet = download.pane_sheet(looked("update,zero,stride16", what=what, outline="both"))
    assert "update ← 0 at stride16" in sheet.title and "image" in sheet.caption
    png = Image.open(io.BytesIO(figures_surgery.draw(sheet, "png")))
    assert min(png.size) > 400
    assert (sheet.maps is None) == (what == "mask")


def test_both_runs_have_addresses_of_their_own():
    store = process.store()
    look = looked("update,zero,stride16")
    keys = [store.put(run, look.picture.truth) for run in (look.before, look.after)]
    assert keys[0] != keys[1] and keys[1] == store.put(look.after, look.picture.truth)
    client = TestClient(Starlette(routes=routes(store, ask=process.influence)))
    for key, run in zip(keys, (look.before, look.after), strict=True):
        sent = tensors_of(client.get(f"/tensors/{key}/logits").content)["logits"].float()
        logits = run.logits - run.logits.mean(dim=0)
        np.testing.assert_allclose(sent, logits, atol=float(logits.abs().max()) * 2**-10)
    refused = client.get(f"/tensors/{keys[1]}/influence?row=0&col=0")
    assert refused.status_code == 400 and "unedited" in refused.text


def test_an_oracle_needs_truth_that_the_page_has():
    look = looked("oracle")
    assert look.edits == (Oracle(),) and look.after.edits == (Oracle(),)
