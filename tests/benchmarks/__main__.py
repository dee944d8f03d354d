"""`make bench`: everything that the project claims about speed and memory, in one run, as one table.

    python -m tests.benchmarks [--only NAME] [--device DEVICE] [--json] [--out FILE]

The rows are written to runs/bench.json, with date, device and torch's version.

The engine's own rows are those of `python -m engine bench`; hover and click need a Chromium and the served app. The atlas is
walked for some minutes.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine import LoupeError
from engine.bench import MEASUREMENTS, run
from engine.terminal import figure, table
from tests.benchmarks import (
    atlas,
    audit,
    click,
    compare,
    hover,
    loader,
    projection,
    prototypes,
    scatter,
    surgery,
    variance_page,
)

OUT = Path("runs/bench.json")


def hover_rows() -> list[dict[str, Any]]:
    """One row a picture: P95 of pointer event → painted overlay against its bound, and requests per move."""
    found = hover.run()
    return [
        {
            "name": f"hover P95, {row['name']}",
            "measured": row["painted_ms"]["p95"],
            "against": found["target_ms"],
            "unit": "ms",
            "bound": 1.0 if "512" in row["name"] else None,
            "note": (
                f"P50 {row['painted_ms']['p50']} ms; {row['waited_ms']['p95']} ms with the wait for the browser's frame; "
                f"{row['moves']} moves, {row['requests_per_move']:g} requests a move"
            ),
        }
        for row in found["rows"]
    ]


def compare_rows() -> list[dict[str, Any]]:
    """P95 of pointer event → the last of four locked viewers painted, against its bound."""
    found = compare.run()
    return [
        {
            "name": "hover P95, four viewers",
            "measured": found["painted_ms"]["p95"],
            "against": found["target_ms"],
            "unit": "ms",
            "bound": 1.0,
            "note": (
                f"{', '.join(found['models'])} at {found['size']}²; P50 {found['painted_ms']['p50']} ms; "
                f"{found['moves']} moves, {found['requests_per_move']:g} requests a move"
            ),
        }
    ]


def click_rows() -> list[dict[str, Any]]:
    """Median of click → side panel, against a bare rerun."""
    found = click.run()
    return [
        {
            "name": "click → side panel",
            "measured": found["click_ms"],
            "against": found["bare_ms"],
            "unit": "ms",
            "bound": found["target_ratio"],
            "note": f"against a bare Streamlit rerun, {found['clicks']} clicks",
        }
    ]


def atlas_rows() -> list[dict[str, Any]]:
    """An atlas's time an image against plain evaluation's; its peak memory over many scenes against few."""
    speed, size = atlas.throughput(), atlas.memory()
    few, many = size["peak_mib"].values()
    counts = " and ".join(f"{scenes}" for scenes in size["peak_mib"])
    return [
        {
            "name": f"atlas, {atlas.MODEL}, an image",
            "measured": speed["atlas_ms"],
            "against": speed["evaluation_ms"],
            "unit": "ms",
            "bound": speed["target_ratio"],
            "note": f"against evaluation (mIoU, boundary IoU), {speed['images']} images a turn; without the bank's effects",
        },
        {
            "name": "atlas, peak memory of the process",
            "measured": many,
            "against": few,
            "unit": "MiB",
            "bound": size["target_ratio"],
            "note": f"{counts} scenes",
        },
    ]


def prototypes_rows() -> list[dict[str, Any]]:
    """The Prototypes page's first picture against its bound; a change of the category against a bare rerun and its bound."""
    found = prototypes.run()
    return [
        {
            "name": f"Prototypes, first picture, {who}",
            "measured": found[key],
            "against": found["first_target_ms"],
            "unit": "ms",
            "bound": 1.0,
            "note": f"finished atlas of {found['images']} images",
        }
        for who, key in (("first visitor", "cold_ms"), ("later ones", "first_ms"))
    ] + [
        {
            "name": "Prototypes, another category",
            "measured": found["change_ms"],
            "against": found["bare_ms"] + found["change_target_ms"],
            "unit": "ms",
            "bound": 1.0,
            "note": f"against a bare rerun, {found['bare_ms']} ms, plus {found['change_target_ms']} ms",
        },
    ]


def scatter_rows() -> list[dict[str, Any]]:
    """P95 of the end of a lasso → all panels painted, and of a hover, among 50 000 points in two panels."""
    found = scatter.run()
    taken = f"{found['taken']} of {found['count']} points in two panels"
    return [
        {
            "name": "scatter, lasso P95",
            "measured": found["lasso_ms"]["p95"],
            "against": found["lasso_target_ms"],
            "unit": "ms",
            "bound": 1.0,
            "note": f"{taken}; P50 {found['lasso_ms']['p50']} ms; {found['lassos']} lassos",
        },
        {
            "name": "scatter, hover P95",
            "measured": found["hover_ms"]["p95"],
            "against": found["hover_target_ms"],
            "unit": "ms",
            "bound": 1.0,
            "note": (
                f"{found['count']} points; P50 {found['hover_ms']['p50']} ms; {found['hovers']} hovers; a frame while both "
                f"panels are moved {found['frame_ms']['p50']} ms, P95 {found['frame_ms']['p95']} ms"
            ),
        },
    ]


