"""A locked server: visitors look, and change nothing that others see."""

from __future__ import annotations

import pytest

from app import gallery
from app.gallery import Gallery
from engine import added
from engine.errors import LoupeError
from tests.app.pages import opened, text_of
from tests.app.test_library import own as own  # the fixture
from tests.fuzz.targets import picture


def test_a_locked_library_offers_no_change(own, monkeypatch):
    free = {button.label for button in opened("library").button}
    assert {"Rename", "Remove the file", "Clear"} <= free
    monkeypatch.setenv("LOUPE_LOCKED", "1")
    page = opened("library")
    assert "this server is locked" in " ".join(each.value for each in page.caption)
    assert not {"Rename", "Remove the file"} & {button.label for button in page.button}
    assert all(button.disabled for button in page.button if button.label == "Clear")
    assert not page.get("file_uploader") and "Models 2" in text_of(page)


def test_uploads_are_bounded_in_number(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "UPLOADS", 3)
    shown = Gallery(tmp_path)
    kept = [shown.add(picture("PNG", "RGB", (32 + each, 32)), f"{each}.png").id for each in range(5)]
    assert [each.id for each in shown.uploads()] == kept[2:]


def test_a_full_folder_takes_no_model(tmp_path, monkeypatch):
    for each in range(3):
        (tmp_path / f"{each}.safetensors").write_bytes(b"")
    monkeypatch.setattr(added, "MOST", 3)
    with pytest.raises(LoupeError, match="holds 3 models already"):
        added.add(b"x", "new.safetensors", tmp_path)
    monkeypatch.setattr(added, "MOST", 4)
    monkeypatch.setattr(added, "SPARE", 1 << 60)
    with pytest.raises(LoupeError, match="nearly full"):
        added.add(b"x", "new.safetensors", tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
