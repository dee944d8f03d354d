"""Edits: small frozen values that say what to change inside a decoder, checked, written down, and applied.

    values    what can be edited, one frozen dataclass each
    files     edits ⇄ JSON
    checking  what a model has, and why an edit does not fit it
    plan      edits + one image → what each stage does differently
    applying  the mathematics, as pure functions of tensors

An edit never changes a model: it is an argument of one run.
"""

from __future__ import annotations

from engine.edits.checking import Subject, check, sift, subject_of
from engine.edits.files import VERSION, edits_key, from_json, read_edits, to_json
from engine.edits.plan import Plan, StageEdit, TokenEdit, plan
from engine.edits.values import (
    Ablate,
    Edit,
    HideRegion,
    MemoryRow,
    MemoryShare,
    Move,
    Oracle,
    Region,
    Replace,
    ShareHead,
    SilenceHead,
    Swap,
    Temperature,
    Token,
    Update,
    describe,
)

__all__ = [
    "VERSION",
    "Ablate",
    "Edit",
    "HideRegion",
    "MemoryRow",
    "MemoryShare",
    "Move",
    "Oracle",
    "Plan",
    "Region",
    "Replace",
    "ShareHead",
    "SilenceHead",
    "StageEdit",
    "Subject",
    "Swap",
    "Temperature",
    "Token",
    "TokenEdit",
    "Update",
    "check",
    "describe",
    "edits_key",
    "from_json",
    "plan",
    "read_edits",
    "sift",
    "subject_of",
    "to_json",
]
