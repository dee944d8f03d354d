"""A walk may be stopped or killed at any moment, go on, become longer or shorter: it ends with the same, byte for byte."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.atlas import open_atlas, walk
from engine.atlas.chunks import CPU_BATCH, MOST_THREADS
from engine.atlas.collect import Collector
from engine.atlas.sites import site_maps
from engine.atlas.walk import build
from engine.images import cell
from engine.stage import Stopped
from tests.conftest import ROOT
from tests.engine.atlas.conftest import CHUNK, RESAMPLES, WALKED
from tests.engine.atlas.toys import KINDS, K, Nods, assert_equal, card_of, files_of, toy, toys

pytestmark = pytest.mark.usefixtures("small_walks")

COUNT = 14  # three whole chunks and a ragged one of two
SHORT = 6


@pytest.fixture(scope="module")
def segmenter():
    return toy("memory")


@pytest.fixture(scope="module")
def reference(small_walks, segmenter, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    build(segmenter, card_of(segmenter), toys(COUNT), folder)
    return folder


@pytest.fixture(scope="module")
def short(small_walks, segmenter, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("short")
    build(segmenter, card_of(segmenter), toys(COUNT), folder, limit=SHORT)
    return folder


# ── stopping ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_stopped_after_every_chunk_and_between_effects(segmenter, reference, tmp_path):
    given = (segmenter, card_of(segmenter))
    for at in (1, 1, 1, 1, 2, 3):  # three whole chunks; then before each of the effects' images
        with pytest.raises(Stopped):
            build(*given, toys(COUNT), tmp_path, stop=Nods(at))
        assert (tmp_path / "state.safetensors").is_file() and not (tmp_path / "manifest.json").exists()
    build(*given, toys(COUNT), tmp_path, stop=Nods(10**6))
    assert_equal(tmp_path, reference)


def test_what_was_walked_is_not_walked_again(segmenter, tmp_path):
    for done in (1, 2):
        dataset = toys(COUNT)
        with pytest.raises(Stopped):
            build(segmenter, card_of(segmenter), dataset, tmp_path, stop=Nods(1))
        begin, ahead = (done - 1) * CHUNK, (MOST_THREADS + 1) * CPU_BATCH
        assert dataset.reads == list(range(begin, begin + len(dataset.reads)))
        assert CHUNK <= len(dataset.reads) <= CHUNK + ahead  # the next batches are on their way


def test_stopped_long_after_the_last_save(segmenter, reference, tmp_path, monkeypatch):
    monkeypatch.setattr(walk, "SAVE_SECONDS", 1e9)
    with pytest.raises(Stopped):
        build(segmenter, card_of(segmenter), toys(COUNT), tmp_path, stop=Nods(2))
    dataset = toys(COUNT)
    build(segmenter, card_of(segmenter), dataset, tmp_path)
    assert dataset.reads[0] == 2 * CHUNK
    assert_equal(tmp_path, reference)


def test_the_same_call_again_runs_no_image(segmenter, reference, monkeypatch):
    before = files_of(reference)
    dataset = toys(COUNT)
    images = []
    plain = segmenter.backbone.forward
    monkeypatch.setattr(segmenter.backbone, "forward", lambda x: (images.append(x), plain(x))[1])
    manifest = build(segmenter, card_of(segmenter), dataset, reference)
    assert dataset.reads == [] and files_of(reference) == before
    assert all(not image.any() for image in images)  # the empty one that tells the sites' names
    assert manifest == open_atlas(reference).manifest


def test_progress_only_grows_and_reaches_the_end(segmenter, tmp_path):
    seen: list[tuple[int, int]] = []
    build(segmenter, card_of(segmenter), toys(COUNT), tmp_path, progress=lambda d, t, f: seen.append((d, t)))
    done = [d for d, _ in seen]
    assert {t for _, t in seen} == {COUNT + WALKED}
    assert done == sorted(done) and done[-1] == COUNT + WALKED


# ── longer and shorter ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("threads", [2, 3, 9])
def test_batches_side_by_side_change_nothing(segmenter, reference, tmp_path, threads):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        build(segmenter, card_of(segmenter), toys(COUNT), tmp_path)
        assert torch.get_num_threads() == threads  # a walk's shares are its own
    finally:
        torch.set_num_threads(before)
    assert_equal(tmp_path, reference)


def test_what_goes_wrong_in_a_batch_ends_the_walk_and_keeps_what_came_before(
    segmenter, reference, tmp_path, monkeypatch
):
    collect, calls = Collector.collect, []

    def fails_once(self, batch, bounds=None):
        calls.append(batch)
        if batch[0][0] == 2 * CHUNK:  # the third chunk's first
            raise RuntimeError("out of something")
        return collect(self, batch, bounds)

    monkeypatch.setattr(Collector, "collect", fails_once)
    monkeypatch.setattr(walk, "SAVE_SECONDS", 0.0)
    with pytest.raises(RuntimeError, match="out of something"):
        build(segmenter, card_of(segmenter), toys(COUNT), tmp_path)
    monkeypatch.setattr(Collector, "collect", collect)
    walked = []
    monkeypatch.setattr(
        Collector,
        "collect",
        lambda self, batch, bounds=None: walked.append(batch[0][0]) or collect(self, batch, bounds),
    )
    build(segmenter, card_of(segmenter), toys(COUNT), tmp_path)
    assert min(walked) == 2 * CHUNK
    assert_equal(tmp_path, reference)


def test_a_longer_walk_goes_on_where_the_shorter_ended(segmenter, reference, short, tmp_path):
    folder = tmp_path / "grows"
    shutil.copytree(short, folder)
    dataset = toys(COUNT)
    build(segmenter, card_of(segmenter), dataset, folder)
    assert sorted(set(dataset.reads) - set(range(WALKED))) == list(range(CHUNK, COUNT))
    assert_equal(folder, reference)
    assert len(list(folder.glob("*/*-ragged*"))) == 2  # the shorter one's are gone


def test_a_shorter_walk_begins_anew(segmenter, reference, short, tmp_path):
    folder = tmp_path / "shrinks"
    shutil.copytree(reference, folder)
    build(segmenter, card_of(segmenter), toys(COUNT), folder, limit=SHORT)
    assert_equal(folder, short)
    assert open_atlas(folder).images.index.tolist() == list(range(SHORT))
    build(segmenter, card_of(segmenter), toys(COUNT), folder)
    assert_equal(folder, reference)


@pytest.mark.parametrize("limits", [(1, 3, COUNT), (CHUNK, 2 * CHUNK, COUNT), (12, 3, 13, COUNT)])
def test_any_sequence_of_limits_ends_alike(segmenter, reference, tmp_path, limits):
    for limit in limits:
        build(segmenter, card_of(segmenter), toys(COUNT), tmp_path, limit=limit)
    assert_equal(tmp_path, reference)


def test_a_limit_beyond_the_dataset_is_the_dataset(segmenter, reference, tmp_path):
    build(segmenter, card_of(segmenter), toys(COUNT), tmp_path, limit=10 * COUNT)
    assert_equal(tmp_path, reference)


# ── what is read is what was walked ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_reads_back(kind: str, tmp_path):
    segmenter = toy(kind)
    manifest = build(segmenter, card_of(segmenter), toys(7), tmp_path)
    atlas = open_atlas(tmp_path, "a" * 64)
    assert atlas.manifest == manifest and manifest.images == 7 and not manifest.skipped
    assert bool(manifest.stages) == (kind in ("memory", "prototypes"))
    assert atlas.confusion.sum() == atlas.images.true.sum() == atlas.confusions.sum()
    for site, one in manifest.sites.items():
        moments, rows = atlas.moments(site), atlas.reservoir(site)
        assert moments.mean.shape == (K, one.channels) == (K, rows.features.shape[1])
        assert len(rows.image) == len(rows.pure) == len(rows.mode)
    for stage in manifest.stages:
        np.testing.assert_allclose(atlas.usage(stage).share.sum(), 1, rtol=1e-5)
        read = atlas.usage(stage)
        np.testing.assert_allclose(read.rate.sum(1)[read.cells[:-1] > 0], 1, rtol=1e-5)
        assert 0 < read.absent_share < 1
        assert (read.absent_rate <= read.rate + 1e-9)[read.cells[:-1] > 0].all()
        index = np.concatenate([index for index, _ in atlas.prototypes(stage)])
        P = np.concatenate([P for _, P in atlas.prototypes(stage)])
        assert index.tolist() == list(range(7)) == atlas.images.index.tolist()
        np.testing.assert_allclose(atlas.prototype_means(stage).everywhere, P.mean(0), atol=5e-3)
        np.testing.assert_allclose(np.linalg.norm(P, axis=2), atlas.live(stage).norm, rtol=5e-3)
        means, held = atlas.prototype_means(stage), atlas.images.true > 0
        for c in range(K):
            np.testing.assert_allclose(means.true[c], P[held[:, c], c].mean(0), atol=5e-3)
            np.testing.assert_allclose(means.absent[c], P[~held[:, c], c].mean(0), atol=5e-3)
        assert np.diag(atlas.pairs(stage).everywhere) == pytest.approx(1)
        assert atlas.parts(stage).overall.shape == (4,)
        assert (atlas.live(stage).cosine is None) == (kind == "prototypes")
    assert [e.name for e in atlas.effects] == (["as it is", "zeroed", "permuted"] if kind == "memory" else [])
    priced = {p.stage for p in atlas.price}
    assert priced == (set() if kind in ("bilinear", "hfgd") else {"stride16", "stride8", "stride4"})
    assert (atlas.images.presence is None) == (kind not in ("memory", "prototypes"))


def test_an_atlas_of_one_image_reads_back_its_features(segmenter, tmp_path):
    """Nothing is merged here: what lies across in memory must still be written the right way round."""
    dataset = toys(1)
    build(segmenter, card_of(segmenter), dataset, tmp_path)
    atlas = open_atlas(tmp_path)
    sample = dataset.samples[0]
    maps = site_maps(segmenter.trace(segmenter.normalise(sample.image)))
    for site, x in maps.items():
        rows = atlas.reservoir(site)
        assert len(rows.image) > 20
        for at, features in zip(rows.pixel.tolist(), rows.features, strict=True):
            where = cell(*at, sample.labels.shape, (x.shape[-2], x.shape[-1]))
            np.testing.assert_allclose(features, x[0][:, where[0], where[1]], atol=5e-3, rtol=5e-3)


def test_no_label_anywhere_is_no_number(segmenter, tmp_path):
    dataset = toys(COUNT)
    dataset.samples = [dataset.samples[5]] * 3
    build(segmenter, card_of(segmenter), dataset, tmp_path)
    atlas = open_atlas(tmp_path)
    assert atlas.confusion.sum() == 0 and len(atlas.reservoir("f0").image) == 0
    assert np.isnan(atlas.moments("f0").trace).all()
    assert all(np.isnan(one.ratio) for one in atlas.price) and all(np.isnan(e.mIoU) for e in atlas.effects)
    assert np.isnan(atlas.usage("stride8").rate).all() and atlas.usage(
        "stride8"
    ).share.sum() == pytest.approx(1)


# ── killed ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

KILLED_COUNT = 10
KILLED = """
import json, os, random, signal, sys, time
from pathlib import Path

