"""From a batch of images to what an atlas accumulates: runs the model once, keeps no map.

Labels are the ground truth's; a cell belongs to a category where at least 75 % of its pixels do, and cells without such a
majority are left out of the statistics and counted. Sums over an image are taken in fp32, over images in fp64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine import metrics
from engine.atlas import price
from engine.atlas.grids import LabelGrids
from engine.atlas.hashing import pixel_hashes
from engine.atlas.partial import Partial, Rows, moments_of_images, strongest
from engine.atlas.patches import PatchCollector
from engine.atlas.records import PARTS, Moments
from engine.atlas.sites import level_of, site_maps
from engine.cell_labels import UNKNOWN
from engine.resample import confidence_at
from engine.trace import Stage, Trace


@dataclass(eq=False)
class Row:
    """What an atlas keeps of one image for itself, to be written and forgotten. vectors: see `engine.atlas.shards`."""

    index: int
    id: str
    size: tuple[int, int]
    true: np.ndarray  # (k,) pixels
    predicted: np.ndarray  # (k,)
    confusion: np.ndarray  # (k, k)
    presence: np.ndarray | None  # (k,)
    norm: dict[str, np.ndarray]  # stage → (k,)
    cosine: dict[str, np.ndarray]  # stage → (k,), with memory only
    vectors: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Bounds:
    """Keys beyond which nothing can stay, for what earlier images hold. They only save work: the merged result is the same.

    pixels (k,) hashes of each category · patches (stages · k,) negative logits; None: no bound
    """

    pixels: np.ndarray
    patches: np.ndarray | None = None

    @classmethod
    def none(cls, classes: int) -> Bounds:
        return cls(np.full(classes, np.iinfo(np.uint64).max, np.uint64))

    @classmethod
    def of(cls, known: Partial, classes: int) -> Bounds:
        groups = classes * len([name for name in known.sums if name.endswith("/everyone")])
        return cls(known.reservoir.limits(classes), known.patches.limits(groups) if groups else None)

    def beside(self, known: Partial | None) -> Bounds:
        """These, and what `known` holds beside them."""
        if known is None:
            return self
        other = Bounds.of(known, len(self.pixels))
        both = self.patches is not None and other.patches is not None
        patches = np.minimum(self.patches, other.patches) if both else other.patches  # pyright: ignore
        return Bounds(np.minimum(self.pixels, other.pixels), patches)


class Collector:
    """Runs a model over batches and counts; keeps nothing, so several threads may use one.

    Args:
        segmenter: in evaluation mode, on `device`.
        rows: R, of the reservoir per category.
        seed: of its hash.
    """

    def __init__(self, segmenter: Any, rows: int, seed: int, device: torch.device | str = "cpu") -> None:
        self.segmenter = segmenter
        self.classes = len(segmenter.spec.classes)
        self.rows = rows
        self.seed = seed
        self.device = torch.device(device)

    @torch.no_grad()
    def collect(
        self, batch: Sequence[tuple[int, Any]], bounds: Bounds | None = None
    ) -> tuple[Partial, list[Row]]:
        """One batch of (index, sample), all of one size."""
        bounds = bounds or Bounds.none(self.classes)
        images = torch.from_numpy(np.stack([sample.image for _, sample in batch])).to(self.device)
        trace = self.segmenter.trace(self.segmenter.normalise(images))
        truth = np.stack([np.asarray(sample.labels) for _, sample in batch])
        truth = np.where(truth < self.classes, truth, UNKNOWN).astype(
            np.uint8 if self.classes <= 255 else np.int16
        )
        predicted = trace.labels.cpu().numpy()
        grids = LabelGrids(truth, self.classes, self.device)
        grids.majority((trace.features[0].shape[-2], trace.features[0].shape[-1]))  # the finest first
        held = torch.from_numpy(np.stack([_held(labels, self.classes) for labels in truth])).to(self.device)
        rows = [
            _row(index, sample, true, guess, self.classes)
            for (index, sample), true, guess in zip(batch, truth, predicted, strict=True)
        ]
        seen = torch.from_numpy(np.stack([row.predicted > 0 for row in rows])).to(self.device)

        sums = {"confusion": np.stack([row.confusion for row in rows]).sum(0)}
        patches = PatchCollector(trace, batch, predicted, grids, held, bounds.patches)
        prototyped = [stage for stage in trace.stages if stage.prototypes is not None]
        for order, stage in enumerate(prototyped):
            sums |= _reading(stage, grids.one_hot(stage.grid), held)
            sums |= _prototypes(stage, held, seen)
            _live(stage, rows)
            patches.stage(order, stage)
        _presence(prototyped, rows)
        for stage in trace.stages:
            price.collect(stage, grids, self.seed, rows)
        maps = site_maps(trace)
        moments = {name: _moments(x, grids.one_hot((x.shape[-2], x.shape[-1]))) for name, x in maps.items()}
        reservoir = self._draw(batch, truth, predicted, trace, maps, grids, bounds.pixels)
        return Partial(len(batch), sums, moments, reservoir, patches.rows()), rows

    def _draw(
        self,
        batch: Sequence[tuple[int, Any]],
        truth: np.ndarray,
        predicted: np.ndarray,
        trace: Trace,
        maps: dict[str, Tensor],
        grids: LabelGrids,
        limits: np.ndarray,
    ) -> Rows:
        """The pixels of a batch that may enter the reservoir, with their features at every site."""
        height, width = truth.shape[1:]
        drawn = [
            self._candidates(j, index, sample.id, truth[j].ravel(), limits)
            for j, (index, sample) in enumerate(batch)
        ]
        image, group, key, order = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        kept = strongest(group, key, order, self.rows)  # only then are features fetched: there are many
        image, group, key, order = image[kept], group[kept], key[kept], order[kept]
        at = np.stack(np.divmod(order[:, 1], width), axis=1)
        pixel = (image, at[:, 0], at[:, 1])
        columns = {
            "pixel": at.astype(np.int32),
            "predicted": predicted[pixel].astype(np.int16),
            "confidence": confidence_at(trace.logits, image, at, (height, width)),
            "mode": _modes(batch, pixel),
        }
        for name, x in maps.items():
            grid = (x.shape[-2], x.shape[-1])
            # The cell that holds the pixel's centre, as everywhere: floor((row + ½) · h / H).
            cells = ((2 * at + 1) * np.array(grid)) // (2 * np.array([height, width]))
            columns[f"features/{name}"] = _at(x, image, cells)
            level = f"pure/{level_of(trace, grid)}"
            if level not in columns:
                columns[level] = grids.majority(grid)[image, cells[:, 0], cells[:, 1]] == group
        return Rows(self.rows, group, key, order, columns)

    def _candidates(
        self, j: int, index: int, name: str, flat: np.ndarray, limits: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(place in the batch, category, hash, (index, pixel)) of one image's labels that may stay."""
        hashes = pixel_hashes(self.seed, name, len(flat))
        candidates = np.flatnonzero(flat < self.classes)
        candidates = candidates[hashes[candidates] <= limits[flat[candidates]]]
        group, key = flat[candidates].astype(np.int64), hashes[candidates]
        order = np.stack([np.full(len(candidates), index), candidates], axis=1).astype(np.int64)
        kept = strongest(group, key, order, self.rows)
        return np.full(len(kept), j), group[kept], key[kept], order[kept]


