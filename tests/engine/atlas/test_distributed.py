"""The walk on Ray equals the walk without it: chunks travel whole, actors leave out nothing, a dead worker costs nothing."""

from __future__ import annotations

import builtins
import importlib.util
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import checkpoints
from engine.atlas import distributed, ray_session
from engine.atlas.distributed import ray_chunks
from engine.atlas.folder import read_manifest
from engine.atlas.packing import pack, unpack
from engine.atlas.partial import merge
from engine.atlas.walk import Chunk, ChunkWalker, build
from engine.catalogue import card
from engine.data.datasets import Sample
from engine.errors import LoupeError
from tests.engine.atlas.toys import Toys, files_of, one_sentence, toy, toys

ROOT = Path(__file__).resolve().parents[3]
IMAGES = 14  # three chunks of four and a ragged one
ROWS = 5
UNREADABLE = 6
# Ray warns of its own settings in threads of its own, and leaves sockets to the collector.
QUIET = pytest.mark.filterwarnings(
    r"ignore::DeprecationWarning:ray\..*",
    r"ignore::FutureWarning:ray\..*",
    r"ignore::ResourceWarning",
    r"ignore::pytest.PytestUnraisableExceptionWarning",
)


# ── chunks as bytes ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["memory", "bilinear", "hfgd"])
def test_a_packed_chunk_comes_back_bit_for_bit(kind: str):
    chunk = ChunkWalker(toy(kind), with_gap(), IMAGES, ROWS, size=4)(1)
    back = unpack(pack(chunk))
    assert back.number == 1
    assert [one.index for one in back.skipped] == [UNREADABLE]
    assert back.skipped == chunk.skipped
    assert_same(arrays_of(back), arrays_of(chunk))
    for mine, theirs in zip(back.rows, chunk.rows, strict=True):
        assert (mine.index, mine.id, mine.size) == (theirs.index, theirs.id, theirs.size)
        assert_same(flat_row(mine), flat_row(theirs))


def test_a_chunk_without_a_readable_image_travels_as_well():
    images = toys(4)
    images.broken = {i: OSError("gone") for i in range(4)}
    back = unpack(pack(ChunkWalker(toy(), images, 4, ROWS, size=4)(0)))
    assert back.partial is None
    assert not back.rows
    assert [one.index for one in back.skipped] == [0, 1, 2, 3]


# ── what an actor leaves out ────────────────────────────────────────────────────────────────────────────────────────────


def actor(segmenter: Any, images: Toys) -> Any:
    """An actor outside Ray that has opened its model and dataset already."""
    task = distributed._Task(None, "toy", "", "toys", Path(), IMAGES, 4, ROWS, 0, 8)
    made = distributed._Actor(task)
    made.opened = (segmenter, images)
    return made


def asked(made: Any, number: int) -> Chunk:
    answer = made({"chunk": np.array([number])})
    assert answer["problem"] == [""]
    return unpack(answer["data"][0])


def test_an_actor_leaves_out_only_what_could_not_stay():
    segmenter, images = toy(), toys(IMAGES)
    one, other = actor(segmenter, images), actor(segmenter, images)
    parts = [asked(one, 0), asked(other, 1), asked(one, 2), asked(other, 3)]
    fresh = [ChunkWalker(segmenter, images, IMAGES, ROWS, size=4)(number) for number in range(4)]
    rows = [
        sum(len(chunk.partial.reservoir.key) for chunk in chunks if chunk.partial)
        for chunks in (parts, fresh)
    ]
    assert rows[0] < rows[1]  # it does leave out
    whole, independent = (
        merge([chunk.partial for chunk in chunks if chunk.partial]).arrays() for chunks in (parts, fresh)
    )
    assert_same(whole, independent)


def test_an_earlier_chunk_walked_again_is_not_judged_by_later_ones():
    """After a machine is lost: an atlas may be stopped between the two."""
    segmenter, images = toy(), toys(IMAGES)
    made = actor(segmenter, images)
    asked(made, 1)
    asked(made, 2)
    again = asked(made, 0)
    assert_same(arrays_of(again), arrays_of(ChunkWalker(segmenter, images, IMAGES, ROWS, size=4)(0)))


def test_what_goes_wrong_in_an_actor_is_a_sentence():
    made = actor(toy(), toys(IMAGES))
    made.opened = None
    made._open = lambda: (_ for _ in ()).throw(LoupeError("no such model"))
    assert made({"chunk": np.array([0])})["problem"] == ["no such model"]
    made._open = lambda: (_ for _ in ()).throw(RuntimeError("out of\nmemory"))
    assert "RuntimeError: out of memory" in one_sentence(made({"chunk": np.array([0])})["problem"][0])


