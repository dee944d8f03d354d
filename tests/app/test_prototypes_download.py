"""What the Prototypes page hands out: tables, arrays and figures of what is shown."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from app import figures_prototypes_drawing
from app.selection import SECTIONS
from app.views import prototypes_download as download
from tests.app.conftest import IMAGES
from tests.app.pages import atlas_of
from tests.app.prototypes_page import STAGE, look_of, opened

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize("view", SECTIONS)
def test_downloads_hold_what_is_shown(view):
    page = opened(view=view, stage=STAGE, category="grass", moment="3")
    look = replace(look_of(page))
    sheets = download.sheets_of(look)
    assert {"reads": "reads", "memory": "memory", "shadow": "noise", "time": "time", "price": "price"}[
        view
    ] in {sheet.key for sheet in sheets}
    table = list(csv.DictReader(io.StringIO(download._csv(look).decode())))
    assert {row["sheet"] for row in table} >= {sheet.key for sheet in sheets} | {"health"}
    assert {row["checkpoint"] for row in table} == {look.card.hash}
    with np.load(io.BytesIO(download._npz(look))) as found:
        about = json.loads(str(found["about"]))
        assert about["images"] == IMAGES and about["category"] == "grass"
        if view == "reads":
            np.testing.assert_allclose(found["reads/values"], atlas_of().usage(STAGE).rate)
        if view == "time":
            np.testing.assert_array_equal(found["time/steps"], look.parts.time.steps)
    for sheet in sheets:
        svg = figures_prototypes_drawing.draw(sheet, "svg", "cividis").decode()
        assert svg.startswith("<?xml") and re.search(r"one\s+training\s+seed", re.sub(r"<[^>]*>", " ", svg))
    assert figures_prototypes_drawing.draw(sheets[-1], "pdf", "cividis").startswith(b"%PDF")
    assert figures_prototypes_drawing.draw(sheets[0], "png", "magma").startswith(b"\x89PNG")


@pytest.mark.parametrize("view", ["reads", "time"])
def test_downloads_take_what_the_page_has_made(view, monkeypatch):
    page = opened(view=view, stage=STAGE, category="grass", moment="3")
    look = look_of(page)
    first = download.sheets_of(look)
    monkeypatch.setattr("app.views.prototypes_sections.patches", None)
    monkeypatch.setattr("app.views.prototypes_sections.reads", None)
    monkeypatch.setattr("app.views.prototypes_history.time_section", None)
    assert [sheet.key for sheet in download.sheets_of(look)] == [sheet.key for sheet in first]
    if view == "time":
        moved = replace(look, selection=replace(look.selection, moment=1))
        assert [sheet.moment for sheet in download.sheets_of(moved) if sheet.key == "time"] == [1]
        assert [sheet.moment for sheet in first if sheet.key == "time"] == [3]


@pytest.mark.parametrize("model", ["qup", "hfgd"])
def test_downloads_of_models_without_prototypes(model):
    look = look_of(opened(model=model))
    sheets = download.sheets_of(look)
    assert sheets and all(sheet.caption for sheet in sheets)
    assert download._csv(look) and download._npz(look)
    for sheet in sheets:
        assert figures_prototypes_drawing.draw(sheet, "svg", "cividis")
