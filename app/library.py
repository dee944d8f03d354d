"""What the Library page tells of the machine: caches in memory and on disk with their sizes, and work under way.

No streamlit here.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.atlases import Atlases
from app.audits import Audits
from app.held import Held
from app.jobs import Jobs
from app.projections import Projections
from app.surgery_walk import Walks
from engine import Engine
from engine.data.datasets import DATA_ROOT, SPLITS


@dataclass(frozen=True)
class Place:
    """A cache. bytes: in use; limit: at most, None where there is no limit; clear: makes it again as it is needed."""

    name: str
    title: str
    what: str
    bytes: int
    limit: int | None
    clear: Callable[[], None]


@dataclass(frozen=True)
class Work:
    """Something under way. fraction: 0..1; stop: ends it, keeping what is finished; None where it cannot be ended."""

    key: str
    title: str
    fraction: float
    said: str
    stop: Callable[[], None] | None


def locked() -> bool:
    """LOUPE_LOCKED=1: visitors look, and change nothing that others see: no model added, renamed or removed, no cache cleared."""
    return os.environ.get("LOUPE_LOCKED") == "1"


def give_back() -> None:
    """Returns what was freed to the machine: allocators keep it for themselves otherwise, and a cleared cache would still be seen
    in the process's size."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    with contextlib.suppress(OSError, AttributeError):  # glibc has it
        ctypes.CDLL(None).malloc_trim(0)


def in_memory(engine: Engine, served: Held, plots: Held, walks: Walks, computed: Place) -> list[Place]:
    """Caches of this process; `computed` is what pages keep of their own work."""
    info = engine.cache_info()
    tiers = [
        ("device", "Traces and pyramids on the device", info.device),
        ("host", "Traces and pyramids in memory", info.host),
    ]
    found = [
        Place(name, title, "what models did to images", tier.bytes, tier.limit, engine.clear)
        for name, title, tier in tiers
        if tier.limit
    ]
    return [
        *found,
        Place(
            "served",
            "Tensors of the viewers",
            "open viewers fetch theirs anew",
            served.used,
            served.capacity,
            served.clear,
        ),
        Place(
            "plots",
            "Points of the scatters",
            "open scatters fetch theirs anew",
            plots.used,
            plots.capacity,
            plots.clear,
        ),
        Place(
            "prepared",
            "Images made ready for edits over a split",
            "a second list of edits computes only what comes after them",
            walks.used,
            walks.capacity,
            walks.clear,
        ),
        computed,
    ]


def on_disk(atlases: Atlases, audits: Audits, projections: Projections) -> list[Place]:
    """Folders that the app writes. What is being written is not cleared."""
    store = projections.store
    return [
        Place(
            "atlases",
            "Atlases",
            "minutes to hours to make again",
            size_of(atlases.root),
            None,
            atlases.clear,
        ),
        Place("audits", "Audits", "minutes to make again", size_of(audits.root), audits.limit, audits.clear),
        Place(
            "projections",
            "Projections",
            "seconds to minutes to make again",
            size_of(store.root),
            store.limit,
            store.clear,
        ),
        Place("scenes", "Painted scenes", "for training", sum(map(size_of, _scenes())), None, _clear_scenes),
    ]


def under_way(
    atlases: Atlases, audits: Audits, projections: Projections, walks: Walks, checks: Walks, jobs: Jobs
) -> list[Work]:
    """All work of this process that has not ended, in the order of its kinds."""
    found = [
        Work(
            f"atlas {folder.name}",
            f"Atlas {folder.name}",
            build.done / max(1, build.total),
            _counted(build),
            build.stop,
        )
        for folder, build in atlases.running()
    ]
    found += [
        Work(
            f"audit {folder.name}",
            f"Audit {folder.name}",
            work.done / max(1, work.total),
            _counted(work),
            work.stop,
        )
        for folder, work in audits.running()
    ]
    found += [
        Work(f"projection {task.key}", "Projection", task.fraction, task.said, task.cancel)
        for task in projections.running()
    ]
    found += [
        Work(f"walk {place}", walk_title(name), walk.done / max(1, walk.total), _counted(walk), walk.stop)
        for place, (name, walk) in enumerate(walks.running())
    ]
    found += [
        Work(f"check {name}", f"Check of {name}", walk.done / max(1, walk.total), _counted(walk), walk.stop)
        for name, walk in checks.running()
    ]
    found += [
        Work(f"job {place}", job_title(name), job.done / max(1, job.total), _counted(job), job.stop)
        for place, (name, job) in enumerate(jobs.running())
    ]
    return found


def _counted(work) -> str:
    return f"{work.done} of {work.total}"


def walk_title(name: object) -> str:
    """Of a walk of surgery: its name begins with what it computes, then the checkpoint and the data."""
    kind, checkpoint, data = (*name, "", "")[:3] if isinstance(name, tuple) else (str(name), "", "")
    what = {"consequences": "Edits", "causal": "Causal matrix"}.get(str(kind), str(kind))
    return f"{what} over {data}, checkpoint {str(checkpoint)[:8]}"


def job_title(name: object) -> str:
    """Of a job: the first word of its name."""
    kind = name[0] if isinstance(name, tuple) and name else name
    return {"audit cases": "Cases of an audit", "data check": "Check of a dataset"}.get(
        str(kind), f"{str(kind).capitalize()}"
    )


def size_of(folder: Path) -> int:
    """Bytes of all files below; 0 where there is no such folder."""
    total = 0
    for where, _, files in os.walk(folder):
        for file in files:
            with contextlib.suppress(OSError):  # another process may have removed it
                total += os.lstat(os.path.join(where, file)).st_size
    return total


def _scenes() -> list[Path]:
    return [path for name in SPLITS for path in DATA_ROOT.glob(f"{name}-*") if path.is_dir()]


def _clear_scenes() -> None:
    for folder in _scenes():
        shutil.rmtree(folder, ignore_errors=True)