def test_an_actor_walks_no_other_model_and_no_shorter_dataset(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
):
    ray = ray_or_skip()
    monkeypatch.setattr(ray, "get", lambda data: data)
    threads = torch.get_num_threads()
    right = checkpoints.state_hash(checkpoints.load(tiny_checkpoint).segmenter)
    for weights, data, wanted in (
        ("other", with_gap, "are not those of the model"),
        (right, lambda: toys(IMAGES - 1), f"sees {IMAGES - 1} of the dataset's {IMAGES} images"),
        (right, "no-such-data", "no-such-data"),
    ):
        task = distributed._Task(
            tiny_checkpoint.read_bytes(), "tiny.safetensors", weights, data, Path(), IMAGES, 4, ROWS, 0, 8
        )
        problem = distributed._Actor(task)({"chunk": np.array([0])})["problem"][0]
        assert wanted in one_sentence(problem)
    torch.set_num_threads(threads)


# ── what comes back ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Batches:
    """Arrow tables, as they would come from Ray."""

    def __init__(self, *rows: tuple[int, bytes, str]) -> None:
        import pyarrow as pa

        names = ("chunk", "data", "problem")
        self.tables = iter([pa.table({name: [row[i]] for i, name in enumerate(names)}) for row in rows])
        self.closed = False

    def __next__(self) -> Any:
        return next(self.tables)

    def close(self) -> None:
        self.closed = True


class NoRay:
    class exceptions:
        class RayError(Exception):
            pass


@pytest.fixture
def coming(monkeypatch: pytest.MonkeyPatch):
    def walked(*rows: tuple[int, bytes, str], todo: list[int]) -> tuple[Batches, Iterator[Chunk]]:
        batches = Batches(*rows)
        monkeypatch.setattr(distributed, "_batches", lambda *_: batches)
        return batches, distributed._walked(NoRay, None, todo, None, "cpu")  # pyright: ignore[reportArgumentType]

    return walked


def empty(number: int) -> tuple[int, bytes, str]:
    return number, pack(Chunk(number, None, [], [])), ""


def test_chunks_are_told_in_order_and_ray_is_stopped_with_the_walk(coming: Any):
    batches, chunks = coming(empty(3), empty(4), todo=[3, 4])
    assert [chunk.number for chunk in chunks] == [3, 4]
    assert batches.closed
    batches, chunks = coming(empty(3), empty(4), todo=[3, 4])
    next(chunks)
    assert not batches.closed
    chunks.close()
    assert batches.closed


@pytest.mark.parametrize("numbers", [(4, 3), (3,), (3, 4, 5), (3, 3)])
def test_a_chunk_out_of_its_order_is_never_merged(coming: Any, numbers: tuple[int, ...]):
    batches, chunks = coming(*map(empty, numbers), todo=[3, 4])
    with pytest.raises(RuntimeError, match="Ray gave"):
        list(chunks)
    assert batches.closed


def test_a_worker_s_sentence_arrives_as_it_is(coming: Any):
    batches, chunks = coming(empty(3), (4, b"", "no such model"), todo=[3, 4])
    next(chunks)
    with pytest.raises(LoupeError, match=r"^no such model$"):
        next(chunks)
    assert batches.closed


