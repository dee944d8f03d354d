"""What the Variance page says about what it draws: question, how to read it, captions. Pure."""

from __future__ import annotations

from app.selection import Selection
from app.views.variance_look import Look
from app.words import number
from engine.pixels import PixelSample

QUESTION = "How varied is a category, and what does substitution remove?"

HELP = r"""
Each point is a **pixel**; its coordinates are its features at one *site* of one model, projected to a plane. Beside the map stand
the same pixels' numbers in the **original space**, over all channels:

$$
\text{variance}_c = \operatorname{tr}\operatorname{Cov}(x \mid c) \qquad
\text{between} = \frac{1}{k}\sum_c \lVert m_c - \bar m \rVert^2 \qquad
\text{ratio} = \frac{\frac{1}{k}\sum_c \text{variance}_c}{\text{between}}
$$

**How to read it**

- *Silhouette* (−1 to 1): is a pixel nearer to its own category than to the next one? *k-NN purity*: the share of its 15 nearest
  pixels that are of its category. Both leave out neighbours of the same image, which share light and place, not only a
  category.
- *Effective rank*: how many directions the variance spreads over.
- *Intervals* are 95 % over images, one training seed. Pixels of one image are not independent.
- *Before and after substitution*: a CPT stage replaces what a pixel would add by what it reads from prototypes. Averaging shrinks
  variance by construction, so only the ratio counts, and only beside a null with the affinity rows shuffled over the pixels.
- ★ live prototypes, ◆ memory rows, ▲ class tokens stand in a map only where they share its space.
- *Planted modes*: the demo world paints each category in several ways. Clusters that recover them (adjusted Rand index) say what
  **dominates**; a linear probe says what is **kept**. Clustering by image alone is the null.

**Linked**: draw around points and their pixels show below and in the other panels; click a point to open Inspect there; paint in
the photo and its points light up.
"""

PROJECTIONS = {"pca": "PCA", "umap": "UMAP", "densmap": "densMAP", "aligned": "aligned UMAP"}
PAINTS = {
    "category": "category",
    "image": "image",
    "outcome": "right or wrong",
    "confidence": "confidence",
    "distance": "distance to prototype",
    "mode": "planted mode",
}
LOOKS = {
    "selection": "● Selection",
    "distances": "Categories",
    "truth": "Truth",
    "substitution": "Substitution",
}
DRAWN = {"atlas": "the atlas", "samples": "the sample images", "image": "the image chosen"}

MAY_NOT = {
    "pca": "PCA is a shadow on two of many axes: points that lie on each other may be far apart in the others, so overlap here "
    "does not mean that categories overlap.",
    "umap": "Do not ask a UMAP for sizes of clusters, distances between them or densities: it keeps neighbourhoods alone, and "
    "may tear one cluster apart.",
    "densmap": "densMAP keeps local density, so a spread-out cluster is a varied one; distances between clusters still mean "
    "nothing.",
    "aligned": "Aligned maps keep each pixel near its place in the other panels by construction: that a point stays put is no "
    "finding, that it moves is; sizes and distances mean nothing.",
}


def drawn_said(look: Look, sample: PixelSample) -> str:
    """How many pixels of how many images, and by which labels."""
    images = len(set(sample.image.tolist()))
    labels = "" if sample.labels == "truth" else ", categories by the prediction"
    chosen = look.selection.categories
    of = (
        ""
        if not chosen
        else f" of {', '.join(chosen)}"
        if len(chosen) <= 4
        else f" of {len(chosen)} categories"
    )
    return f"{len(sample)} pixels{of}, {images} image{'s' * (images != 1)} of {sample.data}{labels}"


def method_said(selection: Selection) -> str:
    """The projection with its parameters."""
    name = PROJECTIONS[selection.projection]
    if selection.projection == "pca":
        return name
    apart = "" if selection.projection == "aligned" else f", min. distance {number(selection.min_dist, 2)}"
    return f"{name}, {selection.neighbours} neighbours{apart}, seed {selection.seed}"


def models_said(look: Look) -> str:
    return ", ".join(f"{card.id} {card.hash[:8]}" for card in look.cards)


def caption(look: Look, projection: str) -> str:
    """Of the maps: what, site, grid, model, data, projection."""
    sample = look.sample
    if sample is None:
        return ""
    grids = {-1: "finer than stride 4"} | {level: f"stride {4 * 2**level}" for level in range(8)}
    sites = dict.fromkeys(
        f"{one.site} ({grids.get(one.level, '?')}, {one.features.shape[1]} channels)" for one in look.samples
    )
    return (
        f"{projection} of {'; '.join(sites)}; {drawn_said(look, sample)}, cells of which 75 % or more are one category; "
        f"model{'s' * (len(look.cards) > 1)} {models_said(look)}; one training seed."
    )
