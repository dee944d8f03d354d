"""Clusters of what was selected: HDBSCAN in the original space, a mean patch of each, names, and a file to take along."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from app import exports, process, state
from app.cutouts import evenly, mean_patch, sprite
from app.jobs import Job
from app.views.polling import watch
from app.views.variance_cluster_files import Found, clusters_json, name_of, points_csv
from app.views.variance_look import Look
from app.views.variance_maps import with_pixels
from app.views.variance_points import Chosen, modes_of
from app.views.variance_selection import spots
from app.words import html, percent
from engine.clustering import MOST, clusters
from engine.pixels import NO_MODE, PixelSample

SMALLEST = 20  # pixels of the smallest cluster, unless told otherwise
AVERAGED = 96  # cut-outs in a mean patch
SHOWN = 12  # clusters that are drawn; files have all


def section(look: Look, chosen: Chosen) -> None:
    """The button, or the clusters."""
    if not look.selection.smallest:
        count = len(chosen.rows) or len(chosen.mask)
        what = "the selection" if len(chosen.rows) else "the whole sample"
        smallest = max(2, min(SMALLEST, count // 4))
        st.button(
            f"Cluster {what}",
            on_click=state.choose,
            kwargs={"smallest": smallest, "named": ()},
            key="cluster",
            help="HDBSCAN in the original space of one panel, over all channels.",
        )
        return
    job = job_of(look, chosen)
    st.html('<h2 class="lp-heading">Clusters <span class="lp-soft">HDBSCAN in the original space</span></h2>')
    _controls(look)
    watch(
        lambda: job.running,
        lambda: 0.0,
        lambda: f"Clustering {min(MOST, len(rows_of(chosen)))} pixels and averaging their cut-outs …",
        "cluster-walk",
    )
    _drawn(look, chosen, job)


def place_of(look: Look) -> int:
    """The panel, among those with pixels, in whose space the clusters are."""
    return min(look.selection.at, len(look.samples) - 1)


def job_of(look: Look, chosen: Chosen) -> Job:
    """The running or finished job."""
    key = key_of(look, chosen)
    sample = look.samples[place_of(look)]
    rows = rows_of(chosen)
    steps: dict[Hashable, Callable[[], Any]] = {key: _step(look, sample, rows)}
    jobs = process.jobs()
    found = jobs.find(key)
    return found if found is not None and (found.running or found.done) else jobs.start(key, steps)


def key_of(look: Look, chosen: Chosen) -> tuple[Hashable, ...]:
    sample, rows = look.samples[place_of(look)], rows_of(chosen)
    return (
        "clusters",
        sample.key(),
        hashlib.sha256(rows.tobytes()).hexdigest(),
        look.selection.smallest,
        look.drawn,
    )


def rows_of(chosen: Chosen) -> np.ndarray:
    """The selected rows, all where nothing is selected."""
    return chosen.rows if len(chosen.rows) else np.arange(len(chosen.mask))


def _step(look: Look, sample: PixelSample, rows: np.ndarray) -> Callable[[], Found]:
    smallest = look.selection.smallest

    def make() -> Found:
        found = clusters(sample.features[rows], smallest)
        patches = []
        for cluster in range(min(SHOWN, len(found.sizes))):
            members = rows[found.members(cluster)]
            picked = members[evenly(len(members), AVERAGED)]
            patches.append(sprite([mean_patch(process.photos(), spots(look, sample, picked))]))
        return Found(found, rows, tuple(patches))

    return make


def _drawn(look: Look, chosen: Chosen, job: Job) -> None:
    key = key_of(look, chosen)
    if why := job.errors.get(key):
        st.html(f'<p class="lp-note" data-nothing="1">{html(why)}.</p>')
    found: Found | None = job.results.get(key)
    if found is None:
        return
    sizes, left = found.clusters.sizes, found.clusters.left
    panel = with_pixels(look)[place_of(look)]
    sample = look.samples[place_of(look)]
    total = len(found.clusters.rows)
    of = f"{total} of {len(found.rows)}" if total < len(found.rows) else f"{total}"
    st.html(
        f'<p class="lp-note lp-said" data-clusters="{len(sizes)}">{len(sizes)} cluster{"s" * (len(sizes) != 1)} of {of} pixels '
        f"at {html(panel.title)}; {left} in none ({percent(left / max(1, total), 2)}).</p>"
    )
    if not sizes:
        st.html(
            '<p class="lp-note">No denser groups of that size: at this site these pixels are one cloud.</p>'
        )
        return
    shown = min(SHOWN, len(sizes))
    st.html(cards(look, sample, found))
    if len(sizes) > shown:
        st.html(f'<p class="lp-note">The {shown} largest are drawn; the files have all {len(sizes)}.</p>')
    with st.container(horizontal=True, key="cluster-names"):
        for cluster in range(shown):
            st.text_input(
                f"Name of {cluster + 1}",
                name_of(look.selection, cluster),
                placeholder=f"cluster {cluster + 1}",
                width=130,
                **state.bound_as(
                    f"name of cluster {cluster}", name_of(look.selection, cluster), _named(look, cluster)
                ),
            )
    _files(look, sample, found)
    of = f"{html(panel.title)}, {panel.card.hash[:8] if panel.card else ''}"
    st.html(
        f'<p class="lp-caption">HDBSCAN, smallest cluster {look.selection.smallest} pixels, Euclidean, '
        f"{sample.features.shape[1]} channels of {of}; mean of up to {AVERAGED} cut-outs aligned on their pixel. Clusters are of "
        "the original space, not of the map.</p>"
    )


def _controls(look: Look) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key="cluster-controls"):
        panels = list(range(len(look.samples)))
        if len(panels) > 1:
            titles = [panel.title for panel in with_pixels(look)]
            st.segmented_control(
                "In the space of",
                panels,
                format_func=titles.__getitem__,
                required=True,
                default=place_of(look),
                **state.bound("at", place_of(look)),
            )
        st.number_input(
            "Smallest cluster, pixels",
            2,
            10_000,
            look.selection.smallest,
            width=170,
            **state.bound("smallest", look.selection.smallest),
        )
        st.button(
            "No clusters", on_click=state.choose, kwargs={"smallest": 0, "named": ()}, key="no clusters"
        )


def _named(look: Look, cluster: int) -> Callable[[Any], dict[str, Any]]:
    def take(name: Any) -> dict[str, Any]:
        names = [name_of(look.selection, i) for i in range(max(cluster + 1, len(look.selection.named)))]
        names[cluster] = str(name)[:60]
        return {"named": tuple(names)}

    return take


def cards(look: Look, sample: PixelSample, found: Found) -> str:
    """A mean patch, its count, and what it is made of, for every cluster that is drawn."""
    names, colours, modes = look.names.names, look.names.colours, modes_of(look.card.classes)
    parts = []
    for cluster, patch in enumerate(found.patches):
        members = found.rows[found.clusters.members(cluster)]
        (category, count), *_ = Counter(sample.category[members].tolist()).most_common(1)
        swatch = f'<i class="lp-swatch" style="background:{colours[category]}"></i>'
        lines = [f"{swatch}{html(names[category])} {percent(count / len(members), 2)}"]
        known = sample.mode[members][sample.mode[members] != NO_MODE]
        own = sample.mode[members][(sample.category[members] == category) & (sample.mode[members] != NO_MODE)]
        if len(known) and len(own):
            (mode, most), *_ = Counter(own.tolist()).most_common(1)
            word = modes.get(category, ())
            lines.append(
                f"{html(word[mode] if mode < len(word) else f'mode {mode}')} {percent(most / len(members), 2)}"
            )
        images = len(np.unique(sample.image[members]))
        title = html(name_of(look.selection, cluster) or f"cluster {cluster + 1}")
        parts.append(
            f'<figure class="lp-cluster"><img src="{patch}" alt="mean patch of {title}"><figcaption><b>{title}</b>'
            f"<span>{len(members)} pixels, {images} image{'s' * (images != 1)}</span>"
            f"{''.join(f'<span>{line}</span>' for line in lines)}</figcaption></figure>"
        )
    return f'<div class="lp-clusters">{"".join(parts)}</div>'


# ---------------------------------------------------------------------------------------------- files


def _files(look: Look, sample: PixelSample, found: Found) -> None:
    stem = ("loupe-clusters", sample.model, sample.site)
    makers = {"csv": (points_csv, "pixels"), "json": (clusters_json, "clusters")}
    with st.container(horizontal=True):
        for kind, (make, what) in makers.items():
            st.download_button(
                f"{kind.upper()} of {what}",
                data=partial(make, look.selection, sample, found),
                file_name=exports.file_name(*stem, kind=kind),
                mime={"csv": exports.MEDIA["csv"], "json": "application/json"}[kind],
                on_click="ignore",
                key=f"clusters {kind}",
            )
