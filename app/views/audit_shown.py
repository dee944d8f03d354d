"""The sheets that one run of the Audit page draws, made once for each audit and choice."""

from __future__ import annotations

from dataclasses import dataclass

from app import cache
from app.sheets_audit import CurveSheet, StripSheet
from app.sheets_prototypes import ChartSheet
from app.views import audit_made as made
from app.views import audit_truth as truth
from app.views.audit_look import Look

Sheet = StripSheet | ChartSheet | CurveSheet


@dataclass(frozen=True, eq=False)
class Shown:
    """overall, verdicts: sentences, one for each model. curves and areas: of deletion; why: where there are none, a sentence."""

    strips: StripSheet
    overall: tuple[str, ...]
    beyond: ChartSheet
    paired: ChartSheet | None
    correct: ChartSheet | None
    verdicts: tuple[str, ...]
    curves: tuple[CurveSheet, ...]
    areas: ChartSheet | None
    why: tuple[str, ...]


def shown(look: Look) -> Shown:
    """All that is drawn of the look's audit."""
    return cache.made(("audit", *look.key), lambda: _made(look))


def _made(look: Look) -> Shown:
    asked = look.asked
    correct, verdicts = truth.correct(asked)
    found, why = truth.deletions(asked)
    return Shown(
        made.strips(asked),
        tuple(made.overall(asked)),
        made.beyond(asked),
        made.paired(asked),
        correct,
        verdicts,
        tuple(truth.curves(asked, model, one) for model, one in found.items()),
        truth.areas(asked, found) if found else None,
        tuple(why.values()),
    )


def sheets_of(look: Look) -> tuple[Sheet, ...]:
    """What is on show, for the downloads."""
    now = shown(look)
    single = (now.strips, now.beyond, now.paired, now.correct, *now.curves, now.areas)
    return tuple(one for one in single if one is not None)
