"""The Audit page without a browser: it opens, survives links of every kind, and says the engine's numbers."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app import audits, process
from app.audits import Wanted
from app.selection import AUDIT, INSPECT, Selection, from_params
from app.views import audit_download as download
from app.views import audit_look as looking
from app.views.audit_shown import sheets_of
from app.words import number
from engine.audit.files import MANIFEST
from tests.app import pages
from tests.app.audits import DATA, WALKER, put
from tests.app.conftest import forget
from tests.app.pages import address, html_of, settled, text_of
from tests.stand_ins import save


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audited")
    save(folder, "cpt", sources="memory")
    save(folder, "qup", sources="pixels")
    save(folder, "hfgd", method="hfgd")
    save(folder, "dilated", method="dilated")
    save(folder, "other", sources="pixels", classes=("cat", "dog"))
    return folder


@pytest.fixture(scope="module")
def root(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of audits: whole ones of cpt, and of cpt and qup."""
    from engine import Engine

    folder = tmp_path_factory.mktemp("cache")
    cards = Engine(device="cpu", models_dir=models).models()
    for names in (("cpt",), ("cpt", "qup"), ("cpt", "hfgd")):
        put(folder / "audits", Wanted(tuple(cards[name] for name in names), DATA, 12, 0))
    return folder


@pytest.fixture(scope="module", autouse=True)
def here(models: Path, root: Path) -> Iterator[None]:
    """The process reads these; what one test has traced the next one need not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOUPE_MODELS", str(models))
        patch.setenv("LOUPE_CACHE", str(root))
        patch.setenv("LOUPE_ATLAS", "0")
        forget()
        process.audits.cache_clear()
        yield
        for job in list(process.jobs()._jobs.values()):
            job.wait(60)
    forget()
    process.audits.cache_clear()


def opened(**params: str) -> AppTest:
    return pages.opened("audit", **{"images": "12", **params})


def look_of(page: AppTest) -> looking.Look:
    """What the page showed, made again outside of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(looking.state, "begin", lambda *_: page.session_state["selection"])
        patch.setattr(looking.state, "hold", lambda *_: None)
        look = looking.look(whole_run=False)
    assert look is not None
    return look


def links_of(page: AppTest) -> list[str]:
    return [unescape(one) for one in re.findall(r'<a class="lp-patch lp-case" href="([^"]+)"', html_of(page))]


def test_it_says_the_audits_numbers():
    page = opened()
    audit = look_of(page).asked.audit
    one = audit.summary("cpt", "stride4", "auc", by="all")[0]
    said = text_of(page)
    assert f"cpt at stride4: AUC of affinity is {number(one.mean.value)} ({number(one.mean.low)}" in said
    assert "one training seed" in said and f"{len(audit)} pixels of 12 images of {DATA}" in said
    assert "influence points at is what the decision rests on most" in said
    assert "Choose a second model" in said and "Meanwhile" not in said
    assert not page.warning and len(page.get("plotly_chart")) == 1


def test_cases_are_drawn_and_lead_to_the_pixel_in_inspect():
    page = settled(opened(score="auc_relative"))
    look = look_of(page)
    cases = [one for which in ("worst", "best", "random")
             for one in look.asked.audit.cases("cpt", "stride4", "auc_relative", which, 6)]  # fmt: skip
    links = links_of(page)
    assert len(links) == len(cases) == 18
    assert html_of(page).count('class="lp-ring"') == 18 and "tracing" not in text_of(page)
    for link, case in zip(links, cases, strict=True):
        parts = urlsplit(link)
        chosen, problems = from_params(
            dict(parse_qsl(parts.query, keep_blank_values=True)), Selection(), INSPECT
        )
        assert parts.path == "./" and not problems
        assert chosen.image == f"data-{DATA}-{case.image}" and chosen.pins == ((case.row, case.col),)
        assert (chosen.model, chosen.stage, chosen.relative) == ("cpt", "stride4", "relative")


