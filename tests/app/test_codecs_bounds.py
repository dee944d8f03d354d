"""A link cannot ask for what the widget that shows it cannot hold."""

from __future__ import annotations

import pytest

from app.selection import VARIANCE, Selection, from_params


@pytest.mark.parametrize(
    ("name", "text", "field", "right"),
    [
        ("distance", "1.00", "min_dist", "0 to 0.99"),
        ("distance", "nan", "min_dist", "0 to 0.99"),
        ("clusters", "1", "smallest", "2 to 10000, or 0 for none"),
        ("clusters", "10001", "smallest", "2 to 10000, or 0 for none"),
    ],
)
def test_beyond_the_widget(name, text, field, right):
    found, problems = from_params({name: text}, Selection(), VARIANCE)
    assert getattr(found, field) == getattr(Selection(), field)
    assert len(problems) == 1 and right in problems[0]


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("distance", "0.99", "min_dist", 0.99),
        ("clusters", "0", "smallest", 0),
        ("clusters", "2", "smallest", 2),
    ],
)
def test_at_the_widgets_ends(name, text, field, value):
    found, problems = from_params({name: text}, Selection(), VARIANCE)
    assert getattr(found, field) == value and not problems
