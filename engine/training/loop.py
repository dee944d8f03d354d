"""The training loop: one for every task.

    for t in 0..T−1:  dropout ← f(seed, t);  batch ← f(seed, t);  loss = Σ losses;  clip;  AdamW or Muon;  schedules

Every random draw is a function of (seed, t), so what a step does depends only on the weights, the optimiser and t. That is
all the resume file has to hold: a run that was killed and started again ends with the same weights as one that was not.
The file is replaced atomically every `save_every` steps and removed at the end.

Several processes: `torchrun --nproc-per-node N -m engine train RECIPE`, on one machine or many. Each has its share of every
batch; gradients are averaged (DDP), BatchNorm counts over all processes (`engine.training.sync_norm`), the memory bank and the
mask loss average over all (`engine.decoders.prototypes`, `engine.losses`). The first process writes.

Weights without decay: everything one-dimensional (biases, norms). The backbone learns at `backbone_rate` of the rate.
"""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from engine.errors import LoupeError
from engine.training.batches import Batch, Sampler, Share, prefetched
from engine.training.processes import launched
from engine.training.recipes import Recipe
from engine.training.resume import read_state, write_state
from engine.training.schedules import rate
from engine.training.sync_norm import synchronised
from engine.writing import sweep, swept, why

Tell = Callable[[str], None]
"""Gets one line each on what an earlier run left, and on what cannot be kept."""

Progress = Callable[[int, int, dict[str, Any]], None]
"""Called after a step with finished steps, all steps, and {"loss", "rate", "seconds", …}."""

MOMENTUM = 0.9  # [author]
PACKAGES = ("torch", "timm", "lightning-fabric", "torchmetrics", "numpy")


class Task(Protocol):
    """What is learned. The loop knows nothing else about it."""

    objective: nn.Module
    """forward(images (b, S, S, 3) uint8, labels (b, S, S) int64, modes likewise or None) → dict name → scalar loss."""

    @property
    def sampler(self) -> Sampler: ...

    def backbone_parameters(self) -> Iterable[nn.Parameter]: ...
    def separate_parameters(self) -> list[nn.Parameter]:
        """Those that one of the losses trains alone; they are clipped apart, so that no loss rescales another's step."""
        ...

    def before_step(self, step: int) -> None: ...
    def after_step(self, finished: int) -> None: ...
    def watch(self, device: torch.device) -> dict[str, Any]: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...
    def finish(self, path: Path, provenance: dict[str, Any], device: torch.device) -> None: ...


