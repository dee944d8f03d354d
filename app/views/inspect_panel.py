"""The side panel of Inspect: exact numbers of the pinned pixels, as HTML. Pure: no Streamlit, no tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from app.selection import RINGS
from app.words import CORNER, DASH, html, number, percent, size
from engine.affinity import SINK, OwnCategory, Reading, Sink, Source

LISTED = 4  # sources in a cell of the table


@dataclass(frozen=True)
class Names:
    """Names and colours ("#rrggbb") of the model's categories."""

    names: Sequence[str]
    colours: Sequence[str]

    def swatch(self, category: int | None) -> str:
        """The category's colour and name; a dash for None."""
        if category is None:
            return DASH
        if category >= len(self.names):
            return f"category {category}"
        return f'<i class="lp-swatch" style="background:{self.colours[category]}"></i>{html(self.names[category])}'

    def source(self, source: Source | Sink) -> str:
        if source.category is not None:
            return self.swatch(source.category)
        assert source.cell is not None
        return f"cell {source.cell[0]},{source.cell[1]}"


Cell = Callable[[Reading, Names], str]


def _sources(
    sources: Sequence[Source],
    names: Names,
    value: Callable[[Source], str],
    beside: Callable[[Source], str] | None = None,
) -> str:
    def one(source: Source) -> str:
        more = f' <span class="lp-soft">{beside(source)}</span>' if beside else ""
        return f'<span class="lp-pair">{names.source(source)} <b>{value(source)}</b>{more}</span>'

    return "".join(one(source) for source in sources[:LISTED])


def _own(which: Callable[[Reading], OwnCategory | None], field: str) -> Cell:
    def cell(reading: Reading, _: Names) -> str:
        own = which(reading)
        return DASH if own is None else number(getattr(own, field))

    return cell


def _both(field: str) -> Cell:
    """A number for the predicted category, and where it differs for the true one."""

    def cell(reading: Reading, names: Names) -> str:
        first, second = reading.own_predicted, reading.own_true
        text = number(getattr(first, field))
        if text == DASH or second is None or second.category == first.category:
            return text
        return f'{text} <span class="lp-soft">true {names.swatch(second.category)}</span> {number(getattr(second, field))}'

    return cell


def _entropies(reading: Reading, _: Names) -> str:
    if reading.entropy is None:
        return DASH
    heads = " ".join(number(value, 2) for value in reading.entropy_heads)
    return f'{number(reading.entropy)} <span class="lp-soft">heads {heads}</span>'


def _absent(reading: Reading, names: Names) -> str:
    if reading.absent_mass is None:
        return DASH
    count = len(reading.absent)
    listed = ", ".join(names.names[c] for c in reading.absent if c < len(names.names)) or "none"
    return f'{number(reading.absent_mass)} <abbr class="lp-soft" title="{html(listed)}">{count} absent</abbr>'


