"""Surgery over a dataset: what edits cause, image by image, with intervals over images.

    prepared      what edited runs need of the unedited ones, kept within a budget of bytes
    consequences  one list of edits: IoU per category, before and after
    relabel       labels after an edit, where they may have turned
    changes       from per-image counts to changes of IoU with intervals: pure
    causal        each prototype ablated in turn; does attention predict the effect?

Surgery on one image is `Engine.trace(…, edits=…)`.
"""

from __future__ import annotations

from engine.surgery.causal import CausalMatrix, causal_matrix
from engine.surgery.changes import Change, Changes
from engine.surgery.consequences import Consequences, consequences, only_of_one_image
from engine.surgery.prediction import Prediction, attention_predicts, mean_rate
from engine.surgery.prepared import BUDGET, Prepared

__all__ = [
    "BUDGET",
    "CausalMatrix",
    "Change",
    "Changes",
    "Consequences",
    "Prediction",
    "Prepared",
    "attention_predicts",
    "causal_matrix",
    "consequences",
    "mean_rate",
    "only_of_one_image",
]