def train(
    recipe: Recipe,
    out: Path,
    *,
    device: str = "auto",
    seed: int | None = None,
    steps: int | None = None,
    resume: bool = True,
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> Path:
    """Trains a recipe and returns the checkpoint's path.

    out: a folder (the file is then `<recipe name>.safetensors`) or a .safetensors file. `seed` and `steps` override the recipe's.
    With `resume`, a run that was interrupted continues from its resume file beside `out`. Raises LoupeError when that file was
    made by another recipe, when data or device are missing, and when the checkpoint cannot be written.
    """
    changes = {key: value for key, value in (("seed", seed), ("steps", steps)) if value is not None}
    recipe = dataclasses.replace(recipe, **changes)
    path = out if out.suffix == ".safetensors" else out / f"{recipe.name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    fabric = launched(recipe, device)
    with fabric.rank_zero_first():  # the first process writes what caches the data lack
        task = make_task(recipe)
    return run(recipe, task, path, fabric, resume=resume, progress=progress, tell=tell)


def make_task(recipe: Recipe) -> Task:
    """Opens the data and builds the model of a recipe; its random weights depend on the seed only."""
    torch.manual_seed(recipe.seed)
    if recipe.task == "recognition":
        from engine.training.pretraining import RecognitionTask

        return RecognitionTask(recipe)
    from engine.training.segmentation import SegmentationTask

    return SegmentationTask(recipe)


def run(
    recipe: Recipe,
    task: Task,
    path: Path,
    fabric: Any,
    *,
    resume: bool,
    progress: Progress | None,
    tell: Tell | None = None,
) -> Path:
    """The loop itself, on a task already made; fabric: launched. progress, tell: of the first process alone."""
    progress = progress if fabric.is_global_zero else None
    if tell is None or not fabric.is_global_zero:
        tell = _nobody
    if fabric.world_size > 1:
        task.objective = synchronised(task.objective, fabric.device)
    optimiser = make_optimiser(task, recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, [_factor(group["lr"], recipe) for group in optimiser.param_groups]
    )
    objective, stepper = fabric.setup(task.objective.train(), optimiser)
    clipped = clip_groups(task)
    state_path = path.with_name(path.stem + ".resume.pt")
    if fabric.is_global_zero and (halves := sweep(path.parent, f"{path.stem}.*")):
        tell(swept(halves, path.parent))
    start = 0
    history: list[dict[str, Any]] = []
    if resume and state_path.is_file():
        state = read_state(state_path, recipe)
        task.objective.load_state_dict(state["objective"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        task.restore(state["task"])
        start, history = state["step"], state["history"]
        tell(f"goes on from {state_path.name}, after step {start} of {recipe.steps}")
    else:
        task.after_step(0)
    began, kept = time.monotonic(), True
    sampler = Share(task.sampler, fabric.global_rank, fabric.world_size)
    for step, batch in enumerate(prefetched(sampler, start, recipe.steps), start):
        task.before_step(step)
        losses = optimise(fabric, objective, stepper, batch, recipe, step, clipped)
        schedule.step()
        finished = step + 1
        task.after_step(finished)
        figures = {name: float(fabric.all_reduce(value, reduce_op="mean")) for name, value in losses.items()}
        figures["loss"] = sum(figures.values())
        skipped = getattr(task.sampler, "skipped", {})
        if skipped:
            figures["skipped"] = len(skipped)
        if not figures["loss"] < float("inf"):
            raise LoupeError(
                f"Training of {recipe.name} diverged: the loss at step {finished} is {figures['loss']}."
            )
        if recipe.watch_every and finished % recipe.watch_every == 0:
            seen = task.watch(fabric.device)
            history.append({"step": finished} | seen)
            figures |= seen
        if finished % recipe.save_every == 0 and finished < recipe.steps and fabric.is_global_zero:
            try:
                write_state(state_path, recipe, finished, task, optimiser, schedule, history)
                kept = True
            except OSError as error:
                # A run need not end for that: there may be room again before it is killed or done.
                if kept:
                    tell(f"step {finished} cannot be kept for resuming ({why(error)}); the training goes on")
                kept = False
        if progress is not None:
            seconds = (time.monotonic() - began) / (finished - start)
            progress(
                finished, recipe.steps, figures | {"rate": schedule.get_last_lr()[0], "seconds": seconds}
            )
    if fabric.is_global_zero:
        lost = {"skipped": dict(skipped)} if (skipped := getattr(task.sampler, "skipped", {})) else {}
        task.finish(path, provenance(recipe) | {"history": history} | lost, fabric.device)
        state_path.unlink(missing_ok=True)
    fabric.barrier()  # no process ends before the checkpoint is there
    return path


def _nobody(said: str) -> None:
    pass


def make_optimiser(task: Task, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW, or Muon: orthogonalised momentum for matrices and kernels at AdamW's scale, AdamW for everything else."""
    groups = parameter_groups(task, recipe)
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=MOMENTUM)
    from timm.optim.muon import Muon

    return Muon(groups, lr=recipe.learning_rate, betas=(0.9, 0.999))


def clip_groups(task: Task) -> list[list[nn.Parameter]]:
    """The sets of parameters whose gradient norms are limited apart from each other."""
    separate = task.separate_parameters()
    apart = {id(p) for p in separate}
    rest = [p for p in task.objective.parameters() if p.requires_grad and id(p) not in apart]
    return [group for group in (rest, separate) if group]


def parameter_groups(task: Task, recipe: Recipe) -> list[dict[str, Any]]:
    """The optimiser's groups: head and backbone, each with and without decay; one-dimensional parameters have none."""
    backbone = {id(p) for p in task.backbone_parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in task.objective.parameters():
        if parameter.requires_grad:
            groups.setdefault((id(parameter) in backbone, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": recipe.learning_rate * (recipe.backbone_rate if in_backbone else 1.0),
            "weight_decay": recipe.weight_decay * (recipe.backbone_decay if in_backbone else 1.0)
            if decays
            else 0.0,
        }
        for (in_backbone, decays), parameters in groups.items()
    ]


def provenance(recipe: Recipe) -> dict[str, Any]:
    """Where a checkpoint comes from: recipe, seed, steps, versions, date (UTC)."""
    from engine.data import scenes

    return {
        "recipe": recipe.json(),
        "seed": recipe.seed,
        "step": recipe.steps,
        "scenes_version": scenes.VERSION,
        "packages": {name: metadata.version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _factor(base: float, recipe: Recipe) -> Callable[[int], float]:
    """The schedule of a group whose full rate is `base`, as a factor on it."""
    if not base:
        return lambda step: 0.0
    return lambda step: rate(step, recipe.steps, recipe.warmup, recipe.power, base, recipe.floor) / base


def optimise(
    fabric: Any,
    objective: nn.Module,
    optimiser: Any,
    batch: Batch,
    recipe: Recipe,
    step: int,
    clipped: Sequence[Sequence[nn.Parameter]],
) -> Mapping[str, Tensor]:
    """Optimiser step `step`, on all parts of a batch; returns the losses by name. clipped: `clip_groups`.

    fabric: asked for its `device`, `global_rank`, `backward` and `no_backward_sync` alone.
    """
    # Dropout is drawn apart in each process; the first one's is that of a process alone.
    torch.manual_seed((recipe.seed * 1_000_003 + step) + 1_000_000_007 * fabric.global_rank)
    optimiser.zero_grad(set_to_none=True)
    parts, total = recipe.accumulate, {}
    for part in range(parts):
        piece = batch if parts == 1 else batch.part(part, parts)
        images, labels = (torch.from_numpy(a).to(fabric.device) for a in (piece.images, piece.labels))
        modes = None if piece.modes is None else torch.from_numpy(piece.modes).to(fabric.device).long()
        with fabric.no_backward_sync(objective, enabled=part < parts - 1):
            losses = objective(images, labels.long(), modes)
            if parts > 1:
                losses = {name: loss / parts for name, loss in losses.items()}
            fabric.backward(sum(losses.values()))
        for name, loss in losses.items():
            total[name] = total.get(name, 0) + loss.detach()
    for group in clipped:
        nn.utils.clip_grad_norm_(group, recipe.clip)
    optimiser.step()
    return total
