"""`python -m engine variance`: how varied categories are, what substitution removes, and what survives of the planted modes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import LoupeError
from engine.terminal import Progress, say, stdout_kept_clean, table

if TYPE_CHECKING:
    from engine.atlas import Atlas
    from engine.markers import MarkerDistance
    from engine.runtime import Engine

ALWAYS = ("f2", "fused")  # sites that are measured unless others are asked for, beside every stage's


def variance(
    model: Annotated[
        list[str],
        typer.Option(
            "--model", help="A model of the catalogue, or the path of a checkpoint; may be repeated."
        ),
    ],
    data: Annotated[str, typer.Option(help="Name of a dataset.")] = "scenes-val",
    site: Annotated[
        list[str] | None,
        typer.Option(
            help="A site, such as stride8.value; may be repeated. By default every stage's, f2 and fused."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many images, where an atlas is to be made.")
    ] = None,
    atlas: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of the first model's atlas, then of the next's; data/atlas/… otherwise."),
    ] = None,
    pixels: Annotated[int, typer.Option(min=1, help="Most pixels that are measured.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Of resampled images, k-means and chance.")] = 0,
    device: Annotated[
        str, typer.Option(help="auto (cuda, else mps, else cpu), or a device's name.")
    ] = "auto",
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")
    ] = False,
) -> None:
    """How varied categories are at every site, before and after substitution; do features still know the planted modes?"""
    with stdout_kept_clean(json):
        from engine import Engine
        from engine.resampling import RESAMPLES

        if len(set(model)) < len(model):
            raise LoupeError("a model is named twice: name each once")
        if atlas and len(atlas) > len(model):
            raise LoupeError(
                f"--atlas is given {len(atlas)} times and --model {len(model)}: at most one atlas for each model"
            )
        engine = Engine(device=device)
        folders = [*(atlas or []), *[None] * len(model)]
        atlases = [
            atlas_of(engine, name, data, folder, limit) for name, folder in zip(model, folders, strict=False)
        ]
        check_sites(site or [], atlases)
        found = [
            measures(engine, name, each, site, pixels, seed)
            for name, each in zip(model, atlases, strict=True)
        ]
    result = {
        "data": data,
        "intervals": f"95 % of {RESAMPLES} resamples of images, one training seed",
        "seed": seed,
        "models": found,
        "finding": headline(found),
    }
    say(result, json, lambda: print_variance(result))


def atlas_of(engine: Engine, model: str, data: str, folder: Path | None, limit: int | None) -> Atlas:
    """The model's atlas: as it is where one is whole, otherwise made, or made whole, first.

    Raises:
        LoupeError: an atlas of another model, or of more images than were asked for.
    """
    from engine import checkpoints
    from engine.atlas import open_atlas
    from engine.atlas.folder import default_folder, size_of
    from engine.atlas.walk import build
    from engine.data.datasets import open_dataset

    card, dataset = engine.card(model), open_dataset(data)
    wanted = min(limit or len(dataset), len(dataset))
    given, folder = folder is not None, folder or default_folder(card, data)
    there = size_of(folder)
    if limit is not None and there > wanted:
        raise LoupeError(
            f"{folder} holds an atlas of {there} images, more than {wanted}: leave --limit out, or name another with --atlas"
        )
    if there < wanted and not (given and there and limit is None):
        segmenter = checkpoints.load(card.path, engine.device, card.hash).segmenter
        with Progress(f"{card.id} over {data}") as progress:
            build(segmenter, card, dataset, folder, progress=progress, limit=limit, device=engine.device)
    found = open_atlas(folder, card.hash)
    if found.manifest.data != data:
        raise LoupeError(f"the atlas in {folder} is over {found.manifest.data}, not {data}")
    return found


def check_sites(sites: Sequence[str], atlases: Sequence[Atlas]) -> None:
    """Raises LoupeError for a site that none of the models has."""
    for site in sites:
        if not any(site in each.manifest.sites for each in atlases):
            known = dict.fromkeys(name for each in atlases for name in each.manifest.sites)
            raise LoupeError(f'no site "{site}" in these models: they have {", ".join(known)}')


def default_sites(sites: Sequence[str]) -> list[str]:
    """Every stage's values and update, f2 and fused, of those that there are."""
    return [name for name in sites if name in ALWAYS or name.endswith((".value", ".update"))]


