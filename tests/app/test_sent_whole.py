"""Streamlit's settings: what the browser is sent."""

from __future__ import annotations

import tomllib
from pathlib import Path

import streamlit as st
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_cache import populate_hash_if_needed

SETTINGS = Path(__file__).resolve().parents[2] / ".streamlit/config.toml"


def test_no_part_of_a_page_is_sent_as_a_name():
    """A browser that no longer has what the name stands for ends its connection."""
    asked = tomllib.loads(SETTINGS.read_text(encoding="utf-8"))["global"]["minCachedMessageSize"]
    assert st.get_option("global.minCachedMessageSize") == asked
    large = ForwardMsg()
    large.delta.new_element.markdown.body = "x" * 5_000_000
    populate_hash_if_needed(large)
    assert large.hash and not large.metadata.cacheable
