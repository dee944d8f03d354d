"""Out of memory on the device: caches are given back, then smaller pieces, and what is raised says so in one sentence."""

from __future__ import annotations

import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch

from engine import Engine, LoupeError, room
from engine.inference import predict_labels
from engine.room import OutOfMemory, attempt, in_pieces, is_shortage, twice


class Full:
    """Work that fits only while no more than `most` items are asked for; counts what was tried."""

    def __init__(self, most: int) -> None:
        self.most, self.tried = most, []

    def __call__(self, items):
        self.tried.append(len(items))
        if len(items) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return list(items)


@pytest.fixture
def engine() -> Engine:
    return Engine(device="cpu")


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (96, 160, 3), dtype=np.uint8)


def limited(monkeypatch, engine: Engine, pixels: int, model: str = "cpt") -> list[tuple[int, int]]:
    """The device holds the model's traces of up to that many pixels; the sizes that were tried."""
    decoder, tried = engine.segmenter(model).decoder, []
    real = type(decoder).trace

    def trace(self, pyramid, *rest, **named):
        tried.append(pyramid.image_size)
        if pyramid.image_size[0] * pyramid.image_size[1] > pixels:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, pyramid, *rest, **named)

    monkeypatch.setattr(type(decoder), "trace", trace)
    return tried


def test_pieces_keep_their_order_and_are_halves():
    full = Full(3)
    assert [one for piece in in_pieces(full, list(range(10))) for one in piece] == list(range(10))
    assert full.tried == [10, 5, 2, 3, 5, 2, 3]


def test_one_that_does_not_fit_is_tried_once_more_and_told():
    full = Full(0)
    with pytest.raises(OutOfMemory, match=r"^one image did not fit into the device's memory, not even after"):
        in_pieces(full, [1])
    assert full.tried == [1, 1]


def test_what_fits_once_caches_are_given_back_is_answered():
    class Hoard:
        held = True

        def give_back(self):
            self.held = False

    hoard = Hoard()
    room.register(hoard)

    def work():
        if hoard.held:
            raise RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)")
        return "answer"

    assert twice(work, "it") == "answer"


def test_an_attempt_that_failed_holds_nothing():
    """Its traceback would keep every tensor of it while the next one runs."""
    seen = []

    def work():
        large = torch.zeros(10)
        seen.append(weakref.ref(large))
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert attempt(work) is None
    assert seen[0]() is None


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory"), KeyError("x")])
def test_other_errors_are_not_taken_for_a_shortage(error):
    assert not is_shortage(error)
    with pytest.raises(type(error)):
        in_pieces(lambda _: (_ for _ in ()).throw(error), [1, 2])


def test_a_trace_gives_the_engines_caches_back_and_is_the_same(engine, picture, monkeypatch):
    before = engine.trace("cpt", picture)
    engine.clear()
    engine.trace("bilinear", picture)
    calls = []
    real = type(engine.segmenter("cpt").decoder).trace

    def trace(self, pyramid):
        calls.append(engine.cache_info().host.entries)
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, pyramid)

    monkeypatch.setattr(type(engine.segmenter("cpt").decoder), "trace", trace)
    after = engine.trace("cpt", picture)
    assert calls[0] >= 2  # the other trace and its pyramid were held
    assert calls[1] <= 1  # at most this image's own pyramid, made anew
    assert torch.equal(before.logits, after.logits)


def test_an_image_that_does_not_fit_is_halved_where_that_is_asked_for(engine, picture, monkeypatch):
    tried = limited(monkeypatch, engine, 48 * 80)
    trace = engine.trace("cpt", picture, smaller=True)
    assert tried == [(96, 160), (96, 160), (48, 80)]
    assert trace.image is not None
    assert trace.image.size == (48, 80)
    assert trace.image.original_size == (96, 160)  # pixels in links keep their meaning
    assert trace.image.reduced


def test_otherwise_it_is_refused_in_one_sentence_and_the_engine_goes_on(engine, picture, monkeypatch):
    limited(monkeypatch, engine, 48 * 80)
    with pytest.raises(OutOfMemory, match=r"^the array at 160×96 with cpt did not fit") as caught:
        engine.trace("cpt", picture)
    assert isinstance(caught.value, LoupeError)
    assert "\n" not in str(caught.value)
    assert engine.trace("cpt", picture[:48, :80]).image.size == (48, 80)


def test_what_never_fits_ends(engine, picture, monkeypatch):
    tried = limited(monkeypatch, engine, 0)
    with pytest.raises(OutOfMemory):
        engine.trace("cpt", picture, smaller=True)
    assert tried == [(96, 160)] * 2 + [(48, 80)] * 2  # 40 pixels are below the smallest


def test_labels_do_not_depend_on_how_many_fit(engine, monkeypatch):
    segmenter = engine.segmenter("qup")
    images = np.random.default_rng(1).integers(0, 255, (5, 64, 64, 3), dtype=np.uint8)
    whole = predict_labels(segmenter, images, "cpu")
    real, sizes = type(segmenter).forward, []

    def forward(self, pixels):
        sizes.append(len(pixels))
        if len(pixels) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, pixels)

    monkeypatch.setattr(type(segmenter), "forward", forward)
    assert np.array_equal(predict_labels(segmenter, images, "cpu"), whole)
    assert sizes == [5, 2, 3, 1, 2]


REALLY = """
import resource, sys
import numpy as np
from engine import Engine
from engine.room import OutOfMemory

engine = Engine(device="cpu")
small = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
before = engine.trace("cpt", small).labels
large = np.zeros((2048, 2048, 3), np.uint8)
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (used * 1024 + (400 << 20),) * 2)
try:
    engine.trace("cpt", large, long_side=None)
    print("fits")
except OutOfMemory as error:
    print(error)
trace = engine.trace("cpt", large, long_side=None, smaller=True)
print(trace.image.size, (engine.trace("cpt", small).labels == before).all().item())
"""


@pytest.mark.parametrize("failures", [1, 2])
def test_a_model_that_does_not_fit_is_read_once_more_and_then_one_sentence(
    engine, picture, monkeypatch, failures: int
):
    from engine import shelf

    real, tried = shelf.load, []

    def load(*args, **named):
        tried.append(args)
        if len(tried) <= failures:
            raise MemoryError("Cannot allocate memory (os error 12)")
        return real(*args, **named)

    monkeypatch.setattr(shelf, "load", load)
    if failures == 1:
        assert engine.trace("cpt", picture).labels.shape == (96, 160)
    else:
        with pytest.raises(OutOfMemory, match="the model cpt did not fit into the device's memory"):
            engine.trace("cpt", picture)
    assert len(tried) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited as Linux does")
def test_a_process_that_really_has_no_more_memory():
    found = subprocess.run([sys.executable, "-c", REALLY], capture_output=True, text=True, timeout=300)
    said = found.stdout.splitlines()
    assert found.returncode == 0, found.stderr[-2000:]
    assert said[0].startswith("the array at 2048×2048 with cpt did not fit into the device's memory")
    assert said[1] in ("(1024, 1024) True", "(512, 512) True")
