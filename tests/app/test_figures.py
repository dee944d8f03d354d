"""Figures and number files: valid in every format, and holding the numbers that they were given."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app import exports, figures
from app.figures import Bar, Panel, Sheet

PHOTO = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)


def sheet(pins: int = 2, **changes) -> Sheet:
    draw = np.random.default_rng(1)
    panels = tuple(
        Panel(
            number + 1,
            (10 * number + 3, 5 * number + 2),
            draw.random((5, 7)) / 35,
            tuple(Bar(f"category {i}", "#2f6da8", 0.5 / 2**i, 0.4 - 0.1 * i) for i in range(8)),
        )
        for number in range(pins)
    )
    made = Sheet(
        PHOTO,
        (80, 120),
        panels,
        "Where the pixel reads",
        "weight; 5×7 source cells sum to 1",
        "A caption, long " * 20,
    )
    return replace(made, **{"limits": (0.0, 1 / 35), **changes})


@pytest.mark.parametrize("pins", [1, 3])
@pytest.mark.parametrize("scale", ["linear", "uniform", "relative"])
def test_png_svg_and_pdf_are_what_they_say(pins, scale):
    made = sheet(pins, scale=scale, outlines=((np.indices((40, 60)).sum(0) // 9, "white"),))
    image = Image.open(io.BytesIO(figures.draw(made, "png")))
    image.load()
    assert image.format == "PNG" and image.width == round(300 * figures.WIDTH)
    root = ET.fromstring(figures.draw(made, "svg"))
    assert root.tag.endswith("svg")
    words = "".join(root.itertext())
    assert "Where the pixel reads" in words and "A caption" in words and f"pixel {pins}" in words
    pdf = figures.draw(made, "pdf")
    assert pdf.startswith(b"%PDF-") and pdf.rstrip().endswith(b"%%EOF")


def test_the_same_sheet_gives_the_same_file():
    for kind in ("png", "svg", "pdf"):
        assert figures.draw(sheet(1), kind) == figures.draw(sheet(1), kind)


def test_the_overlay_is_drawn_where_the_values_are():
    """One hot cell: the picture differs from the bare photo there, and nowhere else."""
    hot = np.zeros((5, 7))
    hot[1, 5] = 1.0
    base = sheet(1, limits=(0.0, 1.0))
    panel = base.panels[0]
    with_hot = replace(base, panels=(replace(panel, overlay=hot),))
    without = replace(base, panels=(replace(panel, overlay=np.zeros((5, 7))),))
    a, b = (
        np.asarray(Image.open(io.BytesIO(figures.draw(s, "png")))).astype(int) for s in (with_hot, without)
    )
    changed = np.abs(a - b).sum(axis=2) > 0
    rows, cols = np.nonzero(changed)
    dots = 300
    left = dots * (figures.MARGIN + figures.PICTURE + 0.1)
    wide = dots * figures.PICTURE
    high = wide * 40 / 60
    assert abs(cols.min() - (left + wide * 5 / 7)) < 5 and abs(cols.max() - (left + wide * 6 / 7)) < 5
    assert abs((rows.max() - rows.min()) - high / 5) < 8
    assert abs(rows.min() - (dots * 0.46 + high / 5)) < 8


def test_opacity_follows_the_value_as_in_the_viewer():
    t = np.linspace(0, 1, 101)
    alpha = figures.follow(t)
    assert alpha[0] == 0 and alpha[-1] == pytest.approx(1) and (np.diff(alpha) > 0).all()
    script = Path(figures.__file__).with_name("viewer") / "colour.js"
    assert "0.35 * Math.min(1, t / 0.12) + 0.65 * t ** 0.7" in script.read_text(encoding="utf-8")


def test_outlines_run_between_categories():
    labels = np.array([[0, 0, 1], [0, 0, 1], [2, 2, 1]])
    assert figures._runs(labels[1:] != labels[:-1]) == [(2, 0, 2)]
    assert figures._runs((labels[:, 1:] != labels[:, :-1]).T) == [(2, 0, 3)]


def test_figures_and_exports_need_neither_streamlit_nor_torch():
    code = "import app.figures, app.exports, sys; print({'streamlit', 'torch', 'engine'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "set()", done.stderr


def test_npz_holds_the_arrays_and_what_they_are_of():
    arrays = {
        "pin1/stride4/affinity": np.random.default_rng(2).random((4, 14)),
        "labels": np.arange(6).reshape(2, 3),
    }
    loaded = np.load(io.BytesIO(exports.to_npz(arrays, {"model": "cpt", "classes": ["a", "b"]})))
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
    assert json.loads(str(loaded["about"])) == {"model": "cpt", "classes": ["a", "b"]}
    with pytest.raises(ValueError):
        exports.to_npz({"about": np.zeros(1)}, {})


def test_csv_is_one_number_a_row_and_harmless_in_a_spreadsheet():
    rows = [
        {
            "pin": 1,
            "row": 3,
            "col": 4,
            "stage": "stride4",
            "quantity": "affinity",
            "of": "=cmd()",
            "value": 0.125,
            "unit": "x",
        }
    ]
    text = exports.to_csv(rows, {"model": "cpt", "image": "a,b.png"}).decode()
    (read,) = csv.DictReader(io.StringIO(text))
    assert read["image"] == "a,b.png" and float(read["value"]) == 0.125
    assert read["of"] == "'=cmd()"


def test_file_names_are_plain():
    name = exports.file_name("loupe", "cpt", "../../etc/passwd “x”", "stride4", kind="png")
    assert name == "loupe-cpt-etc-passwd-x-stride4.png"


def test_opacity_of_ratios_follows_the_distance_from_one():
    """×1 is not drawn; × uniform reaches full opacity at the farther end of its scale, the relative scale at both."""
    start = 1 / 3  # of ×1 on the scale from ×0.1 to ×100
    t = np.array([0.0, start, start + 1 / 6, 1.0])
    np.testing.assert_allclose(
        figures.opacity_of(t, "uniform"), figures.follow(np.abs(t - start) / (2 / 3)), atol=1e-9
    )
    assert figures.opacity_of(np.array([start]), "uniform")[0] == pytest.approx(0, abs=1e-6)
    assert figures.opacity_of(np.array([1.0]), "uniform")[0] == pytest.approx(1)
    np.testing.assert_allclose(figures.opacity_of(np.array([0.0, 0.5, 1.0]), "relative"), [1, 0, 1])
    np.testing.assert_allclose(figures.opacity_of(t, "linear"), figures.follow(t))


def test_what_is_read_as_much_as_uniform_leaves_the_photo_as_it_is():
    made = sheet(1, scale="uniform", opacity=1.0)
    panel = made.panels[0]
    bare, even = (
        np.asarray(Image.open(io.BytesIO(figures.draw(s, "png")))).astype(int)
        for s in (
            replace(made, opacity=0.0),
            replace(made, panels=(replace(panel, overlay=np.ones((5, 7))),)),
        )
    )
    assert np.abs(bare - even).max() <= 1


def test_the_bars_say_what_they_show_and_nothing_pinned_can_be_drawn():
    words = "".join(ET.fromstring(figures.draw(sheet(1), "svg")).itertext())
    for line in figures.BARS:
        assert line in words
    assert figures.draw(sheet(0), "png").startswith(b"\x89PNG")


def test_heads_are_counted_from_one_and_labels_say_what_they_go_by():
    source = {"index": 0, "category": 0, "cell": None, "weight": 1.0, "norm": 1.0, "share": 1.0}
    own = {"category": 0, "prototype_weight": None, "pixel_mass": 0.5, "cells": 3}
    one = {name: 0.25 for _, name, _ in exports._SCALARS} | {
        "pixel": (3, 4),
        "cell": (0, 1),
        "stage": "stride8",
        "predicted": 0,
        "true": None,
        "by_weight": [source],
        "by_contribution": [source],
        "entropy_heads": [0.1, 0.2],
        "own_predicted": own,
        "own_true": None,
        "labels_by": "ground truth",
    }
    rows = exports.rows_of(1, one, ["sky"])
    assert [row["of"] for row in rows if row["of"].startswith("head")] == ["head 1", "head 2"]
    assert [row["value"] for row in rows if row["quantity"] == "labels by"] == ["ground truth"]
