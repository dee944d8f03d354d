"""Numbers as the pages print them."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.words import HOME, html, markdown, measured_on, number, percent, place
from engine.catalogue import ModelCard


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.41342, "0.413"),
        (0.99996, "1.00"),
        (99.96, "100"),
        (1234.4, "1234"),
        (12.345, "12.3"),
        (-0.25, "−0.250"),
        (0.0000123, "1.23e−5"),
        (0, "0"),
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "–"),
    ],
)
def test_three_significant_digits(value, text):
    assert number(value) == text


def test_shares_as_percent():
    assert percent(0.1234) == "12.3\u2009%"
    assert percent(None) == "–"


def test_other_peoples_text_is_escaped():
    assert html('<b a="1">') == "&lt;b a=&quot;1&quot;&gt;"
    assert markdown("a*b_[c](d)") == r"a\*b\_\[c\]\(d\)"


def test_what_an_accuracy_was_measured_on() -> None:
    def card(name: str, miou: float | None, **provenance: str) -> ModelCard:
        return ModelCard(
            name,
            name,
            "cpt",
            None,
            "b",
            ("cat",),
            1,
            miou,
            None,
            None,
            Path(name),
            "0" * 64,
            dict(provenance),
        )

    scenes, pets = card("a", 80.0, data="scenes-val"), card("b", 70.0, data="pets-val")
    assert measured_on([scenes, scenes]) == "on scenes-val, one training seed"
    assert measured_on([scenes, pets]) == "not on the same images: a on scenes-val, b on pets-val"
    assert measured_on([card("c", None, data="scenes-val")]) == ""
    assert "does not name" in measured_on([card("d", 60.0)])


def test_a_place_is_named_from_our_folder_where_it_lies_in_there():
    assert place(HOME / "data" / "models") == "data/models"
    assert place(Path("/srv/weights")) == "/srv/weights"
    assert place(HOME.parent / "other") == str(HOME.parent / "other")
