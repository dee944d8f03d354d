"""The strongest patches of each prototype: where in the dataset its mask logit is largest, one patch an image.

By mask logit, never by assignment: an assignment sums to 1 over an image whether or not the category is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from engine.atlas.partial import Rows
from engine.cell_labels import majority_labels
from engine.trace import Stage, Trace

MOST = 24  # patches of each prototype
WINDOW = 16  # cells a side of the assignment that is kept around a patch


class Labels(Protocol):
    def majority(self, grid: tuple[int, int]) -> np.ndarray: ...


class PatchCollector:
    """Candidates of one batch. A row's group is stage · k + category; its key the negative logit, so that the smallest stay.

    limits (stages · k,): keys beyond these cannot stay.
    """

    def __init__(
        self,
        trace: Trace,
        batch: Sequence[tuple[int, Any]],
        predicted: np.ndarray,
        labels: Labels,
        held: Tensor,
        limits: np.ndarray | None,
    ) -> None:
        self.batch, self.predicted, self.labels = batch, predicted, labels
        self.held = held.cpu().numpy()
        self.limits = limits
        self.classes = trace.logits.shape[1]
        self._found: list[dict[str, Any]] = []

    def stage(self, order: int, stage: Stage) -> None:
        """The strongest cell of every category in every image of the batch, where it may stay."""
        if stage.mask_logits is None or stage.assignment is None:
            return
        y, x = stage.source_grid
        best = stage.mask_logits.float().flatten(2).max(-1)
        logits, cells = best.values.cpu().numpy().astype(np.float64), best.indices.cpu().numpy()
        groups = order * self.classes + np.arange(self.classes)
        stays = np.ones_like(logits, bool) if self.limits is None else -logits <= self.limits[groups]
        assignment = stage.assignment.float() if stays.any() else None
        for j in np.flatnonzero(stays.any(1)).tolist():
            assert assignment is not None
            shares = (assignment[j] * (y * x)).cpu().numpy()
            predicted = majority_labels(self.predicted[j], (y, x), self.classes)
            for category in np.flatnonzero(stays[j]).tolist():
                cell = divmod(int(cells[j, category]), x)
                window, origin = around(shares[category], cell)
                self._found.append(
                    {
                        "group": int(groups[category]),
                        "key": -logits[j, category],
                        "order": (self.batch[j][0], *cell),
                        "grid": (y, x),
                        "window": window,
                        "shape": (min(y, WINDOW), min(x, WINDOW)),
                        "origin": origin,
                        "share": shares[category][cell],
                        "true": int(self.labels.majority((y, x))[j][cell]),
                        "predicted": int(predicted[cell]),
                        "held": bool(self.held[j, category]),
                    }
                )

    def rows(self) -> Rows:
        """What was found, as a table that merges."""
        kinds = {
            "grid": np.int32,
            "window": np.float32,
            "shape": np.int32,
            "origin": np.int32,
            "share": np.float32,
        }
        kinds |= {"true": np.int16, "predicted": np.int16, "held": np.bool_}
        shapes = {"grid": (2,), "window": (WINDOW, WINDOW), "shape": (2,), "origin": (2,)}
        columns = {
            name: np.array([each[name] for each in self._found], kind).reshape(-1, *shapes.get(name, ()))
            for name, kind in kinds.items()
        }
        return Rows(
            MOST,
            np.array([each["group"] for each in self._found], np.int64),
            np.array([each["key"] for each in self._found], np.float64),
            np.array([each["order"] for each in self._found], np.int64).reshape(-1, 3),
            columns,
        )


def around(shares: np.ndarray, cell: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """(WINDOW, WINDOW) of a map (y, x) around a cell, moved inside the map, and its first cell. Smaller maps are padded by 0."""
    origin = [
        min(max(0, at - WINDOW // 2), max(0, size - WINDOW))
        for at, size in zip(cell, shares.shape, strict=True)
    ]
    part = shares[origin[0] : origin[0] + WINDOW, origin[1] : origin[1] + WINDOW]
    window = np.zeros((WINDOW, WINDOW), np.float32)
    window[: part.shape[0], : part.shape[1]] = part
    return window, (origin[0], origin[1])
