"""What is being looked at, as one frozen value, and its spelling in a URL.

Pure: no Streamlit here. `app.state` keeps the value in the session and in the address bar.
A URL holds ids that name content (never paths) and pixels of the oriented original image.

One Selection serves all pages, so that what they share is kept when the page changes. A `Page` says which of its fields a page
spells in its links and which of them its viewer sets. A new field: add it to Selection, to _CODECS and to the pages that use it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from app import codecs
from app.codecs import MAX_MODELS, MAX_PINS

READINGS = ("reads", "read by", "made of", "reads alike")
MEASURES = ("weight", "contribution")
RELATIVES = ("raw", "relative")
SCALES = ("linear", "uniform")
COLOURS = ("cividis", "viridis", "magma")
OUTLINES = ("none", "prediction", "truth", "both")
RINGS = "①②③④⑤⑥⑦⑧⑨"
SHOWS = ("auto", "affinity", "influence")
SITES = ("f3", "f2", "f1", "f0", "image")
MARKS = ("none", "prediction", "error", "truth")
THIRDS = ("difference", "outcomes")
UNDER_PIN = "*"
SECTIONS = ("reads", "memory", "shadow", "time", "price")
BANKS = ("bank", "mean")
FEW, MANY = 12, 24  # patches on show
PROJECTIONS = ("pca", "umap", "densmap", "aligned")
PAINTS = ("category", "image", "outcome", "confidence", "distance", "mode")
DRAWN = ("atlas", "samples", "image")
LOOKS = ("selection", "distances", "truth", "substitution")
NUMBERS = ("share", "variance", "silhouette", "purity", "rank", "apart")
LEAST_PIXELS, MOST_PIXELS = 500, 50_000
MOST_PANELS = 4


@dataclass(frozen=True)
class Selection:
    """Everything that is chosen, on any page.

    pins: (row, col) pixels of the oriented original image, None where none were chosen yet (the page then pins one).
    active: index into pins, 0 when there is none. head: None for the mean over heads, otherwise from 0, in the URL too, as it
    indexes the exported arrays; words for people count heads from 1.
    source: the prototype that "read by" and "made of" look at, None for what is under the pin.
    relative: raw, or relative to the image's average. scale: linear, or × uniform on a logarithmic scale.
    hold: the overlay stays with the active pin while the pointer moves.

    Compare: models, the first of which is `model` on the other pages; shows: what each of them shows, in their order ("auto":
    its affinity where it has a query update, else its influence; missing ones are auto); site: where influence is asked for;
    marks: what is drawn over the photo; pair: places in `models` of the two whose differences are listed.
    Guidance: category by name, or UNDER_PIN: the one that is predicted there; the three cut factors, None: as the model was
    trained; what the third pane shows; context: the context encoder's affinity is drawn while the pointer moves.
    Prototypes: category by name, or UNDER_PIN: the first that tells something; section: which of the lower parts is shown;
    patches: how many; moment: of training, counted from 0, None: the last; bank: each moment's bank, or its mean over the
    last steps before it; features: the site whose class means are shown where a model has no prototypes.
    Variance: beside: the models shown beside `model`; sites: of each of them; categories: by name, none of them for all; amount:
    of pixels; drawn: where they come from (the atlas, the sample images, the image chosen); projection with its neighbours,
    min_dist and seed; paint: what colours the points; number: which one is drawn for each category; lasso: what was drawn on
    maps and photos, as app.scatter writes it; isolated: the legend's groups that alone are shown, "category.3.5"; photo: the
    image that is shown beside, its id in the sample; look: which part below is shown; smallest: pixels of the smallest cluster,
    0: no clusters; at: the panel, from 0, in whose space clusters are; named: their names, "" where they have none.
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
    models: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    site: str = "f3"
    marks: str = "prediction"
    pair: tuple[int, int] = (0, 1)
    category: str = UNDER_PIN
    token_cut: float | None = None
    high_cut: float | None = None
    low_cut: float | None = None
    third: str = "difference"
    context: bool = False
    section: str = "reads"
    patches: int = FEW
    moment: int | None = None
    bank: str = "bank"
    features: str = ""
    beside: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    amount: int = 3000
    drawn: str = "atlas"
    projection: str = "pca"
    neighbours: int = 15
    min_dist: float = 0.1
    seed: int = 0
    paint: str = "category"
    number: str = "share"
    lasso: str = ""
    isolated: str = ""
    photo: str = ""
    look: str = "selection"
    smallest: int = 0
    at: int = 0
    named: tuple[str, ...] = ()

    @property
    def pin(self) -> tuple[int, int] | None:
        """The active pin, or None when nothing is pinned."""
        return self.pins[self.active] if self.pins else None


