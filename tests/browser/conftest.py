"""The served app's pages, and the viewer and the scatter on pages without Streamlit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from playwright.sync_api import Error as PlaywrightError

from engine import Engine
from engine.atlas import Atlas
from tests.browser.pages import MET, PATIENCE, WINDOW
from tests.browser.scatter_harness import points
from tests.browser.scatter_harness.driver import Scatter
from tests.browser.scatter_harness.server import ScatterHarness
from tests.browser.viewer_harness import decoded
from tests.browser.viewer_harness.driver import Viewer
from tests.browser.viewer_harness.server import Harness, serve, serving

STORED = "cookies,local_storage,indexeddb,service_workers,cache_storage"  # of a visit
IMAGES = 14  # of the atlas: enough for more than the few patches that Prototypes shows at first


# ── a page ──


class Tab:
    """One page for test after test: a page of its own costs each of them a process and a second to compile the app's scripts.

    Between two of them it is given back as a new one would be, but for the HTTP cache; where that fails, and after a while (the
    tests' listeners stay with a page), there is a new page. What cannot be taken back, such as a slower machine, asks for
    `elsewhere`.
    """

    USES = 40

    def __init__(self, profile: BrowserContext) -> None:
        self.profile = profile
        self._page: Page | None = None
        self._uses = 0

    def page(self) -> Page:
        if self._page is None or self._page.is_closed() or self._uses >= self.USES:
            self.close()
            self._page, self._uses = self.profile.new_page(), 0
        self._uses += 1
        self._page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        return self._page

    def give_back(self) -> None:
        page = self._page
        if page is None or page.is_closed():
            return
        try:
            page.unroute_all(behavior="ignoreErrors")
            session = self.profile.new_cdp_session(page)
            if page.url.startswith("http"):
                page.evaluate("sessionStorage.clear()")
                stored = {"origin": page.evaluate("location.origin"), "storageTypes": STORED}
                session.send("Storage.clearDataForOrigin", stored)
            session.detach()
            # Before it is empty: a page written into one where the pointer moved misses its leaving.
            page.mouse.move(0, 0)
            page.goto("about:blank")
            page.set_viewport_size(WINDOW)
            page.emulate_media(color_scheme="light", reduced_motion="null")
        except PlaywrightError:
            self.close()

    def close(self) -> None:
        if self._page is not None and not self._page.is_closed():
            self._page.close()
        self._page = None


@pytest.fixture(scope="session")
def tab(browser: Browser) -> Iterator[Tab]:
    context = browser.new_context(viewport=WINDOW, color_scheme="light")
    context.add_init_script(MET)
    yield Tab(context)
    context.close()


@pytest.fixture
def page(tab: Tab) -> Iterator[Page]:
    """1400×900, light theme, not opened yet; cookies and storage are empty but for the mark that the tour was offered."""
    yield tab.page()
    tab.give_back()


@pytest.fixture
def served(page: Page, app_server: str) -> Iterator[Page]:
    """A page for the served app; nothing may have gone wrong in the browser by the end."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert errors == []


# ── the served app ──


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