def projection_rows() -> list[dict[str, Any]]:
    """PCA and a map read from disk against their bounds; UMAP in the warm worker against umap-learn's defaults, started anew."""
    found = projection.run()
    size = f"{found['pixels']} × {found['channels']}"
    return [
        {
            "name": f"PCA, {size}",
            "measured": found["pca_s"],
            "against": found["pca_target_s"],
            "unit": "s",
            "bound": 1.0,
            "note": "the map and its key",
        },
        {
            "name": f"UMAP, {size}",
            "measured": found["umap_s"],
            "against": found["umap_learn_s"],
            "unit": "s",
            "bound": 1.0,
            "note": (
                f"seeded, in the warm worker, with its quality (trustworthiness {found['trustworthiness']}), against "
                f"umap-learn's defaults in a fresh process ({found['umap_learn_trustworthiness']}); {found['cores']} cores"
            ),
        },
        {
            "name": f"UMAP, {size}, kept on disk",
            "measured": 1000 * found["cached_s"],
            "against": 1000 * found["cached_target_s"],
            "unit": "ms",
            "bound": 1.0,
            "note": f"its key, its file; made in {found['umap_s']} s",
        },
    ]


def variance_rows() -> list[dict[str, Any]]:
    """The Variance page's first picture; a map that is kept and a lasso's strip, each against a bare rerun and its bound."""
    found = variance_page.run()
    bare = found["bare_ms"]
    beyond = [
        ("Variance, a kept projection", "cached_ms", "cached_target_ms"),
        ("Variance, lasso → strip", "lasso_ms", "lasso_target_ms"),
    ]
    return [
        {
            "name": "Variance, first picture",
            "measured": found["first_ms"],
            "against": found["first_target_ms"],
            "unit": "ms",
            "bound": 1.0,
            "note": f"PCA of {found['pixels']} pixels, atlas of {found['images']} images, sites nobody has looked at",
        }
    ] + [
        {
            "name": name,
            "measured": found[key],
            "against": bare + found[target],
            "unit": "ms",
            "bound": 1.0,
            "note": f"{found['shown']} pixels on show; against a bare rerun, {bare} ms, plus {found[target]} ms",
        }
        for name, key, target in beyond
    ]


def surgery_rows() -> list[dict[str, Any]]:
    """One more list of edits over prepared scenes, against the share of an evaluation that depends on it."""
    found = surgery.run()
    ready = f"; the first walk, which prepares {found['kept_mib']} MiB, {found['first_s']} s"
    return [
        {
            "name": f"surgery over {found['images']} scenes, {row['edit']}",
            "measured": row["edited_s"],
            "against": row["floor_s"],
            "unit": "s",
            "bound": found["target_ratio"],
            "note": f"against {row['share']} of an evaluation, {found['evaluation_s']} s, its share of the multiply-adds{ready}",
        }
        for row in found["edits"]
    ]


def audit_rows() -> list[dict[str, Any]]:
    """The scores of many pixels against the traces alone of their images."""
    found = audit.run()
    return [
        {
            "name": f"audit, {audit.MODEL}, {found['pixels']} pixels",
            "measured": found["audit_s"],
            "against": found["traces_s"],
            "unit": "s",
            "bound": found["target_ratio"],
            "note": f"against the traces alone of {found['images']} images; without deletion",
        }
    ]


def loader_rows() -> list[dict[str, Any]]:
    """A batch from a folder against a training step on it: a device waits only where this is above 1."""
    found = loader.run()
    return [
        {
            "name": f"loader, a batch of {found['batch']} at {found['crop']}²",
            "measured": found["loader_ms"],
            "against": found["step_ms"],
            "unit": "ms",
            "bound": found["target_ratio"],
            "note": (
                f"{loader.RECIPE}, {found['images']} JPEGs of {loader.SIZE[0]}×{loader.SIZE[1]} decoded and augmented in "
                f"{found['threads']} thread{'s' * (found['threads'] > 1)}, {found['images_per_second']} images/s; against a "
                "training step on the CPU"
            ),
        }
    ]


def main() -> int:
    """Prints the table; 1 with one line on stderr when something cannot be measured."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", help="only the measurements whose name contains this")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, default=OUT, help="where the rows are written as JSON")
    asked = parser.parse_args()
    others: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "atlas": atlas_rows,
        "audit": audit_rows,
        "loader": loader_rows,
        "prototypes": prototypes_rows,
        "hover": hover_rows,
        "compare": compare_rows,
        "variance": variance_rows,
        "surgery": surgery_rows,
        "scatter": scatter_rows,
        "projection": projection_rows,
        "click": click_rows,
    }
    rows: list[dict[str, Any]] = []
    try:
        if any(asked.only is None or asked.only in name for name in MEASUREMENTS):
            rows += [row.json() for row in run(asked.device, asked.only)]
        for name, measure in others.items():
            if asked.only is None or asked.only in name:
                rows += measure()
    except (LoupeError, LookupError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not rows:
        print(
            f"error: no measurement “{asked.only}”: there are {', '.join([*MEASUREMENTS, *others])}",
            file=sys.stderr,
        )
        return 1
    for row in rows:
        row["ratio"] = row["measured"] / row["against"]
        row["held"] = None if row["bound"] is None else row["ratio"] <= row["bound"]
    kept = {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), **_machine(), "rows": rows}
    try:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    except OSError as error:
        print(f"{asked.out} cannot be written: {error.strerror}", file=sys.stderr)
    if asked.json:
        print(json.dumps(kept))
        return 0
    shown = [
        (r["name"], r["measured"], r["against"], r["unit"], r["ratio"], _bound(r), r["note"]) for r in rows
    ]
    table("Bench", ["", "measured", "against", "unit", "ratio", "bound", "note"], shown)
    return 0


def _machine() -> dict[str, Any]:
    """What a figure depends on beside the code."""
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": name}


def _bound(row: dict[str, Any]) -> str:
    if row["bound"] is None:
        return "stated"
    return f"≤ {figure(float(row['bound']))}{'' if row['held'] else '  missed'}"


if __name__ == "__main__":
    sys.exit(main())