def measures(
    engine: Engine, name: str, atlas: Atlas, sites: list[str] | None, pixels: int, seed: int
) -> dict[str, Any]:
    """What is said of one model, as plain values."""
    from engine.markers import live_of, parts_of
    from engine.substitution import finding, substitution

    manifest = atlas.manifest
    parts, live = parts_of(engine.segmenter(name)), live_of(atlas)
    chosen = list(dict.fromkeys(sites)) if sites else default_sites(list(manifest.sites))
    measured = {}
    with Progress(f"{manifest.model}: sites") as progress:
        for done, site in enumerate(chosen):
            progress(done, len(chosen), {})
            measured[site] = _site(atlas, site, parts, live, pixels, seed)
        progress(len(chosen), len(chosen), {})
    stages = substitution(atlas)
    return {
        "model": manifest.model,
        "checkpoint": manifest.checkpoint,
        "folder": atlas.folder,
        "images": manifest.images,
        "skipped": [vars(one) for one in manifest.skipped],
        "classes": list(manifest.classes),
        "sites": measured,
        "substitution": [stage.json() for stage in stages],
        "finding": list(finding(stages, manifest.model, manifest.data)),
    }


def _site(atlas: Atlas, site: str, parts: Any, live: Any, pixels: int, seed: int) -> dict[str, Any]:
    """Measures, distances to markers and planted modes; where one cannot be had, `refused` says why in a sentence."""
    from engine.markers import marker_distances, markers
    from engine.pixels import from_atlas
    from engine.planted import planted
    from engine.variance import spread

    try:
        sample = from_atlas(atlas, site, count=pixels)
        found: dict[str, Any] = spread(sample, seed).json()
    except LoupeError as error:
        return {"refused": str(error)}
    try:
        found["markers"] = _by_kind(marker_distances(sample, markers(site, parts, live), seed))
    except LoupeError as error:
        found["markers"] = {"refused": str(error)}
    try:
        found["planted"] = {each.name: each.json() for each in planted(sample, seed)}
    except LoupeError as error:
        found["planted"] = {"refused": str(error)}
    return found


def _by_kind(distances: Sequence[MarkerDistance]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in distances:
        one = each.distance.json() | {"pixels": each.pixels, "images": each.images}
        found.setdefault(each.kind, {})[each.name] = one
    return found


def headline(models: Sequence[dict[str, Any]]) -> list[str]:
    """The finding of the first model that reads prototypes; else of the first that substitutes anything; else of the first."""

    def rank(found: dict[str, Any]) -> int:
        sources = {stage["sources"] for stage in found["substitution"]}
        return 0 if sources & {"prototypes", "memory"} else 1 if sources else 2

    return min(models, key=rank)["finding"]


# ── For people ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def print_variance(found: dict[str, Any]) -> None:
    for one in found["models"]:
        print(
            f"{one['model']} {one['checkpoint'][:8]}: {one['images']} images of {found['data']}, {found['intervals']}\n"
        )
        _print_sites(one)
        _print_substitution(one)
        _print_planted(one)
    for line in found["finding"]:
        print(line)


def _print_sites(one: dict[str, Any]) -> None:
    rows = []
    for site, each in one["sites"].items():
        if "refused" in each:
            print(f"{site}: {each['refused']}")
            continue
        measures = (each[name] for name in ("within", "between", "ratio", "silhouette", "purity"))
        rows.append((site, each["pixels"], *map(_estimate, measures)))
    columns = ["site", "pixels", "within", "between", "within ÷ between", "silhouette", "k-NN purity"]
    if rows:
        table("Sampled pixels of each site, in its own squared units", columns, rows)
        print()


def _print_substitution(one: dict[str, Any]) -> None:
    rows = []
    for stage in one["substitution"]:
        ratios = [_estimate({**stage[k], "value": stage[k]["ratio"]}) for k in ("before", "after", "null")]
        factors = [_estimate(stage[name]) for name in ("within_factor", "reduction", "against_null")]
        rows.append((stage["stage"], *ratios, *factors))
    columns = ["stage", "before", "after", "null", "within after ÷ before", "after ÷ before", "after ÷ null"]
    if rows:
        table("Within ÷ between, whole images: before and after substitution", columns, rows)
        print()


def _print_planted(one: dict[str, Any]) -> None:
    for site, each in one["sites"].items():
        planted = each.get("planted", {})
        if "refused" in planted:
            print(f"{planted['refused']}\n")
            continue
        rows = []
        for name, modes in planted.items():
            if modes["reason"]:
                rows.append((name, len(modes["modes"]), modes["reason"], None, None, None, None))
                continue
            shown = (_estimate(modes[key]) for key in ("clusters", "best_by_image", "probe"))
            rows.append((name, len(modes["modes"]), *shown, modes["probe_chance"], modes["several"]))
        columns = ["category", "modes", "clusters", "best by image", "probe", "chance", "images of several"]
        if rows:
            table(f"{site}: planted modes (adjusted Rand index; probe: mean recall)", columns, rows)
            print()


def _estimate(each: dict[str, float]) -> str:
    value, low, high = (f"{each[name]:.3g}" for name in ("value", "low", "high"))
    return ("–" if value == "nan" else value) + (f" [{low}, {high}]" if low != "nan" else "")
