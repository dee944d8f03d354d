"""`python -m engine`: the engine without the app.

Every command has --help, and --json prints one JSON object on stdout and nothing else there. Progress goes to stderr.
Bad input is one line on stderr and exit code 1. Pixels are row,col of the upright original image.

Nothing heavy is imported before a command needs it, so that --help answers at once.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from engine.cli_atlas import atlas
from engine.cli_audit import audit
from engine.cli_data import data
from engine.cli_import import import_
from engine.cli_parts import inference_of, pixel_of, provenance_of, truth_of, write_npz
from engine.cli_surgery import surgery
from engine.cli_variance import variance
from engine.errors import LoupeError
from engine.terminal import (
    Progress,
    complain,
    figure,
    print_branches,
    print_influence,
    print_readings,
    say,
    stdout_kept_clean,
    table,
)

app = typer.Typer(
    help="Look inside segmentation decoders without the app. Progress goes to stderr; bad input exits with 1.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data, name="data")
app.command()(atlas)
app.command()(variance)
app.command()(surgery)
app.command()(audit)
app.command("import")(import_)

INTERRUPTED = 130
GMACS_SIZE = (256, 256)  # of the demo world's images

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
Device = Annotated[str, typer.Option(help="auto (cuda, else mps, else cpu), or a device's name.")]
Precision = Annotated[str, typer.Option(help="fp32, or bf16 (autocast, on CUDA).")]
Model = Annotated[str, typer.Option("--model", help="A model of the catalogue, or the path of a checkpoint.")]


@app.command()
def models(json: Json = False) -> None:
    """The catalogue: every model with its method, size, cost of a 256×256 image, and measures."""
    with stdout_kept_clean(json):
        from engine import Engine
        from engine.checkpoints import read_header
        from engine.costs import gmacs_of

        engine = Engine(device="cpu")
        cards = list(engine.models().values())
        macs = {card.id: gmacs_of(read_header(card.path).spec, GMACS_SIZE) for card in cards}
        for problem in engine.problems().values():
            print(f"left out: {problem}", file=sys.stderr)
    columns = ["id", "title", "backbone", "parameters", "GMACs at 256²", "mIoU %", "boundary IoU %"]
    rows = [(c.id, c.title, c.backbone, c.parameters, macs[c.id], c.mIoU, c.boundary_IoU) for c in cards]
    say(
        {"models": [card.json() | {"path": card.path, "GMACs": macs[card.id]} for card in cards]},
        json,
        lambda: table("Models", columns, rows),
    )


@app.command()
def trace(
    model: Model,
    image: Annotated[Path, typer.Option(help="Any common image file.")],
    pixel: Annotated[str, typer.Option(help="row,col of the upright original image.")],
    stage: Annotated[
        str | None, typer.Option(help="One stage, such as stride4; all of them otherwise.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Ground truth: a PNG of category indices, 255 where unknown.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    long_side: Annotated[
        int, typer.Option(help="Pixels that the long side may have; 0 for no limit.")
    ] = 1024,
    influence: Annotated[
        str | None,
        typer.Option(help="Also what the decision depends on, at this site: f3, f2, f1, f0 or image."),
    ] = None,
    npz: Annotated[
        Path | None, typer.Option(help="Also write affinities and contributions to this file.")
    ] = None,
    json: Json = False,
) -> None:
    """What one pixel reads: sources, memory, update, entropies, per stage; with class tokens, both branches."""
    with stdout_kept_clean(json):
        row, col = pixel_of(pixel)
        from engine.images import cell, load_image

        loaded = load_image(image, long_side=long_side or None)
        cell(row, col, loaded.original_size, loaded.size)  # refused now, before the model is read
        truth = None if labels is None else truth_of(labels, loaded)
        from engine import Engine
        from engine.affinity import reading
        from engine.branches import branch_readings

        engine = Engine(device=device, precision=precision)
        run = engine.trace(model, loaded, smaller=True)
        if run.image is not None and run.image is not loaded:
            asked, loaded = loaded, run.image
            height, width = loaded.size
            print(
                f"note: {asked.name} is traced at {width}×{height}: at {asked.size[1]}×{asked.size[0]} it does not fit into the "
                "device's memory",
                file=sys.stderr,
            )
            truth = None if labels is None else truth_of(labels, loaded)
        names = [stage] if stage is not None else [each.name for each in run.stages]
        readings = [reading(run, name, pixel=(row, col), truth=truth) for name in names]
        branches = [] if run.guidance is None else branch_readings(run, (row, col))
        found = None if influence is None else engine.influence(model, loaded, (row, col), influence)
        card = engine.card(model)
        if npz is not None:
            write_npz(npz, run, readings, found)
    result = {
        "model": card.id,
        "checkpoint": card.hash,
        "classes": list(card.classes),
        "image": {
            "name": loaded.name,
            "hash": loaded.hash,
            "original_size": loaded.original_size,
            "size": loaded.size,
            "reduced": loaded.reduced,
        },
        "pixel": [row, col],
        "device": str(engine.device),
        "precision": precision,
        "stages": [each.json() for each in readings],
        "branches": [each.json(card.classes) for each in branches],
        "influence": None if found is None else found.json(card.classes),
    }

    def show() -> None:
        print_readings(card, loaded, readings)
        print_branches(branches, card.classes)
        print_influence(found, card.classes)

    say(result, json, show)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or the path of a TOML file.")],
    out: Annotated[Path, typer.Option(help="Folder, or .safetensors file, for the checkpoint.")] = Path(
        "runs"
    ),
    device: Device = "auto",
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    steps: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on where an interrupted run stopped.")] = True,
    json: Json = False,
) -> None:
    """Train a model from a recipe; a run that was interrupted goes on where it stopped."""
    started = time.monotonic()
    with stdout_kept_clean(json):
        from engine.training.loop import train as run
        from engine.training.recipes import load_recipe

        wanted = load_recipe(recipe)
        with Progress(wanted.name) as progress:
            path = run(
                wanted,
                out,
                device=device,
                seed=seed,
                steps=steps,
                resume=resume,
                progress=progress,
                tell=progress.tell,
            )
    if int(os.environ.get("RANK", "0")):
        return  # under torchrun the first process speaks
    seconds = time.monotonic() - started
    result = {
        "recipe": wanted.name,
        "checkpoint": path,
        "seconds": round(seconds, 1),
        "provenance": provenance_of(path),
    }
    say(result, json, lambda: print(f"{path} ({seconds:.0f} s)"))


@app.command()
def evaluate(
    model: Annotated[
        list[str], typer.Option("--model", help="Catalogue id or checkpoint; may be given several times.")
    ],
    data: Annotated[str, typer.Option(help="Name of a dataset.")] = "scenes-val",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many images.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images at a time; large ones in smaller groups.")] = 8,
    window: Annotated[
        str,
        typer.Option(help="crop,stride of a sliding window in pixels, such as 768,512; empty: whole images."),
    ] = "",
    scales: Annotated[str, typer.Option(help="Factors on the image's size, such as 0.5,0.75,1.")] = "1",
    flip: Annotated[bool, typer.Option("--flip", help="The mirror image as well.")] = False,
    short_side: Annotated[
        int, typer.Option(min=0, help="Pixels that images' shorter side is resized to first; 0: as they are.")
    ] = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """mIoU, boundary IoU and the IoU of every category, in percent."""
    with stdout_kept_clean(json):
        how = inference_of(window, scales, flip, short_side)
        from engine import Engine, checkpoints
        from engine.data.datasets import open_dataset
        from engine.evaluation import evaluate as run

        engine = Engine(device=device)
        cards = [engine.card(name) for name in model]
        dataset = open_dataset(data)
        found = []
        for card in cards:
            segmenter = checkpoints.load(card.path, engine.device, card.hash).segmenter
            settings = {
                "limit": limit,
                "device": engine.device,
                "batch": batch,
                "model": card.id,
                "data": data,
                "how": how,
            }
            with Progress(card.id) as progress:
                found.append(run(segmenter, dataset, progress=progress, **settings).json())

    def show() -> None:
        measures = [("mIoU", "mIoU"), ("boundary IoU", "boundary_IoU")]
        rows = [(name, *(each[key] for each in found)) for name, key in measures]
        rows += [(name, *(each["categories"].get(name) for each in found)) for name in found[0]["categories"]]
        table(f"{data}, {found[0]['images']} images, percent", ["", *(each["model"] for each in found)], rows)

    say(found[0] if len(found) == 1 else {"models": found}, json, show)


@app.command()
def bench(
    device: Device = "auto",
    only: Annotated[str | None, typer.Option(help="Only the measurements whose name contains this.")] = None,
    precision: Precision = "fp32",
    json: Json = False,
) -> None:
    """Speed and memory, as a table of ratios to what was measured beside it in the same run."""
    with stdout_kept_clean(json):
        from engine.bench import run

        rows = run(device, only, precision)
    columns = ["", "measured", "against", "unit", "ratio", "bound", "note"]
    bounds = ["stated" if r.bound is None else f"≤ {figure(r.bound)}" for r in rows]
    figures = [
        (r.name, r.measured, r.against, r.unit, r.ratio, bound, r.note)
        for r, bound in zip(rows, bounds, strict=True)
    ]
    say({"rows": [row.json() for row in rows]}, json, lambda: table("Bench", columns, figures))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; whatever goes wrong is one line on stderr, never a traceback."""
    warnings.filterwarnings(
        "ignore", module=r"PIL\."
    )  # about metadata of a picture that can be read all the same
    try:
        command = typer.main.get_command(app)
        list_of = None if arguments is None else list(arguments)
        code = command.main(args=list_of, prog_name="python -m engine", standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:  # typer turned Ctrl-C into its exit code
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except TyperException as error:
        message = error.format_message()
        return (
            complain(message) if message.strip() else 0
        )  # empty: no command was named, and the help was shown
    except LoupeError as error:
        return complain(str(error))
    except (KeyboardInterrupt, Abort):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # the interpreter flushes once more at its end
        return 141
    except ModuleNotFoundError as error:
        return complain(f"the package {error.name} is not installed: pip install -r requirements.txt")
    except OSError as error:
        return complain(
            f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        )
    except Exception as error:
        if os.environ.get("LOUPE_TRACEBACK"):
            raise
        return complain(f"{type(error).__name__}: {error} (a defect; LOUPE_TRACEBACK=1 shows where)")
