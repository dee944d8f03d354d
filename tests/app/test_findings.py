"""Findings: a list's laws, its exports, the cookie that says whose it is, and the pages that keep and show."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile

import pytest
from PIL import Image

from app import findings, findings_export, process, state
from app.findings import Findings, new_id
from app.findings_records import Draft, Figure
from app.findings_svg import check_svg
from app.views import findings as page_of_findings
from app.visitors import COOKIE, Visitors
from engine import LoupeError
from tests.app.pages import html_of, opened, text_of

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>'
EVIL = "<script>alert(1)</script>"


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 20), "teal").save(buffer, "PNG")
    return buffer.getvalue()


def draft(title="one", **fields) -> Draft:
    told = {
        "page": "inspect",
        "link": "./?model=cpt&pins=1,2",
        "models": (("cpt", "ab" * 32),),
        "image": "scene 20",
        "image_hash": "cd" * 32,
        "figures": (Figure("drawn", SVG, png()),),
        "data": {"npz": b"\x00\x01npz", "csv": b"a,b\n"},
        **fields,
    }
    return Draft(title=title, **told)


@pytest.fixture
def store(tmp_path) -> Findings:
    return Findings(tmp_path / "findings")


def titles(store: Findings, owner: str) -> list[str]:
    return [one.title for one in store.read(owner).findings]


def test_a_list_keeps_its_order_through_moves_removals_and_restarts(store):
    owner = new_id()
    ids = [store.keep(owner, draft(name)).id for name in "abcd"]
    store.move(owner, ids[3], -2)
    store.move(owner, ids[0], 1)
    assert titles(store, owner) == ["d", "a", "b", "c"]
    store.move(owner, ids[3], -1)
    store.move(owner, ids[2], 1)
    assert titles(Findings(store.root), owner) == ["d", "a", "b", "c"]
    store.remove(owner, ids[0])
    store.remove(owner, ids[3])
    assert titles(store, owner) == ["b", "c"]
    store.undo(owner)
    store.undo(owner)
    assert titles(store, owner) == ["d", "a", "b", "c"]
    with pytest.raises(LoupeError, match="nothing was removed"):
        store.undo(owner)


def test_files_go_only_when_they_can_no_longer_be_brought_back(store):
    owner = new_id()
    made = [store.keep(owner, draft(str(i))) for i in range(findings.UNDONE + 1)]
    for one in made[:-1]:
        store.remove(owner, one.id)
    assert all(store.file(owner, name) is not None for one in made for name in one.files)
    store.remove(owner, made[-1].id)
    assert all(store.file(owner, name) is None for name in made[0].files)
    assert all(store.file(owner, name) is not None for name in made[1].files)


def test_lists_do_not_see_each_other_and_the_disk_does_not_tell_their_ids(store):
    one, other = new_id(), new_id()
    kept = store.keep(one, draft())
    assert store.read(other).findings == () and store.file(other, kept.small) is None
    with pytest.raises(LoupeError, match="no longer on the list"):
        store.annotate(other, kept.id, "mine")
    assert not any(one in str(path) for path in store.root.rglob("*"))


@pytest.mark.parametrize(
    "owner", ["", "..", "../" * 8, "a" * 31, "a" * 33, "a" * 31 + "/", "a" * 32 + "\n", None]
)
def test_what_is_no_id_opens_nothing(store, owner):
    with pytest.raises(LoupeError, match="no list"):
        store.read(owner)


@pytest.mark.parametrize("name", ["", "list.json", "../x.svg", "/etc/passwd", "0" * 16 + ".x/../y.svg"])
def test_only_files_of_findings_are_read(store, name):
    owner = new_id()
    store.keep(owner, draft())
    assert store.file(owner, name) is None


def test_a_write_that_fails_leaves_the_list_and_no_files(store, monkeypatch):
    owner = new_id()
    store.keep(owner, draft("first"))
    before = sorted(path.name for path in store.root.rglob("*"))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(findings.os, "fsync", full)
        with pytest.raises(LoupeError, match="the disk is full"):
            store.keep(owner, draft("second"))
    assert titles(store, owner) == ["first"] and sorted(p.name for p in store.root.rglob("*")) == before


def test_a_list_is_bounded(store, monkeypatch):
    owner = new_id()
    monkeypatch.setattr(findings, "MOST", 2)
    one = store.keep(owner, draft(note="x" * 9000))
    assert len(one.note) == findings.NOTE
    store.keep(owner, draft())
    with pytest.raises(LoupeError, match="the list is full"):
        store.keep(owner, draft())
    for name, why in (
        ("FINDING_BYTES", "too large"),
        ("LIST_BYTES", "list is full"),
        ("ALL_BYTES", "no room"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(findings, "MOST", 9)
            patch.setattr(findings, name, 10)
            with pytest.raises(LoupeError, match=why):
                store.keep(owner, draft())
    assert len(store.read(owner).findings) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda told: None,
        lambda told: [],
        lambda told: told["findings"][0].update(link="javascript:alert(1)") or told,
        lambda told: told["findings"][0].update(small="../../../etc/passwd") or told,
        lambda told: told["findings"][0].update(note=3) or told,
        lambda told: (told.pop("removed") and told) or told,
    ],
)
def test_a_damaged_list_is_refused_and_set_aside_whole(store, spoil):
    owner = new_id()
    store.keep(owner, draft())
    (path,) = store.root.rglob("list.json")
    path.write_text(json.dumps(spoil(json.loads(path.read_text()))))
    damaged = path.read_text()
    with pytest.raises(LoupeError, match="damaged"):
        store.keep(owner, draft("lost?"))
    aside = store.set_aside(owner)
    assert (path.parent / aside).read_text() == damaged and store.read(owner).findings == ()


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "https://a.b/", "//a.b", "./../x", './?a="b', "./?a=<b>"]
)
def test_a_link_leads_to_a_page(store, link):
    with pytest.raises(LoupeError, match="link"):
        store.keep(new_id(), draft(link=link))


@pytest.mark.parametrize(
    "inside",
    [
        "<script>1</script>",
        '<path onload="x()"/>',
        '<a href="javascript:x()"/>',
        '<image xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="https://a.b/c.png"/>',
        '<image href="data:image/svg+xml;base64,AA"/>',
        "<foreignObject/>",
    ],
)
def test_a_figure_that_could_run_or_fetch_is_refused(store, inside):
    with pytest.raises(LoupeError, match="the figure"):
        store.keep(
            new_id(), draft(figures=(Figure("bad", SVG.replace(b"<path", inside.encode() + b"<path")),))
        )


def test_what_is_no_svg_is_refused():
    for data in (
        b"",
        b"<html/>",
        b"<svg",
        b'<!DOCTYPE x [<!ENTITY a "b">]><svg xmlns="http://www.w3.org/2000/svg"/>',
    ):
        with pytest.raises(LoupeError, match="the figure"):
            check_svg(data)


# ── exports ──


def listed(store: Findings, **fields):
    owner = new_id()
    store.keep(owner, draft(EVIL, note=f"{EVIL} *bold* [x](javascript:y)\nsecond", image=EVIL, **fields))
    store.rename(owner, EVIL)
    return store.read(owner), lambda name: store.file(owner, name)


def test_the_html_holds_everything_and_runs_nothing(store):
    text = findings_export.to_html(*listed(store), "http://localhost:1/loupe").decode()
    assert "<script" not in text and text.count("&lt;script&gt;") >= 4 and "default-src 'none'" in text
    (svg,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', text)
    assert base64.b64decode(svg) == SVG
    files = re.findall(r'download="([^"]+)" href="data:[^;]+;base64,([^"]+)"', text)
    assert [base64.b64decode(data) for _, data in files] == [b"\x00\x01npz", b"a,b\n"]
    assert 'href="http://localhost:1/loupe/?model=cpt&amp;pins=1,2"' in text and "cpt (abababab)" in text
    # Nothing is fetched: the only address is the link back.
    assert set(re.findall(r'(?:src|href)="(?!data:)([^"]+)"', text)) == {
        "http://localhost:1/loupe/?model=cpt&amp;pins=1,2"
    }
    assert "javascript:" not in findings_export.to_html(
        *listed(store, link="./"), "javascript:x"
    ).decode().replace("[x](javascript:y)", "")


def test_the_zip_holds_markdown_figures_and_data(store):
    archive = zipfile.ZipFile(io.BytesIO(findings_export.to_zip(*listed(store), "http://localhost:1")))
    text = archive.read("findings.md").decode()
    assert (
        "<script" not in text.replace(r"\<script", "") and r"\*bold\*" in text and "](javascript" not in text
    )
    named = re.findall(r"\]\(((?:figures|data)/[^)]+)\)", text)
    assert len(named) == 3 and set(named) < set(archive.namelist())
    assert [archive.read(name) for name in named] == [SVG, b"\x00\x01npz", b"a,b\n"]


def test_an_export_says_what_is_gone_or_was_changed(store):
    told, read = listed(store)
    bad = SVG.replace(b"<path", b"<script/><path")
    for lost in (lambda _: None, lambda name: bad if name.endswith("svg") else read(name)):
        text = findings_export.to_html(told, lost).decode()
        assert findings_export.GONE in text and "<img" not in text
    assert "NPZ is no longer on the server" in findings_export.to_html(told, lambda _: None).decode()


# ── whose list it is ──


def cookie_of(
    kind: bytes = b"text/html; charset=utf-8", cookie: str = "", scheme: str = "http"
) -> str | None:
    import asyncio

    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})

    async def send(message):
        sent.append(message)

    headers = [(b"cookie", cookie.encode())] if cookie else []
    scope = {"type": "http", "method": "GET", "headers": headers, "scheme": scheme}
    asyncio.run(Visitors(app)(scope, None, send))  # pyright: ignore[reportArgumentType]
    return dict(sent[0]["headers"]).get(b"set-cookie", b"").decode() or None


def test_a_page_gives_an_unguessable_id_that_scripts_do_not_see_and_renews_it():
    first, other = cookie_of(), cookie_of()
    assert first and other and first != other and "HttpOnly" in first and "SameSite=Lax" in first
    held = first.partition(";")[0].partition("=")[2]
    assert findings.is_id(held) and held in (cookie_of(cookie=f"{COOKIE}={held}") or "")
    assert "../" not in (cookie_of(cookie=f"{COOKIE}=../../x") or "../")
    assert cookie_of(kind=b"application/json") is None and "Secure" in (cookie_of(scheme="https") or "")


def test_a_browser_that_has_the_page_but_not_the_cookie_is_given_one():
    """It asks whether the page has changed; "not modified" would bring no cookie, and the list would be lost with the visit."""
    import asyncio

    seen = []

    async def app(scope, receive, send):
        seen.append(dict(scope["headers"]))

    for accept in (b"text/html,*/*", b"text/css"):
        headers = [(b"accept", accept), (b"if-none-match", b'"a"'), (b"if-modified-since", b"now")]
        scope = {"type": "http", "method": "GET", "headers": headers, "scheme": "http"}
        asyncio.run(Visitors(app)(scope, None, None))  # pyright: ignore[reportArgumentType]
    page, style = seen
    assert set(page) == {b"accept"} and b"if-none-match" in style and b"if-modified-since" in style


# ── pages ──


@pytest.fixture
def visitor(tmp_path, monkeypatch):
    """Somebody with a list of their own in a folder of this test."""
    owner = new_id()
    monkeypatch.setenv("LOUPE_FINDINGS", str(tmp_path / "kept"))
    monkeypatch.setattr(state, "visitor", lambda: owner)
    process.findings.cache_clear()
    yield owner
    process.findings.cache_clear()


def test_an_empty_page_says_how_to_begin(stand_ins, visitor):
    page = opened("findings")
    assert "click Keep in its header" in text_of(page) and 'href="./prototypes?model=cpt"' in html_of(page)


def test_a_state_is_kept_with_its_note_and_shown(stand_ins, visitor):
    page = opened("inspect")
    page.text_area(key="keep note viewer").set_value(f"reads far {EVIL}").run()
    page.button(key="keep viewer").click().run()
    assert not page.exception and page.text_area(key="keep note viewer").value == ""
    (one,) = process.findings().read(visitor).findings
    assert one.note == f"reads far {EVIL}" and one.link.startswith("./?model=cpt&") and one.page == "inspect"
    assert one.models == (("cpt", process.engine().models()["cpt"].hash),)
    assert [name.rpartition(".")[2] for name in one.files] == ["svg", "png", "webp", "npz", "csv"]
    shown = opened("findings")
    assert EVIL not in html_of(shown) and "data-changed" not in html_of(shown)
    assert shown.text_area(key=f"note {one.id}").value == one.note


def test_cards_are_noted_ordered_removed_and_brought_back(stand_ins, visitor):
    store = process.findings()
    first, second = store.keep(visitor, draft("first")), store.keep(visitor, draft("second"))
    page = opened("findings")
    assert "cpt is another checkpoint now" in text_of(page)
    page.text_area(key=f"note {first.id}").set_value("better").run()
    page.button(key=f"down {first.id}").click().run()
    assert titles(store, visitor) == ["second", "first"] and store.read(visitor).findings[1].note == "better"
    page.button(key=f"remove {second.id}").click().run()
    assert titles(store, visitor) == ["first"]
    page.button(key="undo").click().run()
    assert titles(store, visitor) == ["second", "first"] and not page.exception


def test_a_damaged_list_or_a_lost_picture_is_one_sentence(stand_ins, visitor):
    store = process.findings()
    one = store.keep(visitor, draft())
    next(store.root.rglob(one.small)).unlink()
    assert findings_export.GONE in text_of(opened("findings"))
    next(store.root.rglob("list.json")).write_text("{")
    page = opened("findings")
    assert "is damaged" in page.warning[0].value
    page.button[0].click().run()
    assert "list.damaged" in page.warning[0].value.replace("\\", "") and "Nothing is kept yet" in text_of(
        page
    )


def test_a_full_list_says_so_and_the_note_stays(stand_ins, visitor, monkeypatch):
    monkeypatch.setattr(findings, "LIST_BYTES", 10)
    page = opened("inspect")
    page.text_area(key="keep note viewer").set_value("mine").run()
    page.button(key="keep viewer").click().run()
    assert any("Not kept: the list is full" in one.value.replace("\\", "") for one in page.caption)
    assert page.text_area(key="keep note viewer").value == "mine"


def test_examples_and_places_are_pages():
    assert page_of_findings.EXAMPLES and all(
        link.startswith("./") for _, _, link in page_of_findings.EXAMPLES
    )
