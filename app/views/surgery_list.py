"""What changes the list of edits, from callbacks: it is the selection's, and what it was can be had back."""

from __future__ import annotations

from app import state, surgery_links
from app.codecs import MAX_DRAWN
from engine import LoupeError
from engine.edits import Edit
from engine.edits.files import MOST

PAST, FUTURE = "surgery past", "surgery future"
REMEMBERED = 64  # lists


def change(edits: tuple[Edit, ...]) -> bool:
    """Another list; the one before can be had back. From a callback. False: it was refused, and a notice says why."""
    text = surgery_links.write(edits)
    problem = None
    if len(edits) > MOST:
        problem = f"A list holds {MOST} edits."
    elif len(text) > MAX_DRAWN:
        problem = "These edits are more than a link can hold: the list stays as it was."
    if problem is not None:
        state.choose()
        state.notice(problem)
        return False
    remember()
    state.choose(edits=text)
    return True


def add(edits: tuple[Edit, ...], edit: Edit) -> bool:
    return change((*edits, edit))


def asked(edits: tuple[Edit, ...], edit: Edit) -> None:
    """The same for a button, which has nothing to do with the answer."""
    add(edits, edit)


def remove(edits: tuple[Edit, ...], place: int) -> None:
    change(edits[:place] + edits[place + 1 :])


def clear() -> None:
    change(())


def load(data: bytes, name: str) -> None:
    """An uploaded list takes the place of this one; a bad file changes nothing."""
    try:
        change(surgery_links.from_bytes(data, name))
    except LoupeError as error:
        state.choose()
        state.notice(f"{error}: the list stays as it was.")


def undo() -> None:
    _step(PAST, FUTURE)


def redo() -> None:
    _step(FUTURE, PAST)


def _step(source: str, target: str) -> None:
    texts = _kept(source)
    if texts:
        state.keep(target, (*_kept(target), _now()))
        state.keep(source, texts[:-1])
        state.choose(edits=texts[-1])


def remember() -> None:
    """Notes the list as it is, before it changes."""
    state.keep(PAST, (*_kept(PAST), _now())[-REMEMBERED:])
    state.keep(FUTURE, ())


def past() -> tuple[str, ...]:
    """Lists that can be had back, as links spell them, the latest last."""
    return _kept(PAST)


def future() -> tuple[str, ...]:
    """Lists that were undone."""
    return _kept(FUTURE)


def _now() -> str:
    return state.chosen("edits") or ""


def _kept(name: str) -> tuple[str, ...]:
    return state.kept(name) or ()