_READING = codecs.one_of(READINGS)


def _flag_text(value: bool) -> str:
    return str(int(value))


def _share_text(value: float) -> str:
    return f"{value:.2f}"


# field → (name in the URL, to text, from text)
_CODECS: dict[str, tuple[str, Callable[[Any], str], Callable[[str], Any]]] = {
    "model": ("model", str, str),
    "image": ("image", str, str),
    "stage": ("stage", str, str),
    "pins": ("pins", lambda pins: ";".join(f"{row},{col}" for row, col in pins), codecs.pins),
    "active": ("active", lambda index: str(index + 1), lambda text: max(0, codecs.natural(text) - 1)),
    "reading": (
        "reading",
        lambda text: text.replace(" ", "-"),
        lambda text: _READING(text.replace("-", " ")),
    ),
    "head": (
        "head",
        lambda head: "mean" if head is None else str(head),
        lambda text: None if text == "mean" else codecs.natural(text),
    ),
    "measure": ("measure", str, codecs.one_of(MEASURES)),
    "relative": ("relative", str, codecs.one_of(RELATIVES)),
    "scale": ("scale", str, codecs.one_of(SCALES)),
    "smooth": ("smooth", _flag_text, codecs.flag),
    "opacity": ("opacity", _share_text, codecs.unit),
    "colours": ("colours", str, codecs.one_of(COLOURS)),
    "outline": ("outline", str, codecs.one_of(OUTLINES)),
    "source": (
        "source",
        lambda source: "auto" if source is None else str(source),
        lambda text: None if text == "auto" else codecs.natural(text),
    ),
    "hold": ("hold", _flag_text, codecs.flag),
    "models": ("models", codecs.write_names, codecs.names),
    "shows": ("shows", ",".join, codecs.list_of(SHOWS, MAX_MODELS)),
    "site": ("site", str, codecs.one_of(SITES)),
    "marks": ("marks", str, codecs.one_of(MARKS)),
    "pair": ("pair", lambda pair: f"{pair[0] + 1},{pair[1] + 1}", codecs.pair),
    "category": ("category", str, codecs.name),
    "token_cut": ("token", _share_text, codecs.unit),
    "high_cut": ("high", _share_text, codecs.unit),
    "low_cut": ("low", _share_text, codecs.unit),
    "third": ("third", str, codecs.one_of(THIRDS)),
    "context": ("context", _flag_text, codecs.flag),
    "section": ("view", str, codecs.one_of(SECTIONS)),
    "patches": ("patches", str, codecs.one_of_numbers((FEW, MANY))),
    "moment": (
        "moment",
        lambda moment: "last" if moment is None else str(moment),
        lambda text: None if text == "last" else codecs.natural(text),
    ),
    "bank": ("bank", str, codecs.one_of(BANKS)),
    "features": ("features", str, codecs.name),
    "beside": ("beside", codecs.write_names, codecs.listed(MAX_MODELS - 1)),
    "sites": ("sites", codecs.write_names, codecs.listed(MOST_PANELS)),
    "categories": ("categories", codecs.write_chosen, codecs.chosen),
    "amount": ("pixels", str, codecs.between(LEAST_PIXELS, MOST_PIXELS)),
    "drawn": ("from", str, codecs.one_of(DRAWN)),
    "projection": ("projection", str, codecs.one_of(PROJECTIONS)),
    "neighbours": ("neighbours", str, codecs.between(2, 200)),
    "min_dist": ("distance", _share_text, codecs.unit),
    "seed": ("seed", str, codecs.between(0, 999_999)),
    "paint": ("colour", str, codecs.one_of(PAINTS)),
    "number": ("number", str, codecs.one_of(NUMBERS)),
    "lasso": ("lasso", str, codecs.drawn),
    "isolated": ("isolated", str, codecs.drawn),
    "photo": ("photo", str, codecs.name),
    "look": ("show", str, codecs.one_of(LOOKS)),
    "smallest": ("clusters", str, codecs.between(0, 10_000)),
    "at": ("at", lambda at: str(at + 1), lambda text: codecs.between(1, MOST_PANELS)(text) - 1),
    "named": ("names", codecs.write_labels, codecs.labels),
}
_NONE_HAS_A_NAME = ("head", "source", "moment")
_MAY_BE_EMPTY = ("pins", "beside", "lasso", "isolated", "photo", "named")
PARAMETERS = tuple(name for name, _, _ in _CODECS.values())


