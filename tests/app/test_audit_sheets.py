"""The Audit page's sheets: strips, curves, verdicts and thumbnails say what the audit's tables say."""

from __future__ import annotations

import base64
import io
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from app import figures_audit
from app.audit_cases import SIDE, Map, painted, thumb
from app.figures_prototypes_drawing import draw as draw_chart
from app.palette import colours
from app.selection import SCORES, SLICES
from app.sheets_audit import BINS, Scale, density, scale_of
from app.sheets_prototypes import Names
from app.views import audit_html, audit_words
from app.views import audit_made as made
from app.views import audit_truth as truth
from engine.audit import SCORES as ENGINE_SCORES
from engine.audit import Audit, tables
from engine.audit.slices import SLICES as ENGINE_SLICES
from tests.engine.audit.toys import synthetic_audit


@pytest.fixture(scope="module")
def audit() -> Audit:
    return synthetic_audit(images=16, each=20)


def asked(audit: Audit, *models: str, stage: str = "stride4", score: str = "auc", by: str = "category"):
    entries = {entry.model: entry for entry in audit.entries}
    cards = tuple(SimpleNamespace(id=name, hash=name[0] * 64) for name in models)
    names = Names(audit.classes, tuple(colours(audit.classes)))
    chosen = replace(audit, entries=tuple(entries[name] for name in models))
    return made.Asked(chosen, cards, stage, score, by, names)  # type: ignore[arg-type]


def test_the_pages_choices_are_the_engines():
    assert set(SCORES) == set(ENGINE_SCORES) == set(audit_words.SCORES)
    assert set(SLICES) == set(ENGINE_SLICES) - {"all"} == set(audit_words.SLICES)


# ---------------------------------------------------------------------------------------------- strips


def test_strips_say_what_the_summary_says(audit):
    sheet = made.strips(asked(audit, "qup", "cpt"))
    assert sheet.columns == ("stride16", "stride8", "stride4") and sheet.models == ("qup", "cpt")
    assert [row.label for row in sheet.rows] == [made.ALL, *audit.classes]
    for model, place in (("qup", 0), ("cpt", 1)):
        for row, one in zip(sheet.rows[1:], audit.summary(model, "stride8", "auc"), strict=True):
            strip = row.cells[1][place]
            assert (row.label, strip.mean, strip.low, strip.high) == (one.key, *vars(one.mean).values())
            assert strip.quantiles == one.quantiles and strip.pixels == one.pixels
            where = audit.pixels["category"] == row.category
            both = where & np.isfinite(audit.values(model, "stride8", "auc"))
            base = audit.values(model, "stride8", "auc_distance")[both]
            assert strip.baseline == pytest.approx(base[np.isfinite(base)].mean())


def test_a_model_without_a_stage_leaves_its_cell_empty_and_an_undefined_score_says_so(audit):
    sheet = made.strips(asked(audit, "cpt", "hfgd"))
    assert sheet.columns[-1] == "context"
    assert [len(cell) for cell in sheet.rows[0].cells] == [1, 1, 1, 1]
    assert sheet.rows[0].cells[-1][0].model == 1
    weights = made.strips(asked(audit, "qup", score="prototype_weight"))
    assert "not defined" in audit_html.strips(weights) and math.isnan(weights.rows[0].cells[0][0].mean)
    assert list(weights.rows_of_table())  # counts alone


def test_the_table_holds_every_number_of_the_strips(audit):
    sheet = made.strips(asked(audit, "cpt", by="boundary"))
    rows = list(sheet.rows_of_table())
    means = [row["value"] for row in rows if row["quantity"] == "mean"]
    assert means == [strip.mean for row in sheet.rows for cell in row.cells for strip in cell]
    assert {row["of"].split(", ")[-1] for row in rows} == {row.label for row in sheet.rows}


def test_strips_stand_where_their_numbers_are(audit):
    sheet = made.strips(asked(audit, "cpt"))
    drawn = audit_html.strips(sheet)
    strip = sheet.rows[0].cells[0][0]
    first = drawn[drawn.index('<div class="lp-strip" role') :]
    first = first[: first.index("</div>")]
    lefts = {
        kind: float(at) for kind, at in re.findall(r'class="(lp-[a-z]+)[^"]*" style="left:([\d.]+)%', first)
    }
    assert lefts["lp-dot"] == pytest.approx(100 * strip.mean, abs=0.01)
    assert lefts["lp-mid"] == pytest.approx(100 * strip.median, abs=0.01)
    assert lefts["lp-base"] == pytest.approx(100 * strip.baseline, abs=0.01)
    assert lefts["lp-at"] == 50.0


