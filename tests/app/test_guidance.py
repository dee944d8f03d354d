"""The Guidance page without a browser: it opens, survives links of every kind, and its sliders move the gradients."""

from __future__ import annotations

import re

import pytest

from app import process
from app.selection import GUIDANCE, Selection, to_params
from app.words import DASH
from engine.gradients import PARTS
from engine.guidance import CLOSED, OPEN, Cuts
from tests.app.guidance_page import expected, first_scene, matrix_of, opened
from tests.app.pages import address, html_of
from tests.stand_ins import save

CUT = ("stage 1", "stage 2", "stage 3", "stage 4", "CAE", "tokens")

pytestmark = pytest.mark.usefixtures("guided")


# ── opening and links ──


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


# ── gradients ──


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
