"""The processes that train together: one, or those that torchrun has started, each with its share of every batch."""

from __future__ import annotations

import os
from typing import Any

import torch

from engine.errors import LoupeError
from engine.training.recipes import Recipe


def launched(recipe: Recipe, device: str) -> Any:
    """A Fabric in whose processes this runs: one, or those that torchrun has started.

    Raises:
        LoupeError: no such device, or a batch that they cannot share.
    """
    fabric = _fabric(recipe, device)
    fabric.launch()
    check_shares(recipe, fabric.world_size)
    return fabric


def _fabric(recipe: Recipe, device: str) -> Any:
    from lightning_fabric import Fabric

    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps"):
        raise LoupeError(f"There is no device {device!r}: use auto, cpu, cuda or mps.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise LoupeError("The device cuda was asked for, but torch sees no GPU here.")
    precision = "bf16-mixed" if recipe.precision == "bf16" else "32-true"
    if os.environ.get("TORCHELASTIC_RUN_ID"):  # under torchrun, which says how many there are
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // here
        # Ablations keep norms that they do not use, so that they differ from CPT in their sources alone.
        strategy = "ddp_find_unused_parameters_true"
        return Fabric(
            accelerator=kind,
            devices=here,
            num_nodes=nodes,
            strategy=strategy,
            precision=precision,  # pyright: ignore[reportArgumentType]
        )
    devices: Any = [int(index)] if index.isdigit() and kind == "cuda" else 1
    return Fabric(accelerator=kind, devices=devices, precision=precision)  # pyright: ignore[reportArgumentType]


def check_shares(recipe: Recipe, processes: int) -> None:
    """Every process must have as many images in every part, or their gradients would not weigh the same."""
    parts = processes * recipe.accumulate
    if recipe.batch % parts or recipe.batch < 2 * parts:
        raise LoupeError(
            f"A batch of {recipe.batch} images cannot be shared by {processes} processes in {recipe.accumulate} parts: "
            "each part needs as many images, at least two."
        )
