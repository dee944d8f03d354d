"""The Prototypes page without a browser: it opens, survives links of every kind, and says the engine's numbers."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app import atlases, cache, figures_prototypes_drawing, process
from app.atlases import Atlases
from app.selection import PROTOTYPES, SECTIONS, Selection, from_params, to_params
from app.views import prototypes_download as download
from app.views import prototypes_look as looking
from app.views import prototypes_price as pricing
from app.views import prototypes_time as time
from app.words import number, percent
from engine import Engine
from engine.atlas import Atlas
from engine.atlas.records import Price, PriceKind
from engine.atlas.walk import build
from engine.bank import banks, cosine_matrix, live_spread, nearest, norms, shadow
from engine.bank_time import drift, moments_path, read_moments, trajectories
from engine.branches import mean_angles
from engine.data.datasets import open_dataset
from engine.health import finding, findings, warnings_first
from engine.training.moments import MomentRecorder
from tests.app.conftest import forget
from tests.app.pages import address, html_of, run_with

IMAGES = 5
MODELS = {
    "cpt": {"sources": "memory"},
    "cpt-image": {"sources": "prototypes"},
    "qup": {"sources": "pixels"},
    "hfgd": {"method": "hfgd", "level_channels": 8, "context_channels": 16, "context_keys": 8},
}
STAGE = "stride8"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny untrained models, cpt with the moments of a training that never was."""
    from engine import checkpoints
    from engine.data.categories import CLASS_NAMES
    from engine.segmenter import SegmenterSpec, build

    folder = tmp_path_factory.mktemp("prototypes")
    for name, spec in MODELS.items():
        torch.manual_seed(5)
        made = build(SegmenterSpec("mobilenetv4_conv_small_050", classes=CLASS_NAMES, channels=16, **spec))
        path = folder / f"{name}.safetensors"
        checkpoints.save(path, made, provenance={"recipe": "stand-in"})
        if name == "cpt":
            _write_moments(made, path)
    return folder


def _write_moments(made, path: Path, steps: int = 30) -> None:
    final = [bank.bank.detach().half().float() for bank in made.decoder.memory_banks()]
    start = [torch.randn_like(bank) for bank in final]
    recorder = MomentRecorder(steps, 7)
    for step in range(steps + 1):
        t = step / steps
        recorder.record(step, [(1 - t) * a + t * b for a, b in zip(start, final, strict=True)])
    recorder.write(moments_path(path), path)


