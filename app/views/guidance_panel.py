"""The numbers of the Guidance page, as HTML: pins, IoU of both branches, gradient matrix. Pure: no Streamlit, no tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.figures_guidance import decades
from app.selection import RINGS
from app.views.inspect_panel import Names
from app.words import CORNER, DASH, html, number, percent
from engine.branches import BOTH_RIGHT, BOTH_WRONG, GUIDE_ALONE, OUTCOMES, UPSAMPLER_ALONE, BranchMeasures
from engine.gradients import PartGradients
from engine.guidance import Cuts


@dataclass(frozen=True)
class PinNumbers:
    """What both branches say at one pinned pixel: categories with their probability, likeliest first."""

    pixel: tuple[int, int]
    true: int | None
    guide: Sequence[tuple[int, float]]
    upsampler: Sequence[tuple[int, float]]
    context: (
        tuple[tuple[int, int], float] | None
    )  # the guide's cell that the CAE reads most here, and × uniform


# ---------------------------------------------------------------------------------------------- pins


def pin_rows(pins: Sequence[PinNumbers], active: int, names: Names) -> str:
    """The pinned pixels, a row each, in exact numbers."""

    def said(found: Sequence[tuple[int, float]]) -> str:
        return "".join(
            f'<span class="lp-pair">{names.swatch(category)} <b>{number(probability)}</b></span>'
            for category, probability in found
        )

    truth, context = (any(getattr(pin, field) is not None for pin in pins) for field in ("true", "context"))
    rows = []
    for index, pin in enumerate(pins):
        true = f"<td>{names.swatch(pin.true)}</td>" if truth else ""
        reads = ""
        if context and pin.context is not None:
            (row, col), times = pin.context
            reads = f'<td>cell {row},{col} <span class="lp-soft">×\u2009{number(times)} uniform</span></td>'
        rows.append(
            f'<tr{_on(index == active)}><th scope="row"><span class="lp-ring">{RINGS[index]}</span> {pin.pixel[0]},'
            f"{pin.pixel[1]}</th>{true}<td>{said(pin.guide)}</td><td>{said(pin.upsampler)}</td>{reads}</tr>"
        )
    head = ["row,col", *(["truly"] if truth else []), "guide says", "upsampler says"]
    head += ["CAE reads most"] if context else []
    cells = "".join(f'<th scope="col">{text}</th>' for text in head)
    return (
        '<section class="lp-panel"><h2>The pinned pixels <span class="lp-soft">softmax at the cell of each branch’s grid'
        f'</span></h2><table class="lp-table lp-rows"><thead><tr>{cells}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
        "</section>"
    )


# ---------------------------------------------------------------------------------------------- IoU


REGIONS = (
    ("whole", "miou", "iou"),
    ("within {d} px of an edge", "band_miou", "band_iou"),
    ("elsewhere", "inside_miou", "inside_iou"),
)


def iou_table(
    measures: tuple[BranchMeasures, BranchMeasures],
    counts: np.ndarray,
    category: int,
    names: Names,
    width: int,
) -> str:
    """IoU of guide and upsampler on this image: whole, in the boundary band, outside of it; and who is right where.

    counts: (3, 4) of `engine.branches.outcome_counts`; width: d of the band in pixels.
    """
    head = "".join(f'<th scope="col">{title.replace("{d}", str(width))}</th>' for title, _, _ in REGIONS)
    guide, upsampler = measures
    rows = [
        f'<tr class="lp-group"><th scope="rowgroup" colspan="4">Mean IoU, %{_means_of(measures)}</th></tr>'
    ]
    rows += [
        _row(one.branch, [number(getattr(one, mean)) for _, mean, _ in REGIONS]) for one in (guide, upsampler)
    ]
    rows.append(
        _row(
            "upsampler − guide",
            [_signed(getattr(upsampler, mean) - getattr(guide, mean)) for _, mean, _ in REGIONS],
            soft=True,
        )
    )
    rows.append(
        f'<tr class="lp-group"><th scope="rowgroup" colspan="4">IoU of {names.swatch(category)}, %</th></tr>'
    )
    rows += [
        _row(one.branch, [number(float(getattr(one, field)[category])) for _, _, field in REGIONS])
        for one in (guide, upsampler)
    ]
    rows.append('<tr class="lp-group"><th scope="rowgroup" colspan="4">Pixels, and their share</th></tr>')
    for outcome in (GUIDE_ALONE, UPSAMPLER_ALONE, BOTH_WRONG, BOTH_RIGHT):
        cells = [
            f'{counts[region, outcome]} <span class="lp-soft">{percent(_share(counts[region], outcome))}</span>'
            for region in range(3)
        ]
        rows.append(_row(f'<i class="lp-hatch lp-hatch-{outcome}"></i>{OUTCOMES[outcome]}', cells))
    meaning = (
        "Pixels within d of an edge between two categories of the ground truth; d = 2 % of the image's diagonal. The guide sees "
        "one cell for 32×32 pixels: what it lacks, it lacks here."
    )
    return (
        f'<section class="lp-panel" tabindex="0" role="region" aria-label="Inside and outside the boundary band">'
        f'<h2><abbr title="{html(meaning)}">Inside and outside the boundary band</abbr> '
        f'<span class="lp-soft">this image, by ground truth</span></h2><table class="lp-table lp-numbers"><thead><tr>{CORNER}'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></section>"
    )


def _means_of(measures: tuple[BranchMeasures, BranchMeasures]) -> str:
    """Over how many categories; branches may differ, as one may predict a category that the other does not."""
    found = [int(np.isfinite(one.iou).sum()) for one in measures]
    said = str(found[0]) if found[0] == found[1] else f"{found[0]} (guide) and {found[1]} (upsampler)"
    return f' <span class="lp-soft">over the {said} categories that are here or predicted</span>'


def _share(counts: np.ndarray, outcome: int) -> float | None:
    total = int(counts.sum())
    return int(counts[outcome]) / total if total else None


def _signed(value: float) -> str:
    return f"+{number(value)}" if value > 0 else number(value)


def _row(label: str, cells: Sequence[str], soft: bool = False) -> str:
    inside = "".join(f"<td{' class=lp-soft' if soft else ''}>{cell}</td>" for cell in cells)
    return f'<tr><th scope="row">{label}</th>{inside}</tr>'


# ---------------------------------------------------------------------------------------------- gradients


def gradient_table(
    lines: Sequence[PartGradients], opened: Sequence[PartGradients], cuts: Cuts, own_tokens: bool
) -> str:
    """Norm of each loss's gradient on every part, and the cosine of both.

    opened: the same with all cuts at 1, so that the scale stays when a cut moves.
    """
    low, high = decades([value for line in opened for value in (line.guide, line.upsampler)])

    def norm(value: float, reason: str) -> str:
        if value == 0:
            return f'<td class="lp-bar lp-zero"><b>0</b><span class="lp-soft">exactly: {reason}</span></td>'
        at = min(1.0, max(0.02, (math.log10(value) - low) / (high - low)))
        bar = f'<span class="lp-track"><i style="width:{100 * at:.1f}%"></i></span>'
        return f'<td class="lp-bar"><b>{number(value)}</b>{bar}</td>'

    def cosine(value: float | None) -> str:
        if value is None:
            return f'<td class="lp-bar"><b title="undefined: one of the two gradients is 0">{DASH}</b></td>'
        left, wide = (50 + 50 * min(value, 0), 50 * abs(value))
        return (
            f'<td class="lp-bar"><b>{number(value)}</b><span class="lp-track lp-middle"><i style="left:{left:.1f}%;'
            f'width:{wide:.1f}%"></i></span></td>'
        )

    rows = "".join(
        f'<tr><th scope="row">{line.part}</th>{norm(line.guide, "no path")}'
        f"{norm(line.upsampler, _why(line.part, cuts, own_tokens))}{cosine(line.cosine)}</tr>"
        for line in lines
    )
    head = (
        f'{CORNER}<th scope="col">‖∇L<sub>h</sub>‖ <span class="lp-soft">guide’s loss</span></th>'
        '<th scope="col">‖∇L<sub>u</sub>‖ <span class="lp-soft">upsampler’s loss</span></th>'
        '<th scope="col">cosine <span class="lp-soft">of both</span></th>'
    )
    return (
        f'<section class="lp-panel"><table class="lp-table lp-gradients"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody>'
        f'</table><p class="lp-note">Bars of norms: logarithmic, {_power(low)} to {_power(high)}. '
        "Bars of cosines: −1 to 1.</p></section>"
    )


def _why(part: str, cuts: Cuts, own_tokens: bool) -> str:
    """Why L_u does not reach a part, in two words."""
    if part == "tokens" and own_tokens:
        return "own tokens"
    shut = {"tokens": cuts.token == 0, "CAE": cuts.high == 0}.get(part, cuts.high == 0 and cuts.low == 0)
    return "cut" if shut else "no path"


def _power(exponent: int) -> str:
    return number(10.0**exponent, 1)


def _on(yes: bool) -> str:
    return ' class="lp-on"' if yes else ""
