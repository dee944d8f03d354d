"""The affinity audit: is that example typical? Scores of sampled pixels at every stage of several models.

sample    which pixels, and what is known of them: object, rarity, distance to the boundary
ranking   areas under the ROC curve, many at once, with mid-ranks and within rings
site      what reads what: a stage's affinity, or the CAE's, of chosen queries
scores    the columns of one image's pixels at one site
deletion  how fast margins fall while source cells are hidden
walk      all of it over a dataset: `run`
slices tables results   the parts, the tables, and `Audit`, which holds columns and hands out tables
files figures   on disk, and as publication figures
"""

from __future__ import annotations

from engine.audit.files import read_audit, write_audit
from engine.audit.records import COLUMNS, MAPS, QUANTILES, SCORES, SHARES, Case, Correctness, Deletion
from engine.audit.results import Audit
from engine.audit.walk import run

__all__ = [
    "COLUMNS",
    "MAPS",
    "QUANTILES",
    "SCORES",
    "SHARES",
    "Audit",
    "Case",
    "Correctness",
    "Deletion",
    "read_audit",
    "run",
    "write_audit",
]