import pyarrow.parquet, scipy.stats, timm  # once, before the forks

from engine.atlas import memory_effect, price, walk
from tests.engine.atlas.toys import card_of, toy, toys

COUNT, CHUNK, RESAMPLES, WALKED = json.loads(sys.argv[2])
walk.CHUNK, walk.SAVE_SECONDS, walk.EFFECT_IMAGES = CHUNK, 0.0, WALKED
memory_effect.WALKED = WALKED
memory_effect.RESAMPLES = price.RESAMPLES = RESAMPLES
plain_write, plain_replace = Path.write_bytes, os.replace


def child(folder, write=None, replace=None):
    '''Walks; kills itself amid its n-th write, or before its n-th file is put in place. Forked before any thread began.'''
    pid = os.fork()
    if pid:
        return pid
    count = {"write": 0, "replace": 0}

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def half(path, data):
        count["write"] += 1
        if count["write"] == write:
            plain_write(path, data[: len(data) // 2])
            die()
        return plain_write(path, data)

    def put(a, b):
        count["replace"] += 1
        if count["replace"] == replace:
            die()
        return plain_replace(a, b)

    Path.write_bytes, os.replace = half, put
    segmenter = toy("memory")
    walk.build(segmenter, card_of(segmenter), toys(COUNT), Path(folder))
    os._exit(0)


def ended(pid):
    return os.waitpid(pid, 0)[1]


base = Path(sys.argv[1])
start = time.monotonic()
assert ended(child(base / "reference")) == 0
took = time.monotonic() - start
# Amid the first shard, before the first state, amid the second state, amid the ragged shard, amid the reservoir, before the
# manifest: each goes on where the one before was killed.
for how in ({"write": 2}, {"replace": 3}, {"write": 6}, {"write": 5}, {"write": 4}, {"replace": 7}):
    assert ended(child(base / "killed", **how)) == signal.SIGKILL, how
    assert not (base / "killed" / "manifest.json").exists(), how
chance = random.Random(4)
pid = child(base / "timed")
time.sleep(took * chance.uniform(0.3, 0.8))
os.kill(pid, signal.SIGKILL)
ended(pid)
for name in ("killed", "timed"):
    assert ended(child(base / name)) == 0
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_killed_at_any_moment_it_goes_on_and_ends_alike(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), json.dumps([KILLED_COUNT, CHUNK, RESAMPLES, WALKED])],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    assert_equal(tmp_path / "killed", tmp_path / "reference")
    assert_equal(tmp_path / "timed", tmp_path / "reference")
    assert open_atlas(tmp_path / "killed").manifest.images == KILLED_COUNT
