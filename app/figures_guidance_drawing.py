"""The Guidance page's publication figures: maps of both branches, class tokens, gradient matrix.

As app.figures: always light, one scale for what is compared, a caption that stands alone; neither streamlit nor torch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib import rc_context
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MultipleLocator

from app import figures
from app.figures import MARGIN, STYLE, WIDTH
from app.figures_guidance import DIVERGING, GradientSheet, MapSheet, TokenSheet, angle_top, cosine_reach
from app.figures_page import FAINT, INK, SOFT, Page
from app.figures_panes import hatch_onto, overlay_onto, ramp_onto, rings_onto
from app.words import number as three_digits

HATCHES = {1: "////", 2: "\\\\\\\\", 3: "xxxx"}  # outcomes, as the viewer draws them; "both right" stays bare


def draw(sheet: MapSheet | TokenSheet | GradientSheet, kind: str) -> bytes:
    """The figure of a sheet as "png", "svg" or "pdf"."""
    make: Callable[..., Figure] = {
        MapSheet: map_figure,
        TokenSheet: token_figure,
        GradientSheet: gradient_figure,
    }[type(sheet)]
    with figures._DRAWING, rc_context(STYLE):
        figure = make(sheet)
    return figures.render(figure, kind)


def map_figure(sheet: MapSheet) -> Figure:
    """Three panes side by side; guide and upsampler share one scale."""
    height, width = sheet.photo.shape[:2]
    gap = 0.1
    wide = (WIDTH - 2 * MARGIN - 2 * gap) / 3
    tall = min(3.6, wide * height / width)
    page = Page(tall + 0.72, sheet.title, sheet.caption)
    low = float(min(sheet.guide.min(), sheet.upsampler.min()))
    high = float(max(sheet.guide.max(), sheet.upsampler.max()))
    shared = Normalize(low, high if high > low else low + 1, clip=True)
    lefts = [MARGIN + i * (wide + gap) for i in range(3)]
    titles = (
        f"guide, {_size(sheet.guide)}",
        f"upsampler, {_size(sheet.upsampler)}",
        f"upsampler − guide, {_size(sheet.third)}" if sheet.words is None else "who is right",
    )
    largest = float(np.abs(sheet.third).max(initial=0.0)) if sheet.words is None else 0.0
    both = Normalize(-(largest or 1.0), largest or 1.0, clip=True)
    for index, (left, values) in enumerate(
        zip(lefts, (sheet.guide, sheet.upsampler, sheet.third), strict=True)
    ):
        axes = page.axes(left, 0.16, wide, tall)
        axes.imshow(sheet.photo, extent=(0, width, height, 0), interpolation="antialiased")
        if index == 2 and sheet.words is not None:
            _outcomes(axes, values, (height, width))
        else:
            norm, colours = (both, DIVERGING) if index == 2 else (shared, sheet.colours)
            overlay_onto(axes, values, norm, colours, sheet, (height, width))
        for labels, colour in sheet.outlines[index]:
            figures.outline_onto(axes, labels, colour)
        rings_onto(axes, sheet)
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(titles[index], fontsize=7, pad=3)
    unit = f"logit of {sheet.category} − mean over categories"
    ramp_onto(
        page.axes(lefts[0], tall + 0.26, 2 * wide + gap, 0.07), shared, sheet.colours, f"{unit} (one scale)"
    )
    if sheet.words is None:
        ramp_onto(page.axes(lefts[2], tall + 0.26, wide, 0.07), both, DIVERGING, "difference of the two")
    else:
        axes = page.axes(lefts[2], tall + 0.2, wide, 0.4)
        axes.axis("off")
        axes.legend(
            handles=[
                Patch(facecolor="#b9bdc3", edgecolor=INK, hatch=hatch, linewidth=0.5, label=sheet.words[i])
                for i, hatch in HATCHES.items()
            ],
            loc="upper left", ncols=1, fontsize=6, frameon=False, borderpad=0, borderaxespad=0,
            handlelength=2.4, labelspacing=0.25,
        )  # fmt: skip
    return page.figure


def _outcomes(axes, found: np.ndarray, size: tuple[int, int]) -> None:
    """Hatched areas; the photo is paled below them, so that lines stay readable on any picture."""
    axes.imshow(
        np.ones((*found.shape, 3)),
        alpha=np.where((found > 0) & (found < 4), 0.45, 0.0),
        extent=(0, size[1], size[0], 0),
        interpolation="nearest",
    )
    for index, hatch in HATCHES.items():
        hatch_onto(axes, found == index, hatch, size)


def token_figure(sheet: TokenSheet) -> Figure:
    """The cosine matrix, and beside it the angles to the class means on the same rows."""
    count = len(sheet.names)
    cell = min(0.2, 3.0 / count)
    side, names = cell * count, 0.85
    page = Page(side + 0.95, sheet.title, sheet.caption)
    reach = cosine_reach(sheet.cosines)
    axes = page.axes(MARGIN + names, 0.1, side, side)
    hidden = np.ma.masked_where(np.eye(count, dtype=bool), sheet.cosines)
    axes.imshow(hidden, cmap=DIVERGING, norm=Normalize(-reach, reach), interpolation="nearest")
    size = min(6.5, 60 * cell)
    axes.set_yticks(range(count), sheet.names, fontsize=size)
    axes.set_xticks(range(count), sheet.names, fontsize=size, rotation=90)
    for row in range(count):
        for col in range(count):
            if row != col and cell > 0.17:
                value = (
                    f"{sheet.cosines[row, col] + 0.0:.2f}".replace("-0.00", "0")
                    .replace("-", "−")
                    .replace("0.", ".")
                )
                strong = abs(sheet.cosines[row, col]) > 0.75 * reach
                axes.text(
                    col, row, value, fontsize=3.6, ha="center", va="center", color="white" if strong else INK
                )
    axes.tick_params(length=0, pad=2)
    ramp_onto(
        page.axes(MARGIN + names + side + 0.12, 0.1, 0.9, 0.07), Normalize(-reach, reach), DIVERGING, "cosine"
    )
    left = MARGIN + names + side + 1.3
    _angles(page.axes(left, 0.1, WIDTH - left - 0.2, side), sheet)
    return page.figure


def _angles(axes, sheet: TokenSheet) -> None:
    places = np.arange(len(sheet.names))
    high, upsampled = sheet.angles["high"], sheet.angles["upsampled"]
    for place in places:
        if np.isfinite(high[place]) and np.isfinite(upsampled[place]):
            axes.plot([high[place], upsampled[place]], [place, place], color=SOFT, lw=0.8, zorder=1)
    axes.plot(np.zeros(len(places)), places, "^", ms=4, color=INK, label="token", clip_on=False)
    axes.plot(high, places, "s", ms=3.6, color=INK, label="mean of $F_h$")
    axes.plot(upsampled, places, "s", ms=3.6, mfc="white", mec=INK, label="mean of $F_u$")
    axes.set_ylim(len(places) - 0.5, -0.5)
    axes.set_xlim(0, angle_top([*high.tolist(), *upsampled.tolist()]))
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MultipleLocator(30))
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=FAINT, lw=0.4)
    for place in places:
        axes.axhline(place, color=FAINT, lw=0.4, zorder=0)
    axes.tick_params(length=2, width=0.5, labelsize=6)
    axes.set_xlabel("angle to the token, degrees", fontsize=6.5, labelpad=2)
    for name in ("top", "right", "left"):
        axes.spines[name].set_visible(False)
    legend = axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.42 / max(1e-6, 0.2 * len(places))), ncols=3, fontsize=6,
        frameon=False, handletextpad=0.2, columnspacing=1,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(True)  # symbols of ours, not names


def gradient_figure(sheet: GradientSheet) -> Figure:
    """Norms on a logarithmic scale, cosines from −1 to 1, every value in figures; exact zeros are written, not drawn."""
    count = len(sheet.rows)
    page = Page(0.2 * count + 0.62, sheet.title, sheet.caption)
    high = 0.2 * count
    wide, gap, names = 1.55, 0.62, 0.75
    low_power, high_power = sheet.limits
    for column, title in enumerate((r"$\|\nabla L_h\|$", r"$\|\nabla L_u\|$", "cosine of both")):
        axes = page.axes(MARGIN + names + column * (wide + gap), 0.22, wide, high)
        axes.set_ylim(count - 0.5, -0.5)
        if column < 2:
            axes.set_xscale("log")
            figures.plain_logarithm(axes.xaxis)
            axes.set_xlim(10.0**low_power, 10.0**high_power)
        else:
            axes.set_xlim(-1, 1)
            axes.axvline(0, color=SOFT, lw=0.5)
        for place, (_, *values) in enumerate(sheet.rows):
            _cell(axes, place, values[column], column, 10.0**low_power)
        axes.set_yticks(
            range(count), [row[0] for row in sheet.rows] if column == 0 else [""] * count, fontsize=6.5
        )
        axes.tick_params(length=0, labelsize=6)
        axes.tick_params(axis="x", length=2, width=0.5)
        axes.set_title(title, fontsize=7, pad=3, parse_math=True)  # ours, not a name
        for name in ("top", "right", "left"):
            axes.spines[name].set_visible(False)
    return page.figure


def _cell(axes, place: int, value: float | None, column: int, low: float) -> None:
    if value is not None and (column == 2 or value > 0):
        start = 0.0 if column == 2 else low
        axes.barh(place, value - start, left=start, height=0.62, color="#8a9099")
    text = "–" if value is None else "0" if value == 0 else three_digits(value)
    axes.text(
        1.03, place, text, transform=axes.get_yaxis_transform(), fontsize=6.5, va="center", clip_on=False
    )


def _size(values: np.ndarray) -> str:
    return f"{values.shape[0]}×{values.shape[1]}"