# (label, definition, value). Definitions are the ones of engine.affinity. {by}: what labels go by, "ground truth" or so.
GROUPS: tuple[tuple[str, tuple[tuple[str, str, Cell], ...]], ...] = (
    (
        "What it reads",
        (
            (
                "top sources by weight",
                "Affinity to each source, mean over heads; the weights over all sources sum to 1.",
                lambda r, n: _sources(r.by_weight, n, lambda s: number(s.weight)),
            ),
            (
                "top sources by contribution",
                "Share of the update that a source adds, ⟨c, u⟩ / ‖u‖², and in brackets ‖c‖ in units of the features, largest "
                "‖c‖ first. Shares over all sources sum to 1 and may be negative. Values differ between heads, so that this "
                "is not the weight.",
                lambda r, n: _sources(
                    r.by_contribution, n, lambda s: percent(s.share), lambda s: f"({number(s.norm, 2)})"
                ),
            ),
            (
                "prototype weight of its category",
                "Affinity to the prototype of the category predicted here. A prototype's name says which mask it averages, "
                "not what it has come to mean.",
                _both("prototype_weight"),
            ),
            (
                "pixel mass of its category, by {by}",
                "Pixel affinity summed over the source cells that belong, by {by}, to the category predicted here (at least "
                "75 % of a cell's pixels). At most 1 − μ.",
                _both("pixel_mass"),
            ),
            (
                "on mixed cells, left out",
                "Pixel affinity on source cells of which, by {by}, less than 75 % belong to one category, and how many there "
                "are.",
                lambda r, _: f'{number(r.mixed_mass)} <span class="lp-soft">{r.mixed_cells} cells</span>',
            ),
            (
                "on absent categories",
                "Affinity to prototypes of categories that, by {by}, are not in the image: they average something else.",
                _absent,
            ),
        ),
    ),
    (
        "How widely",
        (
            (
                "effective area",
                "exp(entropy of the pixel affinity), as a share of the source cells.",
                lambda r, _: (
                    f'{percent(r.effective_area)} <span class="lp-soft">of {size(r.source_grid)} cells</span>'
                ),
            ),
            (
                "mean distance",
                "From the pixel to where it reads, weighted by pixel affinity, in pixels of the original image; beside "
                "it what it would be if every cell were read alike.",
                lambda r, _: (
                    f'{number(r.mean_distance)} px <span class="lp-soft">alike {number(r.uniform_distance)} px</span>'
                ),
            ),
            (
                "entropy ÷ ln m",
                "Of the weights over the m sources, mean over heads, then head by head: 0 one source, 1 all alike.",
                _entropies,
            ),
            (
                "heads differ",
                "Jensen–Shannon divergence of the heads ÷ ln n: 0 all heads read alike, 1 they share no source.",
                lambda r, _: number(r.disagreement),
            ),
        ),
    ),
    (
        "What it adds",
        (
            (
                "update · residual",
                "‖update‖ and ‖low‖ as shares of their sum. Stages also reach the logits by other ways.",
                lambda r, _: f"{percent(r.update_share)} · {percent(1 - r.update_share)}",
            ),
            (
                "memory share",
                "Signed share of the update that comes from the memory bank, this affinity held fixed; and the norms of the "
                "image and the memory part.",
                lambda r, _: (
                    DASH
                    if r.sources != "memory"
                    else f'{percent(r.memory_share)} <span class="lp-soft">image {number(r.image_norm)} · memory '
                    f"{number(r.memory_norm)}</span>"
                ),
            ),
            (
                "blend weight μ",
                "How much of every source is memory: one constant for all pixels, and no measure of what memory does here.",
                lambda r, _: (
                    f"{r.blend_weight:g} <span class='lp-soft'>a constant</span>" if r.blend_weight else DASH
                ),
            ),
        ),
    ),
)


def pin_table(
    number_: int, readings: Sequence[Reading], names: Names, stage: str, sinks: Mapping[str, Sequence[Sink]]
) -> str:
    """All numbers of one pinned pixel, a column for each stage; `stage` is the one on show."""
    first = readings[0]
    assert first.pixel is not None
    true = "" if first.true is None else f" · truly {names.swatch(first.true)}"
    title = (
        f'<span class="lp-ring">{RINGS[number_ - 1]}</span> row {first.pixel[0]}, col {first.pixel[1]} '
        f'<span class="lp-soft">predicted</span> {names.swatch(first.predicted)}{true}'
    )
    head = "".join(
        f'<th scope="col"{_on(r.stage == stage)}>{html(r.stage)} <span class="lp-soft">{size(r.grid)} reads '
        f"{size(r.source_grid)} {html(r.sources)}</span></th>"
        for r in readings
    )
    rows = []
    for group, measures in GROUPS:
        rows.append(
            f'<tr class="lp-group"><th scope="rowgroup" colspan="{len(readings) + 1}">{group}</th></tr>'
        )
        for label, meaning, cell in measures:
            values = [cell(reading, names) for reading in readings]
            if set(values) == {DASH}:
                continue  # not defined for this model's sources
            cells = "".join(
                f"<td{_on(r.stage == stage)}>{value}</td>" for r, value in zip(readings, values, strict=True)
            )
            label, meaning = (text.replace("{by}", first.labels_by) for text in (label, meaning))
            rows.append(f'<tr><th scope="row"><abbr title="{html(meaning)}">{label}</abbr></th>{cells}</tr>')
    rows.append(_sink_row(readings, names, stage, sinks))
    return (
        f'<section class="lp-panel"><h2>{title}</h2><table class="lp-table"><thead><tr>{CORNER}{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></section>"
    )


