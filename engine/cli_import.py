"""`python -m engine import`: a checkpoint of mmsegmentation becomes one of ours."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.terminal import say, stdout_kept_clean

SHOWN = 5  # unused keys that are listed on a terminal; --json lists them all


def import_(
    file: Annotated[Path, typer.Argument(help="A .pth or .safetensors file in mmsegmentation's layout.")],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    memory_share: Annotated[
        float | None, typer.Option(min=0, max=1, help="μ of the memory; the file does not hold it.")
    ] = None,
    output_stride: Annotated[int, typer.Option(help="8 or 16 for a ResNet that was trained dilated.")] = 32,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Names of the categories: a list of assets/classes, such as ade20k, or a text file."
        ),
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Write fp16: half the size.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")
    ] = False,
) -> None:
    """Read an mmsegmentation checkpoint of CPT or CFT on ResNetV1c, Swin or MiT; nothing in it is run."""
    with stdout_kept_clean(json):
        from engine.data.class_lists import class_list
        from engine.mmseg import import_checkpoint

        names = None if classes is None else class_list(classes)
        found = import_checkpoint(file, out, memory_share, output_stride, names, half)
        for note in found.notes:
            print(f"note: {note}", file=sys.stderr)
    spec = found.segmenter.spec
    result: dict[str, Any] = {
        "checkpoint": found.path,
        "backbone": spec.backbone,
        "sources": spec.sources,
        "channels": spec.channels,
        "heads": spec.heads,
        "memory_share": spec.memory_share if spec.remembers else None,
        "output_stride": spec.output_stride,
        "classes": list(spec.classes),
        "parameters": sum(p.numel() for p in found.segmenter.parameters()),
        "used_keys": found.used,
        "unused_keys": list(found.unused),
        "notes": list(found.notes),
    }

    def show() -> None:
        print(
            f"{found.path}: {spec.backbone}, {spec.sources}, {len(spec.classes)} categories, "
            f"{result['parameters'] / 1e6:.2f} M parameters; {found.used} keys used"
        )
        if found.unused:
            more = f" and {len(found.unused) - SHOWN} more" if len(found.unused) > SHOWN else ""
            print(f"{len(found.unused)} keys not used: {', '.join(found.unused[:SHOWN])}{more}")

    say(result, json, show)