def test_cases_of_one_category():
    page = opened(category="water")
    names = look_of(page).names.names
    shown = re.findall(r'data-image="(\d+)" data-pixel="(\d+),(\d+)"', html_of(page))
    audit = look_of(page).asked.audit
    where = {
        (audit.images[i].id, str(row), str(col)): names[c]
        for i, row, col, c in zip(
            *(audit.pixels[n] for n in ("image", "row", "col", "category")), strict=True
        )
    }
    assert len(shown) > 6 and {where[one] for one in shown} == {"water"}


def test_two_models_are_compared_on_the_same_pixels_in_the_order_of_the_link():
    page = opened(model="qup", beside="cpt", by="boundary")
    said = text_of(page)
    assert "qup − cpt" in said and "qup at stride4" in said and "≥ 20 px" in said
    assert look_of(page).asked.models == ("qup", "cpt")
    row = look_of(page).asked.audit.paired("qup", "cpt", "stride4", "auc")[0]
    assert number(row.difference.value) in said


def test_a_stage_that_one_model_has_alone():
    page = settled(opened(beside="hfgd", stage="context"))
    assert "hfgd at context" in text_of(page) and "nothing can be hidden from the CAE" in text_of(page)
    assert links_of(page)[0].startswith("./guidance?")
    assert html_of(page).count('class="lp-ring"') == len(links_of(page)) > 0


@pytest.mark.parametrize(
    ("params", "said", "kept"),
    [
        ({"model": "nobody"}, "There is no model “nobody”", {"model": "cpt"}),
        ({"beside": "nobody"}, "There is no model “nobody”", {"beside": ""}),
        ({"beside": "other"}, "other has other categories than cpt", {"beside": ""}),
        ({"stage": "stride2"}, "There is no stage “stride2”", {"stage": "stride4"}),
        ({"data": "nowhere"}, "There is no dataset “nowhere”", {"data": DATA}),
        ({"category": "cat"}, "cpt has no category “cat”", {"category": "*"}),
        ({"score": "beauty"}, "The link's score = “beauty” was left out", {"score": "auc"}),
        ({"images": "13"}, "The link's images = “13” was left out", {}),
        ({"by": "mood"}, "The link's by = “mood” was left out", {"by": "category"}),
    ],
)
def test_what_a_link_gets_wrong_is_one_sentence_and_the_page_goes_on(params, said, kept, monkeypatch):
    monkeypatch.setattr(audits, "SMALL", 12)
    page = opened(**params)
    assert said in page.warning[0].value.replace("\\", "")
    assert address(page) | kept == address(page)
    assert links_of(page)


def test_every_choice_is_in_the_link_and_comes_back():
    params = {
        "score": "entropy",
        "by": "right",
        "category": "grass",
        "stage": "stride8",
        "seed": "0",
        "beside": "qup",
    }
    page = opened(**params)
    written = address(page)
    assert params.items() <= written.items() and set(written) == set(AUDIT.parameters)
    again = opened(**written)
    assert html_of(again) == html_of(page)


def test_choosing_in_the_sidebar_changes_page_and_link():
    page = opened()
    next(box for box in page.selectbox if box.label == "Score").select("auc_profile").run()
    assert not page.exception and address(page)["score"] == "auc_profile"
    assert "AUC of profile similarity by category" in text_of(page)


def test_without_an_audit_a_small_one_is_made_at_once(monkeypatch):
    monkeypatch.setattr(audits, "SMALL", 2)
    page = opened(model="qup", images="24")
    said = text_of(page)
    assert "Meanwhile, this is over 2 images" in said and "qup at stride4" in said
    assert [one.label for one in page.button if one.key == "begin audit"] == [f"Audit: 24 images of {DATA}"]
    assert links_of(page) and "no pixel of qup was asked" in said
    assert "are hidden in audits of more" not in said  # the audit that was asked for is not the smallest
    monkeypatch.undo()
    assert "are hidden in audits of more than 12 images" in text_of(opened(model="qup"))


