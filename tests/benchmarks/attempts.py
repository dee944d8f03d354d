"""What was tried to make a pass faster, each beside the pass as it is: kept or not, docs/performance.md says with these figures.

    python -m tests.benchmarks.attempts [--size 512] [--model cpt] [--no-compile] [--json]

All variants take turns in one process, so that a noisy machine is noisy for all of them. For each: milliseconds an image
(median), the ratio to the pass as it is, and how far the logits are from it (largest difference over largest logit; share of
pixels whose category is the same).
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROUNDS = 15
BATCH = 4


def variants(model: Any, images: np.ndarray, compiled: bool) -> dict[str, tuple[int, Callable[[], Tensor]]]:
    """Name → (images of a call, the call). The first one is the pass as it is."""
    one, many = model.normalise(images[:1]), model.normalise(images)
    plain = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    device = one.device

    def half() -> Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return model(one).float()

    found: dict[str, tuple[int, Callable[[], Tensor]]] = {
        "as it is": (1, lambda: model(one)),
        "contiguous input (NCHW)": (1, lambda: model(one.contiguous())),
        "contiguous weights": (1, lambda: plain(one)),
        "both contiguous": (1, lambda: plain(one.contiguous())),
        "bf16 autocast": (1, half),
        f"a batch of {BATCH}": (BATCH, lambda: model(many)),
        "inference_mode": (1, lambda: _inference(model, one)),
        "a trace, which keeps what it computes": (1, lambda: model.trace(one).logits),
    }
    if device.type == "cpu" and torch.get_num_threads() > 1:
        found["images side by side, one thread each"] = (BATCH, lambda: _side_by_side(model, many))
    if compiled:
        decoder = copy.deepcopy(model)
        decoder.decoder.forward = torch.compile(decoder.decoder.forward)
        found["compiled decoder"] = (1, lambda: decoder(one))
    return found


def _inference(model: Any, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return model(x)


def _side_by_side(model: Any, many: Tensor) -> Tensor:
    """As walks over datasets run on a CPU: each core its own image."""
    cores = torch.get_num_threads()
    with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        found = list(pool.map(lambda x: _alone(model, x), many.split(1)))
    torch.set_num_threads(cores)
    return torch.cat(found)


def _alone(model: Any, x: Tensor) -> Tensor:
    with torch.no_grad():  # per thread
        return model(x)


@torch.no_grad()
def measure(name: str, size: int, compiled: bool, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """One row for each variant."""
    from PIL import Image

    from engine import Engine, checkpoints
    from engine.data.datasets import open_dataset

    engine = Engine()
    model = checkpoints.load(engine.card(name).path, engine.device).segmenter
    scenes = open_dataset("scenes-val")
    images = np.stack(
        [np.asarray(Image.fromarray(scenes[i].image).resize((size, size))) for i in range(BATCH)]
    )
    tried = variants(model, images, compiled)
    wait = torch.cuda.synchronize if engine.device.type == "cuda" else lambda: None
    times: dict[str, list[float]] = {each: [] for each in tried}
    begun, results = {}, {}
    for each, (_, call) in tried.items():
        start = time.perf_counter()
        results[each] = call()
        wait()
        begun[each] = time.perf_counter() - start
        call()
    order = np.random.default_rng(
        0
    )  # whoever comes first in every turn would pay for what the last one left in the caches
    for _ in range(rounds):
        for each in order.permutation(list(tried)):
            count, call = tried[each]
            wait()
            start = time.perf_counter()
            call()
            wait()
            times[each].append((time.perf_counter() - start) / count)
    base = "as it is"
    truth = results[base]
    rows = []
    for each in tried:
        logits = results[each][:1].float()
        rows.append(
            {
                "variant": each,
                "ms": 1000 * statistics.median(times[each]),
                "ratio": statistics.median(times[each]) / statistics.median(times[base]),
                "first_s": begun[each],
                "difference": float((logits - truth).abs().max() / truth.abs().max()),
                "same": float((logits.argmax(1) == truth.argmax(1)).float().mean()),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.attempts")
    parser.add_argument("--model", default="cpt")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = measure(asked.model, asked.size, not asked.no_compile)
    if asked.json:
        print(json.dumps(rows))
        return
    print(
        f"{asked.model}, {asked.size}×{asked.size}, torch {torch.__version__.split('+')[0]}, {torch.get_num_threads()} threads"
    )
    print(f"{'variant':40}{'ms':>9}{'ratio':>8}{'first, s':>10}{'difference':>12}{'same, %':>10}")
    for row in rows:
        print(
            f"{row['variant']:40}{row['ms']:9.1f}{row['ratio']:8.2f}{row['first_s']:10.1f}{row['difference']:12.1e}"
            f"{100 * row['same']:10.2f}"
        )


if __name__ == "__main__":
    main()
