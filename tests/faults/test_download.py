"""Killed amid a download of weights: half of it is never taken for the file, and the next try has the whole."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.faults.hub import Hub
from tests.faults.nursery import PATIENCE, Nursery


def snapshots(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("snapshots/*/*") if path.exists()]


def test_half_a_download_is_no_file_and_the_next_try_completes(nursery: Nursery, hub: Hub):
    wanted = nursery.run("drawn_weights").lines[-1]["hash"]

    hub.sends, hub.cuts = 0.5, False
    hub.halfway.clear()
    pid = nursery.start("weights")
    assert hub.halfway.wait(PATIENCE)
    os.kill(pid, signal.SIGKILL)
    assert nursery.wait(pid).code == -signal.SIGKILL
    assert not snapshots(hub.folder), "half a file has no name that is read"

    hub.sends, hub.cuts = 0.5, True
    broken = nursery.run("weights", seconds=0.0)
    (said,) = broken.lines
    assert said["error"].startswith('backbone "test_resnet" cannot be had with its weights: ')
    assert "\n" not in said["error"] and "Traceback" not in broken.err
    assert not snapshots(hub.folder)

    hub.sends = 1.0
    assert nursery.run("weights").lines[-1] == {"hash": wanted}
    (there,) = snapshots(hub.folder)
    assert there.read_bytes() == hub.data