def test_density_is_one_at_its_peak_and_counts_what_lies_outside_at_the_end():
    scale = Scale(0.0, 1.0, "")
    flat = density(np.linspace(0, 1, 4001), scale)
    np.testing.assert_allclose(flat, 1, atol=0.03)  # mirrored ends: no fall towards them
    peaked = density(np.array([0.5, 7.0, 9.0, np.nan]), scale)
    assert peaked.argmax() == BINS - 1 and peaked.max() == 1
    assert not density(np.array([np.nan]), scale).any()


def test_an_axis_of_its_own_is_round_and_holds_nearly_all_values():
    scale = scale_of([np.random.default_rng(0).normal(80, 10, 999), np.array([np.nan])], "px")
    assert scale.low == 0 and 100 <= scale.high <= 150
    assert scale_of([np.array([np.nan])], "px").high == 1
    assert scale_of([np.array([-0.02, 0.04])], "").low < 0


# ---------------------------------------------------------------------------------------------- differences


def test_what_a_map_knows_beyond_distance_is_paired(audit):
    sheet = made.beyond(asked(audit, "cpt"))
    values = audit.values("cpt", "stride8", "auc_profile"), audit.values("cpt", "stride8", "auc_distance")
    one = tables.paired(audit.draws, audit.pixels["image"], *values, {})[0].difference
    row = sheet.rows[1]
    assert row.label == "stride8" and row.values[2] == one.value and row.spans[2] is not None
    assert (row.spans[2].low, row.spans[2].high) == (one.low, one.high)
    assert sheet.low <= one.low and one.high <= sheet.high


def test_models_are_compared_on_the_same_pixels(audit):
    assert made.paired(asked(audit, "cpt")) is None
    assert made.paired(asked(audit, "cpt", "hfgd")) is None  # no stage in common
    sheet = made.paired(asked(audit, "cpt", "qup"))
    assert sheet is not None and sheet.rows[0].label == made.ALL
    expected = audit.paired("cpt", "qup", "stride4", "auc")
    assert [row.values[0] for row in sheet.rows] == [row.difference.value for row in expected]
    assert sheet.rows[0].values[0] < 0 and "cpt − qup" in sheet.marks[0].name
    held = [row.key for row in expected[1:] if row.p_holm <= 0.05]
    assert sheet.note.endswith(f"over {len(expected) - 1} slices (5 %): {', '.join(held)}.") and held


# ---------------------------------------------------------------------------------------------- right and wrong


def test_right_pixels_score_higher_and_the_sentence_says_so_with_its_intervals(audit):
    sheet, (said,) = truth.correct(asked(audit, "cpt"))
    one = audit.correctness("cpt", "stride4", "auc")
    assert sheet is not None and [row.values[0] for row in sheet.rows] == [b.right.value for b in one.bins]
    assert "right pixels score higher than wrong ones" in said
    assert audit_words.span(one.area.value, one.area.low, one.area.high) in said
    assert f"{one.wrong} of {one.right + one.wrong} pixels are wrong" in said


def test_a_score_that_nobody_has_is_one_sentence(audit):
    sheet, said = truth.correct(asked(audit, "qup", score="memory_share"))
    assert sheet is None and said == ("No pixel has memory share at stride4.",)


def test_a_model_that_is_never_wrong_has_nothing_to_tell(audit):
    entry = audit.entry("cpt")
    perfect = replace(audit, entries=(replace(entry, right=np.ones_like(entry.right)),))
    _, (said,) = truth.correct(asked(perfect, "cpt"))
    assert "nothing to tell apart" in said


# ---------------------------------------------------------------------------------------------- deletion


