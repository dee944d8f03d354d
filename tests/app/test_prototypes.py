"""The Prototypes page without a browser: it opens, survives links of every kind, and shows the atlas's patches and readers."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qsl

import numpy as np
import pytest

from app import cache, datasets, process
from app.selection import PROTOTYPES, Selection, from_params, to_params
from app.words import number
from tests.app.conftest import IMAGES
from tests.app.pages import address, atlas_of, classes, html_of, page_of, text_of
from tests.app.prototypes_page import STAGE, cells_of, opened, sheet_of

pytestmark = pytest.mark.usefixtures("here")


# ── opening and links ──


def test_it_opens_on_patches_health_and_a_view():
    page = opened()
    assert not page.error and not page.warning
    written = address(page)
    assert set(written) == set(PROTOTYPES.parameters) and written["model"] == "cpt"
    body = text_of(page)
    for said in ("What has a prototype learned?", "Health", "Who reads whose prototype", f"{IMAGES} images"):
        assert said in body
    assert page.selectbox(key="choose model").options == [
        card.title for card in process.engine().models().values()
    ]
    assert page.selectbox(key="choose category").options == list(classes())


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"model": "gpt"}, "gpt"),
        ({"stage": "stride2"}, "stride2"),
        ({"category": "unicorn"}, "unicorn"),
        ({"view": "everything"}, "view"),
        ({"patches": "13"}, "patches"),
        ({"patches": "many"}, "patches"),
        ({"head": "9"}, "9"),
        ({"head": "-1"}, "head"),
        ({"moment": "99"}, "99"),
        ({"moment": "1.5"}, "moment"),
        ({"bank": "vault"}, "bank"),
        ({"colours": "jet"}, "colours"),
        ({"category": "x" * 300}, "category"),
    ],
)
def test_a_bad_link_is_answered_by_a_sentence_and_the_page_stays_usable(params, said):
    page = opened(**params)
    (warning,) = page.warning
    assert said in warning.value.replace("\\", "") and "\n" not in warning.value.strip()
    assert "Who reads whose prototype" in text_of(page)
    assert address(page) == to_params(page.session_state["selection"], PROTOTYPES)


def test_a_good_link_shows_just_what_it_says():
    selection = Selection(
        model="cpt", stage="stride16", category="water", section="time", head=2, patches=24, colours="magma",
        moment=3, bank="mean", features="f2",
    )  # fmt: skip
    params = to_params(selection, PROTOTYPES)
    page = opened(**params)
    assert not page.warning and address(page) == params
    assert "What the prototype of water answers to" in text_of(page)


def test_what_other_pages_chose_is_kept():
    page = page_of("prototypes")
    kept = Selection(
        model="cpt", image="data-scenes-val-1000020", pins=((3, 4), (50, 60)), active=1, smooth=True
    )
    page.session_state["selection"] = kept
    page.run()
    assert not page.exception
    shown: Selection = page.session_state["selection"]
    assert (shown.image, shown.pins, shown.active, shown.smooth) == (kept.image, kept.pins, 1, True)


def test_choices_reach_the_address():
    page = opened()
    page.selectbox(key="choose category").set_value("road").run()
    page.segmented_control(key="choose section").set_value("shadow").run()
    page.segmented_control(key="choose stage").set_value("stride16").run()
    written = address(page)
    assert (written["category"], written["view"], written["stage"]) == ("road", "shadow", "stride16")
    assert "strongest patches at stride16" in text_of(page)


# ── patches ──


@pytest.mark.parametrize("stage", ["stride16", "stride4"])
def test_patches_are_the_atlas_s_and_open_inspect_at_their_pixel(stage):
    page = opened(category="water", stage=stage, patches="24")
    found = atlas_of().patches(stage, classes().index("water"))
    links = re.findall(r'<a class="lp-patch[^"]*" href="([^"]*)"', html_of(page))
    assert len(links) == len(found) == IMAGES
    order = [one for one in found if one.held] + [one for one in found if not one.held]
    for link, patch in zip(links, order, strict=True):
        address, _, query = unescape(link).partition("?")
        assert address == "./"  # relative: whatever the server's base path is
        selection, problems = from_params(dict(parse_qsl(query, keep_blank_values=True)), Selection())
        assert problems == [] and selection.pins == (patch.pixel,) and selection.reading == "made of"
        assert (selection.model, selection.stage, selection.source) == (
            "cpt",
            stage,
            classes().index("water"),
        )
        picture = process.gallery().get(selection.image)
        assert picture.image.original_size == patch.size and picture.title.endswith(patch.id)
    body = text_of(page)
    for rank, patch in enumerate(found, 1):
        assert f"{rank} · logit {number(patch.logit)}" in body
        assert ("■ holds water" if patch.held else "□ no water in it") in body
    assert len(html_of(page)) < 400_000


def test_patches_without_the_category_stand_apart():
    atlas = atlas_of()
    for category, name in enumerate(classes()):
        found = atlas.patches(STAGE, category)
        absent = sum(not patch.held for patch in found)
        body = text_of(opened(category=name, stage=STAGE))
        assert (f"Strongest among images without {name}: {absent} of these {len(found)}" in body) == bool(
            absent
        )
        held = len(found) - absent
        assert f"Of the {len(found)} strongest patches, {held} lie in images that hold {name}" in body


def test_an_image_is_read_once_for_all_categories(monkeypatch):
    cache.clear()
    reads: list[int] = []
    inner = datasets.opened(datasets.DEMO)

    class Counting:
        def __getitem__(self, index: int):
            reads.append(index)
            return inner[index]

    monkeypatch.setattr(datasets, "opened", lambda _: Counting())
    shown = {
        patch.index
        for category in range(3)
        for patch in atlas_of().patches(STAGE, category)[: Selection().patches]
    }
    for name in classes()[:3]:
        opened(category=name, stage=STAGE)
    assert sorted(reads) == sorted(shown)


# ── reads ──


@pytest.mark.parametrize("head", [None, 1])
def test_the_matrix_of_readers_is_the_atlas_s(head):
    page = opened(stage=STAGE, category="grass", head="mean" if head is None else str(head))
    usage = atlas_of().usage(STAGE)
    rate, absent = usage.rate, usage.absent_rate
    if head is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            rate, absent = (part[head] / usage.cells[:-1, None] for part in (usage.mass, usage.absent))
    said = cells_of(page, "reads")
    assert len(said) == len(classes()) ** 2
    for row, reader in enumerate(classes()):
        for col, source in enumerate(classes()):
            (one,) = [
                text for text in said if text.startswith((f"{reader} → {source} ", f"{reader} → {source}:"))
            ]
            if np.isfinite(rate[row, col]):
                assert one.startswith(f"{reader} → {source} {number(float(rate[row, col]))}, of it absent")
                assert f"absent from the image {number(float(absent[row, col]))}" in one
            else:
                assert one.endswith("not defined")
    grass = classes().index("grass")
    best = int(np.nanargmax(rate[grass])) if np.isfinite(rate[grass]).any() else None
    if best is not None:
        assert f"{number(float(rate[grass, best]))}" in sheet_of(page, "row")


def test_hatching_marks_what_is_read_of_absent_categories():
    page = opened(stage=STAGE)
    usage = atlas_of().usage(STAGE)
    with np.errstate(invalid="ignore", divide="ignore"):
        mostly = np.nan_to_num(usage.absent_rate / usage.rate) > 0.5
    assert sheet_of(page, "reads").count("lp-hatched") == int(mostly.sum())
