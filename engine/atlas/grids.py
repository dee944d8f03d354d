"""The categories of a batch's cells on any grid, counted once for each grid."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine.cell_labels import counts_of, majority_of, pooled_counts


class LabelGrids:
    """Majority labels of a batch on any grid, counted once for each."""

    def __init__(self, truth: np.ndarray, classes: int, device: torch.device) -> None:
        self.truth, self.classes, self.device = truth, classes, device
        self._majority: dict[tuple[int, int], np.ndarray] = {}
        self._finest: tuple[tuple[int, int], list[tuple[np.ndarray, np.ndarray]]] | None = None
        self._one_hot: dict[tuple[int, int], Tensor] = {}

    def majority(self, grid: tuple[int, int]) -> np.ndarray:
        """(b, h, w), 255 where less than 75 % of a cell's pixels share a category."""
        if grid not in self._majority:
            self._majority[grid] = np.stack([majority_of(*counts, grid) for counts in self._counts(grid)])
        return self._majority[grid]

    def _counts(self, grid: tuple[int, int]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Pixels of each category in each cell, of every image; from a finer grid's where the cells are made of its cells."""
        if self._finest is None:
            found = [counts_of(each, grid, self.classes) for each in self.truth]
            self._finest = (grid, found)
            return found
        fine, finer = self._finest
        if fine[0] % grid[0] == 0 == fine[1] % grid[1]:
            return [pooled_counts(*counts, fine, grid) for counts in finer]
        return [counts_of(each, grid, self.classes) for each in self.truth]

    def one_hot(self, grid: tuple[int, int]) -> Tensor:
        """(b, k, h·w) fp32; 0 everywhere for mixed cells."""
        if grid not in self._one_hot:
            self._one_hot[grid] = self._compared(self.majority(grid).reshape(len(self.truth), -1))
        return self._one_hot[grid]

    def shuffled(self, grid: tuple[int, int], orders: np.ndarray) -> Tensor:
        """The same with each image's cells in another order (b, h·w)."""
        labels = self.majority(grid).reshape(len(self.truth), -1)
        return self._compared(np.take_along_axis(labels, orders, axis=1))

    def _compared(self, labels: np.ndarray) -> Tensor:
        categories = torch.arange(self.classes, device=self.device)[:, None]
        return (torch.from_numpy(labels).to(self.device)[:, None] == categories).float()