def test_curves_and_their_sentence_are_the_engines(audit):
    now = asked(audit, "cpt", "qup")
    found, why = truth.deletions(now)
    assert list(found) == ["cpt", "qup"] and not why
    sheet = truth.curves(now, "cpt", found["cpt"])
    influence = next(curve for curve in found["cpt"].curves if curve.map == "influence")
    assert sheet.curves[0].name == "influence" and sheet.curves[0].area[0] == influence.area.value
    np.testing.assert_array_equal(sheet.curves[0].value, [e.value for e in influence.drop])
    assert "influence points at is what the decision rests on most" in sheet.said
    assert "affinity is better than random" in sheet.said
    chart = truth.areas(now, found)
    assert chart.rows[0].label == "influence" and "random" not in {r.label for r in chart.rows}


def test_maps_that_are_no_better_than_random_are_called_so(audit):
    entry = audit.entry("cpt")
    rows = entry.deletion["stride4"]
    noise = np.random.default_rng(3).normal(0, 1, rows.margins.shape).astype(np.float32)
    still = replace(entry, deletion={"stride4": replace(rows, margins=noise)})
    found, _ = truth.deletions(asked(replace(audit, entries=(still,)), "cpt"))
    assert "no map can be told from hiding at random" in truth.truth("cpt", found["cpt"])


def test_few_images_give_no_verdict():
    few = synthetic_audit(images=truth.ENOUGH - 1, each=20)
    said = truth.truth("cpt", few.deletion("cpt", "stride4"))
    assert "are too few to say" in said and "48 pixels of 9 images" in said


def test_where_nothing_can_be_hidden_the_engines_sentence_stands(audit):
    found, why = truth.deletions(asked(audit, "hfgd", stage="context"))
    assert not found and why == {"hfgd": "hfgd: nothing can be hidden from the CAE"}


# ---------------------------------------------------------------------------------------------- files, pictures


def test_every_sheet_becomes_a_file(audit):
    now = asked(audit, "cpt", "qup")
    found, _ = truth.deletions(now)
    strips, curves = made.strips(now), truth.curves(now, "cpt", found["cpt"])
    svg = figures_audit.draw(strips, "svg").decode()
    assert "one training seed" in svg and "stride16" in svg and "tree" in svg
    assert "% of the source cells hidden" in figures_audit.draw(curves, "svg").decode()
    assert figures_audit.draw(curves, "pdf").startswith(b"%PDF")
    for sheet in (made.beyond(now), made.paired(now), truth.correct(now)[0], truth.areas(now, found)):
        assert sheet is not None and draw_chart(sheet, "svg", "cividis").startswith(b"<?xml")


def test_the_pages_curves_are_those_of_the_file(audit):
    now = asked(audit, "cpt")
    sheet = truth.curves(now, "cpt", truth.deletions(now)[0]["cpt"])
    lines = [one for one in figures_audit.curves(sheet).data if one.mode == "lines+markers"]
    assert [one.name for one in lines] == [curve.name for curve in sheet.curves]
    for line, curve in zip(lines, sheet.curves, strict=True):
        np.testing.assert_array_equal(line.y, curve.value)
    styles = {(one.line.dash, one.marker.symbol) for one in lines}
    assert len(styles) == len(lines)  # told apart without colour


def test_a_thumbnail_marks_its_pixel_and_leaves_the_photo_where_the_map_is_zero():
    photo = np.full((60, 100, 3), 200, np.uint8)
    values = np.zeros((6, 10))
    values[1, 9] = 1.0
    made_one = thumb(photo, (15, 95), (60, 100), Map(values, "linear", (0.0, 1.0), "weight"), "cividis")
    over = np.asarray(_picture(made_one.over))
    assert over.shape == (SIDE, SIDE, 4)
    x, y = made_one.at  # the square ends at the image's right border: rows 0 to 59, columns 40 to 99
    assert (x, y) == pytest.approx((100 * 55.5 / 60, 100 * 15.5 / 60))
    assert over[int(SIDE * y / 100), int(SIDE * x / 100), 3] > 200
    assert over[..., 3].mean() < 255 / 30 and over[SIDE - 1, 0, 3] == 0
    assert _picture(made_one.photo).size == (SIDE, SIDE)


def test_relative_maps_are_clear_at_the_average():
    drawn = painted(Map(np.array([[1.0, 4.0, 0.25]]), "relative", (0, 1), ""), "cividis")
    assert drawn[0, 0, 3] < 5 and min(drawn[0, 1, 3], drawn[0, 2, 3]) > 150


def _picture(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
