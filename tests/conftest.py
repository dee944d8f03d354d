"""What several tests share: the served app, a real browser, and a tiny untrained model."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

from tests.stand_ins import save

ROOT = Path(__file__).resolve().parents[1]
BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
)
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SERVER_PATIENCE = 120  # seconds; the first import of torch on a cold disk is slow

TINY = ("sky", "water", "grass", "house", "tree")


SHAPED = [
    "attention",
    "resample",
    "stage",
    "guidance",
    "trace",
    "decoders",
    "segmenter",
    "affinity",
    "audit.scores",
    "audit.site",
    "branches",
    "gradients",
    "influence",
    "losses",
    "cell_labels",
    "wire",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shapes", action="store_true", help="check every annotated shape and type of the engine at run time"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--shapes"):
        from jaxtyping import install_import_hook

        install_import_hook([f"engine.{module}" for module in SHAPED], "beartype.beartype")
    os.environ.setdefault("LOUPE_ATLAS", "0")  # no page begins a walk over a dataset by itself
    os.environ.setdefault("LOUPE_PROJECTIONS", "0")  # their process starts when a test asks for a map
    # Workers side by side share the cores, and have their environment from the process that starts them.
    threads = 1 if "PYTEST_XDIST_WORKER" in os.environ or config.getoption("numprocesses", None) else 2
    threads = int(os.environ.setdefault("OMP_NUM_THREADS", str(threads)))  # read when torch is imported
    os.environ.setdefault(
        "NUMBA_NUM_THREADS", str(threads)
    )  # UMAP would give torch, too, as many as there are cores

    import torch

    torch.set_num_threads(threads)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the served app or a browser is a browser test."""
    for item in items:
        if {"app_server", "browser", "page"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One worker runs all browser tests: one served app is enough, and two would compete; the other files stay whole as well,
    so that what a file's tests share is made once. Not by `xdist_group`: pytest-xdist 3.8 writes the group into a field of the
    item that pytest 9.2 no longer reads."""
    from xdist.scheduler import LoadScopeScheduling

    class BrowserTestsTogether(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "browser" if nodeid.startswith("tests/browser/") else nodeid.partition("::")[0]

    return BrowserTestsTogether(config, log)


@contextmanager
def same_threads(where: str) -> Iterator[None]:
    """What leaves torch another number of threads slows all that follows in its process by several times: beside another worker,
    threads of one operation wait for each other longer than they work."""
    import torch

    before = torch.get_num_threads()
    yield
    left = torch.get_num_threads()
    torch.set_num_threads(before)
    assert left == before, f"torch has {left} threads after this {where}, {before} before it"


@pytest.fixture(autouse=True)
def threads_stay() -> Iterator[None]:
    with same_threads("test"):
        yield


@pytest.fixture(autouse=True, scope="module")
def threads_stay_for_others() -> Iterator[None]:
    """For what fixtures of a file do."""
    with same_threads("file of tests"):
        yield


def find_chromium() -> str | None:
    """The browser's executable: the one that LOUPE_CHROMIUM names, else the first that is on the path."""
    named = os.environ.get("LOUPE_CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium. Without one the test is skipped, and in CI it fails: there it would go unnoticed."""
    path = find_chromium()
    if path is None:
        named = os.environ.get("LOUPE_CHROMIUM")
        reason = (
            f"LOUPE_CHROMIUM={named} is no program"
            if named
            else f"none of {', '.join(BROWSERS)} is on the path"
        )
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """A headless Chromium for the whole session."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def atlas_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the served app looks for atlases: empty until a test makes one there."""
    return tmp_path_factory.mktemp("atlases")


@pytest.fixture(scope="session")
def app_server(tmp_path_factory: pytest.TempPathFactory, atlas_root: Path) -> Iterator[str]:
    """Address of the app, served as `make app` serves it, on a free port; it begins no walks over datasets by itself."""
    folder = tmp_path_factory.mktemp("server")
    with served_app(folder, LOUPE_ATLASES=str(atlas_root)) as address:
        yield address


@contextmanager
def served_app(folder: Path, **settings: str) -> Iterator[str]:
    """The app on a free port, its log and all that it keeps in the folder; `settings` are environment variables."""
    if not (ROOT / "app" / "main.py").is_file():
        pytest.fail("app/main.py is missing")
    own = {"LOUPE_CACHE": str(folder), "LOUPE_FINDINGS": str(folder / "findings")}
    with launched("app/main.py", folder / "log.txt", own | settings) as (address, _):
        yield address


@contextmanager
def launched(
    script: str, log: Path, settings: Mapping[str, str]
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Address and process of a Streamlit script on a server of its own, which begins no walks over datasets by itself."""
    port = free_port()
    address = f"http://localhost:{port}"
    command = [sys.executable, "-m", "streamlit", "run", script, "--server.port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "LOUPE_ATLAS": "0", **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_until_healthy(address, process, log)
            yield address, process
        finally:
            stop(process)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def wait_until_healthy(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    direct = urllib.request.build_opener(
        urllib.request.ProxyHandler({})
    )  # a proxy cannot see this machine's localhost
    deadline = time.monotonic() + SERVER_PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"the app ended with {process.returncode}:\n{log.read_text()[-3000:]}")
        try:
            with direct.open(f"{address}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.2)
    pytest.fail(f"the app did not answer within {SERVER_PATIENCE} s:\n{log.read_text()[-3000:]}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and all that it started."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a small untrained CPT with memory, 5 categories: for what does not depend on having learned."""
    folder = tmp_path_factory.mktemp("models")
    save(folder, "tiny", seed=0, recipe="tiny", classes=TINY, sources="memory")
    return folder / "tiny.safetensors"


@pytest.fixture(scope="session")
def tiny_guided_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of HFGD: class tokens, CAE, upsampler."""
    folder = tmp_path_factory.mktemp("models")
    save(
        folder, "guided", seed=0, recipe="guided", classes=TINY, method="hfgd", context_channels=12, context_keys=4
    )  # fmt: skip
    return folder / "guided.safetensors"
