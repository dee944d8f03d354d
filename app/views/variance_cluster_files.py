"""Clusters as files: a row for each pixel, and what each cluster is."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from app import exports
from app.selection import Selection
from app.views.variance_points import modes_of
from engine.clustering import Clusters
from engine.pixels import NO_MODE, PixelSample

COLUMNS = (
    "model", "site", "image", "row", "col", "category", "predicted", "confidence", "mode", "cluster", "name", "strength",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Found:
    """The clusters of some rows of a sample. rows (p,): of the sample, as the clusters' own rows count them; patches: mean
    cut-outs of the largest, as data URIs."""

    clusters: Clusters
    rows: np.ndarray
    patches: tuple[str, ...]


def name_of(selection: Selection, cluster: int) -> str:
    """What a person called it; empty without a name."""
    return selection.named[cluster] if cluster < len(selection.named) else ""


def points_csv(selection: Selection, sample: PixelSample, found: Found) -> bytes:
    """A row for each clustered pixel; clusters are counted from 1, and empty where a pixel is in none."""
    names, modes = sample.classes, modes_of(sample.classes)
    rows = []
    clustered = found.clusters
    for at, label, strength in zip(clustered.rows, clustered.label, clustered.strength, strict=True):
        row = int(found.rows[at])
        category, mode = int(sample.category[row]), int(sample.mode[row])
        words = modes.get(category, ())
        rows.append(
            {
                "model": sample.model,
                "site": sample.site,
                "image": sample.names[int(sample.image[row])],
                "row": int(sample.pixel[row, 0]),
                "col": int(sample.pixel[row, 1]),
                "category": names[category],
                "predicted": names[int(sample.predicted[row])],
                "confidence": float(sample.confidence[row]),
                "mode": "" if mode == NO_MODE else words[mode] if mode < len(words) else mode,
                "cluster": "" if label < 0 else int(label) + 1,
                "name": "" if label < 0 else name_of(selection, int(label)),
                "strength": float(strength),
            }
        )
    return exports.table_csv(rows, COLUMNS)


def clusters_json(selection: Selection, sample: PixelSample, found: Found) -> bytes:
    """What the clusters are of, and each one's name and numbers."""
    told = {
        "method": "HDBSCAN",
        "space": "original",
        "smallest": found.clusters.smallest,
        "model": sample.model,
        "checkpoint": sample.checkpoint,
        "site": sample.site,
        "data": sample.data,
        "pixels": len(found.clusters.rows),
        "selected": len(found.rows),
        "lasso": selection.lasso,
        "in none": found.clusters.left,
        "clusters": [
            {
                "cluster": cluster + 1,
                "name": name_of(selection, cluster),
                "pixels": size,
                "images": len(np.unique(sample.image[found.rows[found.clusters.members(cluster)]])),
            }
            for cluster, size in enumerate(found.clusters.sizes)
        ],
    }
    return json.dumps(told, indent=1, ensure_ascii=False).encode()
