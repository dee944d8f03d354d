"""Makes traces and pyramids, and remembers them within a budget of bytes: one at a time on the device, each in its turn.

Keys hold everything that matters: checkpoint or backbone content hash, decoded-image hash, preprocessing version, precision,
device. Pyramids are keyed by the backbone's weights, so that decoders on one frozen backbone share them. An edited run is made on
the unedited one and the parts that are kept of it. What does not fit is tried once more with every cache given back
(`engine.room`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np
import torch

from engine import images, room
from engine.cache import TieredCache
from engine.edits import Edit, Oracle, Subject, edits_key, plan, subject_of
from engine.shelf import LoadedModel
from engine.trace import Pyramid, Trace, tensor_bytes, to_device
from engine.turns import Turns

Picture = images.LoadedImage


class Tracer:
    """Runs loaded models on one device. device_bytes, host_bytes: of traces and pyramids there and in host memory."""

    def __init__(self, device: torch.device, precision: str, device_bytes: int, host_bytes: int) -> None:
        self.device, self.precision = device, precision
        self.turns = Turns()
        self.held = TieredCache(
            device_bytes if device.type != "cpu" else 0,
            host_bytes,
            to_host=lambda value: to_device(value, "cpu"),
            to_device=lambda value: to_device(value, device),
        )
        self.hits = self.misses = 0

    def unedited(self, loaded: LoadedModel, picture: Picture, priority: int) -> Trace:
        """The trace of a model as it is; a second call is a look-up."""
        key = self._trace_key(loaded, picture)
        return self._once(key, loaded, picture, priority, lambda: self._trace(loaded, picture))

    def _once(
        self,
        key: tuple,
        loaded: LoadedModel,
        picture: Picture,
        priority: int,
        make: Callable[[], Trace],
    ) -> Trace:
        """The trace of that key; made, in turn, where it is not held."""
        trace = self.held.get(key)
        if trace is None:
            with self.turns.take(priority):
                return self._made(key, loaded, picture, make)
        self.hits += 1
        # The same pixels may come under another name, and the same weights as another file.
        if trace.image is not picture or trace.model is not loaded.card:
            trace = replace(trace, image=picture, model=loaded.card)._with_memory_of(trace)
        return trace

    def _made(self, key: tuple, loaded: LoadedModel, picture: Picture, make: Callable[[], Trace]) -> Trace:
        """The same for whoever has the turn already."""
        trace = self.held.get(key)  # another thread may have made it meanwhile
        if trace is not None:
            self.hits += 1
            return replace(trace, image=picture, model=loaded.card)._with_memory_of(trace)
        self.misses += 1
        trace = room.twice(make, named(loaded, picture))
        # What the trace computes on demand and keeps: normalisers, mean affinities, labels.
        later = sum(4 * s.heads * (s.grid[0] * s.grid[1] + s.source_count) for s in trace.stages)
        later += 2 * picture.size[0] * picture.size[1]  # labels
        self.held.put(key, trace, tensor_bytes(trace) + later)
        return trace

    def _trace(self, loaded: LoadedModel, picture: Picture) -> Trace:
        start = time.perf_counter()
        with torch.no_grad(), self.autocast():
            pyramid = self.pyramid(loaded, picture)
            trace = loaded.segmenter.decoder.trace(pyramid)[0]
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return replace(
            trace, image=picture, model=loaded.card, milliseconds=1000 * (time.perf_counter() - start)
        )

    def _trace_key(self, loaded: LoadedModel, picture: Picture) -> tuple:
        return ("trace", loaded.card.hash, picture.hash, images.VERSION, self.precision, str(self.device))

    def edited(
        self,
        loaded: LoadedModel,
        picture: Picture,
        edits: tuple[Edit, ...],
        truth: np.ndarray | None,
        priority: int,
    ) -> Trace:
        """What comes after the edits, computed on the unedited trace and the parts that are kept of it."""
        kept = self._trace_key(loaded, picture)
        seen = None
        if truth is not None and any(isinstance(edit, Oracle) for edit in edits):
            digest = hashlib.sha256(np.ascontiguousarray(truth).tobytes()).hexdigest()
            seen = (digest, truth.shape, truth.dtype.str)

        def make() -> Trace:
            base = self._made(kept, loaded, picture, lambda: self._trace(loaded, picture))
            with torch.no_grad(), self.autocast():
                wanted = plan(edits, subject(loaded), base, truth)
                decoder, whole = loaded.segmenter.decoder, base.batched()
                parts = self.held.get(("parts", kept))
                if parts is None:
                    parts = decoder.parts(whole)
                    self.held.put(("parts", kept), parts, tensor_bytes(parts))
                start = time.perf_counter()
                found = decoder.rerun(whole, wanted, parts)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            trace = replace(
                found.trace[0],
                image=picture,
                model=loaded.card,
                edits=edits,
                recomputed=found.anew,
                milliseconds=1000 * (time.perf_counter() - start),
            )
            return trace if found.anew else trace._with_memory_of(base)

        return self._once(("edited", kept, edits_key(edits), seen), loaded, picture, priority, make)

    def pyramid(self, loaded: LoadedModel, picture: Picture) -> Pyramid:
        """What the backbone makes of the image; for whoever has the turn."""
        spec = loaded.segmenter.spec
        key = (
            "pyramid",
            loaded.backbone_hash,
            spec.mean,
            spec.std,
            picture.hash,
            images.VERSION,
            self.precision,
            str(self.device),
        )
        pyramid = self.held.get(key)
        if pyramid is None:
            with torch.no_grad():
                pyramid = loaded.segmenter.pyramid(loaded.segmenter.normalise(picture.pixels))
            self.held.put(key, pyramid, tensor_bytes(pyramid))
        return pyramid

    def autocast(self) -> AbstractContextManager[object]:
        """The precision that models run in."""
        return torch.autocast("cuda", torch.bfloat16) if self.precision == "bf16" else nullcontext()


def named(loaded: LoadedModel, picture: Picture) -> str:
    """What is said of it where it does not fit."""
    height, width = picture.size
    return f"{picture.name} at {width}×{height} with {loaded.card.id}"


def subject(loaded: LoadedModel) -> Subject:
    """What edits can reach in it."""
    return subject_of(loaded.segmenter.spec, loaded.card.id)
