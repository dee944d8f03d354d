"""The viewer on a page without Streamlit, with one trace of each kind of sources."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.viewer_harness import decoded
from tests.browser.viewer_harness.driver import Viewer
from tests.browser.viewer_harness.server import Harness, serve


@pytest.fixture(scope="session")
def harness() -> Iterator[Harness]:
    with serve() as harness:
        for kind in decoded.KINDS:
            decoded.add(harness, kind)
        yield harness


@pytest.fixture
def viewer(page, harness) -> Iterator[Viewer]:
    viewer = Viewer(page, harness)
    yield viewer
    assert viewer.errors == []
