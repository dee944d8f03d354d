"""The selection in the session and in the address bar: the only place that touches either.

    address bar ──(a new session, Back, an edited link)──▶ selection ◀──(reports of the viewer, widgets in the sidebar)
    selection ──commit──▶ session and address bar

What a person just did wins over the address bar: a run that carries a report or a widget's change may still carry the
address as it was before the previous run answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlencode

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app import viewer
from app.findings import is_id, new_id
from app.selection import INSPECT, Page, Selection, adopt, from_params, to_params
from app.visitors import COOKIE

VIEWER = INSPECT.key  # the component's key
_SELECTION = "selection"
_WRITTEN = "address as written"
_WRITTEN_ON = "page that wrote it"
_REVISION = "viewer revision"
_TOUCHED = "address at which a widget changed"
_NOTICES = "notices"
_UPLOADS = "uploads so far"
_MINE = "ids of my uploads"
_SEEN = "seen so far"
_VISIT = "id of this visit"


def begin(
    default: Selection,
    whole_run: bool,
    page: Page = INSPECT,
    spelled: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
) -> Selection:
    """The selection, after whatever happened since the last run.

    spelled: what the page's viewer reports of its settings → the page's own fields; None: they are those already.
    whole_run: the page's script runs, not a fragment alone. Only then may the address say something new: Back and Forward
    run the whole script, while a fragment's run may carry an address that an earlier one has overtaken.
    """
    session = st.session_state
    address = {name: value for name, value in asked_for().items() if name in page.parameters}
    selection: Selection | None = session.get(_SELECTION)
    report = viewer.parse(session.get(page.key))
    new = report is not None and report.revision not in (None, revision(page))
    touched = _touched()  # by a widget of a fragment as well
    session.pop(_TOUCHED, None)
    moved = whole_run and not touched and bool(address) and address != session.get(_WRITTEN)
    if selection is None or (moved and not new):
        # What this page's links do not name stays as the other pages left it.
        start = default if selection is None else _keeping_others(default, selection, page)
        selection, problems = from_params(address, start, page)
        session[_NOTICES] = problems
        _hold_revision(page, report.revision if report else None)
    elif report is not None and new:
        view = report.view if spelled is None else spelled(report.view)
        selection = adopt(selection, report.pins, report.active, view, page)
        _hold_revision(page, report.revision)
        session[_NOTICES] = []
    session[_SELECTION] = selection
    return selection


def _keeping_others(default: Selection, selection: Selection, page: Page) -> Selection:
    own = {field: getattr(default, field) for field in page.fields}
    return replace(selection, **own)


def again() -> NoReturn:
    """Runs the whole script now; the address that this run came with says nothing new to it."""
    _touch()
    st.rerun()


def waiting() -> bool:
    """A choice was made that only a run of the whole page can show: a fragment that made it has to ask for one."""
    return _touched()


def _touch() -> None:
    """Noted with the address: a link that is followed meanwhile stops this run, and what it says is news all the same."""
    st.session_state[_TOUCHED] = asked_for()


def _touched() -> bool:
    return st.session_state.get(_TOUCHED) == asked_for()


def asked_for() -> dict[str, str]:
    """The address of this very run. Not `st.query_params`: the runs of a session share it, and one that is being stopped
    because a link was followed may yet overwrite it with the address of the page that was left."""
    context = get_script_run_ctx()
    return dict(parse_qsl(context.query_string if context else "", keep_blank_values=True))


def _write(address: Mapping[str, str]) -> None:
    """All of it at once, for the same reason."""
    st.query_params.from_dict(address)


def is_news(name: str, value: Any) -> bool:
    """Whether `value` is another one than when this was last asked under that name."""
    seen = st.session_state.setdefault(_SEEN, {})
    news = seen.get(name) != value
    seen[name] = value
    return news


def keep(name: str, value: Any) -> None:
    """Notes something for this session's next runs."""
    st.session_state.setdefault(_SEEN, {})[name] = value


def kept(name: str) -> Any:
    """What `keep` noted under that name; None without."""
    return st.session_state.get(_SEEN, {}).get(name)


def revision(page: Page = INSPECT) -> str | None:
    """The last report of the page's viewer that the selection holds."""
    return st.session_state.get(_REVISION, {}).get(page.key)


def _hold_revision(page: Page, held: str | None) -> None:
    st.session_state[_REVISION] = {**st.session_state.get(_REVISION, {}), page.key: held}


