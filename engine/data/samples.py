"""The shipped files that follow from the demo world: class names and colours, and 24 validation scenes with labels.

`python -m engine.data.samples` writes them all again: assets/classes/scenes.json, assets/scenes/index.json, and for
every scene NNN.png, NNN.labels.png (palette image of class indices) and NNN.modes.png (grey image of mode indices).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from engine.data.categories import CATEGORIES, PALETTE
from engine.data.scenes import VERSION, render

ASSETS = Path(__file__).parents[2] / "assets"

# Chosen by eye from the first 180 validation scenes, for variety and for their look-alikes.
SAMPLES: tuple[tuple[int, str], ...] = (
    (1_000_046, "Sunset over a mirrored range"),
    (1_000_043, "Boats on a lake in early snow"),
    (1_000_018, "Houses by the water, day"),
    (1_000_029, "A track across the lake at dusk"),
    (1_000_031, "Snow under clouds of its own colour"),
    (1_000_134, "Lit windows at dusk"),
    (1_000_126, "A pond in autumn"),
    (1_000_083, "Road and river side by side in snow"),
    (1_000_102, "Rail fence on an evening shore"),
    (1_000_133, "Bare trees on a winter evening"),
    (1_000_097, "River and road through a village"),
    (1_000_109, "Road or river: sunset over snow"),
    (1_000_128, "Road across a bright lake"),
    (1_000_110, "A rowing boat among conifers"),
    (1_000_020, "Two sails under a red sky"),
    (1_000_070, "River and cobbled road at sunset"),
    (1_000_087, "Timber house below the snow line"),
    (1_000_165, "Winter river, overcast"),
    (1_000_151, "Road and river below a white range"),
    (1_000_024, "White houses under a grey sky"),
    (1_000_107, "Overcast coast"),
    (1_000_079, "Street lamps by a lake at dusk"),
    (1_000_113, "Cobbled road and autumn tree"),
    (1_000_050, "Telegraph line and golden trees"),
)


def classes_json() -> str:
    """The text of assets/classes/scenes.json: names, colours, kinds and modes in label order."""
    classes = [
        {"name": each.name, "colour": list(each.colour), "kind": each.kind, "modes": list(each.modes)}
        for each in CATEGORIES
    ]
    rows = ",\n".join("    " + json.dumps(row) for row in classes)
    return f'{{\n  "name": "scenes",\n  "version": "{VERSION}",\n  "classes": [\n{rows}\n  ]\n}}\n'


def index_json() -> str:
    """The text of assets/scenes/index.json: file stem, seed and caption of every sample, in order of showing."""
    rows = [
        {"id": f"{number:03d}", "seed": seed, "caption": caption}
        for number, (seed, caption) in enumerate(SAMPLES)
    ]
    return "[\n" + ",\n".join("  " + json.dumps(row) for row in rows) + "\n]\n"


def write(assets: Path = ASSETS) -> None:
    """Write every file below `assets`."""
    for folder in ("classes", "scenes"):
        (assets / folder).mkdir(parents=True, exist_ok=True)
    (assets / "classes" / "scenes.json").write_text(classes_json(), encoding="utf-8")
    (assets / "scenes" / "index.json").write_text(index_json(), encoding="utf-8")
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(PALETTE)] = PALETTE
    for number, (seed, _) in enumerate(SAMPLES):
        scene, stem = render(seed), assets / "scenes" / f"{number:03d}"
        Image.fromarray(scene.image).save(f"{stem}.png", optimize=True)
        labels = Image.fromarray(scene.labels).convert("P")
        labels.putpalette(colours.tobytes())
        labels.save(f"{stem}.labels.png", optimize=True)
        Image.fromarray(scene.modes).save(f"{stem}.modes.png", optimize=True)


if __name__ == "__main__":
    write()
