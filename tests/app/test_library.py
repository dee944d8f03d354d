"""The Library page: models added, renamed and removed; datasets checked and leafed through; caches cleared; work told of."""

from __future__ import annotations

import shutil
import weakref
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from app import cache, datasets, library, process
from app.atlases import Atlases
from app.audits import Audits
from app.projections import Projections
from app.surgery_walk import Walks
from app.tiles import tile
from app.views import library_machine, library_models
from tests.app.conftest import forget
from tests.app.pages import address, html_of, opened, settled, text_of
from tests.app.test_datasets import TOML
from tests.stand_ins import save


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder of models and one of datasets, of this test alone."""
    models, data = tmp_path / "models", tmp_path / "data"
    models.mkdir()
    save(models, "tiny")
    save(models, "pets", classes=("cat", "dog"))
    (data / "mine").mkdir(parents=True)
    (data / "mine.toml").write_text(TOML, encoding="utf-8")
    for folder in ("train", "val/deep", "labels/train", "labels/val"):
        (data / "mine" / folder).mkdir(parents=True)
    for split, folder in (("train", "train"), ("val", "val/deep")):
        for i in range(20):
            Image.fromarray(np.full((40, 60, 3), 10 * i, np.uint8)).save(data / f"mine/{folder}/{i:02d}.png")
            labels = np.ones((40, 60), np.uint8)
            labels[:, 30:] = 2 if i % 2 else 0
            Image.fromarray(labels).save(data / f"mine/labels/{split}/{i:02d}.png")
    (data / "mine/labels/train/07.png").unlink()
    (data / "mine/train/08.png").write_bytes(b"damaged")
    monkeypatch.setenv("LOUPE_MODELS", str(models))
    monkeypatch.setenv("LOUPE_DATA", str(data))
    monkeypatch.setenv("LOUPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LOUPE_ATLASES", str(tmp_path / "atlases"))
    datasets.look_again()
    forget()
    yield SimpleNamespace(models=models, data=data, root=tmp_path)
    forget()
    datasets.look_again()


def test_models_are_told_with_their_origin_and_lead_to_inspect(own):
    page = opened("library")
    text = text_of(page)
    assert "Models 2; added ones lie in" in text and "14 categories" in text and "2 categories" in text
    assert "SHA-256 " + process.engine().models()["tiny"].hash[:8] in text
    assert 'href="./?model=pets' in html_of(page)


def test_models_are_renamed_and_removed(own):
    page = opened("library")
    page.text_input(key="new name tiny").set_value("better").run()
    page.button(key="rename tiny").click().run()
    assert [w.value for w in page.warning] == ["tiny is now called better\\."]
    assert sorted(path.name for path in own.models.iterdir()) == ["better.safetensors", "pets.safetensors"]
    page.text_input(key="new name better").set_value("../x").run()
    page.button(key="rename better").click().run()
    assert "cannot be a model" in page.warning[0].value and (own.models / "better.safetensors").is_file()
    page.button(key="remove pets").click().run()
    assert "pets was removed" in page.warning[0].value.replace("\\", "")
    assert [path.name for path in own.models.iterdir()] == ["better.safetensors"] and not page.exception


def test_a_model_is_uploaded_and_a_bad_file_is_one_sentence(own, monkeypatch):
    said = []
    monkeypatch.setattr(library_models.state, "notice", lambda *sentences: said.extend(sentences))
    monkeypatch.setattr(library_models.state, "choose", lambda **_: None)
    content = (own.models / "tiny.safetensors").read_bytes()
    library_models._take(content, "new.safetensors", 0.1, 32, library_models.FROM_FILE)
    assert said == ["new was added."] and "new" in process.engine().models()
    library_models._take(b"no model", "bad.pth", 0.1, 32, "ade20k")
    assert len(said) == 2 and "bad.pth" not in [path.name for path in own.models.iterdir()]
    assert "cannot be read" in said[1] and "\n" not in said[1]


def test_what_cannot_be_used_is_named(own):
    (own.models / "broken.safetensors").write_bytes(b"x")
    assert "broken.safetensors : broken.safetensors is no safetensors checkpoint" in text_of(
        opened("library")
    ).replace(" :", " :")


def test_every_dataset_is_listed_with_where_it_should_be(own):
    text = text_of(opened("library"))
    assert "ade20k" in text and "not here: unpack it as ADEChallengeData2016" in text
    assert f"here: {own.data / 'mine'}" in text and "the demo world" in text


def test_a_check_tells_what_is_wrong_and_how_often_each_category_occurs(own):
    page = opened("library", data="mine-val")
    page.button(key="check 200").click().run()
    process.checks().wait(60)
    page.run()
    assert not page.exception
    text = text_of(page)
    assert "train: 1 images without labels: train/07.png" in text
    assert "the image 08.png cannot be read" in text and 'data-check="mine"' in html_of(page)
    # Half of the images are all left, the others half and half: 2400 or 1200 + 1200 pixels, and ignored ones.
    assert "cat" in text and "dog" in text


def test_a_dataset_is_leafed_through_with_its_labels(own):
    page = settled(opened("library", data="mine-val"))
    html = html_of(page)
    assert html.count('class="lp-patch lp-case"') == 18 and "sheet 1 of 2, 20 images" in text_of(page)
    assert html.count('class="lp-over"') == 18
    link = html.split('class="lp-patch lp-case" href="')[1].split('"')[0].replace("&amp;", "&")
    asked = parse_qs(urlsplit(link).query)
    assert asked["model"] == ["pets"] and asked["image"] == ["data-mine-val-val/deep/00"]
    page.button(key="sheet The next sheet").click().run()
    page = settled(page)
    assert address(page)["sheet"] == "2" and html_of(page).count('class="lp-patch lp-case"') == 2
    page = settled(opened("library", data="mine-train"))
    assert "the image 08.png cannot be read" in text_of(page)
    assert "There is no dataset" in opened("library", data="nothing").warning[0].value
    assert settled(opened("library", data="mine-val", sheet="99")).exception == []


def test_tiles_show_labels_and_where_there_are_none():
    import base64
    import io

    labels = np.full((100, 400), 255, np.uint8)
    labels[:, :200] = 1
    labels[:10, :10] = 0
    made = tile(np.zeros((100, 400, 3), np.uint8), labels, np.array([[1, 2, 3], [200, 100, 50]], np.uint8))
    assert made.categories == (1, 0) and made.shape == 4
    over = np.asarray(Image.open(io.BytesIO(base64.b64decode(made.over.split(",")[1]))))
    assert (
        over.shape == (50, 200, 4) and over[25, 50].tolist() == [200, 100, 50, 150] and over[25, 150, 3] == 0
    )


def test_caches_are_measured_and_cleared_but_not_what_is_being_written(own):
    for folder, size in (("atlases/one", 1000), ("atlases/two", 500), ("cache/audits/three", 200)):
        (own.root / folder).mkdir(parents=True)
        (own.root / folder / "file").write_bytes(b"x" * size)
    shelf, audits, projections = Atlases(), Audits(), Projections()
    places = {place.name: place for place in library.on_disk(shelf, audits, projections)}
    assert (places["atlases"].bytes, places["audits"].bytes, places["projections"].bytes) == (1500, 200, 0)
    shelf._builds[own.root / "atlases/two"] = SimpleNamespace(running=True)  # pyright: ignore[reportArgumentType]
    places["atlases"].clear()
    assert [path.name for path in (own.root / "atlases").iterdir()] == ["two"]
    process.engine().trace("tiny", np.zeros((64, 64, 3), np.uint8))
    walks = Walks()
    held = SimpleNamespace(bytes=700)
    walks.prepared("cpt", lambda: held)  # pyright: ignore[reportArgumentType, reportReturnType]
    shelves = process.engine(), process.store(), process.plots(), walks, library_machine.computed()
    before = {place.name: place for place in library.in_memory(*shelves)}
    assert before["host"].bytes > 0 and before["prepared"].bytes == 700
    before["prepared"].clear()
    assert walks.used == 0
    page = opened("library")
    page.button(key="clear host").click().run()
    assert process.engine().cache_info().host.bytes == 0 and "cleared" in page.warning[0].value
    cache.made(("of this test",), lambda: np.zeros(1000))
    assert library_machine.computed().bytes >= 8000
    opened("library").button(key="clear computed").click().run()
    assert library_machine.computed().bytes == 0
    shutil.rmtree(own.root / "atlases")
    places["atlases"].clear()  # a folder that is gone is no fault


def test_an_ended_walk_holds_nothing_of_what_it_worked_with():
    walks, pixels = Walks(), np.zeros(9)
    gone = weakref.ref(pixels)

    def run(_, pixels=pixels):
        return SimpleNamespace(complete=True, mean=pixels.mean())

    walk = walks.start("a", run)
    walk.wait(10)
    del run, pixels
    assert walk.found.mean == 0 and walks.find("a") is walk
    assert gone() is None


def test_work_under_way_is_told_and_can_be_stopped(own):
    import threading

    go = threading.Event()

    def run(walk):
        walk.progress(3, 10)
        go.wait(30)
        return

    walk = process.checks().start("mine", run)
    while not walk.begun:
        go.wait(0.01)
    go.wait(0.05)
    (work,) = [one for one in library_machine.works() if one.title == "Check of mine"]
    assert work.fraction == pytest.approx(0.3) and work.said == "3 of 10" and work.stop is not None
    work.stop()
    assert walk.stopping
    go.set()
    walk.wait(30)
    assert library_machine.works() == []


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.50 KiB"), (3 << 30, "3.00 GiB")]
)
def test_bytes_are_printed_in_their_unit(count, text):
    assert library_machine.size(count) == text


def test_names_of_work_are_words():
    assert (
        library.walk_title(("consequences", "abcdef0123", "scenes-val", 200))
        == "Edits over scenes-val, checkpoint abcdef01"
    )
    assert (
        library.job_title(("audit cases", 1)) == "Cases of an audit"
        and library.job_title("points") == "Points"
    )
