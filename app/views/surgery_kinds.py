"""What each kind of edit needs to be told: widgets that make one, or say what is still missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import streamlit as st

from app import surgery_links
from app.views.surgery_look import Look
from app.words import markdown, percent
from engine import LoupeError
from engine.edits import (
    Ablate,
    Edit,
    HideRegion,
    MemoryRow,
    MemoryShare,
    Move,
    Oracle,
    Replace,
    ShareHead,
    SilenceHead,
    Swap,
    Temperature,
    Token,
    Update,
)
from engine.edits.values import Vector

EVERY = "every stage"
NAMES: dict[type, str] = {
    Ablate: "Ablate a prototype",
    Oracle: "Oracle prototypes",
    Replace: "Replace a prototype",
    Swap: "Swap two prototypes",
    Move: "Move a prototype",
    MemoryShare: "Memory share μ",
    MemoryRow: "Change memory rows",
    HideRegion: "Hide the painted region",
    Temperature: "Temperature of the affinity",
    ShareHead: "One head's affinity in all",
    SilenceHead: "Silence a head",
    Update: "Update off, or its mean",
    Token: "Change a class token",
}
MEANINGS = {
    "masked": "cannot be read; the rest is read more",
    "zero": "is read as before and adds nothing",
    "mean": "is read as before and adds the others' mean",
}
TARGETS = {
    "memory": "its memory row",
    "category": "another prototype",
    "pixels": "mean of the pinned pixels",
    "vector": "a vector from a file",
    "direction": "a direction from a file",
}
Made = Edit | str | None
"""An edit, why there is none yet, or nothing to say."""


def _stage(look: Look) -> str | None:
    chosen = st.selectbox("Stage", [EVERY, *look.stages], key="surgery stage")
    return None if chosen in (None, EVERY) else chosen


def _category(look: Look, label: str = "Prototype", key: str = "category", skip: str | None = None) -> str:
    names = [name for name in look.card.classes if name != skip]
    begin = names.index(look.here) if look.here in names else 0
    return st.selectbox(label, names, index=begin, key=f"surgery {key}") or names[0]


def _choice(label: str, options: dict[str, str], key: str) -> str:
    found = st.selectbox(label, list(options), format_func=lambda one: options[one], key=f"surgery {key}")
    return found or next(iter(options))


def _vector(look: Look, label: str = "Vector") -> Vector | str:
    """From a file; else why there is none."""
    file = st.file_uploader(
        f"{label} of {look.subject.channels} numbers (.npy, .json, .csv)",
        type=["npy", "json", "csv"],
        key="surgery vector",
    )
    if file is None:
        return "no file is chosen"
    try:
        return surgery_links.vector_of(file.getvalue(), file.name)
    except LoupeError as error:
        return str(error)


def _target(look: Look, category: str, targets: tuple[str, ...], key: str) -> tuple[str, dict] | str:
    """(how, further fields) of what a prototype is replaced by or moved to; or why there is none yet."""
    options = {
        name: TARGETS[name] for name in targets if name != "memory" or look.subject.sources == "memory"
    }
    by = _choice("By", options, key)
    if by == "category":
        return by, {"other": _category(look, "Which", f"{key} other", skip=category)}
    if by == "pixels":
        pins = look.selection.pins or ()
        return (by, {"pixels": pins}) if pins else "no pixel is pinned"
    if by in ("vector", "direction"):
        vector = _vector(look, "Direction" if by == "direction" else "Vector")
        return vector if isinstance(vector, str) else (by, {"vector": vector})
    return by, {}


def _ablate(look: Look) -> Made:
    category = _category(look)
    meaning = _choice("It", MEANINGS, "meaning")
    return Ablate(category, cast(Literal["masked", "zero", "mean"], meaning), _stage(look))


def _oracle(look: Look) -> Made:
    absent = _choice(
        "Categories that the truth does not hold",
        {"kept": "as learned", "masked": "cannot be read"},
        "absent",
    )
    return Oracle(cast(Literal["kept", "masked"], absent), _stage(look))


def _replace(look: Look) -> Made:
    category = _category(look)
    target = _target(look, category, ("memory", "category", "pixels", "vector"), "replace by")
    keep = st.checkbox(
        "Keep its norm", help="Memory rows are far shorter than prototypes", key="surgery norm"
    )
    stage = _stage(look)
    if isinstance(target, str):
        return target
    by, more = target
    return Replace(
        category,
        cast(Literal["memory", "category", "pixels", "vector"], by),
        keep_norm=keep,
        stage=stage,
        **more,
    )


def _swap(look: Look) -> Made:
    category = _category(look)
    return Swap(category, _category(look, "and", "swap other", skip=category), _stage(look))


def _move(look: Look) -> Made:
    category = _category(look)
    target = _target(look, category, ("memory", "category", "pixels", "vector", "direction"), "move by")
    amount = st.number_input(
        "Amount (1: all the way)", value=0.5, step=0.1, format="%g", key="surgery amount"
    )
    stage = _stage(look)
    if isinstance(target, str):
        return target
    toward, more = target
    kind = cast(Literal["memory", "category", "pixels", "vector", "direction"], toward)
    return Move(category, float(amount), kind, stage=stage, **more)


def _memory_share(look: Look) -> Made:
    value = st.slider("μ", 0.0, 1.0, 0.0, 0.01, key="surgery share")
    return MemoryShare(float(value), _stage(look))


def _memory_row(look: Look) -> Made:
    ways = {
        "all": "every row ← 0",
        "zero": "a row ← 0",
        "category": "a row ← another row",
        "vector": "a row ← a vector",
    }
    way = _choice("Rows", ways, "row way")
    if way == "all":
        return MemoryRow(None, stage=_stage(look))
    category = _category(look, "Row", "row")
    if way == "category":
        other = _category(look, "Other row", "row other", skip=category)
        return MemoryRow(category, "category", other, stage=_stage(look))
    vector = _vector(look) if way == "vector" else None
    stage = _stage(look)
    if isinstance(vector, str):
        return vector
    return MemoryRow(category, "zero" if vector is None else "vector", vector=vector, stage=stage)


def _hide(look: Look) -> Made:
    stage = _stage(look)
    text = look.selection.region
    if not text:
        return "nothing is painted: switch “paint” on above the panes and drag over the picture"
    region = surgery_links.read_region(text)
    st.caption(markdown(f"{percent(region.bits.count('1') / len(region.bits))} of the image is painted."))
    return HideRegion(region, stage)


def _temperature(look: Look) -> Made:
    value = st.number_input(
        "τ (below 1 sharper, above 1 flatter)", value=0.5, step=0.1, format="%g", key="surgery tau"
    )
    return Temperature(float(value), _stage(look))


def _head(look: Look) -> int:
    # Counted from 0, as in the list's words, files and the command line.
    return st.selectbox("Head (from 0)", range(look.subject.heads), key="surgery head") or 0


def _share_head(look: Look) -> Made:
    return ShareHead(_head(look), _stage(look))


def _silence_head(look: Look) -> Made:
    return SilenceHead(_head(look), _stage(look))


def _update(look: Look) -> Made:
    meaning = _choice("Update", {"zero": "← 0", "mean": "← its mean over the image"}, "update")
    return Update(cast(Literal["zero", "mean"], meaning), _stage(look))


def _token(look: Look) -> Made:
    category = _category(look, "Token", "token")
    by = _choice("By", {"category": "another token", "vector": "a vector from a file"}, "token by")
    other = _category(look, "Which", "token other", skip=category) if by == "category" else None
    vector = _vector(look) if by == "vector" else None
    turned = st.checkbox("Turn towards it only", key="surgery turn")
    degrees = (
        st.number_input("Degrees", value=30.0, step=5.0, format="%g", key="surgery degrees")
        if turned
        else None
    )
    branch = "both"
    if look.subject.own_tokens:
        branch = _choice("Branch", {"both": "both", "guide": "guide", "upsampler": "upsampler"}, "branch")
    if isinstance(vector, str):
        return vector
    return Token(
        category,
        cast(Literal["category", "vector"], by),
        other,
        vector,
        None if degrees is None else float(degrees),
        cast(Literal["both", "guide", "upsampler"], branch),
    )


MAKERS: dict[type, Callable[[Look], Made]] = {
    Ablate: _ablate,
    Oracle: _oracle,
    Replace: _replace,
    Swap: _swap,
    Move: _move,
    MemoryShare: _memory_share,
    MemoryRow: _memory_row,
    HideRegion: _hide,
    Temperature: _temperature,
    ShareHead: _share_head,
    SilenceHead: _silence_head,
    Update: _update,
    Token: _token,
}
