"""What is being looked at, as one frozen value, and its spelling in a URL.

Pure: no Streamlit here. `app.state` keeps the value in the session and in the address bar.

selection.py   the value; choices.py: what its fields may hold
spelling.py    each field as text; pages.py: which fields a page's links spell; links.py: a whole selection as a link, and back
fitting.py     made to fit an image and a model

A new field: add it to Selection, to spelling.CODECS and to the pages that use it.
"""

from __future__ import annotations

from app.codecs import MAX_MODELS, MAX_PINS
from app.selection.choices import (
    ABLATIONS,
    AUDITED,
    BANKS,
    COLOURS,
    DRAWN,
    FEW,
    LEAST_PIXELS,
    LOOKS,
    MANY,
    MARKS,
    MEASURES,
    MOST_AUDITED,
    MOST_PANELS,
    MOST_PIXELS,
    NUMBERS,
    OUTLINES,
    PAINTS,
    PROJECTIONS,
    READINGS,
    RELATIVES,
    RINGS,
    SCALES,
    SCORES,
    SECTIONS,
    SHOWS,
    SITES,
    SLICES,
    THIRDS,
    UNDER_PIN,
    WHATS,
)
from app.selection.fitting import fit_pins, fit_stage
from app.selection.links import adopt, from_params, to_params, view_of
from app.selection.pages import (
    AUDIT,
    COMPARE,
    GUIDANCE,
    INSPECT,
    LIBRARY,
    PROTOTYPES,
    SURGERY,
    VARIANCE,
    Page,
)
from app.selection.selection import Selection
from app.selection.spelling import PARAMETERS

__all__ = [
    "ABLATIONS",
    "AUDIT",
    "AUDITED",
    "BANKS",
    "COLOURS",
    "COMPARE",
    "DRAWN",
    "FEW",
    "GUIDANCE",
    "INSPECT",
    "LEAST_PIXELS",
    "LIBRARY",
    "LOOKS",
    "MANY",
    "MARKS",
    "MAX_MODELS",
    "MAX_PINS",
    "MEASURES",
    "MOST_AUDITED",
    "MOST_PANELS",
    "MOST_PIXELS",
    "NUMBERS",
    "OUTLINES",
    "PAINTS",
    "PARAMETERS",
    "PROJECTIONS",
    "PROTOTYPES",
    "READINGS",
    "RELATIVES",
    "RINGS",
    "SCALES",
    "SCORES",
    "SECTIONS",
    "SHOWS",
    "SITES",
    "SLICES",
    "SURGERY",
    "THIRDS",
    "UNDER_PIN",
    "VARIANCE",
    "WHATS",
    "Page",
    "Selection",
    "adopt",
    "fit_pins",
    "fit_stage",
    "from_params",
    "to_params",
    "view_of",
]
