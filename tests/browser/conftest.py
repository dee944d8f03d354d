"""The served app's pages, and the viewer and the scatter on pages without Streamlit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from engine import Engine
from engine.atlas import Atlas
from tests.browser.pages import MET, PATIENCE, WINDOW
from tests.browser.scatter_harness import points
from tests.browser.scatter_harness.driver import Scatter
from tests.browser.scatter_harness.server import ScatterHarness
from tests.browser.viewer_harness import decoded
from tests.browser.viewer_harness.driver import Viewer
from tests.browser.viewer_harness.server import Harness, serve, serving

IMAGES = 14  # of the atlas: enough for more than the few patches that Prototypes shows at first


# ── the served app ──


@pytest.fixture(scope="session")
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """Where the served app is opened: its scripts are fetched and compiled once, as by a person who comes back."""
    context = browser.new_context(viewport=WINDOW, color_scheme="light")
    context.add_init_script(MET)
    yield context
    context.close()


@pytest.fixture
def served(profile: BrowserContext, app_server: str) -> Iterator[Page]:
    """A page for the served app, 1400×900, light theme, not opened yet. Cookies and storage are empty, as in a profile of its
    own, but for the mark that the tour was offered; nothing may have gone wrong in the browser by the end."""
    page = profile.new_page()
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    kept = {"origin": app_server, "storageTypes": "cookies,local_storage,indexeddb,service_workers"}
    profile.new_cdp_session(page).send("Storage.clearDataForOrigin", kept)
    page.close()
    assert errors == []


@pytest.fixture(scope="session")
def engine() -> Engine:
    """What the served app's engine says, in this process."""
    return Engine(device="cpu")


@pytest.fixture(scope="session")
def shipped_atlas(engine: Engine, atlas_root: Path) -> Atlas:
    """An atlas of the shipped cpt where the served app looks for one."""
    from app import datasets
    from engine.atlas import open_atlas
    from engine.atlas.folder import default_folder
    from engine.atlas.walk import build
    from engine.data.datasets import open_dataset

    card = engine.card("cpt")
    folder = default_folder(card, datasets.DEMO, atlas_root)
    build(engine.segmenter("cpt"), card, open_dataset(datasets.DEMO), folder, limit=IMAGES)
    return open_atlas(folder, card.hash)


# ── pages without Streamlit ──


@pytest.fixture(scope="session")
def harness() -> Iterator[Harness]:
    """The viewer, with one trace of each kind of sources."""
    with serve() as harness:
        for kind in decoded.KINDS:
            decoded.add(harness, kind)
        yield harness


@pytest.fixture
def viewer(page, harness) -> Iterator[Viewer]:
    viewer = Viewer(page, harness)
    yield viewer
    assert viewer.errors == []


@pytest.fixture(scope="session")
def scatters() -> Iterator[ScatterHarness]:
    """The scatter: one map with a photo, three linked ones, two by themselves."""
    with serving(ScatterHarness()) as harness:
        points.add(harness, "one", 2000, photo=True)
        points.add(harness, "three", 1500, 3, linked=True)
        points.add(harness, "apart", 600, 2)
        yield harness


@pytest.fixture
def scatter(page, scatters) -> Iterator[Scatter]:
    scatter = Scatter(page, scatters)
    yield scatter
    assert scatter.errors == []
