"""Stand-ins for the demo models: untrained, tiny, and of every kind of sources; atlases of them; pages run without a browser."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.stand_ins import save

MAIN = sys.modules["__main__"]  # of this process, as long as no page has run
KINDS = {"bilinear": "bilinear", "qup": "pixels", "cpt-image": "prototypes", "cpt": "memory"}
IMAGES = 6  # of the atlases
MOMENTS = 7


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the four demo models' names."""
    folder = tmp_path_factory.mktemp("catalogue")
    for name, sources in KINDS.items():
        save(folder, name, sources=sources)
    return folder


@pytest.fixture(scope="module")
def stand_ins(models_folder: Path) -> Iterator[Path]:
    """The process's engine reads the stand-ins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOUPE_MODELS", str(models_folder))
        forget()
        yield models_folder
    forget()


@pytest.fixture(scope="session")
def guided_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models with guidance, and one without."""
    folder = tmp_path_factory.mktemp("guided")
    save(folder, "hfgd", method="hfgd")
    save(folder, "fpn-cut", method="hfgd", own_tokens=True)
    save(folder, "cpt")
    return folder


@pytest.fixture(scope="module")
def guided(guided_folder: Path) -> Iterator[Path]:
    """The process's engine reads the models of `guided_folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOUPE_MODELS", str(guided_folder))
        forget()
        yield guided_folder
    forget()


@pytest.fixture
def other_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder that the process's engine reads in this test."""
    monkeypatch.setenv("LOUPE_MODELS", str(tmp_path))
    forget()
    yield tmp_path
    forget()


# ── models and atlases of them ──


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of every kind, cpt with the moments of a training that never was, and "other" with categories of its own."""
    folder = tmp_path_factory.mktemp("models")
    for name, sources in KINDS.items():
        made = save(folder, name, seed=5, sources=sources)
        if name == "cpt":
            _write_moments(made, folder / "cpt.safetensors")
    save(folder, "hfgd", seed=5, method="hfgd")
    save(folder, "other", seed=5, sources="pixels", classes=("cat", "dog"))
    return folder


def _write_moments(made, path: Path, steps: int = 30) -> None:
    import torch

    from engine.bank_time import moments_path
    from engine.training.moments import MomentRecorder

    final = [bank.bank.detach().half().float() for bank in made.decoder.memory_banks()]
    start = [torch.randn_like(bank) for bank in final]
    recorder = MomentRecorder(steps, MOMENTS)
    for step in range(steps + 1):
        t = step / steps
        recorder.record(step, [(1 - t) * a + t * b for a, b in zip(start, final, strict=True)])
    recorder.write(moments_path(path), path)


@pytest.fixture(scope="session")
def shelf(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The atlases of all `models` but "other", over a few scenes."""
    from app import datasets
    from engine import Engine
    from engine.atlas.folder import default_folder
    from engine.atlas.walk import build
    from engine.data.datasets import open_dataset

    root = tmp_path_factory.mktemp("atlases")
    engine = Engine(device="cpu", models_dir=models)
    for name, card in engine.models().items():
        if name != "other":
            folder = default_folder(card, datasets.DEMO, root)
            build(engine.segmenter(name), card, open_dataset(datasets.DEMO), folder, limit=IMAGES)
    return root


@pytest.fixture
def here(models: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process reads these models and these atlases, and never begins a walk by itself.

    What it has read and computed stays for the next test. A test that points it elsewhere calls `forget`: the next starts over.
    """
    from app import atlases, process

    monkeypatch.setenv("LOUPE_MODELS", str(models))
    monkeypatch.setenv("LOUPE_ATLASES", str(shelf))
    monkeypatch.setenv("LOUPE_ATLAS", "0")
    monkeypatch.setattr(atlases, "IMAGES", IMAGES)
    if _reads.get("here") != (models, shelf):
        forget()
        _reads["here"] = (models, shelf)
    yield
    process.photos().wait(30)
    for job in list(process.jobs()._jobs.values()):
        job.wait(60)


_reads: dict[str, tuple[Path, Path]] = {}


def forget() -> None:
    from app import process

    kept = (process.engine, process.gallery, process.store, process.jobs, process.atlases, process.walks)
    for made in (*kept, process.plots, process.photos, process.findings):
        made.cache_clear()
    _reads.clear()


# ── the process that the tests run in ──


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the app keeps on disk for later is not kept from tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOUPE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def scanned_once() -> Iterator[None]:
    """Each AppTest looks through all installed packages for components, an eighth of a second every time: once is enough."""
    from streamlit.components.v2 import manifest_scanner

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests)
        )
        yield


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """AppTest puts the page's script in the place of `__main__`, and leaves it there when a run is given up. Processes that are
    spawned later in this one would begin with it."""
    yield
    sys.modules["__main__"] = MAIN
