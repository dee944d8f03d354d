"""A list of findings → one HTML file, or Markdown with figures and data in a zip. Imports neither streamlit nor torch.

Figures go into the HTML as pictures (`data:image/svg+xml`): in a picture nothing runs and nothing is fetched, and ids of two
figures cannot meet. A policy in the head forbids the page whatever it does not need.
"""

from __future__ import annotations

import base64
import io
import re
import zipfile
from collections.abc import Callable, Sequence
from html import escape

from app.exports import file_name
from app.findings_records import Finding, Listed
from app.findings_svg import check_svg
from engine import LoupeError

TITLE = "Findings"
GONE = "Its figure is no longer on the server."
_MEDIA = {"npz": "application/octet-stream", "csv": "text/csv", "json": "application/json"}
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; --ink: #20242a; --soft: #60656c; --line: #d9dce0; --page: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --soft: #9aa1a9; --line: #343a42; --page: #14171b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 3rem 1.5rem 5rem; max-width: 62rem; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; line-height: 1.35; margin: 0 0 .5rem; overflow-wrap: anywhere; }
.soft { color: var(--soft); font-size: .86rem; overflow-wrap: anywhere; }
ol { list-style: none; margin: 2rem 0 0; padding: 0; }
article { border-top: 1px solid var(--line); padding: 1.8rem 0 1.4rem; }
.note { white-space: pre-wrap; overflow-wrap: anywhere; max-width: 46rem; margin: 0 0 1rem; }
figure { margin: 0 0 1rem; }
figure img { display: block; width: 100%; background: #fff; border: 1px solid var(--line); border-radius: 4px; }
a { color: inherit; }
p.soft { margin: .2rem 0; }
code { font-size: .95em; }
@media print { :root { --ink: #000; --soft: #444; --line: #bbb; --page: #fff; }
  body { padding: 0; max-width: none; font-size: 10.5pt; }
  article { break-inside: avoid; } .files { display: none; } }
"""

Read = Callable[[str], bytes | None]  # a file's name → what it holds; None where it is gone


def to_html(listed: Listed, read: Read, base: str = "") -> bytes:
    """One file that needs nothing else. base: where the app is, for links back to the states."""
    title = escape(listed.title or TITLE)
    items = "".join(
        f"<li><article>{_article(number, one, read, base)}</article></li>"
        for number, one in enumerate(listed.findings, 1)
    )
    count = len(listed.findings)
    said = f"{count} finding{'' if count == 1 else 's'}, kept with Loupe"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{title}</title><style>{_STYLE}</style></head>'
        f'<body><h1>{title}</h1><p class="soft">{said}</p><ol>{items}</ol></body></html>\n'
    ).encode()


def _article(number: int, one: Finding, read: Read, base: str) -> str:
    parts = [f"<h2>{number}. {escape(one.title)}</h2>"]
    if one.note:
        parts.append(f'<p class="note">{escape(one.note)}</p>')
    for title, svg, _ in one.figures:
        drawn = _svg(read, svg)
        if drawn is None:
            parts.append(f'<p class="soft">{GONE}</p>')
            continue
        uri = _uri(drawn, "image/svg+xml")
        parts.append(f'<figure><img src="{uri}" alt="{escape(title)}"></figure>')
    parts += [f'<p class="soft">{escape(line)}</p>' for line in origin(one)]
    parts.append(f'<p class="soft files">{" · ".join(_links(number, one, read, base))}</p>')
    return "".join(parts)


def _links(number: int, one: Finding, read: Read, base: str) -> list[str]:
    links = []
    if base:
        links.append(f'<a href="{escape(absolute(one, base))}" rel="noreferrer">Open this state in Loupe</a>')
    for name in one.data:
        kind = name.rpartition(".")[2]
        data = read(name)
        if data is None:
            links.append(f"{kind.upper()} is no longer on the server")
            continue
        called = escape(_called(number, one, kind))
        links.append(f'<a download="{called}" href="{_uri(data, _MEDIA[kind])}">{kind.upper()}</a>')
    return links


def to_zip(listed: Listed, read: Read, base: str = "") -> bytes:
    """findings.md with figures/ and data/."""
    lines = [f"# {plain(listed.title or TITLE)}", ""]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, one in enumerate(listed.findings, 1):
            lines += [f"## {number}. {plain(one.title)}", ""]
            if one.note:
                lines += [*paragraphs(one.note), ""]
            for index, (title, svg, png) in enumerate(one.figures, 1):
                drawn = _svg(read, svg)
                if drawn is None:
                    lines += [GONE, ""]
                    continue
                called = f"figures/{_called(number, one, 'svg', index)}"
                archive.writestr(called, drawn)
                lines += [f"![{plain(title)}]({called})", ""]
                if (raster := read(png)) is not None:
                    archive.writestr(f"figures/{_called(number, one, 'png', index)}", raster)
            lines += [f"- {plain(line)}" for line in origin(one)]
            if base:
                lines.append(f"- [Open this state in Loupe](<{absolute(one, base)}>)")
            for name in one.data:
                kind = name.rpartition(".")[2]
                data = read(name)
                if data is None:
                    lines.append(f"- {kind.upper()} is no longer on the server")
                    continue
                called = f"data/{_called(number, one, kind)}"
                archive.writestr(called, data)
                lines.append(f"- Data: [{kind.upper()}]({called})")
            lines.append("")
        archive.writestr("findings.md", "\n".join(lines))
    return buffer.getvalue()


def origin(one: Finding) -> list[str]:
    """Where a finding comes from, in words."""
    models = ", ".join(f"{name} ({digest[:8]})" for name, digest in one.models)
    image = f"image {one.image} ({one.image_hash[:8]})" if one.image_hash else one.image
    parts = [part for part in (models and f"model {models}", image) if part]
    return [*([" · ".join(parts)] if parts else []), f"page {one.page} · kept {day(one)}"]


def day(one: Finding) -> str:
    """2026-11-27 13:05 UTC"""
    return f"{one.kept[:10]} {one.kept[11:16]} UTC"


def absolute(one: Finding, base: str) -> str:
    """The whole link; `base`: the app's root. Only http leads anywhere from a file on a disk."""
    return f"{base.rstrip('/')}/{one.link.removeprefix('./')}" if re.match(r"https?://", base) else ""


def plain(text: str) -> str:
    """Text as Markdown that says just that: no markup, no HTML, one line."""
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~&$:])", r"\\\1", " ".join(text.split()))


def paragraphs(note: str) -> Sequence[str]:
    """A note's lines, each broken where it was."""
    return [f"{plain(line)}  " if line.strip() else "" for line in note.splitlines()]


def _svg(read: Read, name: str) -> bytes | None:
    """The figure, unless it is gone or no longer what this program drew."""
    drawn = read(name)
    if drawn is None:
        return None
    try:
        check_svg(drawn)
    except LoupeError:
        return None
    return drawn


def _called(number: int, one: Finding, kind: str, index: int = 1) -> str:
    which = "" if index == 1 else f"-{index}"
    return file_name(f"{number:02d}", one.page, f"{one.id[:6]}{which}", kind=kind)


def _uri(data: bytes, media: str) -> str:
    return f"data:{media};base64,{base64.b64encode(data).decode()}"
