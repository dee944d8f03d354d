"""Numbers → files: NPZ and CSV. Imports neither streamlit nor torch."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

COLUMNS = ("pin", "row", "col", "stage", "quantity", "of", "value", "unit")
MEDIA = {"npz": "application/octet-stream", "csv": "text/csv"}


def to_npz(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> bytes:
    """Named arrays, and `about` as JSON text under the name "about"."""
    if "about" in arrays:
        raise ValueError('the name "about" is taken by the description')
    buffer = io.BytesIO()
    named = {name: np.asarray(array) for name, array in arrays.items()}
    np.savez_compressed(buffer, allow_pickle=False, about=np.array(json.dumps(dict(about))), **named)
    return buffer.getvalue()


def to_csv(rows: Iterable[Mapping[str, Any]], about: Mapping[str, Any]) -> bytes:
    """One number a row, so that every model gives the same columns; `about`'s fields stand in front of each row."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, [*about, *COLUMNS], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in {**about, **row}.items()})
    return buffer.getvalue().encode("utf-8")


def table_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> bytes:
    """A table with columns of one's own."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return buffer.getvalue().encode("utf-8")


def rows_of(pin: int, reading: Mapping[str, Any], classes: Sequence[str]) -> list[dict[str, Any]]:
    """The numbers of one `Reading.json()`, as rows of `to_csv`; what is not defined for the stage is left out."""
    row, col = reading["pixel"] or reading["cell"]
    place = {"pin": pin, "row": row, "col": col, "stage": reading["stage"]}
    rows: list[dict[str, Any]] = []

    def add(quantity: str, value: Any, unit: str, of: str = "") -> None:
        if value is not None:
            rows.append({**place, "quantity": quantity, "of": of, "value": value, "unit": unit})

    add("labels by", reading["labels_by"], "what masses on categories and absence go by")
    for which in ("predicted", "true"):
        if reading[which] is not None:
            add(f"{which} category", _name(reading[which], classes), "category")
    listed: dict[int, Mapping[str, Any]] = {}
    for source in (*reading["by_weight"], *reading["by_contribution"]):
        listed[source["index"]] = source
    for source in listed.values():
        of = source_name(source, classes)
        add("affinity", source["weight"], "share of what is read", of)
        add("contribution norm", source["norm"], "feature units", of)
        add("contribution share", source["share"], "signed share of the update", of)
    for quantity, name, unit in _SCALARS:
        add(quantity, reading[name], unit)
    for head, value in enumerate(reading["entropy_heads"]):
        add("entropy", value, "of ln m", f"head {head + 1}")  # counted from 1 for people
    for which in ("predicted", "true"):
        own = reading[f"own_{which}"]
        if own is not None:
            of = _name(own["category"], classes)
            add(
                f"prototype weight of the {which} category",
                own["prototype_weight"],
                "share of what is read",
                of,
            )
            add(f"pixel mass of the {which} category", own["pixel_mass"], "share of what is read", of)
            add(f"source cells of the {which} category", own["cells"], "cells", of)
    return rows


_SCALARS = (
    ("blend weight", "blend_weight", "constant"),
    ("memory share", "memory_share", "signed share of the update"),
    ("norm of the image part", "image_norm", "feature units"),
    ("norm of the memory part", "memory_norm", "feature units"),
    ("norm of the update", "update_norm", "feature units"),
    ("norm of the residual", "residual_norm", "feature units"),
    ("update share", "update_share", "of update and residual norms"),
    ("entropy", "entropy", "of ln m"),
    ("head disagreement", "disagreement", "Jensen-Shannon, of ln n"),
    ("mass on mixed cells", "mixed_mass", "share of what is read"),
    ("mixed cells", "mixed_cells", "cells"),
    ("mass on absent categories", "absent_mass", "share of what is read"),
    ("effective area", "effective_area", "share of the source cells"),
    ("mean distance", "mean_distance", "image pixels"),
    ("mean distance if all cells were read alike", "uniform_distance", "image pixels"),
)


def source_name(source: Mapping[str, Any], classes: Sequence[str]) -> str:
    """A prototype by its category, a pixel source by its cell."""
    if source["category"] is not None:
        return _name(source["category"], classes)
    return "cell {},{}".format(*source["cell"])


def file_name(*parts: object, kind: str) -> str:
    """A file name of plain letters, digits, dots and dashes from whatever `parts` hold."""
    text = "-".join(re.sub(r"[^A-Za-z0-9.]+", "-", str(part)).strip("-.") for part in parts)
    return f"{text[:120]}.{kind}"


def _name(category: int, classes: Sequence[str]) -> str:
    return classes[category] if category < len(classes) else f"category {category}"


def _cell(value: Any) -> Any:
    # A spreadsheet runs text that begins like a formula; names come from other people's files.
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value
