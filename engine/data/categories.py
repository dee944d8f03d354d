"""The demo world's categories: names, fixed colours, kinds and planted appearance modes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Category:
    """One category of the demo world; `modes` are its planted appearances, in the order of `Scene.modes`."""

    name: str
    colour: tuple[int, int, int]
    kind: Literal["stuff", "thing"]
    modes: tuple[str, ...]


CATEGORIES: tuple[Category, ...] = (
    Category("sky", (160, 210, 251), "stuff", ("day", "sunset", "overcast", "dusk")),
    Category("cloud", (245, 245, 239), "stuff", ("cumulus", "streaks", "storm")),
    Category("mountain", (122, 116, 132), "stuff", ("granite", "sandstone", "wooded")),
    Category("snow", (208, 214, 229), "stuff", ("fresh", "weathered")),
    Category("water", (38, 98, 196), "stuff", ("calm", "rippled")),
    Category("road", (72, 70, 74), "stuff", ("asphalt", "dirt", "cobbled")),
    Category("grass", (129, 188, 76), "stuff", ("meadow", "dry", "flowering")),
    Category("sand", (236, 205, 130), "stuff", ("pale", "golden")),
    Category("tree", (22, 103, 61), "stuff", ("conifer", "broadleaf", "autumn", "bare")),
    Category("house", (206, 87, 19), "thing", ("brick", "plaster", "timber")),
    Category("fence", (151, 98, 45), "thing", ("rail", "stone", "picket")),
    Category("pole", (92, 30, 96), "thing", ("telegraph", "lamp")),
    Category("person", (246, 92, 170), "thing", ("summer", "winter")),
    Category("boat", (255, 164, 27), "thing", ("sail", "rowing")),
)
CLASS_NAMES: tuple[str, ...] = tuple(category.name for category in CATEGORIES)
PALETTE = np.array([category.colour for category in CATEGORIES], np.uint8)
MODE_COUNTS: tuple[int, ...] = tuple(len(category.modes) for category in CATEGORIES)

SKY, CLOUD, MOUNTAIN, SNOW, WATER, ROAD, GRASS, SAND, TREE, HOUSE, FENCE, POLE, PERSON, BOAT = range(14)
