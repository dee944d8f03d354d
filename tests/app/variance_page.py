"""What the tests of the Variance page do with it."""

from __future__ import annotations

import re
from html import unescape

import pytest
from streamlit.testing.v1 import AppTest

from app.scatter import Lasso
from app.views import variance_look as looking
from app.views import variance_points as pointing
from app.views import variance_shown as showing
from tests.app import pages
from tests.app.pages import html_of


def opened(**params: str) -> AppTest:
    return pages.opened("variance", **params)


def settled(page: AppTest) -> AppTest:
    """The page once more, when all that is computed beside it is there: numbers ask for maps, maps for neighbours."""
    return pages.settled(page, runs=3)


def notes_of(page: AppTest) -> list[str]:
    """The sentences that stand in the place of what cannot be had."""
    found = re.findall(r'data-nothing="1">(.*?)</p>', html_of(page), re.S)
    return [unescape(re.sub(r"<[^>]+>", "", one)) for one in found]


def shown_of(page: AppTest) -> showing.Shown:
    """What the page showed, made again outside of it."""
    selection = page.session_state["selection"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(looking.state, "begin", lambda *_: selection)
        patch.setattr(looking.state, "hold", lambda *_: None)
        patch.setattr(pointing.state, "keep", lambda *_: None)
        look = looking.look(whole_run=False)
        assert look is not None
        return showing.shown(look)


def lasso_of(now: showing.Shown, panel: int = 0) -> Lasso:
    """A triangle over a good part of a map."""
    _, chart = now.pairs[panel]
    low, high = chart.xy.min(0), chart.xy.max(0)
    corners = ((low[0], low[1]), (high[0], low[1]), (low[0], high[1]))
    return Lasso(chart.name, tuple((round(float(x), 3), round(float(y), 3)) for x, y in corners))


def taken(page: AppTest) -> int:
    (found,) = re.findall(r'data-taken="(\d+)"', html_of(page))
    return int(found)
