"""Many visitors at once, for minutes: `python -m tests.soak --help`."""