def _moments(x: Tensor, one_hot: Tensor) -> Moments:
    """Of one site: count, mean and Σ (x − mean)² per image in fp32, together in fp64.

    Squares are taken around the image's mean: around 0 a large mean would swallow a small variance.
    """
    flat = x.flatten(2)
    middle = flat.mean(-1, keepdim=True)
    apart = flat - middle
    count = one_hot.sum(-1).double()
    safe = count.clamp_min(1)[..., None]
    mean = torch.einsum("bkq,bcq->bkc", one_hot, apart).double() / safe
    squares = torch.einsum("bkq,bcq->bkc", one_hot, apart.square_()).double()
    m2 = (squares - count[..., None] * mean.square()).clamp_min(0)
    mean = torch.where(count[..., None] > 0, mean + middle.transpose(1, 2), 0.0)
    return moments_of_images(count.long().cpu().numpy(), mean.cpu().numpy(), m2.cpu().numpy())


def _reading(stage: Stage, one_hot: Tensor, held: Tensor) -> dict[str, np.ndarray]:
    """Who reads which prototype, and how large the parts of what is read are."""
    assert stage.memory is not None or stage.memory_share == 0
    classes = held.shape[1]
    mixed = 1 - one_hot.sum(1, keepdim=True)
    readers = torch.cat([one_hot, mixed], dim=1)  # the last are in no category
    mass = torch.zeros(len(held), classes + 1, stage.heads * stage.source_count, device=held.device)
    weight = stage.output_weight.float()
    memory_values = torch.einsum("bnmd,cnd->bnmc", stage.source_values()[1], weight).flatten(1, 2)
    bias = torch.einsum("cnd,nd->c", weight, stage.value_bias.float()) + stage.output_bias.float()
    update, residual = stage.update.float().flatten(2), stage.residual.float().flatten(2)
    parts = torch.zeros(classes + 1, len(PARTS), dtype=torch.float64, device=held.device)
    start = 0
    for block in stage.blocks():
        queries = slice(start, start + block.shape[-2])
        start = queries.stop
        affinity = block.transpose(1, 2).flatten(2)  # (b, q, n·m), copied once for two products
        mass += readers[..., queries] @ affinity
        memory = (affinity @ memory_values).transpose(1, 2)
        here = update[..., queries]
        norms = [
            each.norm(dim=1) for each in (here - bias[:, None] - memory, memory, here, residual[..., queries])
        ]
        parts += torch.einsum("bkq,bqp->kp", readers[..., queries], torch.stack(norms, dim=-1)).double()
    image_mass = mass.unflatten(-1, (stage.heads, -1)).transpose(1, 2)  # (b, n, k + 1, m)
    everyone, image_mass = image_mass.sum(2), image_mass[:, :, :-1]
    labelled = held.any(1)  # an image without any label holds and lacks nothing
    gone = (~held & labelled[:, None]).float()
    found = {
        "mass": image_mass.double().sum(0),
        "absent": (image_mass * gone[:, None, None, :]).double().sum(0),
        "everyone": everyone.double().sum(0),
        "everyone_absent": (everyone * gone[:, None, :]).double().sum(0),
        "cells": readers.sum((0, 2)).long(),
        "labelled": (labelled.sum() * one_hot.shape[2])[None],
        "parts": parts,
    }
    return {f"usage/{stage.name}/{name}": array.cpu().numpy() for name, array in found.items()}