def commit(selection: Selection, problems: list[str] | None = None, page: Page = INSPECT) -> None:
    """Keeps the selection and writes it to the address bar; `problems` are shown until the next act."""
    st.session_state[_SELECTION] = selection
    if problems:
        notice(*problems)
    address = to_params(selection, page)
    written, of = st.session_state.get(_WRITTEN), st.session_state.get(_WRITTEN_ON)
    asked = asked_for()
    if written == address and asked:
        return
    st.session_state[_WRITTEN], st.session_state[_WRITTEN_ON] = address, page.key
    # A link that spells all of it opened this page: to say it once more would come late, and overwrite the address of whoever has
    # gone on meanwhile. On the page that wrote last, what this run came with may be overtaken by what an earlier one answered.
    if of == page.key or address.items() - asked.items():
        _write({**asked, **address})


def hold(selection: Selection, problems: list[str]) -> None:
    """Keeps the selection as it was made to fit; the address bar follows with `commit`."""
    st.session_state[_SELECTION] = selection
    if problems:
        notice(*problems)


def address(selection: Selection, url: str, page: Page = INSPECT) -> str:
    """The whole link to what is shown; `url`: the page's address, its parameters are replaced."""
    return f"{url.partition('?')[0]}?{urlencode(to_params(selection, page), safe=',;')}"


def asked(name: str) -> str | None:
    """A parameter of the address that is no page's own."""
    return asked_for().get(name)


def forget_asked(name: str) -> None:
    """Takes it out of the address; the page's own parameters stay."""
    asked = asked_for()
    if asked.pop(name, None) is not None:
        _write(asked)


def notice(*sentences: str) -> None:
    """Sentences for the person, shown until their next act."""
    held = st.session_state.setdefault(_NOTICES, [])
    held.extend(sentence for sentence in sentences if sentence not in held)


def notices() -> list[str]:
    return list(st.session_state.get(_NOTICES, []))


def choose(**fields: Any) -> None:
    """Changes the selection from a callback, before the run that it causes."""
    st.session_state[_SELECTION] = replace(st.session_state[_SELECTION], **fields)
    _touch()
    st.session_state[_NOTICES] = []


def chosen(field: str) -> Any:
    """A field of the selection, inside a callback."""
    return getattr(st.session_state[_SELECTION], field)


def bound(field: str, value: Any, take: Callable[[Any], dict[str, Any]] | None = None) -> dict[str, Any]:
    """Keyword arguments that make a widget show `value` and write the person's choice to that field.

    take: what the choice changes, where that is not the field alone: the choice → fields.
    """
    return bound_as(field, value, take)


def bound_as(name: str, value: Any, take: Callable[[Any], dict[str, Any]] | None = None) -> dict[str, Any]:
    """As `bound`, for one of several widgets that change one field: each has a name of its own."""
    key = f"choose {name}"
    # Only where it differs: what is set here overrides the widget, and a slider that has moved on meanwhile would snap back.
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value
    return {"key": key, "on_change": _chosen, "args": (name, key, take)}


def shown(field: str) -> Any:
    """What the bound widget showed last; None before it was drawn."""
    return st.session_state.get(f"choose {field}")


def _chosen(field: str, key: str, take: Callable[[Any], dict[str, Any]] | None) -> None:
    value = st.session_state[key]
    choose(**(take(value) if take else {field: value}))


def visitor() -> str:
    """Who this is, for what a person keeps: the id in the browser's cookie; without one, an id for this visit alone."""
    held = st.context.cookies.get(COOKIE)
    if is_id(held):
        return str(held)
    if kept(_VISIT) is None:
        keep(_VISIT, new_id())
    return kept(_VISIT)


def comes_back() -> bool:
    """Whether the browser keeps the id of `visitor` for the next visit."""
    return is_id(st.context.cookies.get(COOKIE))


def set_text(key: str, text: str) -> None:
    """What a text field shows, set before it is drawn or inside a callback."""
    st.session_state[key] = text


def typed(key: str) -> str:
    """What a text field holds, inside a callback."""
    return str(st.session_state.get(key, ""))


def upload_slot(take: Callable[[bytes, str], None], name: str = "upload") -> dict[str, Any]:
    """Keyword arguments of an uploader that hands each file to `take` once and is empty again afterwards. name: of several."""
    count = st.session_state.setdefault(_UPLOADS, 0)
    key = f"{name} {count}"

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
