"""Stand-ins for the demo models: untrained, tiny, and of every kind of sources."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MAIN = sys.modules["__main__"]  # of this process, as long as no page has run
KINDS = {"bilinear": "bilinear", "qup": "pixels", "cpt-image": "prototypes", "cpt": "memory"}


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the four demo models' names."""
    import torch

    from engine import checkpoints
    from engine.data.categories import CLASS_NAMES
    from engine.segmenter import SegmenterSpec, build

    folder = tmp_path_factory.mktemp("catalogue")
    for name, sources in KINDS.items():
        torch.manual_seed(3)
        spec = SegmenterSpec(
            backbone="mobilenetv4_conv_small_050", classes=CLASS_NAMES, sources=sources, channels=16
        )
        checkpoints.save(folder / f"{name}.safetensors", build(spec), provenance={"recipe": "stand-in"})
    return folder


@pytest.fixture(scope="module")
def stand_ins(models_folder: Path) -> Iterator[Path]:
    """The process's engine reads the stand-ins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOUPE_MODELS", str(models_folder))
        forget()
        yield models_folder
    forget()


@pytest.fixture
def other_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder that the process's engine reads in this test."""
    monkeypatch.setenv("LOUPE_MODELS", str(tmp_path))
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    from app import process

    kept = (process.engine, process.gallery, process.store, process.jobs, process.atlases)
    for made in (*kept, process.plots, process.photos):
        made.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the app keeps on disk for later is not kept from tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOUPE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """AppTest puts the page's script in the place of `__main__`, and leaves it there when a run is given up. Processes that are
    spawned later in this one would begin with it."""
    yield
    sys.modules["__main__"] = MAIN
