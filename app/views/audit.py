"""Audit: is that example typical?

One score of many pixels of many images: its distribution, what it knows beyond distance, whether it tells right from wrong, which
map tells the truth about the decision, and the worst, best and random cases. The page opens on the audit that there is, or on a
small one made now, and is drawn anew as a larger one comes.
"""

from __future__ import annotations

import streamlit as st

from app import audits, charts_compare, figures_audit, state
from app.selection import AUDIT
from app.views import audit_cases as cases
from app.views import audit_download as download
from app.views import audit_frame as frame
from app.views import audit_html as strips
from app.views import audit_look as looking
from app.views import page
from app.views import prototypes_html as draw
from app.views.audit_look import Look
from app.views.audit_shown import Shown, shown
from app.words import html


def render() -> None:
    """The page. Streamlit calls it on every full run; what is done in the page itself runs `_main` alone."""
    page.render(looking.look, frame.sidebar, _main)


@st.fragment
def _main() -> None:
    look = looking.look(whole_run=False)
    if look is None:
        return
    frame.header(look, lambda: download.buttons(look), download.offer(look))
    page.sentences()
    if look.audit is None:
        st.html(f'<p class="lp-note" data-nothing="1">{html(look.why or "There is nothing to audit.")}</p>')
        frame.work(look)
    else:
        frame.work(look)
        _drawn(look)
    state.commit(look.selection, page=AUDIT)


def _drawn(look: Look) -> None:
    now = shown(look)
    with st.container(key="lp-wide-audit"):
        left, right = st.columns([8, 5], gap="large")
    with left:
        _distributions(now)
        _deletion(now, look)
    with right:
        _beside(now)
        _correct(now)
    cases.section(look)


def _distributions(now: Shown) -> None:
    st.html("".join(f'<p class="lp-note lp-said" data-overall="1">{html(said)}</p>' for said in now.overall))
    st.html(strips.strips(now.strips))
    st.html(f'<p class="lp-caption">{html(now.strips.caption)}</p>')


def _beside(now: Shown) -> None:
    st.html(draw.chart(now.beyond))
    st.html(f'<p class="lp-caption">{html(now.beyond.caption)}</p>')
    if now.paired is not None:
        st.html(draw.chart(now.paired))
        st.html(f'<p class="lp-caption">{html(now.paired.caption)}</p>')
    else:
        st.html(
            '<p class="lp-note">Choose a second model to see differences on the same pixels, with intervals.</p>'
        )


def _correct(now: Shown) -> None:
    if now.correct is not None:
        st.html(draw.chart(now.correct))
    st.html("".join(f'<p class="lp-note lp-said" data-verdict="1">{html(said)}</p>' for said in now.verdicts))
    if now.correct is not None:
        st.html(f'<p class="lp-caption">{html(now.correct.caption)}</p>')


def _deletion(now: Shown, look: Look) -> None:
    st.html('<h2 class="lp-heading">Which map tells the truth about the decision?</h2>')
    for why in now.why:
        st.html(f'<p class="lp-note" data-nothing="1">{html(why.rstrip("."))}.</p>')
    if not now.curves and _smallest(look):
        # It is to be there at once; no waiting brings the curves.
        st.html(
            f'<p class="lp-note">Source cells are hidden in audits of more than {audits.SMALL} images only: '
            "choose more of them in the sidebar.</p>"
        )
    for one in now.curves:
        st.html(f'<p class="lp-note lp-said" data-truth="1">{html(one.said)}</p>')
    if now.curves:
        first = now.curves[0]
        st.plotly_chart(
            figures_audit.curves(first), key="deletion", config=charts_compare.CONFIG, theme="streamlit"
        )
        st.html(f'<p class="lp-caption">{html(first.caption)}</p>')
    if now.areas is not None:
        st.html(draw.chart(now.areas))
        st.html(f'<p class="lp-caption">{html(now.areas.caption)}</p>')


def _smallest(look: Look) -> bool:
    """Whether curves are missing for no other reason than that few images were asked for."""
    assert look.audit is not None
    deletable = any(look.selection.stage not in entry.undeletable for entry in look.audit.entries)
    return deletable and not look.wanted.deletion_pixels
