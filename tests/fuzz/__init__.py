"""Hostile input: files, headers, descriptions, edits and links that nobody meant. See `python -m tests.fuzz --help`."""
