"""The app's part: a server that asks for maps, and one whose checkpoint is exchanged."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from tests.faults.acts import dies, say


def server(folder: str, amid: str) -> int:
    """Asks for a map as the Variance page does and is killed while it is written."""
    import numpy as np

    from app.projections import Projections
    from engine.projection_request import mapping

    dies(amid, 1)
    made = Projections(folder)
    task = made.ask(mapping("pca", np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)))
    while made._worker is None:
        time.sleep(0.001)
    say(worker=made._worker._process.pid, task=task.key)
    task.wait(60)
    say(state=task.state, error=task.error)
    return 0


def next_server(projections: str, audits: str, findings: str) -> int:
    """What a server does first."""
    import runpy

    from app import process
    from app.audits import Audits
    from app.findings import Findings
    from app.projections import Projections

    made = Projections(projections)
    process.projections, process.audits = lambda: made, lambda: Audits(audits)
    process.findings = lambda: Findings(Path(findings))
    runpy.run_module("app.main")["_sweep"]()
    return 0


def exchanged(models: str, other: str) -> int:
    """An engine and the pages while the file of a loaded model is exchanged for another, then for garbage."""
    import torch

    from engine import Engine, LoupeError, checkpoints

    path, image = Path(models) / "cpt.safetensors", "assets/scenes/000.png"
    first = checkpoints.file_hash(path)
    engine = Engine(device="cpu", models_dir=models)
    before = engine.trace("cpt", image)
    influence = engine.influence("cpt", image, (9, 9)).shares

    exchange(path, other)
    card = before.model
    assert card is not None
    old, new = engine.trace(card, image), engine.trace("cpt", image)
    alone = Engine(device="cpu", models_dir=models).trace("cpt", image)
    assert new.model is not None
    forgetful = Engine(device="cpu", models_dir=models, model_bytes=0)
    try:
        forgetful.trace(card, image)
        refused = ""
    except LoupeError as error:
        refused = str(error)
    say(
        old=old.model.hash == first and torch.equal(old.logits, before.logits),
        influence=torch.equal(engine.influence(card, image, (9, 9)).shares, influence),
        new=new.model.hash == checkpoints.file_hash(path) and torch.equal(new.logits, alone.logits),
        differs=not torch.equal(new.logits, before.logits),
        refused=refused,
    )
    path.write_bytes(os.urandom(5000))
    try:
        engine.trace("cpt", image)
        garbage = ""
    except LoupeError as error:
        garbage = str(error)
    still = engine.trace(card, image) if card.hash == first else before
    say(garbage=garbage, still=torch.equal(still.logits, before.logits))
    return 0


def exchanged_while_read(models: str, other: str) -> int:
    """The file is exchanged after its header was read and before its weights are."""
    import torch

    from engine import Engine, checkpoints

    path, read, left = Path(models) / "cpt.safetensors", checkpoints.load_file, [other]

    def exchanging(given: Path, **options):
        if left:
            exchange(path, left.pop())
        return read(given, **options)

    checkpoints.load_file = exchanging
    engine = Engine(device="cpu", models_dir=models)
    said = []
    for _ in range(2):  # refused, then as if nothing had been
        try:
            trace = engine.trace("cpt", "assets/scenes/000.png")
        except ValueError as error:
            said.append(str(error))
            continue
        assert trace.model is not None
        found = Engine(device="cpu", models_dir=models).trace("cpt", "assets/scenes/000.png")
        right = torch.equal(trace.logits, found.logits)
        said.append([trace.model.hash == checkpoints.file_hash(path), right])
    say(said=said)
    return 0


def page(models: str, other: str) -> int:
    """The Inspect page over the same."""
    os.environ["LOUPE_MODELS"] = models
    from app.views import inspect  # noqa: F401
    from engine.checkpoints import file_hash
    from tests.app.pages import opened, text_of

    path = Path(models) / "cpt.safetensors"
    shown = opened("inspect", model="cpt")

    def notices() -> list[str]:
        return [str(each.value) for kind in (shown.warning, shown.info, shown.error) for each in kind]

    first, before = notices(), text_of(shown)
    exchange(path, other)
    shown.run()
    second, after = notices(), text_of(shown)
    path.write_bytes(b"\x80garbage")
    shown.run()
    say(
        first=first,
        second=second,
        third=notices(),
        hash=file_hash(Path(other))[:8],
        redrawn=before != after,
        exception=bool(shown.exception),
        text=text_of(shown)[:500],
    )
    return 0


def exchange(path: Path, other: str | Path) -> None:
    """As a copy tool does it: beside, then over."""
    aside = path.with_name(".coming")
    shutil.copyfile(other, aside)
    os.replace(aside, path)
