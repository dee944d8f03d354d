"""Audits that tests put where the app looks for them: made-up scores of models that are there, over images that exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.audits import Wanted
from engine.audit import Audit
from engine.audit.files import write_audit
from engine.audit.records import AuditedImage
from engine.catalogue import ModelCard
from engine.data.categories import CLASS_NAMES
from engine.data.datasets import open_dataset
from tests.engine.audit.toys import synthetic_audit

DATA = "scenes-val"
WALKER = """
import json, sys, threading
gone = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), gone.set()), daemon=True).start()
for done in range(1, 2001):
    print(json.dumps({"done": done, "total": 2000}), flush=True)
    if gone.wait(0.01):
        sys.exit(0)
"""
"""A stand-in for the process that audits: it counts slowly, and ends when asked to."""


def made_up(cards: Sequence[ModelCard], images: int = 12, asked: int | None = None) -> Audit:
    """A synthetic audit of these models; each has the scores that the toys give its name, or else cpt's."""
    toy = synthetic_audit(seed=0, images=images, each=20)
    names, dataset = {entry.model: entry for entry in toy.entries}, open_dataset(DATA)
    return replace(
        toy,
        data=DATA,
        classes=CLASS_NAMES,
        asked=images if asked is None else asked,
        images=tuple(AuditedImage(dataset.id_of(i), i, (256, 256)) for i in range(images)),
        skipped=(),
        refused={},
        entries=tuple(
            replace(names.get(card.id, names["cpt"]), model=card.id, checkpoint=card.hash) for card in cards
        ),
    )


def put(root: Path, wanted: Wanted, images: int | None = None, asked: int | None = None) -> Audit:
    """Writes one where `wanted` is looked for; over fewer images it is one that is not finished."""
    audit = made_up(wanted.cards, images or wanted.images, asked or wanted.images)
    write_audit(audit, root / wanted.name)
    return audit
