"""Which points lie inside a polygon: the same answer, bit for bit, as scatter/polygon.js gives in the browser.

Even-odd rule, in double precision. A ray from the point to the right counts the edges that it crosses; an edge from a to b takes
part when exactly one of its ends lies strictly above the point (b_y > y ≠ a_y > y), and is crossed when

    x < (b_x − a_x) · (y − a_y) / (b_y − a_y) + a_x

so every point of the plane is on one side, also on an edge or at the height of a vertex. Points beyond the polygon's
bounding box are outside, whatever rounding does. Operations and their order are the same in both languages, and neither
fuses them. Coordinates that are not numbers are inside nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST_VERTICES = 64


def inside(xy: np.ndarray, polygon: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """(r,) bool: the points of `xy` (r, 2) inside `polygon` (v, 2), which is closed by itself and may cross itself.

    The points are sorted by y once, so that each edge looks at those of its own height alone.
    """
    xy = np.asarray(xy, dtype=np.float64)
    vertices = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
    found = np.zeros(len(xy), dtype=bool)
    if len(vertices) < 3 or not np.isfinite(vertices).all():
        return found
    near = np.flatnonzero(((xy >= vertices.min(0)) & (xy <= vertices.max(0))).all(1))
    near = near[np.argsort(xy[near, 1], kind="stable")]
    x, y = xy[near].T
    odd = np.zeros(len(near), dtype=bool)
    for (bx, by), (ax, ay) in zip(vertices, np.roll(vertices, 1, axis=0), strict=True):
        # b_y > y ≠ a_y > y: from the lower end, with it, to the higher, without it
        low, high = np.searchsorted(y, (min(ay, by), max(ay, by)))
        at = slice(low, high)
        if low < high:
            odd[at] ^= x[at] < (bx - ax) * (y[at] - ay) / (by - ay) + ax
    found[near] = odd
    return found
