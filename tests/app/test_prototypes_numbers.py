"""What the Prototypes page says of memory, health, shadow, price and training: the engine's numbers."""

from __future__ import annotations

import re
from html import unescape

import numpy as np
import pytest

from app import process
from app.views import prototypes_price as pricing
from app.views import prototypes_time as time
from app.words import number, percent
from engine.atlas.records import Price, PriceKind
from engine.bank import banks, cosine_matrix, live_spread, nearest, norms, shadow
from engine.bank_time import drift, moments_path, read_moments, trajectories
from engine.health import finding, findings, warnings_first
from tests.app.conftest import IMAGES
from tests.app.pages import address, atlas_of, classes, html_of, text_of
from tests.app.prototypes_page import STAGE, cells_of, opened, sheet_of

pytestmark = pytest.mark.usefixtures("here")


# ── memory ──


def test_the_bank_s_numbers_are_the_engine_s():
    page = opened(view="memory", stage=STAGE, category="sand")
    bank = banks(process.engine().segmenter("cpt"))[STAGE]
    cosines, length = cosine_matrix(bank), norms(bank)
    said = cells_of(page, "memory")
    for row, name in enumerate(classes()):
        for col, other in enumerate(classes()):
            value = "itself" if row == col else number(float(cosines[row, col]))
            assert any(one in (f"{name} · {other} {value}", f"{name} · {other}: {value}") for one in said)
    sand = classes().index("sand")
    body = text_of(page)
    near, value = nearest(cosines)[sand][0]
    assert f"norm {number(float(length[sand]))} (median row {number(float(np.median(length)))})" in body
    assert f"nearest by cosine: {classes()[near]} {number(value)}" in body
    atlas = atlas_of()
    spread = live_spread(atlas.live(STAGE).cosine, atlas.images.true > 0)
    rows = sheet_of(page, "live")
    for value in (*spread.held[:, 2], *spread.others[:, 2]):
        assert f"<td>{number(float(value))}</td>" in rows
    (table,) = page.dataframe
    frame = table.value
    assert list(frame["category"]) == list(classes())
    np.testing.assert_allclose(frame["norm"], length, rtol=1e-6)
    np.testing.assert_allclose(frame["cosine 1"], [one[0][1] for one in nearest(cosines)], rtol=1e-6)
    assert list(frame["images with it"]) == spread.held_images.tolist()


# ── health ──


def test_health_says_the_engine_s_findings_warnings_first():
    page = opened(stage=STAGE)
    atlas, card = atlas_of(), process.engine().models()["cpt"]
    memory = banks(process.engine().segmenter("cpt"))
    expected = warnings_first(
        findings(
            STAGE, card.classes, bank=memory[STAGE], time=read_moments(moments_path(card.path), memory),
            pairs=atlas.pairs(STAGE), usage=atlas.usage(STAGE), parts=atlas.parts(STAGE),
            effects=atlas.effects, images=atlas.images,
        )
    )  # fmt: skip
    items = re.findall(
        r'<li class="lp-(\w+)" data-finding="([^"]*)">.*?<b>(.*?)</b>.*?<p>(.*?)</p>', html_of(page), re.S
    )
    assert [(level, key) for level, key, *_ in items] == [(one.level, one.key) for one in expected]
    for (_, _, title, sentence), one in zip(items, expected, strict=True):
        assert unescape(title) == one.title and unescape(sentence) == one.sentence
    for one in expected:
        if one.value is not None:
            # By the rule of the sentence beside it, so that one number is not printed in two ways.
            assert f"{finding.number(one.value)}\u202f{one.unit}" in text_of(page)


# ── shadow, price ──


@pytest.mark.parametrize("model", ["cpt", "cpt-image"])
def test_the_shadow_bank_is_the_engine_s(model):
    page = opened(view="shadow", model=model, stage=STAGE)
    bank = banks(process.engine().segmenter(model)).get(STAGE)
    found = shadow(atlas_of(model).prototype_means(STAGE), bank)
    noise = sheet_of(page, "noise")
    for c in range(len(classes())):
        row = f"<td>{percent(float(found.noise[c]))}</td><td>{percent(float(found.presence[c]))}</td>"
        assert row in noise
    values = (found.everywhere, found.true) if bank is not None else (found.means,)
    for one in np.concatenate(values):
        assert f"<td>{number(float(one))}</td>" in sheet_of(page, "directions")
    body = text_of(page)
    median = float(np.median(found.noise[np.isfinite(found.noise)]))
    assert f"In the median category {percent(median)} of the all-image mean" in body
    assert ("keeps no bank" in body) == (bank is None)


