"""What the tests of all pages do with a page."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def run_with(page: AppTest, **params: str) -> AppTest:
    """The page as a link with these parameters opens it."""
    for name, value in params.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception, page.exception
    return page


def html_of(page: AppTest) -> str:
    return "\n".join(element.proto.body for element in page.get("html"))


def address(page: AppTest) -> dict[str, str]:
    """The parameters that the page wrote; AppTest keeps a list for each."""
    return {
        name: values[0] if isinstance(values, list) else values for name, values in page.query_params.items()
    }
