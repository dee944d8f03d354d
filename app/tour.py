"""The guided tour of the demo: its steps as data, and their links. Pure: no Streamlit here.

A step is a whole link, `?tour=3` and the page's own parameters, so that Back, a reload and a link that is passed on show the
same. A library that lacks a step's model or scene has a shorter tour: steps are numbered as they are left.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from app.selection import (
    COMPARE,
    GUIDANCE,
    INSPECT,
    PROTOTYPES,
    SURGERY,
    VARIANCE,
    Page,
    Selection,
    to_params,
)

PARAMETER = "tour"


@dataclass(frozen=True)
class Step:
    """One stop. path: of the page's address, "" for the one that opens without; page: what its links spell, None where nothing.

    models: without all of them there is no such step; scene: likewise, by title, "" where the page shows none; chosen: the
    selection's fields, with all that the page would fill in by itself: what it adds to its address later is another entry in the
    browser's history.
    """

    title: str
    said: str
    path: str
    page: Page | None = None
    models: tuple[str, ...] = ()
    scene: str = ""
    chosen: Mapping[str, Any] = field(default_factory=dict)


STEPS = (
    Step(
        "Where a pixel looks",
        "Pixel ① is grass on the near shore; what it reads lights up, grass across the water included. Click the picture to pin "
        "another.",
        "",
        INSPECT,
        ("cpt",),
        "scene 20",
        {"model": "cpt", "pins": ((246, 114),), "stage": "stride4", "relative": "relative"},
    ),
    Step(
        "Category prototypes",
        "The decoder sums up each category in one prototype ★, an average of the image's own pixels. This is what pole is made "
        "of, and who reads it.",
        "prototypes",
        PROTOTYPES,
        ("cpt",),
        "",
        {"model": "cpt", "stage": "stride4", "category": "pole", "section": "reads"},
    ),
    Step(
        "The memory bank",
        "Training also left one memory row ◆ per category. Under Memory below, rows that point the same way remember the same "
        "thing.",
        "prototypes",
        PROTOTYPES,
        ("cpt",),
        "",
        {"model": "cpt", "stage": "stride4", "category": "pole", "section": "memory"},
    ),
    Step(
        "How varied a category is",
        "Each point is a pixel, before decoding on the left and after on the right. Draw around some to see what they are.",
        "variance",
        VARIANCE,
        ("cpt",),
        "scene 20",
        {"model": "cpt", "sites": ("f2", "fused")},
    ),
    Step(
        "Class-token guidance",
        "HFGD's guide names categories on a coarse grid; its class tokens ▲ then lead the upsampler. This pole is thinner than "
        "a coarse cell.",
        "guidance",
        GUIDANCE,
        ("hfgd",),
        "scene 8",
        {"model": "hfgd", "pins": ((149, 185),), "token_cut": 0.0, "high_cut": 0.0, "low_cut": 0.0},
    ),
    Step(
        "Decoders compared",
        "One pixel, four decoders, locked together. Below the pictures: where they disagree, and whether looking further pays.",
        "compare",
        COMPARE,
        ("cpt", "bilinear", "qup", "hfgd"),
        "scene 20",
        {
            "model": "cpt",
            "models": ("cpt", "bilinear", "qup", "hfgd"),
            "shows": ("auto", "auto", "auto", "auto"),
            "pins": ((246, 114),),
            "stage": "stride4",
        },
    ),
    Step(
        "Cause, not only reading",
        "Here the prototype of snow is taken away, and only what follows is computed again. Before, after, and what changed.",
        "surgery",
        SURGERY,
        ("cpt",),
        "scene 17",
        {"model": "cpt", "pins": ((209, 124),), "stage": "stride4", "edits": "ablate,snow,zero,stride4"},
    ),
    Step(
        "What you found",
        "Keep, at the top of every page, puts what is shown on this list, with figure, numbers and a note. Now it is your turn.",
        "findings",
    ),
)


def steps(models: Collection[str], scenes: Collection[str]) -> tuple[Step, ...]:
    """The steps that can be shown with these models and scenes, in their order; none where no model's step is left."""
    left = tuple(
        step for step in STEPS if set(step.models) <= set(models) and (not step.scene or step.scene in scenes)
    )
    return left if any(step.models for step in left) else ()


def parameters(step: Step, number: int, images: Mapping[str, str]) -> dict[str, str]:
    """The step's address: `tour`, and every parameter of its page. number: from 1; images: a scene's title → its id."""
    mine = {PARAMETER: str(number)}
    if step.page is None:
        return mine
    selection = replace(Selection(), image=images.get(step.scene, ""), **step.chosen)
    # A page without a picture of its own keeps the one that the others show.
    spelled = {
        name: text for name, text in to_params(selection, step.page).items() if name != "image" or text
    }
    return mine | spelled


def link(shown: Sequence[Step], number: int, images: Mapping[str, str]) -> str | None:
    """The link to that step, relative to any page; None where there is no such step."""
    if not 1 <= number <= len(shown):
        return None
    step = shown[number - 1]
    return f"./{step.path}?{urlencode(parameters(step, number, images))}"


def number_of(text: str | None, path: str, shown: Sequence[Step]) -> int | None:
    """Which step an address means, from 1; None where it means none: a link may hold anything, and may name another page's."""
    if text is None or not re.fullmatch(r"[1-9][0-9]?", text, re.ASCII):
        return None
    number = int(text)
    return number if number <= len(shown) and shown[number - 1].path == path else None