def _prototypes(stage: Stage, held: Tensor, seen: Tensor) -> dict[str, np.ndarray]:
    """Sums of live prototypes over all images and over those that hold the category, and of the cosines between them."""
    assert stage.prototypes is not None
    prototypes = stage.prototypes.double()
    cosine = F.normalize(prototypes, dim=-1) @ F.normalize(prototypes, dim=-1).transpose(1, 2)
    both = held[:, :, None] & held[:, None, :]
    found = {
        "sum": prototypes.sum(0),
        "sum_true": (prototypes * held[..., None]).sum(0),
        "sum_predicted": (prototypes * seen[..., None]).sum(0),
        "images_true": held.sum(0),
        "images_predicted": seen.sum(0),
        "pairs": cosine.sum(0),
        "pairs_present": (cosine * both).sum(0),
        "together": both.sum(0),
    }
    return {f"prototypes/{stage.name}/{name}": array.cpu().numpy() for name, array in found.items()}


def _live(stage: Stage, rows: list[Row]) -> None:
    assert stage.prototypes is not None
    prototypes = stage.prototypes.float()
    norm = prototypes.norm(dim=-1).cpu().numpy()
    cosine = None
    if stage.memory is not None:
        cosine = F.cosine_similarity(prototypes, stage.memory.float()[None], dim=-1).cpu().numpy()
    for j, row in enumerate(rows):
        row.norm[stage.name] = norm[j]
        if cosine is not None:
            row.cosine[stage.name] = cosine[j]
        row.vectors[f"{stage.name}.prototypes"] = prototypes[j].cpu().numpy()


def _presence(stages: Sequence[Stage], rows: list[Row]) -> None:
    """The maximum over space of the mask logits, resized to the finest of their grids and summed, as they are supervised."""
    masks = [stage.mask_logits for stage in stages if stage.mask_logits is not None]
    if not masks:
        return
    size = masks[-1].shape[-2:]
    total = sum(F.interpolate(m.float(), size=size, mode="bilinear", align_corners=False) for m in masks)
    assert isinstance(total, Tensor)
    top = total.flatten(2).amax(-1).cpu().numpy()
    for j, row in enumerate(rows):
        row.presence = top[j]


def _row(index: int, sample: Any, truth: np.ndarray, predicted: np.ndarray, classes: int) -> Row:
    valid = truth < classes
    return Row(
        index,
        sample.id,
        (truth.shape[0], truth.shape[1]),
        np.bincount(truth[valid], minlength=classes),
        np.bincount(predicted.ravel(), minlength=classes),
        metrics.confusion(truth[valid], predicted[valid], classes),
        None,
        {},
        {},
        {},
    )


def _held(truth: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(truth.ravel(), minlength=UNKNOWN + 1)[:classes] > 0


def _modes(batch: Sequence[tuple[int, Any]], pixel: tuple[np.ndarray, ...]) -> np.ndarray:
    """(r,) the planted mode at pixels (place in the batch, row, column); 255 where an image knows none."""
    found = np.full(len(pixel[0]), UNKNOWN, np.uint8)
    for j, (_, sample) in enumerate(batch):
        modes = getattr(sample, "modes", None)
        if modes is not None:
            here = pixel[0] == j
            found[here] = modes[pixel[1][here], pixel[2][here]]
    return found


def _at(x: Tensor, image: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """(r, c) features of maps (b, c, h, w) at cells (r, 2) of images (r,)."""
    if not len(cells):  # the rule, once a reservoir is full: nothing to wait for on a GPU
        return np.empty((0, x.shape[1]), np.float32)
    height, width = x.shape[-2:]
    place = torch.from_numpy((image * height + cells[:, 0]) * width + cells[:, 1]).to(x.device)
    if (
        8 * len(cells) > len(x) * height * width
    ):  # then one pass over the map is cheaper than a walk through it for each row
        return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])[place].cpu().numpy()
    return (
        x.permute(0, 2, 3, 1)[place // (height * width), place // width % height, place % width].cpu().numpy()
    )