def _sink_row(
    readings: Sequence[Reading], names: Names, stage: str, sinks: Mapping[str, Sequence[Sink]]
) -> str:
    cells = []
    for reading in readings:
        found = sinks.get(reading.stage, ())
        text = "".join(
            f'<span class="lp-pair">{names.source(s)} <b>{number(s.weight)}</b></span><span class="lp-soft">'
            f"×\u2009{number(s.times_uniform)} uniform, read most by {s.read_most_by} of {s.present} categories</span> "
            for s in found[:2]
        )
        if any(s.asked < s.queries for s in found):
            text += (
                f'<span class="lp-soft">on a sample of queries: {found[0].asked} of {found[0].queries}</span>'
            )
        cells.append(f"<td{_on(reading.stage == stage)}>{text or 'none'}</td>")
    meaning = (
        f"Sources read more than {SINK:g} × uniform by the image: their weight is the mean over its queries and heads, uniform "
        "is 1/m. On large grids a regular sample of the queries is asked. A pixel that reads a sink says little about itself: "
        "compare “÷ average” and “reads alike”."
    )
    return f'<tr><th scope="row"><abbr title="{html(meaning)}">sinks of this image</abbr></th>{"".join(cells)}</tr>'


_COMPARED: tuple[tuple[str, Cell], ...] = (
    ("reads most", lambda r, n: _sources(r.by_weight[:2], n, lambda s: number(s.weight))),
    ("adds most", lambda r, n: _sources(r.by_contribution[:1], n, lambda s: percent(s.share))),
    ("own pixel mass, by {by}", _own(lambda r: r.own_predicted, "pixel_mass")),
    ("effective area", lambda r, _: percent(r.effective_area)),
    ("distance", lambda r, _: f"{number(r.mean_distance)} px"),
    ("entropy ÷ ln m", lambda r, _: number(r.entropy)),
    ("heads differ", lambda r, _: number(r.disagreement)),
    ("update", lambda r, _: percent(r.update_share)),
    ("memory share", lambda r, _: percent(r.memory_share) if r.sources == "memory" else DASH),
)


def comparison(readings: Sequence[Reading], active: int, names: Names) -> str:
    """The pinned pixels side by side at one stage, a row each."""
    columns = [(label, [cell(reading, names) for reading in readings]) for label, cell in _COMPARED]
    columns = [
        (label, values) for label, values in columns if set(values) != {DASH}
    ]  # defined for these sources
    by = readings[0].labels_by
    head = "".join(f'<th scope="col">{label.replace("{by}", by)}</th>' for label, _ in columns)
    rows = []
    for index, reading in enumerate(readings):
        assert reading.pixel is not None
        true = ""
        if reading.true not in (None, reading.predicted):
            true = f' <span class="lp-soft">truly</span> {names.swatch(reading.true)}'
        cells = "".join(f"<td>{values[index]}</td>" for _, values in columns)
        rows.append(
            f'<tr{_on(index == active)}><th scope="row"><span class="lp-ring">{RINGS[index]}</span> '
            f"{reading.pixel[0]},{reading.pixel[1]} {names.swatch(reading.predicted)}{true}</th>{cells}</tr>"
        )
    stage = readings[0].stage
    return (
        f'<section class="lp-panel"><h2>The pinned pixels at {html(stage)}</h2><table class="lp-table lp-rows"><thead><tr>'
        f'<th scope="col">row,col · predicted</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></section>'
    )


def _on(yes: bool) -> str:
    return ' class="lp-on"' if yes else ""
