"""Speed and memory of the engine, each as a ratio of two things measured in the same run.

Inputs are a shipped scene, enlarged, and the shipped models: real weights, real pixels; where only sizes matter, noise. Times are
medians; the two sides of a ratio take turns, so that a busy machine slows both. Peak memory is what the run allocates beyond
what was there.
"""

from __future__ import annotations

import copy
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from engine.bench_decoder import decoder_against_plain
from engine.bench_device import device_against_floor
from engine.catalogue import ASSETS
from engine.checkpoints import save
from engine.costs import multiply_adds
from engine.edits import Ablate
from engine.errors import LoupeError
from engine.images import LoadedImage
from engine.losses import segmentation_losses
from engine.measuring import Row, alternate, peak_bytes, seconds
from engine.runtime import Engine
from engine.segmenter import SegmenterSpec, build


def run(device: str = "auto", only: str | None = None, precision: str = "fp32") -> list[Row]:
    """All measurements whose name contains `only`.

    Raises:
        LoupeError: no such measurement, none that this device allows, or no demo models.
    """
    engine = Engine(device=device, precision=precision)
    chosen = [m for m in MEASUREMENTS if only is None or only in m]
    if not chosen:
        raise LoupeError(f'no measurement "{only}": there are {", ".join(MEASUREMENTS)}')
    rows = [row for name in chosen for row in MEASUREMENTS[name](engine)]
    if not rows:
        raise LoupeError(f"{', '.join(chosen)}: measured on a CUDA device only, this is {engine.device.type}")
    return rows


def scene(size: int) -> np.ndarray:
    """The first sample scene at `size` × `size`, (size, size, 3) uint8. No generator: a bare GPU machine lacks SciPy."""
    files = sorted(p for p in (ASSETS / "scenes").glob("*.png") if p.stem.isdigit())
    if not files:
        raise LoupeError(f"no sample scene in {ASSETS / 'scenes'}")
    with Image.open(files[0]) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


def trace_against_forward(engine: Engine) -> Iterable[Row]:
    """`engine.trace` of an image it has not seen, against a plain forward of a copy of the weights that keeps nothing."""
    for model in ("cpt", "qup"):
        pixels = scene(512)
        segmenter = copy.deepcopy(engine.segmenter(model))
        picture = engine.image(pixels)

        def forward(segmenter=segmenter, pixels=pixels) -> None:
            with torch.no_grad(), engine.autocast():
                segmenter(segmenter.normalise(pixels))

        def trace(model=model, picture=picture) -> None:
            engine.clear()
            engine.trace(model, picture)

        traced, plain = alternate(trace, forward, engine.device, rounds=21)
        yield Row(f"trace, {model} 512²", 1e3 * traced, 1e3 * plain, "ms", 1.15, "against a plain forward")
        engine.clear()
        peaks = [
            peak_bytes(f, engine.device) / 2**20 for f in (partial(engine.trace, model, picture), forward)
        ]
        yield Row(f"trace peak, {model} 512²", peaks[0], peaks[1], "MiB", 1.25, "against a plain forward")
        engine.clear()


def row_against_matrix(engine: Engine) -> Iterable[Row]:
    """One affinity row at the finest stage, against materialising the whole affinity."""
    stage = engine.trace("qup", scene(512)).stages[-1]
    row, matrix = alternate(
        lambda: stage.affinity(40, 70), lambda: stage.affinity_block(slice(None)), engine.device, rounds=5
    )
    size = f"{stage.grid[0] * stage.grid[1]} × {stage.source_count}, {stage.heads} heads"
    yield Row(
        "affinity row, qup 512² stride4", 1e3 * row, 1e3 * matrix, "ms", 1 / 200, f"against the matrix {size}"
    )


def second_trace(engine: Engine) -> Iterable[Row]:
    """The second trace of the same image and model, against the first."""
    picture = engine.image(scene(512))

    def first() -> None:
        engine.clear()
        engine.trace("cpt", picture)

    one, two = alternate(first, lambda: engine.trace("cpt", picture), engine.device, rounds=7)
    yield Row("second trace, cpt 512²", 1e3 * two, 1e3 * one, "ms", 1 / 100, "against the first")


