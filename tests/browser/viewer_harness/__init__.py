"""The viewer without Streamlit: made-up stages, a page that mounts it, and a server for both."""
