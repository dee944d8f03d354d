"""The address and what happens beside it: a link that is followed while the page that it leaves still runs."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from tests.app.pages import address

# Streamlit's runs of a session share st.query_params: a run of the page before, told to stop, has put its own address back.
OVERTAKEN = """
import streamlit as st
from app import state
from app.selection import Selection

st.query_params.to_dict()
with st.runtime.scriptrunner.get_script_run_ctx().session_state.query_params() as shared:
    shared.populate_from_query_string("tour=6&models=cpt&stage=stride16&model=qup")
selection = state.begin(Selection(model="bilinear"), whole_run=True)
st.text(f"{selection.model} {state.asked('tour')}")
state.commit(selection)
"""

# A fragment asks for the whole page; the person has followed a link before that run begins.
ASKED_AGAIN = """
import streamlit as st
from app import state
from app.selection import Selection

if st.query_params["model"] == "cpt" and not state.kept("once"):
    state.keep("once", True)
    state.begin(Selection(model="bilinear"), whole_run=True)
    rerun, st.rerun = st.rerun, st.stop  # the run that it asks for is stopped
    try:
        state.again()
    finally:
        st.rerun = rerun
st.text(state.begin(Selection(model="bilinear"), whole_run=True).model)
"""


def text(page: AppTest) -> str:
    assert not page.exception, page.exception
    return page.text[0].value


def test_a_run_that_ends_late_does_not_put_its_address_back():
    page = AppTest.from_string(OVERTAKEN)
    page.query_params["tour"], page.query_params["model"] = "7", "cpt"
    page.run()
    assert text(page) == "cpt 7"
    written = address(page)
    assert (written["tour"], written["model"]) == ("7", "cpt")
    assert "models" not in written
    assert written["stage"] != "stride16"


def test_a_link_is_news_whatever_was_asked_for_before_it():
    page = AppTest.from_string(ASKED_AGAIN)
    page.query_params["model"] = "cpt"
    page.run()
    page.query_params["model"] = "qup"
    page.run()
    assert text(page) == "qup"


def test_a_run_that_was_asked_for_takes_no_address_for_news():
    page = AppTest.from_string(ASKED_AGAIN)
    page.query_params["model"] = "cpt"
    page.run()
    page.run()  # the same address: what the page holds is shown
    assert text(page) == "cpt"
