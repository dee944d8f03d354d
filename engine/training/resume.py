"""The resume file of a training: what a step depends on, beside the checkpoint to come. It is replaced as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from engine.errors import LoupeError
from engine.training.recipes import Recipe
from engine.writing import whole


def write_state(
    path: Path,
    recipe: Recipe,
    step: int,
    task: Any,
    optimiser: Any,
    schedule: Any,
    history: list[dict[str, Any]],
) -> None:
    """Keeps the state after `step` steps. Raises OSError where the disk does not take it; what was there then stays."""
    state = {
        "recipe": recipe.json(),
        "step": step,
        "objective": task.objective.state_dict(),
        "optimiser": optimiser.state_dict(),
        "schedule": schedule.state_dict(),
        "task": task.state(),
        "history": history,
    }
    # By a file of Python's: given a name, torch says what went wrong with the archive and not with the disk.
    with whole(path) as partial, partial.open("wb") as file:
        torch.save(state, file)


def read_state(path: Path, recipe: Recipe) -> dict[str, Any]:
    """What `write_state` kept, by the same names.

    Raises:
        LoupeError: a file that cannot be read, or of another recipe.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # truncated archives raise many kinds
        raise LoupeError(f"The resume file {path.name} cannot be read: delete it to start again.") from error
    if state["recipe"] != recipe.json():
        raise LoupeError(f"The resume file {path.name} belongs to another recipe: delete it to start again.")
    return state
