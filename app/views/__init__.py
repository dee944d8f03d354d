"""One file per page: render() draws it. A page asks the engine, hands arrays to figures and the viewer, and holds no numbers."""

from __future__ import annotations
