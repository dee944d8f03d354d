"""A picture that the device's memory is too small for: pages go on with a smaller one and say so."""

from __future__ import annotations

import pytest
import torch

from app import process
from tests.app.pages import address, html_of, opened, settled

pytestmark = pytest.mark.usefixtures("stand_ins")


@pytest.fixture
def small_device(monkeypatch):
    """A device that holds cpt's traces of 128×128 pixels and no more; everything is as before afterwards."""
    engine, gallery = process.engine(), process.gallery()
    kind = type(engine.segmenter("cpt").decoder)
    real = kind.trace

    def trace(self, pyramid, *rest, **named):
        if pyramid.image_size[0] * pyramid.image_size[1] > 128 * 128:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, pyramid, *rest, **named)

    engine.clear()
    monkeypatch.setattr(kind, "trace", trace)
    yield
    gallery._reduced.clear()
    engine.clear()


@pytest.mark.parametrize(
    ("view", "asked"), [("inspect", {}), ("compare", {"models": "cpt,bilinear"}), ("surgery", {})]
)
@pytest.mark.usefixtures("small_device")
def test_the_page_shows_a_smaller_picture_and_says_so(view, asked):
    page = settled(opened(view, **asked))
    assert not page.error
    picture = process.gallery().get(address(page)["image"])
    assert picture.image.size == (128, 128) and picture.image.original_size == (256, 256)
    assert picture.truth is not None and picture.truth.shape == (128, 128)
    said = " ".join(warning.value for warning in page.warning).replace("\\", "")
    assert "is shown at 128×128: at 256×256 its trace with cpt did not fit" in said
    assert "traced at 128×128" in html_of(page)


@pytest.mark.usefixtures("small_device")
def test_nothing_fits_and_one_sentence_says_so(monkeypatch):
    kind = type(process.engine().segmenter("cpt").decoder)
    monkeypatch.setattr(kind, "trace", lambda *_, **__: (_ for _ in ()).throw(MemoryError()))
    page = opened("inspect")
    assert ["did not fit into the device" in error.value for error in page.error] == [True]
