"""Where live prototypes ★, memory rows ◆ and class tokens ▲ lie at a site, and how far pixels are from them.

Only in a space of their own:

    STAGE.aligned   ★ P_c     ◆ M_c       norms differ: compare by cosine                               (methods: `aligned_i`)
    STAGE.value     ★ W P_c   ◆ W M_c     W = W_o W_v, without biases: by cosine                        (methods: `value_i`)
    STAGE.update    ★ W((1 − μ) P_c + μ M_c) + W_o b_v + b_o       where a pixel is sent that reads source c alone, in every head
    high            ▲ T_c                                          by cosine                            (methods: `token`)
    fused           ▲ what classifies F_u: T_c, or own tokens      by cosine; decoders with class tokens only

At `.update` the memory row has no place of its own (it is never broadcast alone), and the constant forbids angles: no distance is
taken there. Everywhere else nothing shares a space with pixels, and is refused.

★ is a mean: of live prototypes over images that hold the category. Pure functions of arrays; `parts_of` reads a model's weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from engine import bank
from engine.errors import LoupeError
from engine.pixels import PixelSample
from engine.resampling import Draws, Estimate, percentiles, places

if TYPE_CHECKING:
    from engine.atlas.reading import Atlas
    from engine.segmenter import Segmenter
    from engine.trace import Trace

MarkerKind = Literal["live", "memory", "tokens"]
KINDS: tuple[MarkerKind, ...] = ("live", "memory", "tokens")
NAMES = {"live": "live prototype", "memory": "memory row", "tokens": "class token"}


@dataclass(frozen=True, eq=False)
class StageParts:
    """A stage's weights and memory, as arrays. value_weight (n, d, c), value_bias (n, d), output_weight (c, n, d),
    output_bias (c,), memory (k, c) or None, memory_share: μ. sources: "pixels", "prototypes", "memory"."""

    sources: str
    value_weight: np.ndarray
    value_bias: np.ndarray
    output_weight: np.ndarray
    output_bias: np.ndarray
    memory: np.ndarray | None = None
    memory_share: float = 0.0

    @property
    def through(self) -> np.ndarray:
        """(c, c) W_o W_v."""
        return np.einsum("cnd,nde->ce", self.output_weight, self.value_weight)

    @property
    def constant(self) -> np.ndarray:
        """(c,) W_o b_v + b_o: what the biases add to every update."""
        return np.einsum("cnd,nd->c", self.output_weight, self.value_bias) + self.output_bias


@dataclass(frozen=True, eq=False)
class ModelParts:
    """What markers are made of. stages: those that read aligned pixels, by name. tokens (k, c): T; classifier (k, c): what
    classifies F_u; None without class tokens."""

    stages: Mapping[str, StageParts]
    tokens: np.ndarray | None = None
    classifier: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Markers:
    """Markers (k, c) each in the site's space; a row is nan where a category has none; None where the kind has no place here.

    cosine: angles to them mean something. said: one sentence on what the markers are here.
    """

    site: str
    live: np.ndarray | None
    memory: np.ndarray | None
    tokens: np.ndarray | None
    cosine: bool
    said: str


@dataclass(frozen=True)
class MarkerDistance:
    """A category's pixels to its own marker: mean of 1 − cosine, 0..2, over `pixels` of `images`."""

    category: int
    name: str
    kind: MarkerKind
    pixels: int
    images: int
    distance: Estimate


def parts_of(segmenter: Segmenter) -> ModelParts:
    """The parts of a loaded model."""
    decoder: Any = segmenter.decoder
    stages = {}
    for block in getattr(decoder, "blocks", ()):
        weights, memory = block.update.weights, block.update.memory
        if block.update.kind == "bilinear":
            continue
        stages[block.name] = StageParts(
            block.update.kind,
            _array(weights.value_weight()),
            _array(weights.value_bias()),
            _array(weights.output_weight()),
            _array(weights.output_bias()),
            None if memory is None else _array(memory.bank[0]),
            0.0 if memory is None else memory.memory_share,
        )
    if not getattr(decoder, "guided", False):
        return ModelParts(stages)
    return ModelParts(stages, _array(decoder.tokens.weight), _array(decoder.classifier.weight))


def parts_of_trace(trace: Trace) -> ModelParts:
    """The same, from what a trace holds."""
    stages = {
        stage.name: StageParts(
            stage.sources,
            _array(stage.value_weight),
            _array(stage.value_bias),
            _array(stage.output_weight),
            _array(stage.output_bias),
            None if stage.memory is None else _array(stage.memory),
            stage.memory_share,
        )
        for stage in trace.stages
        if stage.aligned is not None
    }
    if trace.guidance is None:
        return ModelParts(stages)
    return ModelParts(stages, _array(trace.guidance.tokens), _array(trace.guidance.classifier))


