"""The walk of an atlas as a process of its own: `python -m app.atlas_walk CHECKPOINT DATA IMAGES FOLDER DEVICE [anew]`.

It says how far it is as one JSON object a line on stdout, and ends between two chunks of images when its stdin is closed: when
somebody stops it, and when the server that started it is gone. Where another process is building the same atlas it waits.
app.atlases starts it.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

from app.aside import POLITENESS
from app.aside import await_end as _await_end
from app.aside import say as _say

ANEW = "anew"
WAIT = 2.0  # seconds between two tries of a folder that another process holds


def main(checkpoint: str, data: str, images: str, folder: str, device: str, anew: str = "") -> int:
    """Walks; 0 when it is done or was stopped, 1 with an "error" line otherwise. anew: what the folder holds goes first."""
    if hasattr(os, "nice"):
        os.nice(POLITENESS)
    gone = threading.Event()
    threading.Thread(target=_await_end, args=(gone,), daemon=True).start()

    import torch

    from engine import Engine, LoupeError
    from engine.atlas.folder import Busy, size_of
    from engine.atlas.walk import build
    from engine.data.datasets import open_dataset
    from engine.stage import Stopped

    torch.set_num_threads(1)
    waited = False
    try:
        engine = Engine(device=device)
        segmenter, card, dataset = engine.segmenter(checkpoint), engine.card(checkpoint), open_dataset(data)
        while True:
            try:
                build(
                    segmenter,
                    card,
                    dataset,
                    Path(folder),
                    limit=max(
                        int(images), size_of(Path(folder))
                    ),  # a larger atlas is mended, not made smaller
                    device=device,
                    progress=_progress,
                    tell=lambda said: _say({"found": said}),
                    stop=gone.is_set,
                    anew=anew == ANEW and not waited,  # what another process has just made is not thrown away
                )
                break
            except Busy:
                if not waited:
                    _say({"waiting": True})
                waited = True
                if gone.wait(WAIT):
                    return 0
    except Stopped:
        return 0
    except LoupeError as error:
        _say({"error": str(error)})
        return 1
    return 0


def _progress(done: int, total: int, _: dict[str, Any]) -> None:
    _say({"done": done, "total": total})


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
