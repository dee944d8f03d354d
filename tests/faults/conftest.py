"""The process that forks those to be killed; a hub that sends half a file; a checkpoint of a tiny model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.hub import Hub
from tests.faults.nursery import Nursery
from tests.stand_ins import save


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them start processes, which on a busy machine takes more than a few seconds."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub of weights on this machine."""
    with Hub(tmp_path_factory.mktemp("hub")) as served:
        yield served


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory, hub: Hub) -> Iterator[Nursery]:
    """Where all of its children begin: nothing of this machine's own data or caches is in reach."""
    if not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    folder = tmp_path_factory.mktemp("nursery")
    settings = {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(hub.folder),
        "NO_PROXY": "127.0.0.1",
        "LOUPE_CACHE": str(folder / "cache"),
        "LOUPE_ATLASES": str(folder / "atlases"),
        "LOUPE_FINDINGS": str(folder / "findings"),
        "LOUPE_FAULTS_DATA": str(folder / "data"),
    }
    made = Nursery(folder, **settings)
    yield made
    made.close()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `cpt`, tiny and untrained, and `other.safetensors.aside`: the same model with other weights."""
    folder = tmp_path_factory.mktemp("models")
    save(folder, "other", seed=8, sources="memory")
    (folder / "other.safetensors").rename(folder / "other.safetensors.aside")
    save(folder, "cpt", sources="memory")
    return folder
