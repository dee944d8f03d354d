"""What each page says of the selection: the fields that its links spell, and which of them its viewer sets."""

from __future__ import annotations

from dataclasses import dataclass

from app.selection.spelling import CODECS


@dataclass(frozen=True)
class Page:
    """What one page says of the selection. key: of its viewer in the session; shared: fields beside the viewer's own settings."""

    key: str
    shared: tuple[str, ...]
    view: tuple[str, ...]  # settings that the viewer changes and reports

    @property
    def fields(self) -> tuple[str, ...]:
        return self.shared + self.view

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names in this page's links."""
        return tuple(CODECS[field][0] for field in self.fields)


_LOOK = ("smooth", "opacity", "colours")
_PLACE = ("image", "pins", "active")
INSPECT = Page(
    "viewer",
    ("model", *_PLACE),
    ("stage", "reading", "head", "measure", "relative", "scale", *_LOOK, "outline", "source", "hold"),
)
COMPARE = Page("compare", ("models", *_PLACE, "pair"), ("stage", "shows", "site", "marks", *_LOOK, "hold"))
GUIDANCE = Page(
    "guidance",
    ("model", *_PLACE, "token_cut", "high_cut", "low_cut"),
    ("category", "third", "context", "outline", *_LOOK, "hold"),
)

SURGERY = Page(
    "surgery",
    ("model", *_PLACE, "edits", "ablation"),
    ("what", "stage", "category", "region", "outline", *_LOOK, "hold"),
)

PROTOTYPES = Page(
    "prototypes",
    ("model", "stage", "category", "section", "head", "patches", "colours", "bank", "moment", "features"),
    (),
)

VARIANCE = Page(
    "variance",
    (
        *(
            "model",
            "beside",
            "sites",
            "categories",
            "amount",
            "drawn",
            "image",
            "projection",
            "neighbours",
            "min_dist",
        ),
        *("seed", "paint", "colours", "number", "photo", "look", "smallest", "at", "named"),
    ),
    ("lasso", "isolated"),
)

LIBRARY = Page("library", ("data", "sheet"), ())

AUDIT = Page(
    "audit",
    ("model", "beside", "stage", "score", "slices", "category", "data", "audited", "seed", "colours"),
    (),
)
