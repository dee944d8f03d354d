"""`python -m engine atlas`: walks a dataset once, here or on a cluster, and says what came out."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import LoupeError
from engine.terminal import Progress, print_atlas, say, stdout_kept_clean

if TYPE_CHECKING:
    from engine.atlas import Atlas
    from engine.segmenter import Segmenter


def atlas(
    model: Annotated[
        str, typer.Option("--model", help="A model of the catalogue, or the path of a checkpoint.")
    ],
    data: Annotated[str, typer.Option(help="Name of a dataset.")] = "scenes-val",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the atlas; data/atlas/MODEL-HASH-DATA otherwise.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many images.")] = None,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Images at a time, large ones fewer; by default what suits the device."),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most pixels kept of each category, with their features; else what the folder's atlas has, or 512.",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto (cuda, else mps, else cpu), or a device's name.")
    ] = "auto",
    ray: Annotated[
        str | None, typer.Option(help="Walk on a Ray cluster: its address, auto, or local for one made here.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="With --ray: how many actors.")] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Throw away what the folder holds of an atlas first.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")
    ] = False,
) -> None:
    """What prototypes learn over a dataset: usage, patches, health, price. Interrupted, it goes on where it stopped."""
    started = time.monotonic()
    with stdout_kept_clean(json):
        from engine import Engine, checkpoints
        from engine.atlas import open_atlas
        from engine.atlas.folder import default_folder, size_of
        from engine.atlas.walk import build
        from engine.data.datasets import open_dataset

        engine = Engine(device=device)
        card = engine.card(model)
        dataset = open_dataset(data)
        folder = out or default_folder(card, data)
        count = min(limit or len(dataset), len(dataset))
        if (there := size_of(folder)) > count and not anew:
            raise LoupeError(
                f"{folder} holds an atlas of {there} images, more than {count}: name another folder with --out, or use --anew"
            )
        chunks = None
        if ray is not None:
            from engine.atlas.distributed import ray_chunks

            address = None if ray == "local" else ray
            chunks = ray_chunks(card.path, data, address=address, workers=workers, device=device)
        segmenter = checkpoints.load(card.path, engine.device, card.hash).segmenter
        settings = {"limit": limit, "device": engine.device, "batch": batch, "rows": rows}
        settings |= {"chunks": chunks, "anew": anew}
        with Progress(f"{card.id} over {data}") as progress:
            build(segmenter, card, dataset, folder, progress=progress, tell=progress.tell, **settings)
        result = summary(open_atlas(folder, card.hash), segmenter, card.path)
    result["seconds"] = round(time.monotonic() - started, 1)
    say(result, json, lambda: print_atlas(result))


def summary(found: Atlas, segmenter: Segmenter, checkpoint: Path) -> dict[str, Any]:
    """Plain values: what was walked, mIoU, per stage the verdicts on its prototypes, the price, the memory's effects."""
    from engine import metrics
    from engine.bank import banks
    from engine.bank_time import moments_path, read_moments
    from engine.health import findings

    manifest = found.manifest
    rows = banks(segmenter)
    moments = moments_path(checkpoint)
    history = None
    if rows and moments.is_file():
        try:
            history = read_moments(moments, rows)
        except LoupeError as error:  # what was walked is worth saying all the same
            print(f"left out: {error}", file=sys.stderr)
    stages = {
        stage: findings(
            stage,
            manifest.classes,
            bank=rows.get(stage),
            time=history,
            pairs=found.pairs(stage),
            usage=found.usage(stage),
            parts=found.parts(stage),
            effects=found.effects,
            images=found.images,
        )
        for stage in manifest.stages
    }
    return {
        "model": manifest.model,
        "checkpoint": manifest.checkpoint,
        "data": manifest.data,
        "folder": found.folder,
        "images": manifest.images,
        "skipped": [vars(one) for one in manifest.skipped],
        "mIoU": round(100 * metrics.mean(metrics.iou(found.confusion)), 2),
        "sites": list(manifest.sites),
        "stages": {stage: [each.json() for each in verdicts] for stage, verdicts in stages.items()},
        "price": [vars(each) for each in found.price],
        "effects": [vars(each) for each in found.effects],
    }
