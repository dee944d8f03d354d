"""What there is to choose from: the words that a field of the selection may hold, and its bounds."""

from __future__ import annotations

READINGS = ("reads", "read by", "made of", "reads alike")
MEASURES = ("weight", "contribution")
RELATIVES = ("raw", "relative")
SCALES = ("linear", "uniform")
COLOURS = ("cividis", "viridis", "magma")
OUTLINES = ("none", "prediction", "truth", "both")
RINGS = "①②③④⑤⑥⑦⑧⑨"
SHOWS = ("auto", "affinity", "influence")
SITES = ("f3", "f2", "f1", "f0", "image")
MARKS = ("none", "prediction", "error", "truth")
THIRDS = ("difference", "outcomes")
ABLATIONS = ("masked", "zero", "mean")
WHATS = ("mask", "affinity", "probability", "logit")
UNDER_PIN = "*"
SECTIONS = ("reads", "memory", "shadow", "time", "price")
BANKS = ("bank", "mean")
FEW, MANY = 12, 24  # patches on show
PROJECTIONS = ("pca", "umap", "densmap", "aligned")
PAINTS = ("category", "image", "outcome", "confidence", "distance", "mode")
DRAWN = ("atlas", "samples", "image")
LOOKS = ("selection", "distances", "truth", "substitution")
NUMBERS = ("share", "variance", "silhouette", "purity", "rank", "apart")
LEAST_PIXELS, MOST_PIXELS = 500, 50_000
MOST_PANELS = 4
SCORES = (
    *("auc", "auc_relative", "auc_profile", "auc_distance"),
    *("auc_rings", "auc_relative_rings", "auc_profile_rings"),
    *("entropy", "prototype_weight", "pixel_mass", "memory_share", "mean_distance"),
)
SLICES = ("category", "object", "rarity", "boundary", "right")
AUDITED = (12, 24, 60, 120, 240, 500)  # images of an audit
MOST_AUDITED = 3  # models side by side
