"""The Variance page without a browser: it opens, survives links of every kind, and shows the same pixels in all panels."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from app import scatter
from app.scatter import Lasso
from app.selection import VARIANCE, Selection, to_params
from app.views import variance_panels as panels_of
from engine.pixels import from_atlas
from tests.app.conftest import IMAGES, forget
from tests.app.pages import address, page_of, text_of
from tests.app.variance_page import notes_of, opened, settled, shown_of

pytestmark = pytest.mark.usefixtures("here")


# ── opening and links ──


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
    page = page_of("variance")
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


# ── panels ──


def test_panels_that_cannot_be_had_say_why_and_the_others_stay(shelf, tmp_path, monkeypatch):
    root = tmp_path / "atlases"
    shutil.copytree(shelf, root, ignore=shutil.ignore_patterns("hfgd-*"))
    monkeypatch.setenv("LOUPE_ATLASES", str(root))
    forget()
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
    monkeypatch.setattr(panels_of.cache, "made", lambda _, make: make())
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
    forget()
    page = opened(sites="stride8.value,stride8.update", pixels="500")
    assert "cpt has no atlas to draw pixels from" in text_of(page)
    assert any(button.label.startswith("Make the atlas") for button in page.button)
    now = shown_of(page)
    assert now.look.drawn == "samples" and len(now.pairs) == 2
    assert address(page)["from"] == "atlas"  # as soon as there is one, it is drawn from
