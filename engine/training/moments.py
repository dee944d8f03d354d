"""Memory moments: the memory bank at a few dozen moments of training, beside the checkpoint.

At μ = 0.1 a bank remembers about ten steps, so every moment holds two things: the bank as it was, and its mean over the last
50 steps up to that moment. The moments are dense at the beginning (quadratic in the run's length), where most happens; the
first is step 0, before any update.

File `<name>.memory.safetensors`: for every stage, coarse → fine, `stride16.bank` (t, k, C) and `stride16.mean` (t, k, C), fp16;
`steps` (t,) int64, the finished optimiser steps. Metadata: format, checkpoint, stages, window, total steps.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.bank_time import FORMAT
from engine.writing import refusal, whole

WINDOW = 50
STAGES = ("stride16", "stride8", "stride4")


def moment_steps(steps: int, moments: int) -> list[int]:
    """Finished steps at which a moment is kept: 0 first, `steps` last, increasing; fewer than `moments` in short runs."""
    count = min(moments, steps + 1)
    chosen = [round(steps * (i / (count - 1)) ** 2) for i in range(count)] if count > 1 else [0]
    for i in range(1, count):
        chosen[i] = max(chosen[i], chosen[i - 1] + 1)
    return chosen


class MomentRecorder:
    """Follows the banks step by step and keeps the moments. Its state is plain tensors, for resuming."""

    def __init__(self, steps: int, moments: int) -> None:
        self.steps = moment_steps(steps, moments)
        self._recent: list[Tensor] = []
        self._kept: list[tuple[Tensor, Tensor]] = []

    def record(self, finished: int, banks: Sequence[Tensor]) -> None:
        """Takes the banks (1, k, C), coarse → fine, after `finished` optimiser steps."""
        now = torch.stack([bank.detach()[0].float().cpu() for bank in banks])
        self._recent = [*self._recent[-(WINDOW - 1) :], now]
        if finished in self.steps:
            self._kept.append((now, torch.stack(self._recent).mean(0)))

    def state(self) -> dict[str, Any]:
        """Tensors and lists that `restore` takes."""
        return {"recent": self._recent, "kept": self._kept}

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from `state()` of an earlier process."""
        self._recent = list(state["recent"])
        self._kept = [tuple(pair) for pair in state["kept"]]

    def write(self, path: Path, checkpoint: Path) -> None:
        """Writes the file; `checkpoint` is the model it belongs to. All moments must have been recorded."""
        from safetensors.torch import save_file

        banks = torch.stack([bank for bank, _ in self._kept])
        means = torch.stack([mean for _, mean in self._kept])
        tensors = {"steps": torch.tensor(self.steps[: len(self._kept)], dtype=torch.int64)}
        names = STAGES[: banks.shape[1]]
        for i, name in enumerate(names):
            tensors[f"{name}.bank"] = banks[:, i].half().contiguous()
            tensors[f"{name}.mean"] = means[:, i].half().contiguous()
        metadata = {
            "format": FORMAT,
            "checkpoint": checkpoint.name,
            "stages": json.dumps(names),
            "window": str(WINDOW),
            "total_steps": str(self.steps[-1]),
        }
        try:
            with whole(path) as partial:
                save_file(tensors, partial, metadata)
        except OSError as error:
            raise refusal(path, error) from error