@dataclass(frozen=True)
class Page:
    """What one page says of the selection. key: of its viewer in the session; shared: fields beside the viewer's own settings."""

    key: str
    shared: tuple[str, ...]
    view: tuple[str, ...]  # settings that the viewer changes and reports

    @property
    def fields(self) -> tuple[str, ...]:
        return self.shared + self.view

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names in this page's links."""
        return tuple(_CODECS[field][0] for field in self.fields)


_LOOK = ("smooth", "opacity", "colours")
_PLACE = ("image", "pins", "active")
INSPECT = Page(
    "viewer",
    ("model", *_PLACE),
    ("stage", "reading", "head", "measure", "relative", "scale", *_LOOK, "outline", "source", "hold"),
)
COMPARE = Page("compare", ("models", *_PLACE, "pair"), ("stage", "shows", "site", "marks", *_LOOK, "hold"))
GUIDANCE = Page(
    "guidance",
    ("model", *_PLACE, "token_cut", "high_cut", "low_cut"),
    ("category", "third", "context", "outline", *_LOOK, "hold"),
)

PROTOTYPES = Page(
    "prototypes",
    ("model", "stage", "category", "section", "head", "patches", "colours", "bank", "moment", "features"),
    (),
)

VARIANCE = Page(
    "variance",
    (
        *(
            "model",
            "beside",
            "sites",
            "categories",
            "amount",
            "drawn",
            "image",
            "projection",
            "neighbours",
            "min_dist",
        ),
        *("seed", "paint", "colours", "number", "photo", "look", "smallest", "at", "named"),
    ),
    ("lasso", "isolated"),
)


def to_params(selection: Selection, page: Page = INSPECT) -> dict[str, str]:
    """The selection as URL parameters. Every field of the page is written, so that a link outlives a changed default."""
    return {
        _CODECS[field][0]: _CODECS[field][1](value)
        for field in page.fields
        if (value := getattr(selection, field)) is not None or field in _NONE_HAS_A_NAME
    }


def from_params(
    params: Mapping[str, str], default: Selection, page: Page = INSPECT
) -> tuple[Selection, list[str]]:
    """The selection that `params` spell, and one sentence for each value that could not be used.

    Missing or unusable values fall back to `default`'s; but a link to an image alone never inherits pixels that
    were chosen for another picture. The first of several models is the other pages' model.
    """
    problems: list[str] = []
    fields: dict[str, Any] = {}
    for field in page.fields:
        name, _, read = _CODECS[field]
        text = params.get(name)
        if text is None or (text == "" and field not in _MAY_BE_EMPTY):
            continue
        try:
            fields[field] = read(text)
        except ValueError as error:
            problems.append(f"The link's {name} = “{_short(text)}” was left out: {error}.")
    if "models" in fields:
        fields["model"] = fields["models"][0]
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


def view_of(selection: Selection, page: Page = INSPECT) -> dict[str, Any]:
    """The settings as the page's viewer knows them (for Inspect: app.viewer.VIEW)."""
    view = {field: getattr(selection, field) for field in page.view}
    if "head" in view:
        view["head"] = "mean" if selection.head is None else selection.head
    return view


def adopt(
    selection: Selection,
    pins: tuple[tuple[int, int], ...],
    active: int | None,
    view: Mapping[str, Any],
    page: Page = INSPECT,
) -> Selection:
    """The selection after what a person did in the viewer. A browser may send anything: what is unusable is left out."""
    texts = {"pins": ";".join(f"{row},{col}" for row, col in pins[-MAX_PINS:])}
    if pins:
        texts["active"] = str(min((active or 0) + 1, len(pins)))
    for field in page.view:
        if field in view:
            texts[_CODECS[field][0]] = _told(field, view[field])
    return from_params(texts, selection, page)[0]


def _told(field: str, value: Any) -> str:
    """A viewer's value as a link would spell it."""
    if isinstance(value, bool):
        return str(int(value))
    if value is None:
        return "auto" if field == "source" else ""
    if isinstance(value, list):
        return ",".join(str(one)[:40] for one in value[:MAX_MODELS])
    text = str(value)[: codecs.MAX_DRAWN]
    return text.replace(" ", "-") if field == "reading" else text


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
