"""What the tests of all pages do with a page."""

from __future__ import annotations

import re
from html import unescape

from streamlit.testing.v1 import AppTest

from app import process
from engine.atlas import Atlas

SCRIPT = "from app.views import {view}\n\n{view}.render()\n"


def page_of(view: str) -> AppTest:
    """The page `app.views.<view>` alone, not run yet."""
    return AppTest.from_string(SCRIPT.format(view=view), default_timeout=120)


def opened(view: str, /, **params: str) -> AppTest:
    """The page `app.views.<view>`, run as a link with these parameters opens it."""
    return run_with(page_of(view), **params)


def run_with(page: AppTest, /, **params: str) -> AppTest:
    """The page as a link with these parameters opens it."""
    for name, value in params.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception, page.exception
    return page


def settled(page: AppTest, runs: int = 1) -> AppTest:
    """The page once more, when all that is computed beside it is there; `runs` times where a result asks for another."""
    for _ in range(runs):
        for job in list(process.jobs()._jobs.values()):
            job.wait(120)
        page.run()
    assert not page.exception, page.exception
    return page


def html_of(page: AppTest) -> str:
    return "\n".join(element.proto.body for element in page.get("html"))


def text_of(page: AppTest) -> str:
    """What the page's HTML says, without its tags; line breaks and runs of blanks are one blank."""
    return re.sub(r"[ \t\r\n]+", " ", unescape(re.sub(r"<[^>]+>", " ", html_of(page))))


def address(page: AppTest) -> dict[str, str]:
    """The parameters that the page wrote; AppTest keeps a list for each."""
    return {
        name: values[0] if isinstance(values, list) else values for name, values in page.query_params.items()
    }


def atlas_of(model: str = "cpt") -> Atlas:
    """The atlas that the process has of a model."""
    found = process.atlases().find(process.engine().models()[model])
    assert found.atlas is not None
    return found.atlas


def classes() -> tuple[str, ...]:
    return process.engine().models()["cpt"].classes
