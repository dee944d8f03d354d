"""An audit's publication figures, without a browser: areas, right against wrong, deletion. SVG, PDF or PNG, always light.

matplotlib is imported when a figure is asked for: the engine runs without it.
"""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.audit.records import MAPS, SCORES
from engine.audit.results import Audit
from engine.errors import LoupeError
from engine.resampling import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURES = ("areas", "correctness", "deletion")
KINDS = ("svg", "pdf", "png")
AREAS = tuple(name for name in SCORES if name.startswith("auc") and name != "auc_distance")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#333333")  # Okabe and Ito
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # names are other people's text, and may hold dollar signs
    "font.size": 7.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "svg.hashsalt": "loupe",  # the same audit gives the same file
}
INCH = 2.3  # a panel's width
LETTERS = 22  # of a caption, an inch


def draw(audit: Audit, name: str, kind: str = "svg") -> bytes:
    """A figure as the bytes of a file.

    Args:
        name: one of `FIGURES`. kind: "svg", "pdf" or "png".

    Raises:
        LoupeError: no such figure or kind, or nothing to draw in it.
    """
    if name not in FIGURES or kind not in KINDS:
        raise LoupeError(
            f'no figure "{name}" as {kind}: there are {", ".join(FIGURES)} as {", ".join(KINDS)}'
        )
    from matplotlib import rc_context

    buffer = io.BytesIO()
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    with rc_context(STYLE):
        figure = {"areas": _areas, "correctness": _correctness, "deletion": _deletion}[name](audit)
        wide = int(figure.get_figwidth() * LETTERS)
        figure.text(0.01, 0.0, textwrap.fill(_caption(audit), wide), va="top", fontsize=6, color="#60656c")
        figure.savefig(
            buffer, format=kind, dpi=200, facecolor="white", bbox_inches="tight", metadata=metadata
        )
    return buffer.getvalue()


def _caption(audit: Audit) -> str:
    hashes = ", ".join(f"{entry.model} {entry.checkpoint[:8]}" for entry in audit.entries)
    return (
        f"{audit.data}, {len(audit.images)} images, {len(audit)} pixels balanced over each image's categories, "
        f"seed {audit.seed}; {hashes}. 95 % over images, one training seed."
    )


def _grid(rows: int, columns: int, tall: float, one_scale: bool = False) -> tuple[Figure, np.ndarray]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(INCH * max(2, columns) + 1.2, tall * rows + 0.4), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, sharey="row", sharex=one_scale)


def _stages(audit: Audit) -> list[str]:
    """Of all models, in their order."""
    return list(dict.fromkeys(stage for model in audit.models for stage in audit.stages(model)))


def _areas(audit: Audit) -> Figure:
    """One panel a stage: every area's mean a model, beside distance alone."""
    stages = _stages(audit)
    figure, axes = _grid(1, len(stages), 2.6, one_scale=True)
    for panel, stage in zip(axes[0], stages, strict=True):
        here = [model for model in audit.models if stage in audit.stages(model)]
        base = audit.summary(here[0], stage, "auc_distance", "all")[0].mean
        panel.axvline(base.value, color="#60656c", lw=0.8, ls="--")
        panel.axvspan(base.low, base.high, color="#60656c", alpha=0.15, lw=0)
        panel.axvline(0.5, color="#c8ccd1", lw=0.6)
        for at, model in enumerate(here):
            offset = (at - (len(here) - 1) / 2) * 0.22
            for row, score in enumerate(AREAS):
                _bar(panel, audit.summary(model, stage, score, "all")[0].mean, row + offset, audit, model)
        panel.set(title=stage, xlabel="area under the ROC curve", yticks=range(len(AREAS)))
        panel.set_yticklabels([_short(SCORES[score].title) for score in AREAS])
        panel.set_ylim(len(AREAS) - 0.4, -0.6)
    _legend(figure, audit, "dashed: distance alone")
    return figure