def test_a_model_without_an_affinity_is_one_sentence(monkeypatch):
    monkeypatch.setattr(audits, "SMALL", 2)
    page = opened(model="dilated")
    assert not links_of(page) and "affinity" in text_of(page)
    page = opened(model="qup", beside="dilated")
    assert "dilated" in page.warning[0].value and links_of(page)


def test_a_damaged_audit_is_one_sentence_and_the_page_goes_on(root, monkeypatch):
    monkeypatch.setattr(audits, "SMALL", 2)
    cards = process.engine().models()
    wanted = Wanted((cards["cpt"], cards["qup"]), DATA, 24, 0)
    put(root / "audits", wanted, images=4, asked=24)
    (root / "audits" / wanted.name / MANIFEST).write_text("{")
    page = opened(beside="qup", images="24")
    assert "damaged" in page.warning[0].value and "Meanwhile, this is over 12 images" in text_of(page)
    assert links_of(page)


def test_an_unfinished_audit_is_drawn_as_far_as_it_is(root):
    wanted = Wanted((process.engine().models()["cpt"],), DATA, 60, 0)
    put(root / "audits", wanted, images=20, asked=60)
    assert "Meanwhile, this is over 20 images" in text_of(opened(images="60"))


def test_work_begins_by_itself_is_shown_and_can_be_stopped(monkeypatch):
    monkeypatch.setenv("LOUPE_ATLAS", "1")
    monkeypatch.setattr(audits, "_command", lambda *_: [sys.executable, "-c", WALKER])
    page = opened(images="500")
    work = process.audits().work_of(look_of(page).wanted)
    assert work is not None and work.running and links_of(page)  # what there is already is on show
    next(button for button in page.button if button.label == "Stop").click().run()
    work.wait(30)
    page.run()
    assert work.stopped and not page.exception
    assert f"Begin again: 500 images of {DATA}" in [button.label for button in page.button]


def test_work_that_fails_is_one_sentence(monkeypatch):
    failing = "import json; print(json.dumps({'error': 'the disk is full'}))"
    monkeypatch.setattr(audits, "_command", lambda *_: [sys.executable, "-c", failing])
    page = opened(images="240")
    next(button for button in page.button if button.key == "begin audit").click().run()
    work = process.audits().work_of(look_of(page).wanted)
    assert work is not None
    work.wait(30)
    page.run()
    assert "The disk is full" in page.warning[0].value and links_of(page)


@pytest.mark.parametrize("beside", ["", "qup"])
def test_every_chart_has_its_caption(beside):
    page = opened(beside=beside)
    said = text_of(page)
    for sheet in sheets_of(look_of(page)):
        assert (
            sheet.caption in said or sheet.key == "deletion-qup"
        )  # the first model's curves alone are drawn


def test_downloads_hold_what_is_drawn():
    look = look_of(opened(beside="qup"))
    keys = [sheet.key for sheet in sheets_of(look)]
    assert keys == [
        "distribution",
        "beyond",
        "paired",
        "correctness",
        "deletion-cpt",
        "deletion-qup",
        "deletion-areas",
    ]
    assert download.figure(sheets_of(look)[0], "pdf", "cividis").startswith(b"%PDF")
    rows = list(csv.DictReader(io.StringIO(download.numbers_csv(look).decode())))
    assert {row["sheet"] for row in rows} == {*keys, "cases"}
    assert all(row["models"].startswith("cpt:") and row["seed"] == "0" for row in rows)
    (mean,) = [row["value"] for row in rows if row["of"] == "qup, stride4, sky" and row["quantity"] == "mean"]
    audit = look.asked.audit
    assert float(mean) == audit.summary("qup", "stride4", "auc")[0].mean.value
    with np.load(io.BytesIO(download.pixels_npz(look))) as file:
        np.testing.assert_array_equal(file["qup/stride8/auc"], audit.columns("qup", "stride8")["auc"])
        np.testing.assert_array_equal(file["row"], audit.pixels["row"])
        assert json.loads(str(file["about"]))["models"]["cpt"] == look.card.hash


def test_without_any_model_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_MODELS", str(tmp_path))
    forget()
    page = opened()
    assert "There is no model to audit" in page.error[0].value
    forget()
