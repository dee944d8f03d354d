"""The pictures of README: `python -m tests.pictures --help`."""
