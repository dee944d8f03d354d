"""A printed page of a figure: a title above, axes placed in inches, a caption below. Neither streamlit nor torch."""

from __future__ import annotations

import re
import textwrap
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from app.figures import MARGIN, WIDTH

INK, SOFT, FAINT = "#20242a", "#60656c", "#d9dce0"


def printed(text: str) -> str:
    """Without the marks of the pages (★ ◆ ▲ ●): many a printing font lacks them, and the words beside them say the same."""
    return re.sub(r"[★◆▲●] ?", "", text).strip()


class Page:
    """A figure in inches from the top left, with a title above and a caption below."""

    def __init__(self, tall: float, title: str, caption: str) -> None:
        lines = textwrap.wrap(caption, 158)
        self.total = 0.34 + tall + 0.16 + 0.125 * len(lines)
        self.figure = Figure(figsize=(WIDTH, self.total))
        FigureCanvasAgg(self.figure)
        self._text(1 - 0.14 / self.total, printed(title), fontsize=8.5, fontweight="bold", va="center")
        bottom = (0.06 + 0.125 * len(lines)) / self.total
        self._text(
            bottom, "\n".join(printed(line) for line in lines), fontsize=6.5, va="top", linespacing=1.3
        )

    def _text(self, at: float, text: str, **options: Any) -> None:
        self.figure.text(MARGIN / WIDTH, at, text, **options)

    def axes(self, left: float, top: float, wide: float, high: float) -> Any:
        """Axes whose upper left corner lies `left`, `top` below the title."""
        bottom = self.total - 0.34 - top - high
        return self.figure.add_axes((left / WIDTH, bottom / self.total, wide / WIDTH, high / self.total))
