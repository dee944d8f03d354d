"""A look at all files of a dataset: what is there, what is missing, what is wrong, and how often each category occurs."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app import process
from app.palette import colours
from app.surgery_walk import Walk
from app.views.polling import watch
from app.words import html, markdown, percent
from engine.data.check import Check, SplitCheck, check
from engine.data.datasets import SPLITS
from engine.data.descriptions import split_of

LOOKED_AT = 200  # files of each split that a check reads first
NAMES = 3  # of files, in a sentence


def section(split: str) -> None:
    """A check of the dataset of a split: begun by a click, how far it is, what it found. Nothing for the demo world."""
    described = None if split in SPLITS else split_of(split)
    if described is None:
        return
    about = described[0]
    walk = process.checks().find(about.name)
    if walk is not None and walk.running:
        watch(
            lambda: walk.running,
            lambda: walk.done / max(1, walk.total),
            lambda: f"Reading {about.name}: {walk.done} of {walk.total} pairs",
            "check",
            ("Stop", walk.stop),
            lambda: walk.stopping,
        )
    else:
        with st.container(horizontal=True):
            for label, limit in ((f"Check {LOOKED_AT} of each split", LOOKED_AT), ("Check every file", None)):
                st.button(label, key=f"check {limit}", on_click=_begin, args=(about.name, limit))
    if walk is not None and walk.error:
        st.warning(markdown(f"{walk.error}."), icon=":material/info:")
    if walk is not None and isinstance(walk.found, Check):
        st.html(told(walk.found))


def _begin(name: str, limit: int | None) -> None:
    def run(walk: Walk) -> Check:
        return check(name, limit=limit, progress=walk.progress, stop=walk.stop_now)

    process.checks().start(name, run)


def told(result: Check) -> str:
    """What a check found, in HTML: a row a split, what is wrong, and how often each category occurs."""
    names = [
        "split",
        "images",
        "with labels",
        "read",
        "without labels",
        "labels alone",
        "wrong",
        "ignored pixels",
        "sizes",
    ]
    rows = "".join(
        f"<tr>{''.join(f'<td>{cell}</td>' for cell in _row(split))}</tr>" for split in result.splits
    )
    heads = "".join(f"<th>{name}</th>" for name in names)
    wrong = [sentence for split in result.splits for sentence in _wrong(split)]
    said = (
        "".join(f"<li>{html(sentence)}</li>" for sentence in wrong)
        or "<li>Nothing that was read is wrong.</li>"
    )
    return (
        f'<div class="lp-panel lp-wide" data-check="{html(result.name)}"><table class="lp-table lp-rows"><thead><tr>{heads}</tr>'
        f'</thead><tbody>{rows}</tbody></table><ul class="lp-note">{said}</ul>{_frequencies(result)}</div>'
    )


def _row(split: SplitCheck) -> list[str]:
    wrong = len(split.unreadable) + len(split.mismatched) + len(split.unexpected) + bool(split.problem)
    sizes = (
        "–"
        if split.smallest is None or split.largest is None
        else "{}×{} to {}×{}".format(*split.smallest, *split.largest)
    )
    counts = (
        split.images,
        split.pairs,
        split.read,
        split.without_labels.count,
        split.without_image.count,
        wrong,
    )
    return [html(split.split), *map(str, counts), percent(split.share_ignored), sizes]


def _wrong(split: SplitCheck) -> list[str]:
    """What is wrong, and what is missing, in sentences."""
    found = [f"{split.split}: {split.problem}."] if split.problem else []
    for kind, names in (
        ("images without labels", split.without_labels),
        ("labels without an image", split.without_image),
        ("names in the list without image and labels", split.absent),
    ):
        if names.count:
            more = " …" if names.count > NAMES else ""
            found.append(f"{split.split}: {names.count} {kind}: {', '.join(names.first[:NAMES])}{more}")
    found += [f"{split.split}: {file}: {why}" for file, why in (*split.unreadable, *split.mismatched)][:10]
    found += [
        f"{split.split}: the label {each.value}, of no category, in {each.files} files and {each.pixels} pixels, "
        f"first {each.file}"
        for each in split.unexpected[:10]
    ]
    return found


def _frequencies(result: Check) -> str:
    """A bar for each category: its share of the labelled pixels that were read, all splits together."""
    pixels = np.sum([split.pixels for split in result.splits if split.pixels], axis=0)
    if not np.sum(pixels):
        return ""
    shares, shades = pixels / pixels.sum(), colours(result.classes)
    order = np.argsort(-shares, kind="stable")
    most = float(shares.max())
    bars = "".join(
        f'<tr><th><i class="lp-swatch" style="background:{shades[k]}"></i>{html(result.classes[k])}</th><td class="lp-share">'
        f'<i style="width:{100 * shares[k] / most:.2f}%;background:{shades[k]}"></i></td>'
        f"<td>{percent(float(shares[k]))}</td></tr>"
        for k in order
    )
    missing = int((np.asarray(pixels) == 0).sum())
    note = f"; {missing} never occur" if missing else ""
    return (
        f'<details open><summary class="lp-note">Share of the labelled pixels that were read, by category{note}</summary>'
        f'<div style="max-height:22rem;overflow-y:auto"><table class="lp-table lp-rows"><tbody>{bars}</tbody></table></div>'
        "</details>"
    )