def shared_backbone(engine: Engine) -> Iterable[Row]:
    """A model whose backbone's weights another model has already run on this image, against a cold trace of it.

    `hfgd` and `fpn-cut` share them exactly: behind its cuts the guide branch never notices which tokens the upsampler has.
    """
    picture = engine.image(scene(512))
    for model in ("hfgd", "fpn-cut"):  # warm models: what is timed is traces
        engine.trace(model, picture)

    def cold() -> None:
        engine.clear()
        engine.trace("hfgd", picture)

    warm, whole = [], []
    for turn in range(15):
        engine.clear()
        engine.trace("fpn-cut", picture)
        kept = seconds(lambda: engine.trace("hfgd", picture), engine.device)
        if turn:
            warm.append(kept)
            whole.append(seconds(cold, engine.device))
    yield Row(
        "trace on a known backbone, hfgd 512²",
        1e3 * statistics.median(warm),
        1e3 * statistics.median(whole),
        "ms",
        0.75,
        "against a cold trace; fpn-cut shares its backbone's weights",
    )


def gradients_against_step(engine: Engine) -> Iterable[Row]:
    """The gradient matrix of one image, against one training step (forward, backward, AdamW) of the same model on it."""
    pixels = scene(256)
    segmenter = engine.segmenter("hfgd")
    trained = copy.deepcopy(segmenter).train().requires_grad_(True)
    optimiser = torch.optim.AdamW(trained.parameters(), lr=0.0)
    labels = engine.trace("hfgd", pixels).labels.long()
    truth, images = labels.cpu().numpy(), trained.normalise(pixels)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        sum(segmentation_losses(trained.predict(images), labels[None]).values()).backward()  # pyright: ignore[reportAttributeAccessIssue]
        optimiser.step()

    matrix, plain = alternate(lambda: engine.gradients("hfgd", pixels, truth), step, engine.device, rounds=9)
    yield Row("gradient matrix, hfgd 256²", 1e3 * matrix, 1e3 * plain, "ms", 3.0, "against one training step")


def edit_against_floor(engine: Engine) -> Iterable[Row]:
    """One edit (a prototype masked at one stage) against a cold trace, which starts from pixels.

    The demo model: against its floor, the share of a cold trace's multiply-adds that depend on the edit. ResNet-50 and 150
    categories, as large as the published one and untrained: against the cold trace itself. What an edited run keeps of the
    unedited one is warm.
    """
    picture = engine.image(scene(512))
    for stage, share, edited, cold in _edit_costs(engine, "cpt", picture, rounds=15):
        yield Row(
            f"edit at {stage}, cpt 512²",
            1e3 * edited,
            1e3 * share * cold,
            "ms",
            1.2,
            f"against {100 * share:.0f} % (its multiply-adds) of a cold trace, {1e3 * cold:.0f} ms",
        )
    torch.manual_seed(0)
    spec = SegmenterSpec("resnet50c", tuple(f"category {i}" for i in range(150)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet50.safetensors"
        save(path, build(spec), {"recipe": "untrained"})
        costs = list(_edit_costs(engine, path, picture, rounds=5))
    for (stage, share, edited, cold), bound in zip(costs, (0.85, 0.45), strict=True):
        yield Row(
            f"edit at {stage}, R50 512², 150 categories",
            1e3 * edited,
            1e3 * cold,
            "ms",
            bound,
            f"against a cold trace; {100 * share:.0f} % of its multiply-adds",
        )


def _edit_costs(
    engine: Engine, model: str | Path, picture: LoadedImage, rounds: int
) -> Iterator[tuple[str, float, float, float]]:
    """(stage, share of a cold trace's multiply-adds, seconds of an edit, of a cold trace): coarsest and finest stage."""
    subject = engine.subject(model)

    def cold() -> None:
        engine.clear()
        engine.trace(model, picture)

    def edit(stage: str, category: int) -> None:
        engine.trace(model, picture, edits=[Ablate(subject.classes[category], stage=stage)])

    stages = (subject.stages[0], subject.stages[-1])
    cold()  # to warm up
    flops = multiply_adds(cold)
    edit(stages[0], 0)  # what edits keep of the unedited run
    shares = [multiply_adds(partial(edit, stage, 1)) / flops for stage in stages]
    whole: list[float] = []
    edited: dict[str, list[float]] = {stage: [] for stage in stages}
    for _ in range(rounds):
        whole.append(seconds(cold, engine.device))
        edit(stages[0], 0)
        for stage in stages:
            edited[stage].append(seconds(partial(edit, stage, 1), engine.device))
    for stage, share in zip(stages, shares, strict=True):
        yield stage, share, statistics.median(edited[stage]), statistics.median(whole)


MEASUREMENTS: dict[str, Callable[[Engine], Iterable[Row]]] = {
    "trace": trace_against_forward,
    "row": row_against_matrix,
    "second": second_trace,
    "known": shared_backbone,
    "gradients": gradients_against_step,
    "edit": edit_against_floor,
    "decoder": decoder_against_plain,
    "device": device_against_floor,
}
