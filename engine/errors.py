"""What goes wrong because of what was asked for, told in one sentence."""

from __future__ import annotations


class LoupeError(ValueError):
    """A request that cannot be met: a bad file, an unknown name, a value out of range.

    The message is one sentence for the person who asked: it names the file or the value, then the reason. The command
    line prints it and exits with 1; a page shows it and stays usable. Anything else that is raised is a defect.
    """
