"""What the tests of the Guidance page do with it."""

from __future__ import annotations

import re

from streamlit.testing.v1 import AppTest

from app import process
from app.words import number
from engine.guidance import Cuts
from tests.app import pages
from tests.app.pages import html_of


def opened(**params: str) -> AppTest:
    return pages.opened("guidance", **params)


def matrix_of(page: AppTest) -> dict[str, tuple[str, str, str]]:
    """The gradient matrix as the page prints it: part → (‖∇L_h‖, ‖∇L_u‖, cosine)."""
    (table,) = re.findall(r'<table class="lp-table lp-gradients">.*?</table>', html_of(page), re.S)
    found = {}
    for row in re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', table, re.S):
        values = re.findall(r"<b[^>]*>(.*?)</b>", row[1])
        assert len(values) == 3
        found[row[0]] = tuple(values)
    return found


def expected(model: str, image: str, cuts: Cuts) -> dict[str, tuple[str, str, str]]:
    picture = process.gallery().get(image)
    assert picture.truth is not None
    lines = process.engine().gradients(model, picture.image, picture.truth).at(cuts)
    return {line.part: (number(line.guide), number(line.upsampler), number(line.cosine)) for line in lines}


def first_scene():
    return process.gallery().samples()[0]


def photograph():
    picture = process.gallery().samples()[-1]
    assert picture.truth is None
    return picture
