"""The Library's right side: the device and its memory, caches with their sizes, and work under way."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import streamlit as st

from app import cache, library, process, state
from app.library import Place, Work
from app.words import html, markdown, number

POLL = 1.5  # seconds between two looks at work
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def section() -> None:
    """Device, caches, jobs."""
    st.html(f'<h2 class="lp-heading">Device</h2>{_rows(device())}')
    engine, disk = process.engine(), (process.atlases(), process.audits(), process.projections())
    in_memory = library.in_memory(engine, process.store(), process.plots(), process.walks(), computed())
    _caches("Caches in memory", in_memory)
    _caches("Caches on disk", library.on_disk(*disk))
    st.html('<h2 class="lp-heading">Work under way</h2>')
    st.fragment(_work, run_every=POLL if works() else None)()


def computed() -> Place:
    return Place(
        "computed",
        "What pages have worked out",
        "pixels with their features, tables, measures: made again as pages are opened",
        cache.used(),
        cache.limit(),
        cache.clear,
    )


def device() -> list[tuple[str, str]]:
    """What the engine runs on, and how much of the memory is used."""
    import torch

    engine = process.engine()
    info = engine.cache_info()
    rows = [
        ("device", device_name()),
        ("precision", engine.precision),
        ("threads", str(torch.get_num_threads())),
    ]
    if engine.device.type == "cuda":
        free, whole = torch.cuda.mem_get_info(engine.device)
        rows.append(("memory of the device", f"{size(whole - free)} of {size(whole)} used"))
    rows.append(("memory of this process", f"{size(resident())} of {size(physical())}"))
    rows.append(
        ("loaded models", f"{info.models.entries}, {size(info.models.bytes)} of {size(info.models.limit)}")
    )
    rows.append(("traces asked for", f"{info.hits + info.misses}, {info.hits} of them from the cache"))
    return rows


def device_name() -> str:
    import torch

    where = process.engine().device
    if where.type == "cuda":
        return f"{where}: {torch.cuda.get_device_name(where)}"
    return f"{where}: {os.cpu_count()} cores" if where.type == "cpu" else str(where)


def resident() -> int:
    """Bytes of this process in memory."""
    status = Path("/proc/self/statm")
    if status.is_file():
        return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def physical() -> int:
    """Bytes of memory that the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def size(count: float) -> str:
    """Bytes in the unit that suits them: 1.50 GiB."""
    place = 0
    while count >= 1024 and place < len(UNITS) - 1:
        count, place = count / 1024, place + 1
    return f"{number(count) if place else int(count)} {UNITS[place]}"


def _caches(title: str, places: list[Place]) -> None:
    st.html(f'<h2 class="lp-heading">{html(title)}</h2>')
    for place in places:
        of = "" if place.limit is None else f" of {size(place.limit)}"
        with st.container(horizontal=True, vertical_alignment="center", key=f"lp-cache-{place.name}"):
            st.html(
                f'<div data-cache="{place.name}">{html(place.title)} <b>{size(place.bytes)}</b>{of}<br>'
                f'<span class="lp-note">{html(place.what)}</span></div>',
                width="stretch",
            )
            st.button(
                "Clear",
                key=f"clear {place.name}",
                on_click=_clear,
                args=(place,),
                disabled=not place.bytes or library.locked(),
            )


def _clear(place: Place) -> None:
    place.clear()
    library.give_back()
    state.choose()
    state.notice(f"{place.title} cleared: {size(place.bytes)}.")


def works() -> list[Work]:
    return library.under_way(
        process.atlases(),
        process.audits(),
        process.projections(),
        process.walks(),
        process.checks(),
        process.jobs(),
    )


def _work() -> None:
    now = works()
    for work in now:
        with st.container(horizontal=True, vertical_alignment="center", key=f"lp-work-{work.key}"):
            st.progress(max(0.0, min(1.0, work.fraction)), markdown(f"{work.title}: {work.said}"))
            if work.stop is not None:
                st.button("Stop", key=f"stop {work.key}", on_click=work.stop)
    if not now:
        st.html(
            '<p class="lp-note" data-idle="1">Nothing: atlases, audits, projections and checks would stand here.</p>'
        )


def _rows(rows: list[tuple[str, str]]) -> str:
    body = "".join(f"<tr><th>{html(name)}</th><td>{html(value)}</td></tr>" for name, value in rows)
    return f'<div class="lp-panel"><table class="lp-table"><tbody>{body}</tbody></table></div>'
