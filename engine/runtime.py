"""Engine: loads models, traces images, and remembers both within a budget of bytes.

It is stateless to its caller: there is no current image and no current model, every call says what it means, and the
same call gives the same answer. One Engine serves all threads of a process.

How a trace is made and under which key it is kept: `engine.tracing`.

What it does not know: which gradient you would like (everything runs without), what a picture should look like.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engine import images, room
from engine.cache import TierInfo, host_budget
from engine.catalogue import ModelCard
from engine.checkpoints import file_state
from engine.costs import Costs, costs
from engine.edits import Edit, Subject, check
from engine.errors import LoupeError
from engine.gradients import GradientMatrix, gradient_matrix, guided
from engine.influence import Influence, influence
from engine.losses import IGNORED
from engine.segmenter import Segmenter
from engine.shelf import Shelf, remember
from engine.trace import Trace
from engine.tracing import Tracer, named, subject
from engine.turns import CLICK, JOB

__all__ = ["CacheInfo", "Engine", "ModelCard"]

PRECISIONS = ("fp32", "bf16")
SMALLEST = 64  # pixels of the longer side: an image that does not fit is not made smaller than that


@dataclass(frozen=True)
class CacheInfo:
    """How full the cache is; bytes of traces and pyramids."""

    device: TierInfo
    host: TierInfo
    hits: int
    misses: int
    models: TierInfo  # loaded ones


class Engine:
    """Runs segmenters and returns their internals.

    Args:
        device: "auto" (cuda, else mps, else cpu) or any torch device.
        precision: "fp32", or "bf16" (autocast; CUDA only). Affinities are computed in fp32 in either.
        device_bytes: of traces and pyramids on an accelerator.
        host_bytes: of those in host memory; by default what `engine.cache.host_budget` says.
        model_bytes: of loaded models.
        models_dir: folder of checkpoints; default LOUPE_MODELS, else the shipped models and those that were added.

    Raises:
        LoupeError: a device or precision that is not to be had.
    """

    def __init__(
        self,
        device: str = "auto",
        precision: str = "fp32",
        device_bytes: int = 4 << 30,
        host_bytes: int | None = None,
        model_bytes: int = 2 << 30,
        models_dir: str | Path | None = None,
    ) -> None:
        self.device = _device(device)
        if precision not in PRECISIONS:
            raise LoupeError(f'unknown precision "{precision}": choose {" or ".join(PRECISIONS)}')
        if precision == "bf16" and self.device.type != "cuda":
            raise LoupeError(f"precision bf16 needs a CUDA device, this is {self.device.type}")
        self.precision = precision
        self._shelf = Shelf(models_dir, self.device, model_bytes)
        self._lock = threading.Lock()  # of the table of files
        self._tracer = Tracer(
            self.device, precision, device_bytes, host_budget() if host_bytes is None else host_bytes
        )
        self._files: OrderedDict[tuple, images.LoadedImage] = OrderedDict()
        room.register(self)

    # ---------------------------------------------------------------- models

    def models(self) -> dict[str, ModelCard]:
        """The catalogue: id → card, demo models first. Read again when the folder's files change."""
        return self._shelf.models()

    def problems(self) -> dict[str, str]:
        """Files of the models folder that cannot be used → why."""
        return self._shelf.problems()

    def card(self, model: str | Path) -> ModelCard:
        """The card of a catalogue id or of a checkpoint's path.

        Raises:
            LoupeError: neither.
        """
        return self._shelf.card(model)

    def segmenter(self, model: str | Path | ModelCard) -> Segmenter:
        """The model itself, in evaluation mode on the engine's device; shared, so do not train it."""
        return self._shelf.load(model).segmenter

    # ---------------------------------------------------------------- images and traces

    def image(
        self, source: images.Source | images.LoadedImage, long_side: int | None = images.LONG_SIDE
    ) -> images.LoadedImage:
        """Any image as `trace` sees it. A file that has not changed since is not decoded again.

        Raises:
            ImageError: no image, truncated, too small, too large.
        """
        if isinstance(source, images.LoadedImage):
            return source
        if not isinstance(source, str | os.PathLike):
            return images.load_image(source, long_side)
        key = (*file_state(Path(source)), long_side)
        with self._lock:
            known = self._files.get(key)
        if known is None:
            known = images.load_image(source, long_side)
            with self._lock:
                remember(self._files, key, known)
        return known

    def trace(
        self,
        model: str | Path | ModelCard,
        image: images.Source | images.LoadedImage,
        *,
        edits: Sequence[Edit] = (),
        truth: np.ndarray | None = None,
        long_side: int | None = images.LONG_SIDE,
        priority: int = CLICK,
        smaller: bool = False,
    ) -> Trace:
        """Everything that a model does to one image, without the batch axis. A second call is a look-up.

        Args:
            model: catalogue id, or path to a checkpoint; or a card, for the very file that it is of.
            image: path, PIL image, (H, W, 3) uint8 array, bytes of a file, or what `image` returned.
            edits: what to change in this run (see `engine.edits`); only what comes after them is computed, on the unedited run.
            truth: (H, W) categories of the image, 255 unknown, in the model's numbering: oracle prototypes need it.
            long_side: larger images are reduced to it; None for none.
            priority: `engine.turns.CLICK`, or JOB for what nobody waits for.
            smaller: an image that does not fit into the device's memory is halved until it does; `Trace.image` then says what
                was traced. Not with `truth`, which is of the image's size.

        Raises:
            LoupeError: unknown model, unreadable checkpoint or image, edits that do not fit; what is cached stays.
            OutOfMemory: the image does not fit, not even with every cache given back.
        """
        loaded, picture = self._shelf.load(model), self.image(image, long_side)
        if edits:
            check(edits, subject(loaded))  # refused before anything is run
        while True:
            try:
                if edits:
                    return self._tracer.edited(loaded, picture, tuple(edits), truth, priority)
                return self._tracer.unedited(loaded, picture, priority)
            except room.OutOfMemory:
                half = max(picture.size) // 2
                if not smaller or truth is not None or half < SMALLEST:
                    raise
            picture = images.smaller(picture, half)

    def subject(self, model: str | Path | ModelCard) -> Subject:
        """What edits can reach in a model.

        Raises:
            LoupeError: as `card`.
        """
        return subject(self._shelf.load(model))

    def influence(
        self,
        model: str | Path | ModelCard,
        image: images.Source | images.LoadedImage,
        pixel: tuple[int, int],
        site: str = "f3",
        category: int | None = None,
        *,
        long_side: int | None = images.LONG_SIDE,
        priority: int = CLICK,
    ) -> Influence:
        """What one pixel's decision depends on (see `engine.influence`); runs a backward pass on every call.

        Args:
            pixel: (row, col) of the upright original image.
            site: "f0".."f3" where the decoder reads it, or "image".
            category: whose margin; the predicted category by default.

        Raises:
            LoupeError: as `trace`, and a site, pixel or category that does not exist.
        """
        loaded, picture = self._shelf.load(model), self.image(image, long_side)
        row, col = images.cell(*pixel, picture.original_size, picture.size)
        with self._tracer.turns.take(priority), self.autocast():
            return room.twice(
                lambda: influence(
                    loaded.segmenter, self._tracer.pyramid(loaded, picture), row, col, site, category
                ),
                named(loaded, picture),
            )

    def gradients(
        self,
        model: str | Path | ModelCard,
        image: images.Source | images.LoadedImage,
        truth: np.ndarray,
        *,
        long_side: int | None = images.LONG_SIDE,
        priority: int = CLICK,
    ) -> GradientMatrix:
        """The gradient matrix of a guided model on one image with ground truth (see `engine.gradients`), in fp32.

        Args:
            truth: (H, W) categories of the traced image, 255 unknown.

        Raises:
            LoupeError: as `trace`; a model without a guide branch; labels of another size, or none that the model knows.
        """
        loaded, picture = self._shelf.load(model), self.image(image, long_side)
        guided(loaded.segmenter)
        if truth.shape != picture.size:
            said, wanted = ("×".join(map(str, s)) for s in (truth.shape, picture.size))
            raise LoupeError(f"the labels are {said} pixels and the traced image is {wanted}")
        classes = len(loaded.card.classes)
        labels = np.where(truth < classes, truth, IGNORED).astype(np.int64)
        if (labels == IGNORED).all():
            raise LoupeError("no pixel of these labels belongs to a category of this model")
        with self._tracer.turns.take(priority):
            pixels = loaded.segmenter.normalise(picture.pixels)
            known = torch.from_numpy(labels)[None].to(self.device)
            return room.twice(
                lambda: gradient_matrix(loaded.segmenter, pixels, known), named(loaded, picture)
            )

    def costs(self, model: str | Path | ModelCard, size: tuple[int, int], *, priority: int = JOB) -> Costs:
        """Parameters, GMACs, milliseconds and peak memory of one forward pass of an image of `size`, measured now.

        The time is honest only while nothing else uses the device: the engine keeps others waiting meanwhile.
        """
        loaded = self._shelf.load(model)
        with self._tracer.turns.take(priority), self.autocast():
            what = f"{loaded.card.id} at {size[1]}×{size[0]}"
            return room.twice(lambda: costs(loaded.segmenter, size), what)

    def let_clicks_go_first(self) -> None:
        """Waits while somebody's click holds the device: for walks that run a model themselves, between groups of images."""
        with self._tracer.turns.take(JOB):
            pass

    def autocast(self) -> AbstractContextManager[object]:
        """The precision that traces are made in, for whoever runs a model themselves."""
        return self._tracer.autocast()

    def cache_info(self) -> CacheInfo:
        tracer = self._tracer
        return CacheInfo(
            tracer.held.device.info(), tracer.held.host.info(), tracer.hits, tracer.misses, self._shelf.info()
        )

    @property
    def models_folder(self) -> Path:
        """Where models are added."""
        return self._shelf.added_to

    def give_back(self) -> None:
        """Lets go of what the device holds and can have again: traces, pyramids, models that nobody uses."""
        self._tracer.held.give_back()
        self._shelf.give_back()

    def clear(self) -> None:
        """Forget traces and pyramids; models stay."""
        self._tracer.held.clear()


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise LoupeError(f'device "{name}" is not to be had here: {str(error).splitlines()[0]}') from error
    return device
