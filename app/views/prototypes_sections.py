"""The atlas's part of the Prototypes page as sheets: patches, who reads whom, the price. No Streamlit here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from app.patches import concentration, cutouts, top_of
from app.sheets_prototypes import (
    ChartSheet,
    Mark,
    MatrixSheet,
    PatchSheet,
    Row,
    Sheet,
    round_up,
)
from app.views.prototypes_look import Look
from app.views.prototypes_words import READERS, provenance
from app.words import number, percent
from engine.atlas import Atlas
from engine.atlas.records import Patch, Usage
from engine.bank import cosine_matrix
from engine.ordering import alike_order
from engine.readership import readership

READ_AT_ONCE = 4  # images
BARS = 8  # sources and readers in a chart
MOSTLY = 0.5  # of a cell's affinity: hatched from there on


@dataclass(frozen=True, eq=False)
class Section:
    """A part of the page: what it says first, what it draws, and where that comes from."""

    said: tuple[str, ...]
    sheets: tuple[Sheet, ...]
    caption: str


# ---------------------------------------------------------------------------------------------- patches


def patches(look: Look, atlas: Atlas, image: Callable[[int], np.ndarray]) -> PatchSheet:
    """The strongest patches of the chosen prototype; those in images without the category apart. image: the dataset's, by index,
    (H, W, 3) uint8; several are asked for at once."""
    found = atlas.patches(look.stage, look.category)
    shown = found[: look.selection.patches]
    top = top_of(shown)
    wanted = sorted({patch.index for patch in shown})
    with ThreadPoolExecutor(READ_AT_ONCE, "patches") as pool:
        images = dict(zip(wanted, pool.map(image, wanted), strict=True))

    def cut(group: Sequence[Patch]):
        return cutouts(group, images.__getitem__, look.selection.colours, top)

    held = [patch for patch in shown if patch.held]
    absent = [patch for patch in shown if not patch.held]
    groups = [("", cut(held), False)] if held else []
    if absent:
        heading = f"Strongest among images without {look.name}: {len(absent)} of these {len(shown)}"
        groups.append((heading, cut(absent), True))
    grid = f"{shown[0].grid[0]}×{shown[0].grid[1]} source cells, " if shown else ""
    return PatchSheet(
        key="patches",
        title=f"Strongest patches of {look.name} at {look.stage}",
        groups=tuple(groups),
        ranks={patch.index: rank for rank, patch in enumerate(found, 1)},
        top=top,
        colours=look.selection.colours,
        category=look.name,
        caption=(
            f"The {len(shown)} images in which the mask logit of {look.name} is largest, at {look.stage}, {grid}"
            f"cut out around the cell (framed); assignment over it; {provenance(look.card, atlas.manifest)}."
        ),
        names=look.names,
    )


def patches_said(look: Look, atlas: Atlas) -> str:
    """What the listed patches have in common, as counts."""
    found = atlas.patches(look.stage, look.category)
    if not found:
        return f"No image gave the prototype of {look.name} a patch at {look.stage}."
    true = sum(patch.true == look.category for patch in found)
    mixed = sum(patch.true >= len(look.card.classes) for patch in found)
    held = sum(patch.held for patch in found)
    share = concentration(found)
    text = (
        f"Of the {len(found)} strongest patches, {held} lie in images that hold {look.name}, {true} on a cell that is 75\u2009% "
        f"{look.name}"
    )
    text += f", {mixed} on a mixed cell. " if mixed else ". "
    if share is not None:
        text += (
            f"In the median one this single cell carries {percent(share, 2)} of the image's prototype "
            f"(uniform would be {percent(1 / (found[0].grid[0] * found[0].grid[1]), 2)})."
        )
    return text


# ---------------------------------------------------------------------------------------------- reads


def usage_of(look: Look, atlas: Atlas) -> Usage:
    """Of the stage: all heads, or the chosen one alone."""
    usage = atlas.usage(look.stage)
    head = look.selection.head
    if head is None or head >= len(usage.mass):
        return usage
    one = slice(head, head + 1)
    return replace(
        usage,
        mass=usage.mass[one],
        absent=usage.absent[one],
        everyone=usage.everyone[one],
        everyone_absent=usage.everyone_absent[one],
    )


def reads(look: Look, atlas: Atlas) -> Section:
    """Who reads whom: the matrix, the chosen category's row and its column."""
    usage = usage_of(look, atlas)
    rate, absent, k = usage.rate, usage.absent_rate, len(look.card.classes)
    heads = (
        "mean over heads"
        if look.selection.head is None
        else f"head {look.selection.head + 1} of {look.parts.heads}"
    )
    caption = (
        f"Affinity at {look.stage}, {heads}, mean over a category's {READERS}; "
        f"{provenance(look.card, atlas.manifest)}."
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        mostly = np.where(rate > 0, absent / rate, 0.0) > MOSTLY
    matrix = MatrixSheet(
        key="reads",
        title="Who reads whose prototype",
        values=rate,
        order=tuple(alike_order(cosine_matrix(rate))),
        names=look.names,
        unit="share of what is read",
        caption=caption,
        rows="readers",
        columns="sources",
        hatched=mostly,
        hatch="more than half of it from images that do not hold the source's category",
        marked=look.category,
        beside={"of it absent from the image": absent, "× uniform": rate * k},
    )
    counts = usage.cells[:-1]
    top = round_up(float(np.nanmax(rate))) if np.isfinite(rate).any() else 1.0
    own, source = rate[look.category], rate[:, look.category]
    marks = (Mark("share of what is read", "bar"), Mark("of it, absent from the image", "hatched"))
    sheets: list[Sheet] = [matrix]
    for key, title, values, parts in (
        ("row", f"What {look.name}'s pixels read", own, absent[look.category]),
        ("column", f"Who reads the prototype of {look.name}", source, absent[:, look.category]),
    ):
        order = [
            c for c in np.argsort(-np.nan_to_num(values, nan=-1), kind="stable") if np.isfinite(values[c])
        ]
        listed = order[:BARS]
        if look.category in order and look.category not in listed:
            listed = [*listed[:-1], look.category]
        rows = tuple(
            Row(
                look.card.classes[c],
                (float(values[c]), float(parts[c])),
                numbers=(number(float(values[c])), number(k * float(values[c])))
                + ((str(int(counts[c])),) if key == "column" else ()),
                category=int(c),
                strong=c == look.category,
            )
            for c in listed
        )
        heads_of = ("share", "×\u202funiform", *(("cells",) if key == "column" else ()))
        left_out = f"{len(listed)} of {len(order)}; the download has all." if len(order) > len(listed) else ""
        sheets.append(
            ChartSheet(
                key=key,
                title=title,
                marks=marks,
                rows=rows,
                low=0.0,
                high=top,
                unit="share of what is read",
                caption=caption,
                names=look.names,
                heads=heads_of,
                at=(1 / k, "uniform"),
                note=left_out,
            )
        )
    return Section(reads_said(look, usage), tuple(sheets), caption)


def reads_said(look: Look, usage: Usage) -> tuple[str, ...]:
    """Whom the categories read most, and how much is read of what is not there."""
    found, names, k = readership(usage), look.card.classes, len(look.card.classes)
    known = int(found.readers.sum())
    if not known:
        return ("No cell of the dataset is pure enough to say who reads.",)
    said = []
    top = int(found.favoured_by.argmax())
    own = int((found.favourite == np.arange(k))[found.readers].sum())
    if found.favoured_by[top]:
        said.append(
            f"{int(found.favoured_by[top])} of the {known} categories with readers read the prototype of {names[top]} most; "
            f"{own} read their own most."
        )
    else:
        said.append(f"None of the {known} categories with readers reads one prototype clearly most.")
    said.append(
        f"{percent(found.absent)} of all affinity falls on prototypes of categories that the image does not hold."
    )
    if not found.readers[look.category]:
        said.append(
            f"{look.name} has no pure cell on this grid, so nobody reads as {look.name}: its row is bare."
        )
    return tuple(said)
