"""How the command line speaks: results on stdout, everything else on stderr, one line for what went wrong."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from engine.affinity import Reading, Source
    from engine.branches import BranchReading
    from engine.images import LoadedImage
    from engine.influence import Influence
    from engine.runtime import ModelCard


def say(result: dict[str, Any], as_json: bool, table: Callable[[], None]) -> None:
    """The result of a command: one JSON object, or what `table` prints."""
    if as_json:
        print(json.dumps(plain(result), ensure_ascii=False, allow_nan=False), flush=True)
    else:
        table()


def plain(value: Any) -> Any:
    """The same value in what JSON knows: lists, numbers, text; null for NaN and infinities."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Prints a table on stdout; the first column to the left, figures to the right."""
    from rich.console import Console
    from rich.table import Table

    drawn = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        header_style="dim",
    )
    for index, name in enumerate(columns):
        drawn.add_column(name, justify="right" if index else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(figure(item) for item in row))
    # A file or a pipe has no width of its own, and rich would take 80 columns.
    Console(width=None if sys.stdout.isatty() else 120, soft_wrap=False, highlight=False).print(drawn)


def figure(value: Any) -> str:
    """A value as a reader wants it: three or four digits, a dash for none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, float):
        size = abs(value)
        return (
            f"{value:.1f}" if size >= 100 else f"{value:.3f}" if size >= 1e-3 or size == 0 else f"{value:.1e}"
        )
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}".replace(",", " ")
    return str(value)


def print_readings(card: ModelCard, image: LoadedImage, readings: Sequence[Reading]) -> None:
    """What one pixel reads, as tables: a column a stage, then the top sources of each."""
    names = card.classes
    reduced = f", reduced to {image.size[1]}×{image.size[0]}" if image.reduced else ""
    print(f"{card.title} ({card.id}, {card.hash[:12]}) on {image.name}{reduced}")
    if not readings:
        print(f"The decoder of {card.id} has no query update, so no affinity to read.")
        return
    first = readings[0]
    true = "" if first.true is None else f", true {names[first.true]}"
    print("pixel {},{}: predicted".format(*(first.pixel or first.cell)), f"{names[first.predicted]}{true}\n")
    measures: dict[str, Callable[[Reading], Any]] = {
        "cell": lambda r: "{},{}".format(*r.cell),
        "sources": lambda r: r.sources,
        "entropy / ln m": lambda r: r.entropy,
        "head disagreement": lambda r: r.disagreement,
        "blend weight μ": lambda r: r.blend_weight,
        "memory share of the update": lambda r: r.memory_share,
        "‖update‖": lambda r: r.update_norm,
        "‖residual‖": lambda r: r.residual_norm,
        "own prototype's weight": lambda r: r.own_predicted.prototype_weight,
        "own category's pixel mass": lambda r: r.own_predicted.pixel_mass,
        "mass on absent categories": lambda r: r.absent_mass,
        "effective area (share of cells)": lambda r: r.effective_area,
        "mean distance (pixels)": lambda r: r.mean_distance,
    }
    rows = [(name, *(measure(r) for r in readings)) for name, measure in measures.items()]
    table("Reading", ["", *(r.stage for r in readings)], rows)
    for r in readings:
        print()
        table(
            f"{r.stage}: top sources by weight",
            ["source", "weight", "share of update", "‖contribution‖"],
            [(_source_name(s, names), s.weight, s.share, s.norm) for s in r.by_weight[:5]],
        )


def print_branches(branches: Sequence[BranchReading], classes: Sequence[str]) -> None:
    """The top categories of each branch at one pixel."""
    for each in branches:
        print("\n{} at cell {},{} of {}×{}".format(each.branch, *each.cell, *each.grid))
        rows = [(classes[category], probability) for category, probability in each.top()]
        table("", ["category", "probability"], rows)


def print_influence(found: Influence | None, classes: Sequence[str]) -> None:
    """What the decision depends on, and at which cells most."""
    if found is None:
        return
    names = f"{classes[found.category]} over {classes[found.rival]}"
    grid = "×".join(map(str, found.shares.shape))
    print(f"\ninfluence at {found.site}, {grid}, on the margin of {names}: {figure(found.margin)} logits")
    print(f"Σ |gradient × feature| = {figure(found.total)} logits; the largest shares of it:")
    top = found.json(classes)["top"]
    rows = [("{},{}".format(*each["cell"]), each["share"]) for each in top]
    table("", ["cell", "share"], rows)


def print_atlas(found: dict[str, Any]) -> None:
    """What an atlas says: of `engine.cli_atlas.summary`."""
    skipped = f", {len(found['skipped'])} left out" if found["skipped"] else ""
    print(
        f"{found['folder']}: {found['images']} images of {found['data']}{skipped}, mIoU {figure(found['mIoU'])} %"
    )
    for one in found["skipped"]:
        print(f"  left out: {one['id']}: {one['reason']}")
    signs = {"ok": "✓", "warn": "⚠", "unknown": "–"}
    for stage, verdicts in found["stages"].items():
        print(f"\n{stage}")
        for one in verdicts:
            print(f"  {signs[one['level']]} {one['title']}: {one['sentence']}")
    if found["price"]:
        print()
        names = {"before": "aligned pixels", "after": "what is broadcast", "null": "affinity shuffled"}
        rows = [
            (f"{p['stage']}, {names[p['kind']]}", p["within"], p["between"], p["ratio"], p["low"], p["high"])
            for p in found["price"]
        ]
        columns = ["", "within", "between", "within ÷ between", "from", "to (95 %)"]
        table("Variance within categories against squared distance between them", columns, rows)


def _source_name(source: Source, names: Sequence[str]) -> str:
    if source.category is not None:
        return names[source.category]
    return "cell {},{}".format(*source.cell) if source.cell is not None else f"source {source.index}"


@contextlib.contextmanager
def stdout_kept_clean(as_json: bool) -> Iterator[None]:
    """With --json, what libraries print goes to stderr: stdout holds the one object and nothing else."""
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        yield


class Progress:
    """What is done of what, on stderr: a bar in a terminal, elsewhere a line every half minute. Silent until called."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.bar: Any = None
        self.said = time.monotonic()

    def __call__(self, done: int, everything: int, figures: dict[str, Any]) -> None:
        shown = {key: figure(value) for key, value in figures.items() if key != "seconds"}
        if sys.stderr.isatty():
            if self.bar is None:
                from tqdm import tqdm

                self.bar = tqdm(
                    desc=self.what, total=everything, initial=done, file=sys.stderr, dynamic_ncols=True
                )
            self.bar.set_postfix(shown, refresh=False)
            self.bar.update(done - self.bar.n)
        elif time.monotonic() - self.said >= 30:
            self.said = time.monotonic()
            print(
                f"{self.what}: {done}/{everything}",
                *map("=".join, shown.items()),
                file=sys.stderr,
                flush=True,
            )

    def tell(self, said: str) -> None:
        """One line on stderr beside the bar."""
        line = f"{self.what}: {' '.join(said.split())}"
        if self.bar is None:
            print(line, file=sys.stderr, flush=True)
        else:
            self.bar.write(line, file=sys.stderr)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()


def complain(message: str) -> int:
    """One line on stderr, and the exit code that goes with it."""
    print("error: " + " ".join(message.split()), file=sys.stderr, flush=True)
    return 1