@pytest.fixture(scope="module")
def shelf(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The atlases of all of them, over a few scenes."""
    root = tmp_path_factory.mktemp("atlases")
    engine = Engine(device="cpu", models_dir=models)
    for name, card in engine.models().items():
        folder = atlases.default_folder(card, atlases.DATA, root)
        build(engine.segmenter(name), card, open_dataset(atlases.DATA), folder, limit=IMAGES)
    return root


@pytest.fixture(autouse=True)
def here(models: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process reads these models and these atlases, and never begins a walk by itself."""
    monkeypatch.setenv("LOUPE_MODELS", str(models))
    monkeypatch.setenv("LOUPE_ATLASES", str(shelf))
    monkeypatch.setenv("LOUPE_ATLAS", "0")
    monkeypatch.setattr(atlases, "IMAGES", IMAGES)
    forget()
    yield
    forget()


def script() -> None:
    from app.views import prototypes

    prototypes.render()


def opened(**params: str) -> AppTest:
    return run_with(AppTest.from_function(script, default_timeout=120), **params)


def atlas_of(model: str = "cpt") -> Atlas:
    found = process.atlases().find(process.engine().models()[model])
    assert found.atlas is not None
    return found.atlas


def classes() -> tuple[str, ...]:
    return process.engine().models()["cpt"].classes


def text_of(page: AppTest) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", html_of(page)))


def sheet_of(page: AppTest, key: str) -> str:
    """The HTML of one sheet."""
    (found,) = re.findall(rf'<section [^>]*data-sheet="{re.escape(key)}">.*?</section>', html_of(page), re.S)
    return found


def cells_of(page: AppTest, key: str) -> list[str]:
    """What a matrix's cells say, row by row in the order on show."""
    return [unescape(said) for said in re.findall(r'data-said="([^"]*)"', sheet_of(page, key))]


def look_of(page: AppTest) -> looking.Look:
    """What the page showed, made again outside of it."""
    selection = page.session_state["selection"]
    card = process.engine().models()[selection.model]
    segmenter = process.engine().segmenter(card.id)
    found, memory = process.atlases().find(card), {}
    stages: tuple[str, ...] = ()
    moments = None
    if card.sources in ("prototypes", "memory"):
        memory, stages = banks(segmenter), ("stride16", "stride8", "stride4")
        moments = read_moments(moments_path(card.path), memory) if memory else None
    category = card.classes.index(selection.category) if selection.category in card.classes else 0
    tokens = classifier = None
    if card.method == "hfgd":
        tokens, classifier = (
            one.weight.detach().numpy() for one in (segmenter.decoder.tokens, segmenter.decoder.classifier)
        )
    parts = cache.Parts("test", stages, 4, memory, moments, "", tokens, classifier)
    return looking.Look(selection, card, found, parts, category)  # fmt: skip


# ---------------------------------------------------------------------------------------------- opening and links


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
    assert "What the prototype of  water answers to" in re.sub(r" +", " ", text_of(page)).replace(
        "of water", "of  water"
    )


def test_what_other_pages_chose_is_kept():
    page = AppTest.from_function(script, default_timeout=120)
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


# ---------------------------------------------------------------------------------------------- patches


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


# ---------------------------------------------------------------------------------------------- reads


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


# ---------------------------------------------------------------------------------------------- memory


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


# ---------------------------------------------------------------------------------------------- health


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


# ---------------------------------------------------------------------------------------------- shadow, price


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


# ---------------------------------------------------------------------------------------------- time


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


# ---------------------------------------------------------------------------------------------- other models


@pytest.mark.parametrize(
    ("view", "said"),
    [("memory", "cpt-image has no memory bank"), ("time", "cpt-image has no memory bank")],
)
def test_prototypes_without_memory_say_why_there_is_no_bank(view, said):
    page = opened(model="cpt-image", view=view)
    assert not page.warning and said in text_of(page)
    assert "strongest patches at stride4" in text_of(page)


def test_memory_without_moments_says_so(models, tmp_path, monkeypatch):
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    (folder / "cpt.memory.safetensors").unlink()
    monkeypatch.setenv("LOUPE_MODELS", str(folder))
    forget()
    page = opened(view="time")
    assert "no file cpt.memory.safetensors beside the checkpoint" in text_of(page) and not page.warning
    (folder / "cpt.memory.safetensors").write_bytes(b"nonsense")
    forget()
    page = opened(view="time")
    assert "cpt.memory.safetensors is truncated, damaged or no safetensors file" in text_of(page)


def test_a_model_of_pixels_shows_class_means_and_price():
    page = opened(model="qup", features="f2")
    body = text_of(page)
    assert "qup has no prototypes" in body and "Cosine between class means at f2" in body
    moments = atlas_of("qup").moments("f2")
    cosines = cosine_matrix(np.where(moments.count[:, None] > 0, moments.mean, 0))
    names = classes()
    for one in cells_of(page, "means-f2"):
        if one.endswith(("itself", "not defined")):
            continue
        pair, _, value = one.rpartition(" ")
        row, _, col = pair.partition(" · ")
        assert value == number(float(cosines[names.index(row), names.index(col)]))
    for one in atlas_of("qup").price:
        assert f"{number(one.ratio)} ({number(one.low)} to {number(one.high)})" in body
    assert "after: what they read from source pixels" in body and "paper" not in body
    assert "prototypes" not in body[body.index("What reading source pixels does to variance") :]
    assert page.selectbox(key="choose features").options == list(atlas_of("qup").manifest.sites)


def test_a_guided_model_shows_its_tokens_and_their_angles():
    page = opened(model="hfgd", category="tree")
    body = text_of(page)
    assert "hfgd has no prototypes. It has class tokens" in body and not page.warning
    decoder = process.engine().segmenter("hfgd").decoder
    tokens = decoder.tokens.weight.detach().numpy()
    cosines = cosine_matrix(tokens)
    said = cells_of(page, "tokens")
    assert f"tree · sky {number(float(cosines[classes().index('tree'), classes().index('sky')]))}" in said
    for site in ("high", "fused"):
        moments = atlas_of("hfgd").moments(site)
        for value in mean_angles(tokens, moments.mean, moments.count):
            assert f"<td>{number(float(value))}</td>" in sheet_of(page, "angles")


# ---------------------------------------------------------------------------------------------- no atlas, bad atlas


def test_without_an_atlas_there_is_what_needs_none_and_a_button(tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_ATLASES", str(tmp_path))
    forget()
    for view in SECTIONS:
        page = opened(view=view)
        assert not page.error and not page.warning
        assert any("Make the atlas" in button.label for button in page.button)
        assert "once there is an atlas of cpt" in text_of(page)
    assert list(tmp_path.iterdir()) == []  # nothing began by itself
    assert "Cosine between memory rows" in text_of(opened())
    assert "not measured" in text_of(opened()) or "unknown" in html_of(opened())


def test_a_walk_under_way_is_shown_and_can_be_stopped(tmp_path, monkeypatch):
    class Walk:
        running, stopping, stopped, waiting, error = True, False, False, False, None
        done, total, seconds_left = 40, 160, 200.0

        def stop(self) -> None:
            Walk.running, Walk.stopped = False, True

    monkeypatch.setenv("LOUPE_ATLASES", str(tmp_path))
    monkeypatch.setattr(Atlases, "build_of", lambda self, card: Walk)
    monkeypatch.setattr(Walk, "stop", staticmethod(lambda: Walk.stop_now()))
    Walk.stop_now = staticmethod(lambda: (setattr(Walk, "running", False), setattr(Walk, "stopped", True)))
    forget()
    page = opened()
    (bar,) = page.get("progress")
    assert "25 %" in bar.proto.text.replace("\u2009", " ") and "about 3.3 min left" in bar.proto.text
    page.button(key="stop walk").click().run()
    assert not page.exception and not page.get("progress")
    assert any("Go on" in button.label for button in page.button)


@pytest.mark.parametrize("damage", ["version", "scenes", "manifest", "statistics", "results"])
def test_a_bad_atlas_is_one_sentence_and_a_button(damage, shelf, tmp_path, monkeypatch):
    root = tmp_path / "atlases"
    shutil.copytree(shelf, root)
    (folder,) = root.glob("cpt-????????-scenes-val")
    if damage == "manifest":
        (folder / "manifest.json").write_text("{")
    elif damage in ("version", "scenes"):
        manifest = json.loads((folder / "manifest.json").read_text())
        if damage == "version":
            manifest["manifest"]["format"] = "loupe-atlas-0"
        else:
            manifest["manifest"]["versions"]["scenes"] = "scenes-0"
        (folder / "manifest.json").write_text(json.dumps(manifest))
    else:
        path = next(folder.glob(f"{damage}.*"))
        path.write_bytes(path.read_bytes()[:100])
    monkeypatch.setenv("LOUPE_ATLASES", str(root))
    forget()
    page = opened(view="price")
    assert page.warning and all("\n" not in one.value.strip() for one in page.warning)
    assert any(re.search("again|anew", one.value) for one in page.warning), [
        one.value for one in page.warning
    ]
    begun = []
    monkeypatch.setattr(
        Atlases, "build", lambda self, card, device, anew=False: begun.append((card.id, anew))
    )
    # What is damaged is mended and keeps what is whole; only what is of another kind is thrown away.
    anew = damage in ("version", "scenes")
    label = "Build the atlas anew" if anew else "Mend the atlas"
    buttons = [one for one in page.button if "atlas" in one.label]  # one at each part that met the damage
    assert {one.label for one in buttons} == {label}
    buttons[0].click().run()
    assert begun == [("cpt", anew)]


@pytest.mark.parametrize("damaged", ["results.json", "manifest.json"])
def test_where_mending_fails_for_good_the_atlas_is_made_anew(damaged, shelf, tmp_path, monkeypatch):
    class Walk:
        running, stopping, stopped, waiting = False, False, False, False
        error = "the atlas cannot be mended, for 1000003 can be read now: build it anew"

    root = tmp_path / "atlases"
    shutil.copytree(shelf, root)
    (folder,) = root.glob("cpt-????????-scenes-val")
    (folder / damaged).write_text("{")
    monkeypatch.setenv("LOUPE_ATLASES", str(root))
    monkeypatch.setattr(Atlases, "build_of", lambda self, card: Walk)
    forget()
    page = opened(view="price")
    assert sum("1000003" in one.value for one in page.warning) == 1
    assert [one.label for one in page.button if "atlas" in one.label] == ["Build the atlas anew"]


def test_the_images_that_could_not_be_read_are_listed(shelf, tmp_path, monkeypatch):
    root = tmp_path / "atlases"
    shutil.copytree(shelf, root)
    (folder,) = root.glob("cpt-????????-scenes-val")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["manifest"]["skipped"] = [
        {"index": 5 + i, "id": f"10000{i}", "reason": "is <no> image"} for i in range(60)
    ]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setenv("LOUPE_ATLASES", str(root))
    forget()
    page = opened(model="cpt")
    (note,) = [one for one in page.sidebar.get("html") if 'data-note="atlas"' in one.proto.body]
    body = note.proto.body
    assert "<summary>60 could not be read</summary>" in body and "100000: is &lt;no&gt; image" in body
    assert "<no>" not in body and body.count("&lt;no&gt;") == 50 and "and 10 more" in body


# ---------------------------------------------------------------------------------------------- downloads


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