def live_of(atlas: Atlas) -> dict[str, np.ndarray]:
    """stage → (k, c) mean live prototype over images that hold the category (ground truth); nan without such an image."""
    found = {}
    for stage in atlas.manifest.stages:
        means = atlas.prototype_means(stage)
        found[stage] = np.where((means.true_images > 0)[:, None], means.true, np.nan)
    return found


def live_of_traces(traces: Sequence[Trace], held: np.ndarray) -> dict[str, np.ndarray]:
    """The same of images traced now, held (i, k) bool: which categories each holds."""
    count = held.sum(0)[:, None]
    found = {}
    for stage in traces[0].stages:
        if stage.prototypes is None:
            continue
        live = np.stack([_array(trace.stage(stage.name).prototypes) for trace in traces])
        total = (live * held[..., None]).sum(0)
        found[stage.name] = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return found


def markers(site: str, parts: ModelParts, live: Mapping[str, np.ndarray]) -> Markers:
    """The markers that share the site's space.

    Args:
        live: stage → mean live prototypes (k, c), as `live_of` gives them.

    Raises:
        LoupeError: none does.
    """
    if site in ("high", "fused") and parts.tokens is not None and parts.classifier is not None:
        tokens = parts.tokens if site == "high" else parts.classifier
        return Markers(site, None, None, tokens, True, "▲ class tokens, compared by cosine.")
    stage, _, kind = site.rpartition(".")
    if stage not in parts.stages or kind not in ("aligned", "value", "update"):
        raise LoupeError(
            f"no prototype, memory row or class token lies in the space of {site}: across spaces nothing is compared"
        )
    weights, own = parts.stages[stage], live.get(stage)
    if own is None:
        raise LoupeError(f"{stage} reads {weights.sources}, not prototypes: there is no marker at {site}")
    if kind == "aligned":
        return Markers(
            site, own, weights.memory, None, True, _said(weights, "compared by cosine: norms differ")
        )
    through = weights.through.T
    if kind == "value":
        memory = None if weights.memory is None else weights.memory @ through
        return Markers(
            site, own @ through, memory, None, True, _said(weights, "after W_v and W_o, by cosine")
        )
    mu = weights.memory_share
    blended = own if weights.memory is None else (1 - mu) * own + mu * weights.memory
    said = "★ where a pixel is sent that reads this prototype alone; no distance is taken here."
    return Markers(site, blended @ through + weights.constant, None, None, False, said)


def cosines(sample: PixelSample, found: Markers, kind: MarkerKind) -> np.ndarray:
    """(r,) cosine of every pixel with the marker of its own category; nan without one.

    Raises:
        LoupeError: the markers are of another site, of a kind that has no place there, or not comparable by angle.
    """
    rows = _comparable(sample, found, kind)
    return bank.cosine(sample.features, rows[sample.category])


def marker_distances(sample: PixelSample, found: Markers, seed: int = 0) -> tuple[MarkerDistance, ...]:
    """Of every category with pixels in cells of its own, to each kind of marker that the site has.

    Raises:
        LoupeError: the site has none that distances can be taken to.
    """
    kept = sample.take(sample.pure)
    known: list[MarkerKind] = [kind for kind in KINDS if getattr(found, kind) is not None]
    image, images = places(kept.image)
    draws = Draws(max(1, images), seed)
    results = []
    for kind in known:
        apart = 1 - cosines(kept, found, kind)
        for c in np.unique(kept.category).tolist():
            own = (kept.category == c) & np.isfinite(apart)
            held = len(np.unique(image[own]))
            estimate = percentiles(*draws.mean(image[own], apart[own]), held)
            results.append(MarkerDistance(c, kept.classes[c], kind, int(own.sum()), held, estimate))
    return tuple(results)


def _comparable(sample: PixelSample, found: Markers, kind: MarkerKind) -> np.ndarray:
    if sample.site != found.site:
        raise LoupeError(f"pixels at {sample.site} and markers at {found.site} are in different spaces")
    if not found.cosine:
        raise LoupeError(
            f"no distance is taken at {found.site}: a constant that all updates share turns every angle"
        )
    rows = getattr(found, kind)
    if rows is None:
        raise LoupeError(f"{found.site} has no {NAMES[kind]}")
    if rows.shape != (len(sample.classes), sample.features.shape[1]):
        raise LoupeError(
            f"the {NAMES[kind]}s at {found.site} are {rows.shape[0]} of {rows.shape[1]} channels, "
            f"the pixels have {len(sample.classes)} categories and {sample.features.shape[1]}"
        )
    return rows


def _said(weights: StageParts, how: str) -> str:
    return (
        "★ live prototypes" if weights.memory is None else "★ live prototypes, ◆ memory rows"
    ) + f", {how}."


def _array(tensor: Any) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()
