"""`python -m engine surgery`: what an edit inside a decoder causes, in one image or over a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli_edits import Flags, edits_of, write_edits
from engine.cli_parts import pixel_of, truth_of
from engine.cli_surgery_tables import print_surgery
from engine.errors import LoupeError
from engine.terminal import Progress, say, stdout_kept_clean

if TYPE_CHECKING:
    from engine.atlas import Atlas
    from engine.edits import Edit
    from engine.runtime import Engine
    from engine.surgery import CausalMatrix

DATA = "scenes-val"


def surgery(
    model: Annotated[
        str, typer.Option("--model", help="A model of the catalogue, or the path of a checkpoint.")
    ],
    image: Annotated[Path | None, typer.Option(help="Edit this image's run: any common image file.")] = None,
    pixel: Annotated[
        str | None,
        typer.Option(help="With --image: row,col of the upright original; its affinities before and after."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="With --image and --oracle: a PNG of category indices, 255 where unknown."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Edit over this dataset: changes of IoU, with 95 % over images.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many images.")] = None,
    ablate: Annotated[
        list[str] | None, typer.Option(help="A category whose prototype is taken out; may be repeated.")
    ] = None,
    meaning: Annotated[
        str,
        typer.Option(
            help="Of --ablate and --matrix: masked (not read), zero (read, adds nothing) or mean (adds what others add)."
        ),
    ] = "masked",
    stage: Annotated[
        str | None, typer.Option(help="Where all these edits act, such as stride4; every stage otherwise.")
    ] = None,
    oracle: Annotated[
        bool, typer.Option("--oracle", help="Prototypes averaged by ground truth instead of the assignment.")
    ] = False,
    absent: Annotated[
        str,
        typer.Option(
            help="With --oracle: categories that the truth does not hold are kept (as learned) or masked."
        ),
    ] = "kept",
    replace: Annotated[
        list[str] | None,
        typer.Option(help="NAME=NAME: a prototype by another, or NAME=memory: by its memory row."),
    ] = None,
    move: Annotated[
        list[str] | None,
        typer.Option(help="NAME=NAME:AMOUNT or NAME=memory:AMOUNT, 0 stays and 1 replaces."),
    ] = None,
    swap: Annotated[list[str] | None, typer.Option(help="NAME,NAME: two prototypes trade places.")] = None,
    memory_share: Annotated[
        float | None, typer.Option(help="μ of the blend with the memory, 0 to 1.")
    ] = None,
    zero_memory: Annotated[
        list[str] | None, typer.Option(help="A category whose memory row becomes 0, or all.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Affinities are softmax(q·k / τ): below 1 sharper, above 1 flatter.")
    ] = None,
    share_head: Annotated[int | None, typer.Option(help="Every head reads by this head's affinity.")] = None,
    silence_head: Annotated[
        list[int] | None, typer.Option(help="A head that adds nothing; may be repeated.")
    ] = None,
    update: Annotated[
        str | None, typer.Option(help="The whole update becomes zero, or its mean over the image.")
    ] = None,
    token: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=NAME: a class token by another; NAME=NAME:DEGREES turns it towards that one."
        ),
    ] = None,
    edits: Annotated[Path | None, typer.Option(help="A JSON file of edits, done before the others.")] = None,
    save: Annotated[Path | None, typer.Option(help="Also write the edits to this JSON file.")] = None,
    matrix: Annotated[
        bool,
        typer.Option(
            "--matrix", help="Ablate each prototype in turn; does attention (an atlas's) predict the effect?"
        ),
    ] = False,
    atlas: Annotated[
        Path | None, typer.Option(help="With --matrix: folder of the model's atlas; data/atlas/… otherwise.")
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Images at a time, large ones fewer; by default what suits the device."),
    ] = None,
    long_side: Annotated[
        int, typer.Option(help="With --image: pixels that the long side may have; 0 for no limit.")
    ] = 1024,
    device: Annotated[
        str, typer.Option(help="auto (cuda, else mps, else cpu), or a device's name.")
    ] = "auto",
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")
    ] = False,
) -> None:
    """What an edit inside a decoder causes, in one image (--image) or over a dataset (--data), against the unedited run."""
    with stdout_kept_clean(json):
        flags = Flags(
            ablate or (),
            meaning,
            stage,
            oracle,
            absent,
            replace or (),
            swap or (),
            move or (),
            memory_share,
            zero_memory or (),
            temperature,
            share_head,
            silence_head or (),
            update,
            token or (),
        )
        wanted = edits_of(flags, edits)
        of_image, of_matrix = {"--pixel": pixel, "--labels": labels}, {"--atlas": atlas}
        _refuse(wanted, image, data, matrix, limit, of_image, of_matrix)
        from engine import Engine

        engine = Engine(device=device)
        card = engine.card(model)
        _check(engine, model, wanted, over_data=data is not None)
        result: dict[str, Any] = {
            "model": card.id,
            "checkpoint": card.hash,
            "device": str(engine.device),
        }
        if image is not None:
            result["image"] = _on_image(engine, model, image, wanted, pixel, labels, long_side)
        if data is not None or matrix:
            result |= _over_data(
                engine, model, wanted, data or DATA, limit, batch, (meaning, stage, atlas) if matrix else None
            )
        if save is not None:
            write_edits(wanted, save)
            result["saved"] = save
    say(result, json, lambda: print_surgery(result))


def _refuse(
    edits: Sequence[Edit],
    image: Path | None,
    data: str | None,
    matrix: bool,
    limit: int | None,
    of_image: dict[str, Any],
    of_matrix: dict[str, Any],
) -> None:
    """Raises LoupeError for a question that is none, before anything heavy is read.

    of_image, of_matrix: flags that mean nothing without --image or --matrix.
    """
    if image is None and data is None and not matrix:
        raise LoupeError(
            f"nothing to operate on: name an image with --image, or a dataset with --data {DATA}"
        )
    if not edits and (image is not None or not matrix):
        raise LoupeError("nothing to edit: give --ablate, --replace, --update … or --edits FILE")
    lost = [(flag, "--image") for flag, given in of_image.items() if given is not None and image is None]
    lost += [(flag, "--matrix") for flag, given in of_matrix.items() if given is not None and not matrix]
    if limit is not None and data is None and not matrix:
        lost.append(("--limit", "--data"))
    for flag, owner in lost:
        raise LoupeError(f"{flag} belongs to {owner}")
    if of_image["--pixel"] is not None:
        pixel_of(of_image["--pixel"])


def _check(engine: Engine, model: str, edits: Sequence[Edit], over_data: bool) -> None:
    from engine.edits import check
    from engine.surgery.consequences import refuse

    (refuse if over_data else check)(edits, engine.subject(model))


def _on_image(
    engine: Engine,
    model: str,
    image: Path,
    edits: Sequence[Edit],
    pixel: str | None,
    labels: Path | None,
    long_side: int,
) -> dict[str, Any]:
    from engine.images import cell
    from engine.surgery.on_image import on_image

    loaded = engine.image(image, long_side or None)
    at = None if pixel is None else pixel_of(pixel)
    if at is not None:
        cell(*at, loaded.original_size, loaded.size)  # refused now, before the model is run
    truth = None if labels is None else truth_of(labels, loaded)
    before = engine.trace(model, loaded)
    return on_image(before, engine.trace(model, loaded, edits=edits, truth=truth), at)


def _over_data(
    engine: Engine,
    model: str,
    edits: Sequence[Edit],
    data: str,
    limit: int | None,
    batch: int | None,
    matrix: tuple[str, str | None, Path | None] | None,
) -> dict[str, Any]:
    """{"data": consequences of the edits, where there are any} and, where asked for, the causal matrix and its correlation."""
    from engine import checkpoints
    from engine.data.datasets import open_dataset
    from engine.surgery import Prepared, causal_matrix, consequences

    dataset, card = open_dataset(data), engine.card(model)
    segmenter = checkpoints.load(card.path, engine.device, card.hash).segmenter
    settings: dict[str, Any] = {"limit": limit, "device": engine.device, "batch": batch}
    if edits and matrix is not None:  # two walks
        settings["prepared"] = Prepared(segmenter, dataset, **settings)
    settings |= {"model": card.id, "data": data}
    result: dict[str, Any] = {}
    if edits:
        with Progress(f"{card.id} over {data}") as progress:
            found = consequences(segmenter, dataset, edits, progress=progress, **settings)
        result["data"] = found.json() | {"finding": found.finding()}
    if matrix is not None:
        meaning, stage, folder = matrix
        with Progress(f"{card.id} over {data}: ablations") as progress:
            causal = causal_matrix(
                segmenter,
                dataset,
                meaning=meaning,  # pyright: ignore[reportArgumentType]  (checked with the edits)
                stage=stage,
                progress=progress,
                **settings,
            )
        result["matrix"] = causal.json()
        result["attention_predicts"] = _attention(engine, model, data, causal, folder)
    return result


def _attention(
    engine: Engine, model: str, data: str, causal: CausalMatrix, folder: Path | None
) -> dict[str, Any]:
    """The rank correlation with an atlas's readers, or {"reason"} where there is no atlas."""
    from engine.atlas import open_atlas
    from engine.atlas.folder import default_folder
    from engine.surgery import attention_predicts

    card = engine.card(model)
    place = folder or default_folder(card, data)
    try:
        atlas = open_atlas(place, card.hash)
    except LoupeError as error:
        if folder is not None:
            raise
        return {"reason": f"{error}; python -m engine atlas --model {model} --data {data} makes one"}
    found = attention_predicts(causal, read_by(atlas, causal.stage))
    return found.json() | {"atlas": place, "atlas_images": atlas.manifest.images, "finding": found.finding()}


def read_by(atlas: Atlas, stage: str | None) -> Any:
    """(k, k) an atlas's mean affinity of a category's readers to each prototype: at a stage, or the mean over stages."""
    from engine.surgery import mean_rate

    stages = atlas.manifest.stages if stage is None else (stage,)
    return mean_rate([atlas.usage(name).rate for name in stages])
