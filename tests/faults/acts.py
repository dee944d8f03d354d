"""What the processes of these tests do: the real commands and stores, with a way to die in the midst of a write."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

CHUNK = 2  # images of a shard of the small atlases


def ready() -> None:
    """Imports what the acts need, before anything is forked and while there is one thread."""
    import lightning_fabric  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import streamlit.testing.v1  # noqa: F401
    import torch

    import engine.audit
    import engine.cli
    import engine.training.loop
    import engine.training.segmentation  # noqa: F401
    from engine.data import datasets

    torch.set_num_threads(1)
    datasets.DATA_ROOT = Path(os.environ["LOUPE_FAULTS_DATA"])


def dies(amid: str, nth: int) -> None:
    """The process is killed amid the n-th writing of a file whose name holds `amid`: half of it is on the disk then."""
    from engine import writing

    flush, met = writing._flush, 0

    def half(path: Path, how: int) -> None:
        nonlocal met
        if amid and amid in path.name and path.is_file():
            met += 1
            if met == nth:
                os.truncate(path, path.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
        flush(path, how)

    writing._flush = half


def train(recipe: str, out: str, amid: str = "", nth: int = 1) -> int:
    """`python -m engine train`."""
    from engine import cli

    dies(amid, nth)
    return cli.main(["train", recipe, "--out", out, "--device", "cpu"])


def atlas(model: str, out: str, limit: int, amid: str = "", nth: int = 1) -> int:
    """`python -m engine atlas`, in small chunks that are kept at once."""
    from engine import cli

    _small_walks()
    dies(amid, nth)
    command = ["atlas", "--model", model, "--out", out, "--limit", str(limit), "--batch", "2", "--rows", "8"]
    return cli.main([*command, "--device", "cpu"])


def atlas_of_the_app(model: str, out: str, limit: int, amid: str = "", nth: int = 1) -> int:
    """The walk that the Prototypes page begins, in the process that it begins."""
    from app import atlas_walk

    _small_walks()
    dies(amid, nth)
    os.nice = lambda _: 0
    return atlas_walk.main(model, "scenes-val", str(limit), out, "cpu")


def _small_walks() -> None:
    from engine.atlas import memory_effect, price, walk

    walk.CHUNK, walk.SAVE_SECONDS, walk.EFFECT_IMAGES = CHUNK, 0.0, 1
    memory_effect.WALKED = 1
    memory_effect.RESAMPLES = price.RESAMPLES = 10


def weights(seconds: float = 1000.0) -> int:
    """Pretrained weights, by the code that recipes with `pretrained = true` run. seconds: that a retry may be waited for."""
    import time

    from engine import LoupeError
    from engine.backbones import build_backbone
    from engine.checkpoints import state_hash
    from tests.faults.hub import MODEL

    sleep = time.sleep
    time.sleep = lambda wanted: sleep(min(wanted, seconds))
    try:
        said = {"hash": state_hash(build_backbone(MODEL, pretrained=True))}
    except LoupeError as error:
        said = {"error": str(error)}
    say(**said)
    return 0


def drawn_weights() -> int:
    """The hash of what the hub has, never downloaded."""
    import timm
    import torch

    from engine.backbones import build_backbone
    from engine.checkpoints import state_hash
    from tests.faults.hub import MODEL

    backbone = build_backbone(MODEL)
    torch.manual_seed(5)
    state = timm.create_model(MODEL).state_dict()
    backbone.body.load_state_dict({name: state[name] for name in backbone.body.state_dict()})
    say(hash=state_hash(backbone))
    return 0


def say(**found: Any) -> None:
    """One JSON object for the test."""
    print(json.dumps(found, default=str))
    sys.stdout.flush()