# ── no Ray, no cluster ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_ray_the_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    there = builtins.__import__

    def missing(name: str, *rest: Any, **named: Any) -> Any:
        if name.partition(".")[0] == "ray":
            raise ModuleNotFoundError("No module named 'ray'", name="ray")
        return there(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(LoupeError, match=r"pip install 'ray\[data\]==") as caught:
        ray_chunks(Path("toy.safetensors"), "scenes-val")
    one_sentence(caught.value)
    wanted = (ROOT / "requirements.txt").read_text() + (ROOT / "tests" / "requirements.txt").read_text()
    assert wanted.count(ray_session.INSTALL.split("'")[1]) == 2


@pytest.mark.parametrize("address", ["nonsense", "ray://head:10001", "head:port", ":6379"])
def test_no_address_of_a_cluster(address: str):
    with pytest.raises(LoupeError, match="is no address") as caught:
        ray_session.reach(address)
    assert address in one_sentence(caught.value)


def test_an_unreachable_cluster_is_said_at_once():
    with socket.socket() as probe:  # bound and not listening: refused
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(LoupeError, match="cannot be reached") as caught:
            ray_chunks(Path("toy.safetensors"), "scenes-val", address=address)
    assert address in one_sentence(caught.value)


def test_a_cluster_that_asks_for_its_token_is_said_to_do_so():
    error = ConnectionError("Failed to connect to Ray cluster at head:6379\nand more")
    assert ray_session.refusal(error) == "Failed to connect to Ray cluster at head:6379"
    error.__cause__ = RuntimeError("RPC error: InvalidAuthToken: Authentication token is missing")
    assert "RAY_AUTH_MODE=token" in one_sentence(ray_session.refusal(error))


# ── on a local Ray of two workers ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Any]:
    """Ray of this process alone; the path of its sockets must be short."""
    ray = ray_or_skip()
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp" if os.path.isdir("/tmp") else None)
    with pytest.MonkeyPatch.context() as patch, ray_session.tolerant():
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_AUTH_MODE", "disabled")  # else a token is left in the home folder
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=100 << 20,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=folder,
        )
        yield ray
        ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """As in the workers: sums are taken in the same order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass
class Fatal(Toys):
    """Ends the process that reads an image, once."""

    fatal: int = -1
    once: Path = Path()

    def __getitem__(self, index: int) -> Sample:
        if index == self.fatal and not self.once.exists():
            self.once.touch()
            os._exit(1)
        return super().__getitem__(index)


def with_gap() -> Toys:
    images = toys(IMAGES)
    images.broken = {UNREADABLE: OSError("it is torn")}
    return images


@pytest.mark.slow
@QUIET
@pytest.mark.usefixtures("small_walks", "one_thread")
def test_ray_equals_local_through_a_dead_worker_and_a_resumed_walk(
    two_workers: Any, tiny_checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    segmenter = checkpoints.load(tiny_checkpoint).segmenter
    about = card(checkpoints.read_header(tiny_checkpoint))
    images = with_gap()
    once = tmp_path / "died"

    def opened() -> Toys:
        return Fatal(images.samples, broken=images.broken, fatal=9, once=once)

    def run(folder: str, **settings: Any) -> None:
        build(segmenter, about, images, tmp_path / folder, rows=ROWS, **settings)

    run("local")
    seen: list[int] = []

    def killed_once() -> bool:
        """After a chunk, of which the files are written and the sums not yet: as a walk killed now would leave them."""
        if (tmp_path / "ray" / "state.safetensors").exists() and not (tmp_path / "half").exists():
            shutil.copytree(tmp_path / "ray", tmp_path / "half")
        return False

    run(
        "ray",
        chunks=ray_chunks(tiny_checkpoint, opened, workers=2),
        stop=killed_once,
        progress=lambda done, whole, _: seen.append(done),
    )
    assert once.exists()
    assert not (tmp_path / "half" / "manifest.json").exists()
    run("half")  # goes on without Ray
    wanted = files_of(tmp_path / "local")
    for folder in ("half", "ray"):
        found = files_of(tmp_path / folder)
        assert found.keys() == wanted.keys()
        assert [name for name in wanted if found[name] != wanted[name]] == []
    manifest, _ = read_manifest(tmp_path / "ray")
    assert [one.index for one in manifest.skipped] == [UNREADABLE]
    assert manifest.images == IMAGES - 1
    assert seen == sorted(seen)
    assert two_workers.is_initialized()  # it was there before
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err


def ray_or_skip() -> Any:
    """Ray, first imported as the walk imports it."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    return ray_session.imported_ray()


def arrays_of(chunk: Chunk) -> dict[str, np.ndarray]:
    assert chunk.partial is not None
    return chunk.partial.arrays()


def flat_row(row: Any) -> dict[str, np.ndarray]:
    plain = {name: getattr(row, name) for name in ("true", "predicted", "confusion", "presence")}
    named = {
        f"{kind}/{name}": a
        for kind in ("norm", "cosine", "vectors")
        for name, a in getattr(row, kind).items()
    }
    return {name: array for name, array in (plain | named).items() if array is not None}


def assert_same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_a_batch_that_the_device_does_not_hold_goes_in_halves(monkeypatch):
    segmenter, images = toy(), toys(4)
    whole = ChunkWalker(segmenter, images, 4, ROWS, size=4)(0)
    walker = ChunkWalker(segmenter, images, 4, ROWS, size=4)
    real, tried = walker.collector.collect, []

    def collect(batch, bounds=None):
        tried.append(len(batch))
        if len(batch) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(batch, bounds)

    monkeypatch.setattr(walker.collector, "collect", collect)
    halved = walker(0)
    assert max(tried) > 1 and tried.count(1) == 4
    assert [row.index for row in halved.rows] == [row.index for row in whole.rows]
    assert halved.partial is not None and whole.partial is not None
    assert halved.partial.images == whole.partial.images
    for name, array in whole.partial.sums.items():
        np.testing.assert_allclose(halved.partial.sums[name], array, rtol=1e-4, atol=1e-5, err_msg=name)
