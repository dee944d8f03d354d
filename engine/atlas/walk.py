"""Walks a dataset once and writes an atlas.

The images are cut into chunks of `CHUNK`, always at the same places. A chunk's accumulation is merged in the chunks' order, its
images are written as one shard, and now and then the accumulation itself is written: so a walk that is killed at any moment goes
on from there and ends with the same result, and one over more images begins where the shorter one ended. Memory holds one
accumulation and one chunk, whatever the dataset's size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.atlas.chunks import CHUNK, SEED, Chunk, ChunkWalker, batch_for
from engine.atlas.folder import FORMAT, STATE, clear, locked, rows_of, sweep
from engine.atlas.memory_effect import WALKED as EFFECT_IMAGES
from engine.atlas.memory_effect import effects
from engine.atlas.partial import merge
from engine.atlas.records import Manifest, Site
from engine.atlas.results import write_results
from engine.atlas.resume import finished, keep, restored
from engine.atlas.shards import names_of, read_bytes, write_shard
from engine.atlas.sites import level_of, site_maps
from engine.catalogue import ModelCard
from engine.data.scenes import VERSION as SCENES
from engine.errors import LoupeError
from engine.evaluation import Progress
from engine.stage import Stopped
from engine.writing import swept, why

__all__ = ["CHUNK", "Chunk", "ChunkWalker", "build"]

ROWS = 512  # of the reservoir per category, where the bytes below allow it
RESERVOIR_BYTES = 256 << 20
SAVE_SECONDS = 20.0  # between two writings of the accumulation

ChunkSource = Callable[[ChunkWalker, Iterable[int]], Iterable[Chunk]]


def build(
    segmenter: Any,
    card: ModelCard,
    dataset: Any,
    folder: Path,
    *,
    limit: int | None = None,
    device: torch.device | str = "cpu",
    batch: int | None = None,
    rows: int | None = None,
    seed: int = SEED,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    chunks: ChunkSource | None = None,
    memory_effects: bool = True,
    anew: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Manifest:
    """Writes the atlas of a model over the first `limit` images into `folder`, or what is missing of it.

    Args:
        segmenter: the model; left in evaluation mode on `device`.
        card: which model it is.
        batch: images at a time; by default what suits the device.
        rows: of the reservoir per category; by default what the folder's atlas has, else as many as fit
            `RESERVOIR_BYTES`, at most `ROWS`.
        stop: asked after every chunk.
        memory_effects: run the decoder again with other memory banks, on the first images.
        anew: throw away what the folder holds of an atlas first.
        tell: gets one line each on what an earlier walk left.
        chunks: how chunks are walked: (walker, numbers) → chunks in order; one after the other here by default.

    Raises:
        LoupeError: no image, another dataset's categories, an atlas of another model in the folder, a full disk.
        Stopped: `stop` said yes; what was walked is kept.
    """
    count = len(dataset) if limit is None else min(limit, len(dataset))
    if count < 1:
        raise LoupeError(f"there is no image in {dataset.name} to make an atlas of")
    known = getattr(dataset, "classes", None)
    if known is not None and tuple(known) != card.classes:
        raise LoupeError(
            f"{card.id} knows {len(card.classes)} categories that are not the {len(known)} of {dataset.name}"
        )
    segmenter.to(device).eval()
    try:
        with locked(folder):
            if (halves := sweep(folder)) and tell is not None:
                tell(swept(halves, folder))
            if anew:
                clear(folder)
            kept = rows or rows_of(folder)  # an atlas that grows keeps its reservoir
            walk = _Walk(
                segmenter, card, dataset, folder, count, device, batch or batch_for(device), kept, seed
            )
            return walk.run(progress, stop, chunks, memory_effects and segmenter.spec.remembers, tell)
    except OSError as error:
        raise LoupeError(
            f"the atlas cannot be written to {folder}: {why(error)}; what is there is kept, and the same command goes on"
        ) from error


class _Walk:
    def __init__(
        self,
        segmenter: Any,
        card: ModelCard,
        dataset: Any,
        folder: Path,
        count: int,
        device: torch.device | str,
        batch: int,
        rows: int | None,
        seed: int,
    ) -> None:
        self.segmenter, self.dataset, self.folder = segmenter, dataset, folder
        self.device, self.batch, self.count = device, batch, count
        stages, sites = _layout(segmenter)
        channels = sum(site.channels for site in sites.values())
        most = max(1, RESERVOIR_BYTES // (4 * channels * len(card.classes)))
        self.manifest = Manifest(
            model=card.id,
            checkpoint=card.hash,
            method=card.method,
            sources=card.sources,
            memory_share=card.memory_share,
            data=dataset.name,
            dataset_size=count,
            classes=card.classes,
            stages=stages,
            sites=sites,
            seed=seed,
            rows=rows or min(ROWS, most),
            versions=versions(),
            format=FORMAT,
        )

    def run(
        self,
        progress: Progress | None,
        stop: Callable[[], bool] | None,
        chunks: ChunkSource | None,
        remembers: bool,
        tell: Callable[[str], None] | None,
    ) -> Manifest:
        known = finished(self.folder, self.manifest, remembers)
        if known is not None:
            return known
        whole = self.count // CHUNK
        self.so_far = restored(self.folder, self.manifest, whole)
        if tell is not None and not self.so_far.chunks and (self.folder / STATE).is_file():
            tell("what an earlier walk left cannot be gone on with: it begins at the first image")
        elif tell is not None and self.so_far.chunks:
            tell(
                f"goes on after {self.so_far.chunks * CHUNK} of {self.count} images, which an earlier walk did"
            )
        walker = ChunkWalker(
            self.segmenter,
            self.dataset,
            self.count,
            self.manifest.rows,
            self.manifest.seed,
            self.device,
            self.batch,
            CHUNK,
        )
        todo = self.count + (min(EFFECT_IMAGES, self.count) if remembers else 0)
        at = self.so_far.chunks * CHUNK

        def tick(images: int) -> None:
            nonlocal at
            at += images
            if progress is not None:
                progress(min(at, todo), todo, {})

        self._mend(walker)
        saved = time.monotonic()
        numbers = range(self.so_far.chunks, whole)
        if chunks is None:
            walked = walker.walk(numbers, lambda: self.so_far.total, tick)
        else:
            walked = chunks(walker, numbers)
        try:
            for chunk in walked:
                self._take(chunk)
                self.so_far.chunks = chunk.number + 1
                if chunks is not None or chunk.skipped:  # otherwise told image by image
                    tick(len(chunk.skipped) + (len(chunk.rows) if chunks is not None else 0))
                stopped = stop is not None and stop()
                if stopped or self.so_far.chunks == whole or time.monotonic() - saved > SAVE_SECONDS:
                    keep(self.folder, self.manifest, self.so_far)
                    saved = time.monotonic()
                if stopped:
                    raise Stopped
        finally:
            if isinstance(walked, Generator):
                walked.close()  # a cluster's actors end now, not when somebody forgets the exception
        return self._finish(walker, tick, remembers, stop)

    def _take(self, chunk: Chunk) -> None:
        ragged = self.count % CHUNK if (chunk.number + 1) * CHUNK > self.count else 0
        now = self.so_far
        now.digests |= write_shard(self.folder, chunk.number, chunk.rows, ragged)
        now.skipped += chunk.skipped
        if chunk.partial is not None:
            now.total = chunk.partial if now.total is None else merge([now.total, chunk.partial])

    def _finish(
        self,
        walker: ChunkWalker,
        tick: Callable[[int], None],
        remembers: bool,
        stop: Callable[[], bool] | None,
    ) -> Manifest:
        """The ragged last chunk, which a longer walk would walk again; then what follows from everything."""
        now = self.so_far
        if self.count % CHUNK:
            self._take(walker(self.count // CHUNK, now.total, tick))
        if now.total is None:
            first = now.skipped[0]
            raise LoupeError(
                f"none of the {self.count} images of {self.dataset.name} could be read; the first, {first.id}: {first.reason}"
            )
        changes = []
        if remembers:
            seed = self.manifest.seed
            changes = effects(
                self.segmenter, self.dataset, self.count, self.device, self.batch, seed, tick, stop
            )
        manifest = replace(self.manifest, images=now.total.images, skipped=tuple(now.skipped))
        write_results(self.folder, now.total, manifest, now.digests, changes, stop)
        return manifest

    def _mend(self, walker: ChunkWalker) -> None:
        """Walks again over chunks whose shards are gone or damaged; the accumulation has them already.

        Raises:
            LoupeError: not the images can be read that could be then.
        """
        for number in range(self.so_far.chunks):
            try:
                for name in names_of(number):
                    read_bytes(self.folder, name, self.so_far.digests)
            except LoupeError:
                chunk = walker(number, self.so_far.total)
                known = {one.index for one in self.so_far.skipped}
                lost = [one for one in chunk.skipped if one.index not in known]
                back = [row for row in chunk.rows if row.index in known]
                if lost or back:
                    what = (
                        f"{lost[0].id} cannot be read any more" if lost else f"{back[0].id} can be read now"
                    )
                    raise LoupeError(
                        f"the atlas in {self.folder} cannot be mended, for {what}: build it anew"
                    ) from None
                self.so_far.digests |= write_shard(self.folder, number, chunk.rows)


@torch.no_grad()
def _layout(segmenter: Any) -> tuple[tuple[str, ...], dict[str, Site]]:
    """(stages with prototypes, sites), from a run on a blank image of the smallest size."""
    device = segmenter.mean.device
    trace = segmenter.trace(torch.zeros(2, 3, 64, 64, device=device))
    stages = tuple(stage.name for stage in trace.stages if stage.prototypes is not None)
    sites = {
        name: Site(x.shape[1], level_of(trace, (x.shape[-2], x.shape[-1])))
        for name, x in site_maps(trace).items()
    }
    return stages, sites


def versions() -> dict[str, str]:
    import timm

    return {
        "torch": torch.__version__,
        "timm": timm.__version__,
        "numpy": np.__version__,
        "scenes": str(SCENES),
    }