def test_the_price_is_the_atlas_s_and_said_as_it_came_out():
    page = opened(view="price", stage=STAGE)
    body = text_of(page)
    for one in atlas_of().price:
        assert f"{number(one.ratio)} ({number(one.low)} to {number(one.high)})" in body
    prices = {(one.stage, one.kind): one for one in atlas_of().price}
    for stage in atlas_of().manifest.stages:
        before, after = prices[stage, "before"], prices[stage, "after"]
        if after.low > before.high:
            verdict = "against the paper's claim"
        elif after.high >= before.low:
            verdict = "no clear change"
        elif after.high < prices[stage, "null"].low:
            verdict = "as the paper claims"
        else:
            verdict = "no more than with shuffled affinity"
        (sentence,) = re.findall(rf"At {stage} the variance.*?\)\.", body)
        assert f"×{number(after.within / before.within)} and" in sentence
        assert f"×{number(after.between / before.between)}. Within" in sentence
        assert (
            verdict in sentence and f"({number(before.ratio)} before, {number(after.ratio)} after" in sentence
        )
    assert "one training seed" in body and f"95 % over {IMAGES} images" in body


def _price(kind: PriceKind, ratio: float, low: float, high: float) -> Price:
    return Price(STAGE, kind, 2.0, 1.0, ratio, low, high, IMAGES, {})


NAN = float("nan")
BEFORE, FALLEN, RISEN, SAME, LEAST = (8, 7, 9), (2, 1.5, 2.5), (12, 11, 13), (7.5, 6, 8.5), (4, 3, 5)


@pytest.mark.parametrize(
    ("before", "after", "null", "said", "claimed"),
    [
        (BEFORE, FALLEN, LEAST, "falls: what is broadcast is purer", "as the paper claims"),
        (BEFORE, FALLEN, None, "falls: what is broadcast is purer", "as the paper claims"),
        (BEFORE, FALLEN, (2.6, 2.4, 2.8), "falls, but no more than with shuffled affinity", None),
        (BEFORE, FALLEN, (1, 0.9, 1.1), "falls, but no more than with shuffled affinity", None),
        (BEFORE, FALLEN, (NAN, NAN, NAN), "falls, but whether more than with shuffled affinity is not known", None),
        (BEFORE, RISEN, LEAST, "rises: what is broadcast is less pure", "against the paper's claim"),
        (BEFORE, SAME, LEAST, "goes with overlapping intervals: no clear change", None),
        (BEFORE, (NAN, NAN, NAN), LEAST, "is not defined: the means of the categories that were met do not differ", None),
        ((0, NAN, NAN), FALLEN, LEAST, "is not defined: nothing varies within the categories that were met", None),
        ((8, NAN, NAN), FALLEN, LEAST, "is not defined: there is no interval for it", None),
    ],
)  # fmt: skip
def test_the_price_s_verdict(before, after, null, said, claimed):
    kinds: dict[PriceKind, tuple | None] = {"before": before, "after": after, "null": null}
    by = {(STAGE, kind): _price(kind, *values) for kind, values in kinds.items() if values is not None}
    (sentence,) = pricing.price_said(by, [STAGE], pricing.PROTOTYPES)
    assert f"Within ÷ between {said}" in sentence and "squared distance between them to ×1.00" in sentence
    assert ("paper" in sentence) == (claimed is not None) and (claimed or "") in sentence
    (plain,) = pricing.price_said(by, [STAGE], pricing.PIXELS)
    assert "paper" not in plain and "prototype" not in plain and "broadcast" not in plain
    assert said.split(":")[0] in plain


# ── time ──


@pytest.mark.parametrize("kind", ["bank", "mean"])
def test_the_player_gets_the_engine_s_moments(kind, monkeypatch):
    sent = []
    monkeypatch.setattr(time, "_time", lambda data, **_: sent.append(data))
    page = opened(view="time", stage=STAGE, category="tree", bank=kind, moment="2")
    card = process.engine().models()["cpt"]
    moments = read_moments(moments_path(card.path), banks(process.engine().segmenter("cpt")))
    (data,) = sent
    plane = trajectories(moments, STAGE)
    path = plane.points if kind == "mean" else plane.project(moments.series(STAGE, "bank"))
    assert data["steps"] == moments.steps.tolist() and data["moment"] == 2
    np.testing.assert_allclose(data["path"], path, atol=1e-5)
    np.testing.assert_allclose(data["cosine"], moments.cosine_to_final(STAGE, kind), atol=1e-5)
    assert data["names"] == list(classes()) and data["marked"] == classes().index("tree")
    moved = drift(moments, STAGE)
    rows = sheet_of(page, "drift")
    for value in (*moved.length, *moved.late):
        assert f"<td>{number(float(value))}</td>" in rows


def test_where_the_slider_was_let_go_reaches_the_address():
    from app.views import prototypes

    page = opened(view="time")
    assert address(page)["moment"] == "last"
    page.session_state[time.KEY] = {"chosen": 4}
    with pytest.MonkeyPatch.context() as patch:
        chosen = []
        patch.setattr("app.state.choose", lambda **fields: chosen.append(fields))
        patch.setattr("app.state.picked", lambda key: 4)
        prototypes._moved()
        patch.setattr("app.state.picked", lambda key: "4")
        prototypes._moved()
        assert chosen == [{"moment": 4}]
