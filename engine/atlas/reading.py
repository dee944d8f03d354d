"""Reads an atlas. Nothing here runs a model; each answer reads what it needs, and what was read is kept.

atlas = open_atlas(folder)
atlas.usage("stride8").rate            who reads whom
atlas.patches("stride8", category)     where the prototype's mask logit is strongest
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from engine.atlas.folder import RESERVOIR, RESULTS, STATISTICS, read_manifest
from engine.atlas.partial import Partial, Rows
from engine.atlas.records import (
    PARTS,
    Effect,
    Images,
    Live,
    Manifest,
    Moments,
    Pairs,
    Parts,
    Patch,
    Price,
    PrototypeMeans,
    Reservoir,
    Usage,
)
from engine.atlas.shards import VectorShards, damaged, read_bytes, read_tables
from engine.errors import LoupeError


def open_atlas(folder: str | Path, checkpoint: str | None = None) -> Atlas:
    """The atlas in a folder.

    Args:
        checkpoint: SHA-256 of the model's file, where only its atlas will do.

    Raises:
        LoupeError: no atlas there, an unfinished or damaged one, one of another version or checkpoint.
    """
    folder = Path(folder)
    manifest, digests = read_manifest(folder, checkpoint)
    return Atlas(folder, manifest, digests)


class Atlas:
    """What was written, as values of `engine.atlas.records`. Safe for many threads; arrays are shared, so do not change them.

    Every method raises LoupeError where a file is missing or damaged, or where the atlas has no such stage or site.
    """

    def __init__(self, folder: Path, manifest: Manifest, digests: dict[str, str]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.digests = digests

    # ---------------------------------------------------------------- statistics

    def moments(self, site: str) -> Moments:
        if site not in self._statistics.moments:
            known = ", ".join(self.manifest.sites)
            raise LoupeError(f'the atlas has no site "{site}": it has {known}')
        return self._statistics.moments[site]

    @property
    def confusion(self) -> np.ndarray:
        """(k, k) int64 pixels, rows true, columns predicted."""
        return self._statistics.sums["confusion"]

    def usage(self, stage: str) -> Usage:
        of = self._sums("usage", stage)
        arrays = (of(name) for name in ("mass", "absent", "cells", "everyone", "everyone_absent"))
        return Usage(*arrays, labelled=int(of("labelled")[0]))

    def parts(self, stage: str) -> Parts:
        of = self._sums("usage", stage)
        sums, cells = of("parts"), of("cells")[:, None]
        mean = np.divide(sums, cells, out=np.full(sums.shape, np.nan), where=cells > 0)
        return Parts(PARTS, mean, sums.sum(0) / max(1, int(cells.sum())))

    def prototype_means(self, stage: str) -> PrototypeMeans:
        of = self._sums("prototypes", stage)
        images = self.manifest.images
        true, predicted = of("images_true"), of("images_predicted")
        return PrototypeMeans(
            of("sum") / max(1, images),
            of("sum_true") / np.maximum(true, 1)[:, None],
            of("sum_predicted") / np.maximum(predicted, 1)[:, None],
            images,
            true,
            predicted,
        )

    def pairs(self, stage: str) -> Pairs:
        of = self._sums("prototypes", stage)
        together = of("together")
        present = of("pairs_present")
        return Pairs(
            of("pairs") / max(1, self.manifest.images),
            np.divide(present, together, out=np.full(present.shape, np.nan), where=together > 0),
            together,
        )

    # ---------------------------------------------------------------- image by image

    @cached_property
    def images(self) -> Images:
        table = self._tables
        return Images(
            table["index"],
            tuple(table["id"].tolist()),
            np.stack([table["height"], table["width"]], axis=1),
            table["true"],
            table["predicted"],
            table.get("presence"),
        )

    @property
    def confusions(self) -> np.ndarray:
        """(i, k, k) int64, one for each image, in the order of `images`. Read anew each time: it is by far the largest column."""
        k = len(self.manifest.classes)
        found = read_tables(self.folder, self.digests, lambda name: name == "confusion")
        return found["confusion"].reshape(-1, k, k)

    def live(self, stage: str) -> Live:
        self._known(stage)
        return Live(self._tables[f"{stage}.norm"], self._tables.get(f"{stage}.cosine"))

    def prototypes(self, stage: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(index (i,), live prototypes (i, k, c) fp32), shard by shard."""
        self._known(stage)
        for arrays in VectorShards(self.folder, self.digests):
            yield arrays["index"], arrays[f"{stage}.prototypes"].astype(np.float32)

    def patches(self, stage: str, category: int) -> tuple[Patch, ...]:
        """Strongest first, one an image."""
        self._known(stage)
        if not 0 <= category < len(self.manifest.classes):
            raise LoupeError(
                f"category {category} is not one of the {len(self.manifest.classes)} of this atlas"
            )
        rows = self._statistics.patches
        group = self.manifest.stages.index(stage) * len(self.manifest.classes) + category
        return tuple(self._patch(rows, i) for i in np.flatnonzero(rows.group == group).tolist())

    def _patch(self, rows: Rows, i: int) -> Patch:
        index, *cell = rows.order[i].tolist()
        at = self._place_of[index]
        height, width = self.images.size[at].tolist()
        (y, x), (tall, wide) = rows.columns["grid"][i].tolist(), rows.columns["shape"][i].tolist()
        return Patch(
            index=index,
            id=self.images.id[at],
            cell=(cell[0], cell[1]),
            grid=(y, x),
            pixel=((2 * cell[0] + 1) * height // (2 * y), (2 * cell[1] + 1) * width // (2 * x)),
            size=(height, width),
            logit=-float(rows.key[i]),
            share=float(rows.columns["share"][i]),
            window=rows.columns["window"][i][:tall, :wide],
            origin=tuple(rows.columns["origin"][i].tolist()),
            true=int(rows.columns["true"][i]),
            predicted=int(rows.columns["predicted"][i]),
            held=bool(rows.columns["held"][i]),
        )

    # ---------------------------------------------------------------- results and samples

    @property
    def price(self) -> tuple[Price, ...]:
        return tuple(Price(**each) for each in self._results["price"])

    @property
    def effects(self) -> tuple[Effect, ...]:
        """Of changing the memory bank; empty without memory."""
        return tuple(Effect(**each) for each in self._results["effects"])

    def reservoir(self, site: str, category: int | None = None) -> Reservoir:
        """The sampled pixels with a site's features, of one category or all, ordered by category and hash."""
        if site not in self.manifest.sites:
            raise LoupeError(f'the atlas has no site "{site}": it has {", ".join(self.manifest.sites)}')
        if category is not None and not 0 <= category < len(self.manifest.classes):
            raise LoupeError(
                f"category {category} is not one of the {len(self.manifest.classes)} of this atlas"
            )
        arrays = self._reservoir
        chosen = slice(None) if category is None else arrays["group"] == category
        level = self.manifest.sites[site].level
        column: Callable[[str], np.ndarray] = lambda name: arrays[f"columns/{name}"][chosen]  # noqa: E731
        return Reservoir(
            image=arrays["order"][chosen, 0],
            pixel=column("pixel"),
            category=arrays["group"][chosen],
            predicted=column("predicted"),
            confidence=column("confidence"),
            mode=column("mode"),
            pure=column(f"pure/{level}"),
            features=column(f"features/{site}").astype(np.float32),
        )

    # ---------------------------------------------------------------- files

    @cached_property
    def _statistics(self) -> Partial:
        empty = {"reservoir/most": np.ones(1, np.int64), "reservoir/group": np.zeros(0, np.int64)}
        empty |= {"reservoir/key": np.zeros(0, np.uint64), "reservoir/order": np.zeros((0, 2), np.int64)}
        return Partial.from_arrays(empty | self._arrays(STATISTICS))

    @cached_property
    def _reservoir(self) -> dict[str, np.ndarray]:
        return self._arrays(RESERVOIR)

    @cached_property
    def _results(self) -> dict[str, list[dict]]:
        return json.loads(read_bytes(self.folder, RESULTS, self.digests))

    @cached_property
    def _tables(self) -> dict[str, np.ndarray]:
        return read_tables(self.folder, self.digests, lambda name: name != "confusion")

    @cached_property
    def _place_of(self) -> dict[int, int]:
        return {index: place for place, index in enumerate(self.images.index.tolist())}

    def _arrays(self, name: str) -> dict[str, np.ndarray]:
        try:
            return load(read_bytes(self.folder, name, self.digests))
        except SafetensorError as error:
            raise LoupeError(damaged(name)) from error

    def _known(self, stage: str) -> None:
        if stage not in self.manifest.stages:
            have = ", ".join(self.manifest.stages) or "none"
            raise LoupeError(
                f'{self.manifest.model} has no prototypes at "{stage}": stages with prototypes are {have}'
            )

    def _sums(self, family: str, stage: str) -> Callable[[str], np.ndarray]:
        self._known(stage)
        return lambda name: self._statistics.sums[f"{family}/{stage}/{name}"]
