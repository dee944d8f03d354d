"""The selection in the session and in the address bar: the only place that touches either.

    address bar ──(a new session, Back, an edited link)──▶ selection ◀──(reports of the viewer, widgets in the sidebar)
    selection ──commit──▶ session and address bar

What a person just did wins over the address bar: a run that carries a report or a widget's change may still carry the
address as it was before the previous run answered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from app import viewer
from app.selection import PARAMETERS, Selection, adopt, from_params, to_params

VIEWER = "viewer"  # the component's key
_SELECTION = "selection"
_WRITTEN = "address as written"
_REVISION = "viewer revision"
_TOUCHED = "a widget changed"
_NOTICES = "notices"
_UPLOADS = "uploads so far"
_MINE = "ids of my uploads"


def begin(default: Selection, whole_run: bool) -> Selection:
    """The selection, after whatever happened since the last run.

    whole_run: the page's script runs, not a fragment alone. Only then may the address say something new: Back and Forward
    run the whole script, while a fragment's run may carry an address that an earlier one has overtaken.
    """
    session = st.session_state
    address = {name: value for name, value in st.query_params.to_dict().items() if name in PARAMETERS}
    selection: Selection | None = session.get(_SELECTION)
    report = viewer.parse(session.get(VIEWER))
    touched = whole_run and session.pop(_TOUCHED, False)
    moved = whole_run and not touched and bool(address) and address != session.get(_WRITTEN)
    if selection is None or (moved and not _is_new(report)):
        selection, problems = from_params(address, default)
        session[_NOTICES] = problems
        session[_REVISION] = report.revision if report else None
    elif report is not None and _is_new(report):
        selection = adopt(selection, report.pins, report.active, report.view)
        session[_REVISION] = report.revision
        session[_NOTICES] = []
    session[_SELECTION] = selection
    return selection


def again() -> None:
    """Runs the whole script now; the address that this run came with says nothing new to it."""
    st.session_state[_TOUCHED] = True
    st.rerun()


def _is_new(report: viewer.ViewerResult | None) -> bool:
    return report is not None and report.revision not in (None, st.session_state.get(_REVISION))


def revision() -> str | None:
    """The viewer's last report that the selection holds."""
    return st.session_state.get(_REVISION)


def commit(selection: Selection, problems: list[str] | None = None) -> None:
    """Keeps the selection and writes it to the address bar; `problems` are shown until the next act."""
    st.session_state[_SELECTION] = selection
    if problems:
        notice(*problems)
    address = to_params(selection)
    if st.session_state.get(_WRITTEN) != address:
        st.session_state[_WRITTEN] = address
        st.query_params.update(address)


def hold(selection: Selection, problems: list[str]) -> None:
    """Keeps the selection as it was made to fit; the address bar follows with `commit`."""
    st.session_state[_SELECTION] = selection
    if problems:
        notice(*problems)


def address(selection: Selection, page: str) -> str:
    """The whole link to what is shown; `page`: the page's address without parameters."""
    from urllib.parse import urlencode

    return f"{page.partition('?')[0]}?{urlencode(to_params(selection), safe=',;')}"


def notice(*sentences: str) -> None:
    """Sentences for the person, shown until their next act."""
    held = st.session_state.setdefault(_NOTICES, [])
    held.extend(sentence for sentence in sentences if sentence not in held)


def notices() -> list[str]:
    return list(st.session_state.get(_NOTICES, []))


def choose(**fields: Any) -> None:
    """Changes the selection from a callback, before the run that it causes."""
    st.session_state[_SELECTION] = replace(st.session_state[_SELECTION], **fields)
    st.session_state[_TOUCHED] = True
    st.session_state[_NOTICES] = []


def bound(field: str, value: Any) -> dict[str, Any]:
    """Keyword arguments that make a widget show `value` and write the person's choice to that field."""
    key = f"choose {field}"
    st.session_state[key] = value
    return {"key": key, "on_change": _chosen, "args": (field, key)}


def shown(field: str) -> Any:
    """What the bound widget showed last; None before it was drawn."""
    return st.session_state.get(f"choose {field}")


def _chosen(field: str, key: str) -> None:
    choose(**{field: st.session_state[key]})


def upload_slot(take: Callable[[bytes, str], None]) -> dict[str, Any]:
    """Keyword arguments of an uploader that hands each file to `take` once and is empty again afterwards."""
    count = st.session_state.setdefault(_UPLOADS, 0)
    key = f"upload {count}"

    def uploaded() -> None:
        file = st.session_state.get(key)
        if file is not None:
            st.session_state[_UPLOADS] = count + 1
            take(file.getvalue(), file.name)

    return {"key": key, "on_change": uploaded}


def remember_upload(picture_id: str) -> None:
    """Notes a picture that this session uploaded: others may open it by its link, but are not shown it."""
    mine = st.session_state.setdefault(_MINE, [])
    st.session_state[_MINE] = [one for one in mine if one != picture_id] + [picture_id]


def my_uploads() -> list[str]:
    """Ids of the pictures that this session uploaded, the latest last."""
    return list(st.session_state.get(_MINE, []))


def picked(key: str) -> Any:
    """The value of a component's trigger `chosen`, inside its callback."""
    state = st.session_state.get(key)
    return state.get("chosen") if state is not None else None
