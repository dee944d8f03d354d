"""The Health panel: findings of engine.health, warnings first, as HTML. What is right is told by shape, not by colour."""

from __future__ import annotations

from app.views.prototypes_look import Look
from app.words import DASH, html
from engine.health import Finding, findings, warnings_first
from engine.health.finding import number  # the sentence beside it is written by the same rule

ICONS = {
    "ok": ("✓", "inside the threshold"),
    "warn": ("⚠", "outside the threshold"),
    "unknown": ("–", "not known"),
}


def findings_of(look: Look) -> tuple[Finding, ...]:
    """What is known of the stage's health, warnings first. Raises LoupeError where the atlas is damaged."""
    atlas, stage = look.atlas, look.stage
    pieces = {}
    if atlas is not None:
        pieces = {
            "pairs": atlas.pairs(stage),
            "usage": atlas.usage(stage),
            "parts": atlas.parts(stage),
            "effects": atlas.effects,
            "images": atlas.images,
        }
    return warnings_first(findings(stage, look.card.classes, bank=look.bank, time=look.parts.time, **pieces))


def panel(look: Look) -> str:
    """All findings of the stage."""
    found = findings_of(look)
    warned = sum(one.level == "warn" for one in found)
    told = f"{warned} of {len(found)} outside their threshold" if warned else f"{len(found)} checks"
    items = "".join(_item(one) for one in found)
    return (
        f'<section class="lp-panel lp-health"><h2>Health <span class="lp-soft">{html(look.stage)} · {told}</span></h2>'
        f"<ul>{items}</ul></section>"
    )


def _item(one: Finding) -> str:
    icon, word = ICONS[one.level]
    value = DASH if one.value is None else f"{number(one.value)}\u202f{html(one.unit)}"
    limit = "" if one.threshold is None else f' title="threshold {number(one.threshold)} {html(one.unit)}"'
    shown = (
        " open" if one.level == "warn" else ""
    )  # what is as it should be is a line, and its sentence a click away
    return (
        f'<li class="lp-{one.level}" data-finding="{html(one.key)}"><i role="img" aria-label="{word}" title="{word}">{icon}</i>'
        f"<details{shown}><summary><b>{html(one.title)}</b> <span{limit}>{value}</span></summary>"
        f"<p>{html(one.sentence)}</p></details></li>"
    )
