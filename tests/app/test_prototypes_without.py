"""The Prototypes page of models without prototypes or memory, and without a whole atlas."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

from app import process
from app.atlases import Atlases
from app.selection import SECTIONS
from app.words import number
from engine.bank import cosine_matrix
from engine.branches import mean_angles
from tests.app.conftest import forget
from tests.app.pages import atlas_of, classes, html_of, text_of
from tests.app.prototypes_page import cells_of, opened, sheet_of

pytestmark = pytest.mark.usefixtures("here")


# ── other models ──


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


# ── no atlas, bad atlas ──


def test_without_an_atlas_there_is_what_needs_none_and_a_button(tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_ATLASES", str(tmp_path))
    forget()
    for view in SECTIONS:
        page = opened(view=view)
        assert not page.error and not page.warning
        assert any("Make the atlas" in button.label for button in page.button)
        assert "once there is an atlas of cpt" in text_of(page)
    assert list(tmp_path.iterdir()) == []  # nothing began by itself
    page = opened()
    assert "Cosine between memory rows" in text_of(page)
    assert "not measured" in text_of(page) or "unknown" in html_of(page)


def test_a_walk_under_way_is_shown_and_can_be_stopped(tmp_path, monkeypatch):
    class Walk:
        running, stopping, stopped, waiting, error, found = True, False, False, False, None, ()
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
