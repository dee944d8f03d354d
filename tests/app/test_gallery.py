"""The gallery: ids that name content, a bound in bytes, and refusals in one sentence."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.gallery import Gallery, UnknownPicture, data_id, long_side
from engine.errors import LoupeError


def png(seed: int, side: int = 64) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side + 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    (tmp_path / "003.png").write_bytes(png(3))
    Image.fromarray(np.full((64, 80), 7, np.uint8)).save(tmp_path / "003.labels.png")
    (tmp_path / "001.png").write_bytes(png(1))
    return Gallery(tmp_path)


def test_samples_are_scenes_with_their_labels_and_then_photographs(gallery):
    pictures = gallery.samples()
    assert [picture.title for picture in pictures[:2]] == ["scene 1", "scene 3"]
    assert pictures[0].truth is None
    assert pictures[1].truth is not None and (pictures[1].truth == 7).all()
    assert {picture.title for picture in pictures[2:]} == {"china", "flower"}
    assert len({picture.id for picture in pictures}) == len(pictures)
    assert all(picture.thumbnail.startswith("data:image/jpeg;base64,") for picture in pictures)


def test_an_id_names_the_content_in_every_process(gallery, tmp_path):
    again = Gallery(tmp_path)
    assert [p.id for p in again.samples()] == [p.id for p in gallery.samples()]
    one, two = gallery.add(png(9), "a.png"), again.add(png(9), "b.png")
    assert one.id == two.id != gallery.add(png(10), "a.png").id
    assert gallery.get(one.id) is one


def test_uploading_a_sample_finds_the_sample_with_its_labels(gallery):
    assert gallery.add(png(3), "mine.png").truth is not None
    assert gallery.uploads() == []


def test_the_oldest_uploads_go_when_there_is_no_room(tmp_path):
    gallery = Gallery(tmp_path, upload_bytes=2 * 64 * 80 * 3)
    first, second = (gallery.add(png(seed), "x.png") for seed in (1, 2))
    gallery.get(first.id)  # used: now the second is the older one
    third = gallery.add(png(3), "x.png")
    assert gallery.uploads() == [first, third]
    with pytest.raises(UnknownPicture) as error:
        gallery.get(second.id)
    assert "upload" in str(error.value) and second.id in str(error.value)
    huge = Gallery(tmp_path, upload_bytes=1)
    assert huge.get(huge.add(png(5), "x.png").id)  # the last one always stays


@pytest.mark.parametrize("data", [b"", b"no image", png(1)[:400]])
def test_a_bad_file_is_refused_by_name_and_nothing_is_lost(gallery, data):
    kept = gallery.add(png(9), "good.png")
    with pytest.raises(LoupeError) as error:
        gallery.add(data, "bad.png")
    assert "bad.png" in str(error.value) and "\n" not in str(error.value)
    assert gallery.uploads() == [kept]


def test_an_unknown_id_is_cut_short(gallery):
    with pytest.raises(UnknownPicture) as error:
        gallery.get("x" * 10_000)
    assert len(str(error.value)) < 300


def test_an_image_of_a_dataset_opens_by_its_id_with_truth_and_modes(gallery, tmp_path):
    from engine.data.datasets import open_dataset

    dataset = open_dataset("scenes-val")
    picture = gallery.get(data_id("scenes-val", "1000020"))
    sample = dataset[20]
    assert sample.id == "1000020" and picture.id == "data-scenes-val-1000020" and picture.kind == "data"
    np.testing.assert_array_equal(picture.image.pixels, sample.image)
    np.testing.assert_array_equal(picture.truth, sample.labels)
    np.testing.assert_array_equal(picture.modes, sample.modes)
    assert picture.classes == dataset.classes and picture.title == "scenes-val 1000020"
    assert gallery.get(picture.id) is picture  # painted once
    again = Gallery(tmp_path).get(picture.id)  # and in any other process
    assert again.image.hash == picture.image.hash
    assert picture not in gallery.samples() and gallery.uploads() == []


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("data-", "names none of the datasets"),
        ("data-coco-17", "names none of the datasets"),
        ("data-scenes-val-", "no image ''"),
        ("data-scenes-val-999999", "no image '999999'"),
        ("data-scenes-val-1000500", "no image '1000500'"),
        ("data-scenes-val-01000020", "no image"),
        ("data-scenes-val-../../etc/passwd", "no image"),
        ("data-scenes-val-٣", "no image"),
    ],
)
def test_a_bad_id_of_a_datasets_image_is_one_sentence(gallery, bad, said):
    with pytest.raises(UnknownPicture, match=said) as error:
        gallery.get(bad)
    assert str(error.value).count(". ") == 0 and len(str(error.value)) < 200


def test_only_so_many_images_of_datasets_are_kept(gallery, monkeypatch):
    monkeypatch.setattr("app.gallery.KEPT", 2)
    first, second, third = (gallery.get(data_id("scenes-val", str(1_000_000 + i))) for i in range(3))
    assert gallery.get(third.id) is third and gallery.get(second.id) is second
    assert gallery.get(first.id) is not first


def test_how_large_a_picture_stays_is_a_setting(tmp_path, monkeypatch):
    data = png(5, 1200)  # 1216 wide
    assert Gallery(tmp_path).add(data, "x.png").image.size == (1011, 1024)
    monkeypatch.delenv("LOUPE_LONG_SIDE", raising=False)
    assert long_side() == 1024
    for given, expected in (("1100", (1086, 1100)), ("0", (1200, 1216)), (" 4096 ", (1200, 1216))):
        monkeypatch.setenv("LOUPE_LONG_SIDE", given)
        picture = Gallery(tmp_path, long_side=long_side()).add(data, "x.png")
        assert picture.image.size == expected and picture.image.reduced == (given == "1100")


@pytest.mark.parametrize("given", ["31", "-5", "many", "1e3", "٣٠٠"])
def test_a_setting_that_cannot_be_meant_is_one_sentence(monkeypatch, given):
    monkeypatch.setenv("LOUPE_LONG_SIDE", given)
    with pytest.raises(
        LoupeError, match=r"LOUPE_LONG_SIDE is .*: it must be at least 32 pixels, or 0 for no limit"
    ):
        long_side()