def _bar(panel: Axes, value: Estimate, row: float, audit: Audit, model: str) -> None:
    place = audit.models.index(model) % len(COLOURS)
    if np.isfinite(value.low):
        panel.plot([value.low, value.high], [row, row], color=COLOURS[place], lw=1.2)
    panel.plot([value.value], [row], MARKERS[place], color=COLOURS[place], ms=3)


def _correctness(audit: Audit) -> Figure:
    """Share of right decisions in each decile of an area, a panel a stage and map."""
    stages, scores = _stages(audit), ("auc", "auc_relative", "auc_profile")
    figure, axes = _grid(len(scores), len(stages), 1.7)
    for panels, score in zip(axes, scores, strict=True):
        for panel, stage in zip(panels, stages, strict=True):
            for model in audit.models:
                if stage in audit.stages(model):
                    _reliability(panel, audit, model, stage, score)
            panel.set(xlabel=f"area by {_short(SCORES[score].title)}")
            if score == scores[0]:
                panel.set_title(stage)
        panels[0].set_ylabel("share right")
    _legend(figure, audit, "each point a tenth of the pixels, at the middle of its range")
    return figure


def _reliability(panel: Axes, audit: Audit, model: str, stage: str, score: str) -> None:
    place = audit.models.index(model) % len(COLOURS)
    bins = audit.correctness(model, stage, score).bins
    x = [(each.low + each.high) / 2 for each in bins]
    y = [each.right.value for each in bins]
    panel.plot(x, y, marker=MARKERS[place], color=COLOURS[place], lw=0.8, ms=2.5)
    low, high = ([getattr(each.right, side) for each in bins] for side in ("low", "high"))
    panel.fill_between(x, low, high, color=COLOURS[place], alpha=0.15, lw=0)


def _deletion(audit: Audit) -> Figure:
    """How far the margin falls, a panel a model and stage."""
    models = [entry for entry in audit.entries if entry.deletion]
    if not models:
        raise LoupeError("no pixel was asked with source cells hidden: there are no deletion curves to draw")
    stages = list(dict.fromkeys(stage for entry in models for stage in entry.deletion))
    figure, axes = _grid(len(models), len(stages), 1.9)
    for panels, entry in zip(axes, models, strict=True):
        for panel, stage in zip(panels, stages, strict=True):
            if stage not in entry.deletion:
                panel.axis("off")
                continue
            found = audit.deletion(entry.model, stage)
            x = [100 * share for share in found.shares]
            for place, curve in enumerate(found.curves):
                y = [each.value for each in curve.drop]
                panel.plot(x, y, marker=MARKERS[place], color=COLOURS[place], lw=0.8, ms=2.5, label=curve.map)
                low, high = ([getattr(each, side) for each in curve.drop] for side in ("low", "high"))
                panel.fill_between(x, low, high, color=COLOURS[place], alpha=0.12, lw=0)
            panel.set_xscale("symlog", linthresh=1)
            panel.set_xticks(x, [f"{share:g}" for share in x])
            panel.set(title=f"{entry.model}, {stage}, {found.pixels} pixels", xlabel="source cells hidden, %")
        panels[0].set_ylabel("the margin's fall, logits")
    handles = axes[0][0].get_legend_handles_labels()[0]
    figure.legend(handles, MAPS, loc="outside right upper", frameon=False, title="hidden first by")
    return figure


def _legend(figure: Figure, audit: Audit, note: str) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=COLOURS[at % len(COLOURS)], marker=MARKERS[at % len(MARKERS)], ms=3, lw=1)
        for at in range(len(audit.models))
    ]
    figure.legend(handles, audit.models, loc="outside right upper", frameon=False)
    figure.supxlabel(note, fontsize=6.5, color="#60656c")


def _short(title: str) -> str:
    return (
        title.removeprefix("same category, ")
        .removeprefix("same category ")
        .replace("within rings, ", "in rings: ")
    )
