"""The script that Streamlit runs: frame and navigation. Pages are functions in app.views."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app.first_paint import STYLE, TITLE
from app.views import (
    audit,
    compare,
    findings,
    guidance,
    inspect,
    library,
    prototypes,
    surgery,
    tour_card,
    variance,
)

ICON = Path(__file__).with_name("icon.svg")  # a file of our own: icon names are fetched from another server
WORDMARK = Path(__file__).with_name("wordmark.svg")


def main() -> None:
    """One run."""
    st.set_page_config(page_title=TITLE, page_icon=str(ICON), layout="wide", initial_sidebar_state=300)
    st.logo(str(WORDMARK), icon_image=str(ICON))
    st.html(STYLE)  # once more: here it comes after Streamlit's own
    pages = [
        st.Page(
            inspect.render,
            title="Inspect",
            icon=":material/center_focus_strong:",
            url_path="inspect",
            default=True,
        ),
        st.Page(prototypes.render, title="Prototypes", icon=":material/hexagon:", url_path="prototypes"),
        st.Page(variance.render, title="Variance", icon=":material/bubble_chart:", url_path="variance"),
        st.Page(guidance.render, title="Guidance", icon=":material/alt_route:", url_path="guidance"),
        st.Page(compare.render, title="Compare", icon=":material/view_column:", url_path="compare"),
        st.Page(surgery.render, title="Surgery", icon=":material/surgical:", url_path="surgery"),
        st.Page(audit.render, title="Audit", icon=":material/query_stats:", url_path="audit"),
        st.Page(findings.render, title="Findings", icon=":material/bookmarks:", url_path="findings"),
        st.Page(library.render, title="Library", icon=":material/shelves:", url_path="library"),
    ]
    current = st.navigation(pages)
    tour_card.draw(current.url_path)
    current.run()


main()
