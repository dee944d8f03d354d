"""The models in a folder: read from their headers, without their weights."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.checkpoints import Header, file_hash, read_header
from engine.errors import LoupeError

ASSETS = Path(__file__).resolve().parent.parent / "assets"

# The demo models in the order in which they are told apart: from four neighbours to a memory of the data set, then the
# baselines of HFGD and itself.
TITLES = {
    "bilinear": "bilinear: four neighbours",
    "qup": "Q-UP: source pixels",
    "cpt-image": "CPT: prototypes of the image",
    "cpt": "CPT: prototypes and memory",
    "dilated": "dilated: plain classifier at stride 8",
    "fpn": "SemanticFPN, trained jointly",
    "fpn-cut": "SemanticFPN behind the cuts, tokens of its own",
    "hfgd": "HFGD: class tokens guide the upsampler",
}


@dataclass(frozen=True)
class ModelCard:
    """What a page says of a model before running it."""

    id: str
    title: str
    method: str
    sources: str | None  # CPT's kind of sources; None for other methods
    backbone: str
    classes: tuple[str, ...]
    parameters: int
    mIoU: float | None  # percent, on the split named in provenance
    boundary_IoU: float | None  # percent
    memory_share: float | None  # μ; None without memory
    path: Path
    hash: str  # SHA-256 of the file, hex
    provenance: dict[str, Any]

    def json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "method": self.method,
            "sources": self.sources,
            "backbone": self.backbone,
            "classes": list(self.classes),
            "parameters": self.parameters,
            "mIoU": self.mIoU,
            "boundary_IoU": self.boundary_IoU,
            "memory_share": self.memory_share,
            "hash": self.hash,
            "provenance": self.provenance,
        }


def models_dir(given: str | Path | None = None) -> Path:
    """The folder of models: the argument, else LOUPE_MODELS, else the shipped ones."""
    return Path(given or os.environ.get("LOUPE_MODELS") or ASSETS / "models")


def card(header: Header) -> ModelCard:
    """The card of one checkpoint; hashes its file."""
    spec, provenance = header.spec, header.provenance
    name = header.path.stem
    return ModelCard(
        id=name,
        title=TITLES.get(name, name),
        method=spec.method,
        sources=spec.sources if spec.method == "cpt" else None,
        backbone=spec.backbone,
        classes=spec.classes,
        parameters=header.parameters,
        mIoU=_number(provenance.get("mIoU")),
        boundary_IoU=_number(provenance.get("boundary_IoU")),
        memory_share=spec.memory_share if spec.remembers else None,
        path=header.path,
        hash=file_hash(header.path),
        provenance=provenance,
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def read_catalogue(folder: Path) -> tuple[dict[str, ModelCard], dict[str, str]]:
    """(id → card, file name → why it cannot be used). Backbones and memory moments are passed over."""
    cards: dict[str, ModelCard] = {}
    problems: dict[str, str] = {}
    for path in sorted(folder.glob("*.safetensors")):
        if path.name == "backbone.safetensors" or path.name.endswith(".memory.safetensors"):
            continue
        try:
            cards[path.stem] = card(read_header(path))
        except LoupeError as error:
            problems[path.name] = str(error)
        except OSError as error:
            problems[path.name] = f"{path.name} cannot be read: {error.strerror}"
    known = [name for name in TITLES if name in cards]
    return {name: cards[name] for name in [*known, *sorted(set(cards) - set(known))]}, problems
