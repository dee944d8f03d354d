"""`python -m engine data`: the demo world's images, and folders of labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from engine.errors import LoupeError
from engine.terminal import Progress, say, stdout_kept_clean, table

if TYPE_CHECKING:
    from engine.data.check import Check, SplitCheck

data = typer.Typer(
    no_args_is_help=True, help="Make the demo world's data; list and check datasets in folders."
)

SHEET = 12  # images on a contact sheet
SHOWN = 5  # problems of one kind that are printed; --json has them all

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]


@data.command("render")
def render_scene(
    seed: Annotated[int, typer.Option(help="Which scene; the same seed is the same scene everywhere.")],
    out: Annotated[Path, typer.Option(help="Folder for SEED.png, SEED.labels.png and SEED.modes.png.")],
    size: Annotated[int, typer.Option(help="Pixels a side.")] = 256,
    json: Json = False,
) -> None:
    """Paint one scene of the demo world, with its labels and appearance modes."""
    with stdout_kept_clean(json):
        from PIL import Image

        from engine.data.scenes import CLASS_NAMES, render

        scene = render(seed, size)
        out.mkdir(parents=True, exist_ok=True)
        files = [out / f"{seed}{ending}.png" for ending in ("", ".labels", ".modes")]
        for path, array in zip(files, (scene.image, scene.labels, scene.modes), strict=True):
            Image.fromarray(array).save(path)
        counts = np.bincount(scene.labels[scene.labels < len(CLASS_NAMES)], minlength=len(CLASS_NAMES))
        share = {
            name: count / scene.labels.size for name, count in zip(CLASS_NAMES, counts, strict=True) if count
        }
    say({"seed": seed, "files": files, "share": share}, json, lambda: print(*files, sep="\n"))


@data.command()
def materialise(
    name: Annotated[str, typer.Argument(help="scenes-train or scenes-val.")],
    limit: Annotated[int | None, typer.Option(help="Only the first so many images.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the datasets; data/ otherwise.")] = None,
    json: Json = False,
) -> None:
    """Write a dataset once as memory-mapped arrays, as training does by itself."""
    with stdout_kept_clean(json):
        from engine.data.datasets import materialise as run

        with Progress(name) as progress:
            written = run(name, limit, root, progress=lambda done, everything: progress(done, everything, {}))
        count = len(written)
    say({"data": name, "images": count}, json, lambda: print(f"{name}: {count} images"))


@data.command("list")
def list_(json: Json = False) -> None:
    """The datasets in folders that are described, and where each is looked for."""
    with stdout_kept_clean(json):
        from engine.data.datasets import SPLITS, data_root
        from engine.data.descriptions import describe, found
        from engine.data.folders import home_of

        entries: list[dict[str, Any]] = []
        problems: list[str] = []
        for path in found().values():
            try:
                about = describe(path)
            except LoupeError as error:
                problems.append(str(error))
                continue
            try:
                home_of(about)
                there = True
            except LoupeError:
                there = False
            entries.append(
                {
                    "data": about.name,
                    "title": about.title,
                    "classes": len(about.classes),
                    "splits": list(about.splits),
                    "home": data_root() / about.home,
                    "there": there,
                    "url": about.url,
                }
            )
        root = data_root()

    def show() -> None:
        columns = ["data", "title", "classes", "splits", "there"]
        rows = [
            (e["data"], e["title"], e["classes"], ", ".join(e["splits"]), "yes" if e["there"] else "no")
            for e in entries
        ]
        table(f"Datasets in {root}", columns, rows)
        print(f"and the demo world: {', '.join(SPLITS)}")
        for each in problems:
            print(f"left out: {each}")

    say({"root": root, "datasets": entries, "painted": list(SPLITS), "problems": problems}, json, show)


@data.command("check")
def check_folder(
    name: Annotated[str, typer.Argument(help="A described dataset, such as ade20k, or a TOML file.")],
    root: Annotated[
        Path | None,
        typer.Option(help="The dataset's folder or the one above; LOUPE_DATA, or data/, otherwise."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="One split, such as val; all of them otherwise.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Look at so many images of each split, spread over it.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Also draw images beside their labels into this PNG file.")
    ] = None,
    json: Json = False,
) -> None:
    """Whether a folder is what its description says: what is there, what is missing, and how often each category occurs."""
    with stdout_kept_clean(json):
        from engine.data.check import check
        from engine.data.descriptions import split_of

        whole = split_of(name) if split is None else None  # ade20k-val is ade20k, its split val
        about, split = whole or (name, split)
        if sheet is not None and sheet.suffix.lower() != ".png":
            raise LoupeError(f"{sheet}: the sheet must be a .png file")
        with Progress(f"check {name}") as progress:
            found = check(about, root, split, limit, lambda done, everything: progress(done, everything, {}))
        if sheet is not None:
            from engine.data.contact_sheet import contact_sheet
            from engine.data.folders import open_folder

            first = next(each.split for each in found.splits if not each.problem)
            picture = contact_sheet(open_folder(about, first, root), SHEET)
            sheet.parent.mkdir(parents=True, exist_ok=True)
            picture.save(sheet)
    say(found.json() | {"sheet": sheet}, json, lambda: _print_check(found, sheet))


def _print_check(found: Check, sheet: Path | None) -> None:
    print(f"{found.title} in {found.home}\n")
    rows = [("images", *(each.images for each in found.splits))]
    rows += [
        ("images with labels", *(each.pairs for each in found.splits)),
        ("looked at", *(each.read for each in found.splits)),
        ("without labels", *(each.without_labels.count for each in found.splits)),
        ("labels without an image", *(each.without_image.count for each in found.splits)),
        ("listed, not there", *(each.absent.count for each in found.splits)),
        ("unreadable", *(len(each.unreadable) for each in found.splits)),
        ("of two sizes", *(len(each.mismatched) for each in found.splits)),
        ("unexpected labels", *(len(each.unexpected) for each in found.splits)),
        ("smallest", *(_size(each.smallest) for each in found.splits)),
        ("largest", *(_size(each.largest) for each in found.splits)),
        ("pixels ignored, percent", *(_percent(each.share_ignored) for each in found.splits)),
    ]
    columns = ["", *(each.split for each in found.splits)]
    table("Files", columns, rows)
    for each in found.splits:
        _print_problems(each)
    print()
    totals = [max(1, sum(each.pixels)) for each in found.splits]
    shares = [
        (
            name,
            *(
                _percent(s.pixels[k] / n if s.pixels else None)
                for s, n in zip(found.splits, totals, strict=True)
            ),
        )
        for k, name in enumerate(found.classes)
    ]
    table("Percent of labelled pixels", columns, shares)
    if sheet is not None:
        print(f"\n{sheet}")


def _print_problems(split: SplitCheck) -> None:
    told = [split.problem] if split.problem else []
    for names, what in (
        (split.without_labels, "without labels"),
        (split.without_image, "without an image"),
        (split.absent, "listed, not there"),
    ):
        if names.count:
            more = ", …" if names.count > len(names.first) else ""
            told.append(f"{what}: {', '.join(names.first)}{more}")
    for sentences in (split.unreadable, split.mismatched):
        told += [reason for _, reason in sentences[:SHOWN]]
        told += [f"and {len(sentences) - SHOWN} more"] if len(sentences) > SHOWN else []
    told += [
        f"label {u.value} is none of the categories: {u.pixels} pixels, {u.files} files, first {u.file}"
        for u in split.unexpected[:SHOWN]
    ]
    for sentence in told:
        print(f"{split.split}: {sentence}")


def _size(size: tuple[int, int] | None) -> str | None:
    return None if size is None else f"{size[1]}×{size[0]}"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
