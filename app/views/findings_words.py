"""What the Findings page says."""

from __future__ import annotations

from collections.abc import Mapping

from app.findings_records import Finding

QUESTION = "What have I found?"
HELP = """
**Keep**, in the header of every page, puts what it shows on this list: the link that opens that very state again, the figure, the
numbers behind it, the model with its checkpoint's hash, the image, and your note.

**Export** makes one HTML file that needs nothing else, or Markdown with figures and data in a zip.

The list lies on the server (`data/findings`, or the folder that `LOUPE_FINDINGS` names) and belongs to this browser, which holds
its unguessable id in a cookie. Links do not carry it: whoever opens one of yours sees the state, not your list. What was
removed can be brought back; the last five are held.
"""
EMPTY = (
    "Nothing is kept yet. Open a page, find something, and click Keep in its header: it will stand here with your note. "
    "These are places to begin:"
)
EXAMPLES = (
    (
        "Grass reads grass across the water",
        "Inspect, one pixel of a sample scene: where does it look, against the image's average?",
        "./",
    ),
    (
        "What a memory holds",
        "Prototypes: the pixels that a category's prototype is made of",
        "./prototypes?model=cpt",
    ),
    ("Two decoders on one image", "Compare: the same pixel, decided by different decoders", "./compare"),
)


def changed(one: Finding, cards: Mapping[str, str]) -> list[str]:
    """Which of its checkpoints is no longer the one that it was kept with. cards: id → hash of the models that are here."""
    said = []
    for name, digest in one.models:
        if name not in cards:
            said.append(f"{name} ({digest[:8]}) is no longer here: the link cannot show this state again.")
        elif cards[name] != digest:
            said.append(
                f"{name} is another checkpoint now ({cards[name][:8]}, then {digest[:8]}): "
                "the link shows what that one says; figure and data are the kept one's."
            )
    return said
