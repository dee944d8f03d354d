"""`python -m engine audit`: is that example typical? Affinity scores of sampled pixels, with intervals, for several models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import LoupeError
from engine.terminal import Progress, say, stdout_kept_clean, table

if TYPE_CHECKING:
    from engine.audit import Audit

SHOWN = ("auc", "auc_relative", "auc_profile", "auc_distance", "auc_rings", "auc_profile_rings", "entropy")
TABLES = "tables.json"


def audit(
    model: Annotated[
        list[str],
        typer.Option(
            "--model", help="A model of the catalogue, or the path of a checkpoint; may be repeated."
        ),
    ],
    data: Annotated[str, typer.Option(help="Name of a dataset.")] = "scenes-val",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many images.")] = None,
    pixels: Annotated[int, typer.Option(min=1, help="Pixels in all, spread over the images.")] = 10_000,
    deletion_pixels: Annotated[
        int,
        typer.Option(
            min=0,
            help="Of those, how many are asked with source cells hidden, at every stage; takes longest.",
        ),
    ] = 64,
    stage: Annotated[
        list[str] | None,
        typer.Option(help="A stage, such as stride4, or context (the CAE); may be repeated. All by default."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the drawn pixels and the resampled images.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for every column (columns.npz), every table (tables.json) and the figures."
        ),
    ] = None,
    figures: Annotated[
        list[str] | None,
        typer.Option(
            "--figure", help="With --out: svg, pdf or png; may be repeated. svg and pdf by default."
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto (cuda, else mps, else cpu), or a device's name.")
    ] = "auto",
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")
    ] = False,
) -> None:
    """Does affinity find the own category, does that go with right decisions, which map tells the truth?"""
    with stdout_kept_clean(json):
        from engine import Engine
        from engine.audit import run
        from engine.audit.figures import KINDS
        from engine.audit.report import report
        from engine.data.datasets import open_dataset

        kinds = tuple(dict.fromkeys(figures or ("svg", "pdf")))
        if wrong := [kind for kind in kinds if kind not in KINDS]:
            raise LoupeError(f'no figures as "{wrong[0]}": there are {", ".join(KINDS)}')
        if figures and out is None:
            raise LoupeError("--figure says which files --out writes: name a folder with --out")
        engine, dataset = Engine(device=device), open_dataset(data)
        settings = {"pixels": pixels, "limit": limit, "seed": seed, "stages": stage}
        with Progress(f"audit over {data}") as progress:
            found = run(
                engine, model, dataset, deletion_pixels=deletion_pixels, progress=progress, **settings
            )
        result = report(found)
        result["folder"] = None if out is None else write(found, out, kinds)
    say(result, json, lambda: print_audit(result))


def write(found: Audit, folder: Path, kinds: tuple[str, ...]) -> Path:
    """Columns, tables of all slices, figures."""
    import json

    from engine.audit.figures import FIGURES, draw
    from engine.audit.files import write_audit
    from engine.audit.report import report
    from engine.audit.slices import SLICES
    from engine.terminal import plain
    from engine.writing import write_whole

    write_audit(found, folder)
    tables = plain(report(found, tuple(SLICES)))
    write_whole(folder / TABLES, json.dumps(tables, indent=1, ensure_ascii=False).encode())
    asked = any(entry.deletion for entry in found.entries)
    for name in FIGURES:
        for kind in kinds if name != "deletion" or asked else ():
            write_whole(folder / f"{name}.{kind}", draw(found, name, kind))
    return folder


def print_audit(result: dict[str, Any]) -> None:
    """Means with intervals, then what is to be said."""
    columns = ["model", "stage", *(name.replace("auc", "area").replace("_", " ") for name in SHOWN)]
    rows = [
        (
            each["model"],
            stage,
            *(_estimate(found["scores"][score]["all"][0]["mean"]) for score in SHOWN),
        )
        for each in result["models"]
        for stage, found in each["stages"].items()
    ]
    title = (
        f"{result['data']}, {result['images']} images, {result['pixels']} {result['sampling']}; "
        f"{result['intervals']}"
    )
    table(title, columns, rows)
    print()
    for line in (*result["refused"].values(), *result["finding"]):
        print(line)
    for one in result["skipped"]:
        print(f"left out: {one['id']}: {one['reason']}")
    if result["folder"] is not None:
        print(result["folder"])


def _estimate(each: dict[str, float]) -> str:
    if each["value"] != each["value"]:
        return "–"
    shown = f"{each['value']:.3f}"
    return shown if each["low"] != each["low"] else f"{shown} [{each['low']:.3f}, {each['high']:.3f}]"
