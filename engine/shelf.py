"""The models of one engine: the catalogue of its folder, and the loaded ones within a budget of bytes.

Two files with the same content are one model; a file that changes is another. Reading a model holds up no one who wants a
model that is there already.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from engine import room
from engine.cache import ByteCache, TierInfo
from engine.catalogue import ModelCard, described, models_dirs, read_catalogue
from engine.checkpoints import file_state, load, state_hash
from engine.errors import LoupeError
from engine.segmenter import Segmenter


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory. backbone_hash: two that share it share their pyramids."""

    segmenter: Segmenter
    card: ModelCard
    backbone_hash: str
    bytes: int


class Shelf:
    """Cards and models; safe for many threads.

    Args:
        folder: of checkpoints; default LOUPE_MODELS, else the shipped models and those that were added.
        device: where models live.
        model_bytes: of loaded models; the least recently used ones go.
    """

    def __init__(self, folder: str | Path | None, device: torch.device, model_bytes: int) -> None:
        self._folder = folder
        self._device = device
        self._lock = threading.RLock()  # of the small tables; never held while a model is read
        self._loading = threading.Lock()
        self._catalogue: tuple[Any, dict[str, ModelCard], dict[str, str]] | None = None
        self._models = ByteCache(model_bytes)
        self._cards: OrderedDict[tuple, ModelCard] = OrderedDict()

    def models(self) -> dict[str, ModelCard]:
        """The catalogue: id → card, demo models first. Read again when the folder's files change."""
        return dict(self._read_catalogue()[0])

    def problems(self) -> dict[str, str]:
        """Files of the models folder that cannot be used → why."""
        return dict(self._read_catalogue()[1])

    def card(self, model: str | Path) -> ModelCard:
        """The card of a catalogue id or of a checkpoint's path.

        Raises:
            LoupeError: neither.
        """
        name = str(model)
        cards, problems = self._read_catalogue()
        if name in cards:
            return cards[name]
        path = Path(name)
        if path.suffix == ".safetensors" or path.exists():
            return self._card_of(path)
        if f"{name}.safetensors" in problems:
            raise LoupeError(problems[f"{name}.safetensors"])
        raise LoupeError(
            f'no model "{name}": known are {", ".join(cards) or "none"}; a path to a .safetensors checkpoint works too'
        )

    @property
    def added_to(self) -> Path:
        """The folder that models are added to."""
        return models_dirs(self._folder)[-1]

    def info(self) -> TierInfo:
        """How full the place for loaded models is."""
        return self._models.info()

    def give_back(self) -> None:
        """Forgets loaded models: whoever uses one keeps it meanwhile."""
        self._models.clear()

    def load(self, model: str | Path | ModelCard) -> LoadedModel:
        """The model, read if it is not held. Raises as `card` and `engine.checkpoints.load` do.

        By a card it is the very checkpoint that the card is of, or none: its file may have been exchanged for another since.
        """
        wanted = model if isinstance(model, ModelCard) else self.card(model)
        loaded = self._models.get(wanted.hash)
        if loaded is None:
            with self._loading:
                loaded = self._models.get(wanted.hash)
                if loaded is None:
                    checkpoint = room.twice(
                        lambda: load(wanted.path, self._device, expected=wanted.hash),
                        f"the model {wanted.id}",
                    )
                    weights = sum(t.nbytes for t in checkpoint.segmenter.state_dict().values())
                    loaded = LoadedModel(
                        checkpoint.segmenter, wanted, state_hash(checkpoint.segmenter.backbone), weights
                    )
                    self._models.put(wanted.hash, loaded, weights)
        return loaded if loaded.card is wanted else replace(loaded, card=wanted)

    def _card_of(self, path: Path) -> ModelCard:
        key = file_state(path)
        with self._lock:
            known = self._cards.get(key)
        if known is None:
            known = described(path)
            with self._lock:
                remember(self._cards, key, known)
        return known

    def _read_catalogue(self) -> tuple[dict[str, ModelCard], dict[str, str]]:
        folders = models_dirs(self._folder)
        state = (
            folders,
            *sorted(
                (file_state(path) for folder in folders for path in folder.glob("*.safetensors")), key=str
            ),
        )
        with self._lock:
            if self._catalogue is None or self._catalogue[0] != state:
                self._catalogue = (state, *read_catalogue(folders))
            return self._catalogue[1], self._catalogue[2]


def remember(table: OrderedDict, key: tuple, value: Any, most: int = 16) -> None:
    """Keeps the value; the oldest ones go."""
    table[key] = value
    while len(table) > most:
        table.popitem(last=False)
