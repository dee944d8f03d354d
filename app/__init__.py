"""The Streamlit app: draws what the engine returns, and computes nothing of its own."""

from __future__ import annotations
