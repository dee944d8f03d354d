"""How far colour and texture alone go: the mIoU of a classifier that sees nothing but a 5×5 neighbourhood. [choice]

A world in which this figure is high is a colouring book, and says nothing about decoders that gather context. Two
classifiers are offered, a small network and boosted trees (scikit-learn). The figure grows with the pixels and the steps
given to it: say them beside it. `python -m engine.data.colouring_book --help`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from engine.data.categories import CLASS_NAMES
from engine.data.scenes import render

_RADIUS = 2
Predict = Callable[[np.ndarray], np.ndarray]


def patches(image: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """The 5×5 neighbourhoods of pixels (rows, cols), edges repeated: (n, 75) uint8, channel-major."""
    padded = np.pad(image, ((_RADIUS, _RADIUS), (_RADIUS, _RADIUS), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(0, 1))
    return windows[rows, cols].reshape(len(rows), -1)


def features(raw: np.ndarray) -> np.ndarray:
    """(n, 75) neighbourhoods → (n, 93): pixels, then mean, spread, extremes and two slopes per channel."""
    cube = raw.reshape(-1, 3, 5, 5).astype(np.float32)
    flat = cube.reshape(len(cube), 3, 25)
    across = cube[:, :, :, 3:].mean((2, 3)) - cube[:, :, :, :2].mean((2, 3))
    down = cube[:, :, 3:].mean((2, 3)) - cube[:, :, :2].mean((2, 3))
    parts = [flat.reshape(len(cube), -1), flat.mean(2), flat.std(2), flat.min(2), flat.max(2), across, down]
    return np.concatenate(parts, axis=1)


def _sample(seeds: range, each: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    found = []
    for seed in seeds:
        scene = render(seed)
        rows, cols = (rng.integers(0, side, each) for side in scene.labels.shape)
        found.append((patches(scene.image, rows, cols), scene.labels[rows, cols]))
    return features(np.concatenate([pixels for pixels, _ in found])), np.concatenate(
        [each for _, each in found]
    )


def _trees(pixels: np.ndarray, labels: np.ndarray, steps: int) -> Predict:
    from sklearn.ensemble import HistGradientBoostingClassifier

    settings: dict[str, Any] = {"max_iter": steps, "max_leaf_nodes": 31, "early_stopping": False}
    return (
        HistGradientBoostingClassifier(learning_rate=0.15, random_state=0, **settings)
        .fit(pixels, labels)
        .predict
    )


def _network(pixels: np.ndarray, labels: np.ndarray, steps: int, width: int = 128) -> Predict:
    import torch

    mean, spread = pixels.mean(0), pixels.std(0) + 1e-3
    known, truth = torch.from_numpy((pixels - mean) / spread), torch.from_numpy(labels.astype(np.int64))
    draw = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [torch.nn.Linear(known.shape[1], width), torch.nn.ReLU(), torch.nn.Linear(width, width)]
        network = torch.nn.Sequential(*layers, torch.nn.ReLU(), torch.nn.Linear(width, len(CLASS_NAMES)))
    optimiser = torch.optim.AdamW(network.parameters(), 4e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a batch only waits for a second thread
    try:
        for _ in range(steps):
            batch = torch.randint(len(known), (1024,), generator=draw)
            loss = torch.nn.functional.cross_entropy(network(known[batch]), truth[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    finally:
        torch.set_num_threads(threads)

    @torch.no_grad()
    def predict(unknown: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy((unknown - mean) / spread)).argmax(1).numpy()

    return predict


CLASSIFIERS = {"network": (_network, 2500), "trees": (_trees, 80)}


def measure(
    classifier: str = "network",
    train_scenes: int = 300,
    val_scenes: int = 60,
    per_scene: int = 700,
    steps: int | None = None,
) -> dict[str, Any]:
    """Learn from random pixels of training scenes; one confusion matrix over 2000 pixels of every validation scene.

    Returns {"mIoU": percent, "categories": {name: percent}, and the settings}. `steps`: of the network, or trees per
    category. Takes half a minute to a few minutes.
    """
    fit, usual = CLASSIFIERS[classifier]
    rng, count, steps = np.random.default_rng(0), len(CLASS_NAMES), steps or usual
    predict = fit(*_sample(range(train_scenes), per_scene, rng), steps)
    pixels, labels = _sample(range(1_000_000, 1_000_000 + val_scenes), 2000, rng)
    pairs = labels.astype(np.int64) * count + predict(pixels).astype(np.int64)
    confusion = np.bincount(pairs, minlength=count * count).reshape(count, count)
    union = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
    iou = 100 * np.diag(confusion) / np.maximum(1, union)
    settings = {
        "classifier": classifier,
        "train_scenes": train_scenes,
        "per_scene": per_scene,
        "steps": steps,
    }
    named = {name: round(float(value), 2) for name, value in zip(CLASS_NAMES, iou, strict=True)}
    return {"mIoU": round(float(iou.mean()), 2), "categories": named, **settings, "val_scenes": val_scenes}


def main() -> None:
    parser = argparse.ArgumentParser(
        description="The mIoU that a 5×5 neighbourhood reaches on the demo world."
    )
    parser.add_argument("--classifier", choices=CLASSIFIERS, default="network")
    parser.add_argument("--train", type=int, default=300, help="training scenes")
    parser.add_argument("--limit", type=int, default=60, help="validation scenes")
    parser.add_argument("--pixels", type=int, default=700, help="pixels of every training scene")
    parser.add_argument("--steps", type=int, help="steps of the network, or trees per category")
    options = parser.parse_args()
    found = measure(options.classifier, options.train, options.limit, options.pixels, options.steps)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
