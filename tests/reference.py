"""The API reference, from the docstrings: `python -m tests.reference FOLDER` (`make docs`)."""

from __future__ import annotations

import sys
from pathlib import Path

MODULES = (
    "engine",
    "engine.runtime",
    "engine.catalogue",
    "engine.trace",
    "engine.stage",
    "engine.guidance",
    "engine.segmenter",
    "engine.checkpoints",
    "engine.images",
    "engine.affinity",
    "engine.influence",
    "engine.gradients",
    "engine.edits",
    "engine.surgery",
    "engine.atlas",
    "engine.audit",
    "engine.variance",
    "engine.projection",
    "engine.evaluation",
    "engine.inference",
    "engine.metrics",
    "engine.mmseg",
    "engine.data.datasets",
    "engine.data.descriptions",
    "engine.data.folders",
    "engine.data.scenes",
    "engine.decoders",
    "engine.backbones",
    "engine.training",
)
"""What is documented: the names that README and notebooks use, and the modules that say what they answer with."""


def write(folder: Path, modules: tuple[str, ...] = MODULES) -> None:
    """HTML into the folder, index.html first."""
    import pdoc
    import pdoc.render

    pdoc.render.configure(docformat="google", math=True, footer_text="Loupe")
    pdoc.pdoc(*modules, output_directory=folder)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/api")
    write(target)
    print(f"{target / 'index.html'}")
