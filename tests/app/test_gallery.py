"""The gallery: ids that name content, a bound in bytes, and refusals in one sentence."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.gallery import Gallery, UnknownPicture
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
