"""An audit as a process of its own:
`python -m app.audit_walk FOLDER DEVICE DATA IMAGES PIXELS DELETION_PIXELS SEED CHECKPOINT …`.

It says how far it is as one JSON object a line on stdout, writes what it has so far into the folder, and ends between two images
when its stdin is closed. app.audits starts it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from app.aside import POLITENESS, await_end, say

EVERY = 6.0  # seconds between two results so far, at least
SHARE = 0.05  # of the time that writing them may take


def main(
    folder: str, device: str, data: str, images: str, pixels: str, deletion: str, seed: str, *models: str
) -> int:
    """Audits; 0 when it is done or was stopped, 1 with an "error" line otherwise."""
    if hasattr(os, "nice"):
        os.nice(POLITENESS)
    gone = threading.Event()
    threading.Thread(target=await_end, args=(gone,), daemon=True).start()

    import torch

    from engine import Engine, LoupeError
    from engine.audit import Audit, run
    from engine.audit.files import write_audit
    from engine.data.datasets import open_dataset
    from engine.stage import Stopped

    torch.set_num_threads(1)
    due = time.monotonic() + EVERY

    def keep(audit: Audit) -> None:
        nonlocal due
        begun = time.monotonic()
        if begun >= due:
            write_audit(audit, Path(folder))
            took = time.monotonic() - begun
            due = begun + max(EVERY, took / SHARE)

    try:
        audit = run(
            Engine(device=device),
            models,
            open_dataset(data),
            pixels=int(pixels),
            limit=int(images),
            seed=int(seed),
            deletion_pixels=int(deletion),
            progress=lambda done, total, _: say({"done": done, "total": total}),
            stop=gone.is_set,
            refine=keep,
        )
        write_audit(audit, Path(folder))
    except Stopped:
        return 0
    except LoupeError as error:
        say({"error": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
