"""What is being looked at, as one frozen value. One Selection serves all pages, so that what they share is kept when the page
changes."""

from __future__ import annotations

from dataclasses import dataclass

from app.selection.choices import FEW, UNDER_PIN


@dataclass(frozen=True)
class Selection:
    """Everything that is chosen, on any page.

    pins: (row, col) pixels of the oriented original image, None where none were chosen yet (the page then pins one).
    active: index into pins, 0 when there is none. head: None for the mean over heads, otherwise from 0, in the URL too, as it
    indexes the exported arrays; words for people count heads from 1.
    source: the prototype that "read by" and "made of" look at, None for what is under the pin.
    relative: raw, or relative to the image's average. scale: linear, or × uniform on a logarithmic scale.
    hold: the overlay stays with the active pin while the pointer moves.

    Compare: models, the first of which is `model` on the other pages; shows: what each of them shows, in their order ("auto":
    its affinity where it has a query update, else its influence; missing ones are auto); site: where influence is asked for;
    marks: what is drawn over the photo; pair: places in `models` of the two whose differences are listed.
    Guidance: category by name, or UNDER_PIN: the one that is predicted there; the three cut factors, None: as the model was
    trained; what the third pane shows; context: the context encoder's affinity is drawn while the pointer moves.
    Surgery: edits as app.surgery_links spells them, None: not chosen yet; what is shown of both runs; region: painted and not yet
    an edit, spelled likewise; category: whose probability or logit; ablation: what the causal matrix means by one.
    Prototypes: category by name, or UNDER_PIN: the first that tells something; section: which of the lower parts is shown;
    patches: how many; moment: of training, counted from 0, None: the last; bank: each moment's bank, or its mean over the
    last steps before it; features: the site whose class means are shown where a model has no prototypes.
    Variance: beside: the models shown beside `model`; sites: of each of them; categories: by name, none of them for all; amount:
    of pixels; drawn: where they come from (the atlas, the sample images, the image chosen); projection with its neighbours,
    min_dist and seed; paint: what colours the points; number: which one is drawn for each category; lasso: what was drawn on
    maps and photos, as app.scatter writes it; isolated: the legend's groups that alone are shown, "category.3.5"; photo: the
    image that is shown beside, its id in the sample; look: which part below is shown; smallest: pixels of the smallest cluster,
    0: no clusters; at: the panel, from 0, in whose space clusters are; named: their names, "" where they have none.
    Audit: model and beside, up to three; score: which one is looked at; slices: what its pixels are parted by; category: whose
    cases are shown, UNDER_PIN: of all; data: the dataset by name; audited: how many of its images; seed: of the draw of pixels.
    """

    model: str = "cpt"
    image: str = ""
    stage: str = "stride4"
    pins: tuple[tuple[int, int], ...] | None = None
    active: int = 0
    reading: str = "reads"
    head: int | None = None
    measure: str = "weight"
    relative: str = "raw"
    scale: str = "linear"
    smooth: bool = False
    opacity: float = 0.85
    colours: str = "cividis"
    outline: str = "none"
    source: int | None = None
    hold: bool = False
    models: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    site: str = "f3"
    marks: str = "prediction"
    pair: tuple[int, int] = (0, 1)
    category: str = UNDER_PIN
    token_cut: float | None = None
    high_cut: float | None = None
    low_cut: float | None = None
    third: str = "difference"
    context: bool = False
    edits: str | None = None
    what: str = "mask"
    region: str = ""
    ablation: str = "masked"
    section: str = "reads"
    patches: int = FEW
    moment: int | None = None
    bank: str = "bank"
    features: str = ""
    beside: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    amount: int = 3000
    drawn: str = "atlas"
    projection: str = "pca"
    neighbours: int = 15
    min_dist: float = 0.1
    seed: int = 0
    paint: str = "category"
    number: str = "share"
    lasso: str = ""
    isolated: str = ""
    photo: str = ""
    look: str = "selection"
    smallest: int = 0
    at: int = 0
    named: tuple[str, ...] = ()
    score: str = "auc"
    slices: str = "category"
    data: str = "scenes-val"
    audited: int = 120
    sheet: int = 0

    @property
    def pin(self) -> tuple[int, int] | None:
        """The active pin, or None when nothing is pinned."""
        return self.pins[self.active] if self.pins else None
