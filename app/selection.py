"""What is being looked at, as one frozen value, and its spelling in a URL.

Pure: no Streamlit here. `app.state` keeps the value in the session and in the address bar.
A URL holds ids that name content (never paths) and pixels of the oriented original image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

READINGS = ("reads", "read by", "made of", "reads alike")
MEASURES = ("weight", "contribution")
RELATIVES = ("raw", "relative")
SCALES = ("linear", "uniform")
COLOURS = ("cividis", "viridis", "magma")
OUTLINES = ("none", "prediction", "truth", "both")
MAX_PINS = 9  # ring numerals ① to ⑨
RINGS = "①②③④⑤⑥⑦⑧⑨"


@dataclass(frozen=True)
class Selection:
    """The whole selection of a page.

    pins: (row, col) pixels of the oriented original image, None where none were chosen yet (the page then pins one).
    active: index into pins, 0 when there is none. head: None for the mean over heads, otherwise from 0, in the URL too, as it
    indexes the exported arrays; words for people count heads from 1.
    source: the prototype that "read by" and "made of" look at, None for what is under the pin.
    relative: raw, or relative to the image's average. scale: linear, or × uniform on a logarithmic scale.
    hold: the overlay stays with the active pin while the pointer moves.
    """

    model: str = "cpt"
    image: str = ""
    stage: str = "stride4"
    pins: tuple[tuple[int, int], ...] | None = None
    active: int = 0
    reading: str = "reads"
    head: int | None = None
    measure: str = "weight"
    relative: str = "raw"
    scale: str = "linear"
    smooth: bool = False
    opacity: float = 0.85
    colours: str = "cividis"
    outline: str = "none"
    source: int | None = None
    hold: bool = False

    @property
    def pin(self) -> tuple[int, int] | None:
        """The active pin, or None when nothing is pinned."""
        return self.pins[self.active] if self.pins else None


def _one_of(allowed: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"it must be one of {', '.join(allowed)}")
        return text

    return parse


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("it must be 0 or 1")
    return text == "1"


def _natural(text: str) -> int:
    # int() also takes "+3", "1_000" and other scripts' digits: a link should have one spelling.
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise ValueError("it must be a whole number from 0")
    return int(text)


def _opacity(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise ValueError("it must be a number from 0 to 1")
    return round(value, 2)


def _pins(text: str) -> tuple[tuple[int, int], ...]:
    if not text:
        return ()
    pins = []
    for part in text.split(";"):
        numbers = part.split(",")
        if len(numbers) != 2:
            raise ValueError("pixels must be written row,col and parted by ;")
        pins.append((_natural(numbers[0]), _natural(numbers[1])))
    if len(pins) > MAX_PINS:
        raise ValueError(f"at most {MAX_PINS} pixels can be pinned")
    return tuple(pins)


# field → (name in the URL, to text, from text)
_CODECS: dict[str, tuple[str, Callable[[Any], str], Callable[[str], Any]]] = {
    "model": ("model", str, str),
    "image": ("image", str, str),
    "stage": ("stage", str, str),
    "pins": ("pins", lambda pins: ";".join(f"{row},{col}" for row, col in pins), _pins),
    "active": ("active", lambda index: str(index + 1), lambda text: max(0, _natural(text) - 1)),
    "reading": (
        "reading",
        lambda text: text.replace(" ", "-"),
        lambda text: _READING(text.replace("-", " ")),
    ),
    "head": (
        "head",
        lambda head: "mean" if head is None else str(head),
        lambda text: None if text == "mean" else _natural(text),
    ),
    "measure": ("measure", str, _one_of(MEASURES)),
    "relative": ("relative", str, _one_of(RELATIVES)),
    "scale": ("scale", str, _one_of(SCALES)),
    "smooth": ("smooth", lambda flag: str(int(flag)), _flag),
    "opacity": ("opacity", lambda value: f"{value:.2f}", _opacity),
    "colours": ("colours", str, _one_of(COLOURS)),
    "outline": ("outline", str, _one_of(OUTLINES)),
    "source": (
        "source",
        lambda source: "auto" if source is None else str(source),
        lambda text: None if text == "auto" else _natural(text),
    ),
    "hold": ("hold", lambda flag: str(int(flag)), _flag),
}
_NONE_HAS_A_NAME = ("head", "source")
_READING = _one_of(READINGS)
_VIEW = tuple(field for field in _CODECS if field not in ("model", "image", "pins", "active"))
PARAMETERS = tuple(name for name, _, _ in _CODECS.values())


def to_params(selection: Selection) -> dict[str, str]:
    """The selection as URL parameters. Every field is written, so that a link outlives a changed default."""
    return {
        name: write(value)
        for field, (name, write, _) in _CODECS.items()
        if (value := getattr(selection, field)) is not None or field in _NONE_HAS_A_NAME
    }


def from_params(params: Mapping[str, str], default: Selection) -> tuple[Selection, list[str]]:
    """The selection that `params` spell, and one sentence for each value that could not be used.

    Missing or unusable values fall back to `default`'s; but a link to an image alone never inherits pixels that
    were chosen for another picture.
    """
    problems: list[str] = []
    fields: dict[str, Any] = {}
    for field, (name, _, read) in _CODECS.items():
        text = params.get(name)
        if text is None or (text == "" and name != "pins"):
            continue
        try:
            fields[field] = read(text)
        except ValueError as error:
            problems.append(f"The link's {name} = “{_short(text)}” was left out: {error}.")
    if "pins" not in fields and fields.get("image", default.image) != default.image:
        fields["pins"] = None
    selection = replace(default, **fields)
    count = len(selection.pins or ())
    if selection.active >= max(1, count):
        if "active" in fields and count:
            problems.append(
                f"The link's active = “{selection.active + 1}” was left out: pins are numbered 1 to {count}."
            )
        selection = replace(selection, active=max(0, count - 1))
    return selection, problems


def view_of(selection: Selection) -> dict[str, Any]:
    """The settings as the viewer knows them (app.viewer.VIEW): all but model, image and pins."""
    view = {field: getattr(selection, field) for field in _VIEW}
    return {**view, "head": "mean" if selection.head is None else selection.head}


def adopt(
    selection: Selection, pins: tuple[tuple[int, int], ...], active: int | None, view: Mapping[str, Any]
) -> Selection:
    """The selection after what a person did in the viewer. A browser may send anything: what is unusable is left out."""
    texts = {"pins": ";".join(f"{row},{col}" for row, col in pins[-MAX_PINS:])}
    if pins:
        texts["active"] = str(min((active or 0) + 1, len(pins)))
    for field in _VIEW:
        if field in view:
            value = view[field]
            if isinstance(value, bool):
                texts[field] = str(int(value))
            elif value is None:
                texts[field] = "auto" if field == "source" else ""
            else:
                texts[field] = str(value)[:40].replace(" ", "-")
    return from_params(texts, selection)[0]


def fit_pins(selection: Selection, size: tuple[int, int]) -> tuple[Selection, list[str]]:
    """Drops pins outside an image of `size` = (height, width) original pixels, one sentence for each.

    Where no pixel was chosen yet, the one in the middle is pinned: no page opens empty.
    """
    height, width = size
    if selection.pins is None:
        return replace(selection, pins=((height // 2, width // 2),), active=0), []
    kept, problems = [], []
    for row, col in selection.pins:
        if row < height and col < width:
            kept.append((row, col))
        else:
            problems.append(
                f"Pixel {row},{col} was left out: the image has rows 0 to {height - 1} and columns 0 to {width - 1}."
            )
    if not problems:
        return selection, []
    if not kept:
        kept = [(height // 2, width // 2)]
        problems[-1] = problems[-1][:-1] + "; the middle is pinned instead."
    return replace(selection, pins=tuple(kept), active=max(0, min(selection.active, len(kept) - 1))), problems


def fit_stage(
    selection: Selection, stages: Mapping[str, tuple[str, int, int]]
) -> tuple[Selection, list[str]]:
    """Makes stage, head, source and reading exist in a model; one sentence for each change.

    `stages`: name → (sources, heads n, number of sources m), coarse to fine, not empty.
    """
    problems: list[str] = []
    if selection.stage not in stages:
        finest = list(stages)[-1]
        problems.append(f"There is no stage “{_short(selection.stage)}” in this model; {finest} is shown.")
        selection = replace(selection, stage=finest)
    sources, heads, count = stages[selection.stage]
    if selection.head is not None and selection.head >= heads:
        problems.append(
            f"The head {selection.head + 1} (head={selection.head} in the link) does not exist at {selection.stage}, which has "
            f"{heads}; the mean over heads is shown."
        )
        selection = replace(selection, head=None)
    if selection.source is not None and selection.source >= count:
        problems.append(
            f"The source {selection.source} does not exist at {selection.stage}; what lies under the pin is shown."
        )
        selection = replace(selection, source=None)
    if selection.reading == "made of" and sources not in ("prototypes", "memory"):
        problems.append(
            f"“made of” needs prototypes, and this model's sources are {sources}: “reads” is shown."
        )
        selection = replace(selection, reading="reads")
    return selection, problems


def _short(text: str) -> str:
    """Long or strange text of a link, cut for a sentence (markdown is escaped where it is shown)."""
    text = "".join(character if character.isprintable() else "·" for character in text)
    return text if len(text) <= 40 else text[:39] + "…"
