"""Writes luts.js: matplotlib's perceptual colour maps as data, so that the browser draws the very colours of the figures.

python -m app.viewer.luts
"""

from __future__ import annotations

import base64
from pathlib import Path

NAMES = ("cividis", "magma", "viridis")
DIVERGING = ("coolwarm",)  # of differences, grey at 0: not among those to choose from
HEAD = "// Colour maps, 256 × RGB, base64. Written by luts.py from matplotlib's tables; do not edit.\n\n"


def source() -> str:
    """The text of luts.js."""
    import matplotlib
    import numpy as np

    parts = [HEAD]
    for group, names in (("TABLES", NAMES), ("DIVERGING", DIVERGING)):
        parts.append(f"export const {group} = {{\n")
        for name in names:
            table = (matplotlib.colormaps[name](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
            text = base64.b64encode(table.tobytes()).decode()
            lines = [f'    "{text[start : start + 100]}"' for start in range(0, len(text), 100)]
            parts.append(f"  {name}:\n" + " +\n".join(lines) + ",\n")
        parts.append("};\n")
    return "".join(parts)


if __name__ == "__main__":
    Path(__file__).with_name("luts.js").write_text(source(), encoding="utf-8")
