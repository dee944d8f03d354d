"""Engine: the same answer from many threads, within its budget, and after every kind of bad input."""

from __future__ import annotations

import json
import pickle
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from engine import Engine, LoupeError, cache
from engine.checkpoints import load, save
from engine.segmenter import SegmenterSpec, build
from engine.turns import CLICK, JOB, Turns

SPEC = SegmenterSpec("mobilenetv4_conv_small_050", tuple("abcdefg"), channels=16, heads=2, pool_channels=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for seed, (name, sources) in enumerate([("cpt", "memory"), ("qup", "pixels"), ("other", "bilinear")]):
        torch.manual_seed(seed)
        spec = SegmenterSpec(**{**SPEC.json(), "sources": sources})
        save(folder / f"{name}.safetensors", build(spec), {"mIoU": 12.5, "seed": seed})
    return folder


@pytest.fixture
def engine(folder) -> Engine:
    return Engine(device="cpu", models_dir=folder)


def picture(seed: int = 0, height: int = 70, width: int = 101) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_catalogue(engine):
    cards = engine.models()
    assert list(cards) == ["qup", "cpt", "other"], "demo models first, in their order"
    assert cards["cpt"].memory_share == 0.1 and cards["qup"].memory_share is None
    assert cards["cpt"].mIoU == 12.5 and cards["cpt"].classes == tuple("abcdefg")
    assert cards["cpt"].parameters == sum(p.numel() for p in engine.segmenter("cpt").parameters())


def test_influence_goes_by_pixels_of_the_original(engine):
    from engine.influence import influence

    image = picture(height=140, width=202)
    found = engine.influence("cpt", image, (120, 33), "f2", long_side=101)
    trace = engine.trace("cpt", image, long_side=101)
    assert trace.image_size == (70, 101)
    segmenter = engine.segmenter("cpt")
    with torch.no_grad():
        pyramid = segmenter.pyramid(segmenter.normalise(trace.image.pixels))
    again = influence(segmenter, pyramid, 60, 16, "f2")
    assert_close(found.shares, again.shares)
    assert found.margin == pytest.approx(again.margin) and found.category == int(trace.labels[60, 16])
    with pytest.raises(LoupeError, match="outside the image"):
        engine.influence("cpt", image, (140, 0))


def test_influence_starts_from_the_cached_pyramid(engine, monkeypatch):
    image = picture()
    engine.trace("cpt", image)
    monkeypatch.setattr(engine.segmenter("cpt").backbone, "forward", None)
    assert engine.influence("cpt", image, (3, 4), "f0").total > 0, "cached maps may enter autograd"


def test_gradients_of_a_guided_model(tiny_guided_checkpoint, engine):
    from engine.guidance import Cuts

    image = picture(height=64, width=96)
    truth = np.random.default_rng(2).integers(0, 9, (64, 96)).astype(np.uint8)  # 5 to 8 are nobody's here
    matrix = engine.gradients(tiny_guided_checkpoint, image, truth)
    assert [line.part for line in matrix.at(Cuts())][-1] == "upsampler" and matrix.guide_loss > 0
    assert all(line.upsampler == 0 for line in matrix.at(Cuts()) if line.part != "upsampler")
    with pytest.raises(LoupeError, match="no guide branch"):
        engine.gradients("cpt", image, truth)
    with pytest.raises(LoupeError, match="the labels are 10×10 pixels and the traced image is 64×96"):
        engine.gradients(tiny_guided_checkpoint, image, truth[:10, :10])
    with pytest.raises(LoupeError, match="no pixel of these labels"):
        engine.gradients(tiny_guided_checkpoint, image, np.full_like(truth, 255))


def test_costs_count_and_measure(engine):
    small, large = (engine.costs("qup", (64, side)) for side in (64, 256))
    assert small.parameters == engine.card("qup").parameters
    assert 4 <= large.gmacs / small.gmacs < 16, "attention grows with the square, convolutions with the area"
    assert small.milliseconds > 0 and large.peak_bytes > small.peak_bytes > 0 and small.device == "cpu"


def test_decoders_on_one_backbone_share_its_pyramid(tmp_path, monkeypatch):
    torch.manual_seed(0)
    first = build(SPEC)
    second = build(SegmenterSpec(**{**SPEC.json(), "sources": "pixels"}))
    second.backbone.load_state_dict(first.backbone.state_dict())
    for name, segmenter in (("first", first), ("second", second)):
        save(tmp_path / f"{name}.safetensors", segmenter, {})
    engine = Engine(device="cpu", models_dir=tmp_path)
    engine.trace("first", picture())
    monkeypatch.setattr(engine.segmenter("second").backbone, "forward", None)
    assert engine.trace("second", picture()).stages, "only the decoder ran"


def test_a_variance_beyond_fp16_survives_the_checkpoint(tmp_path):
    segmenter = build(SPEC)
    segmenter.decoder.fuse_conv.bn.running_var.fill_(1e6)
    save(tmp_path / "large.safetensors", segmenter, {})
    loaded = load(tmp_path / "large.safetensors").segmenter
    assert (loaded.decoder.fuse_conv.bn.running_var == 1e6).all()


def test_a_trace_is_what_the_model_says(engine):
    image = picture()
    trace = engine.trace("cpt", image)
    segmenter = engine.segmenter("cpt")
    with torch.no_grad():
        logits = segmenter(segmenter.normalise(image))[0]
    assert_close(trace.logits, logits)
    assert trace.labels.shape == (70, 101) and trace.image_size == (70, 101)
    assert trace.logits.shape == (7, 18, 26)  # ceil(70 / 4), ceil(101 / 4)
    assert [s.name for s in trace.stages] == ["stride16", "stride8", "stride4"]
    assert trace.model.id == "cpt" and trace.image.size == (70, 101) and trace.milliseconds > 0
    assert not trace.logits.requires_grad and not trace.logits.is_inference()


def test_the_second_trace_is_a_look_up(engine):
    first = engine.trace("cpt", picture())
    again = engine.trace("cpt", Image.fromarray(picture()))
    assert again.logits is first.logits and torch.equal(again.labels, first.labels)
    assert engine.cache_info().hits == 1 and engine.cache_info().misses == 1
    assert engine.trace("qup", picture()).logits is not first.logits
    assert engine.trace("cpt", picture(1)).logits is not first.logits


def test_a_file_that_changed_is_read_again(engine, tmp_path):
    file = tmp_path / "photo.png"
    Image.fromarray(picture(1)).save(file)
    first = engine.trace("cpt", file)
    assert engine.trace("cpt", file).logits is first.logits
    Image.fromarray(picture(2)).save(file)
    second = engine.trace("cpt", file)
    assert not torch.equal(second.logits, first.logits)
    assert_close(second.logits, engine.trace("cpt", picture(2)).logits)


def test_a_checkpoint_that_changed_is_another_model(folder, tmp_path):
    shutil.copy(folder / "cpt.safetensors", tmp_path / "cpt.safetensors")
    engine = Engine(device="cpu", models_dir=tmp_path)
    first = engine.trace("cpt", picture())
    torch.manual_seed(9)
    save(tmp_path / "cpt.safetensors", build(SPEC), {})
    second = engine.trace("cpt", picture())
    assert second.model.hash != first.model.hash and not torch.equal(second.logits, first.logits)


def test_a_path_works_as_an_id(engine, folder):
    by_path = engine.trace(folder / "cpt.safetensors", picture())
    assert by_path.logits is engine.trace("cpt", picture()).logits


def test_cache_is_bounded_in_bytes(folder):
    roomy = Engine(device="cpu", models_dir=folder)
    roomy.trace("cpt", picture())
    one = roomy.cache_info().host.bytes
    assert one > 0
    engine = Engine(device="cpu", models_dir=folder, host_bytes=3 * one)
    for seed in range(8):
        engine.trace("cpt", picture(seed))
        assert engine.cache_info().host.bytes <= 3 * one
    assert engine.cache_info().host.entries >= 2
    tight = Engine(device="cpu", models_dir=folder, host_bytes=10)
    assert_close(tight.trace("cpt", picture()).logits, roomy.trace("cpt", picture()).logits)
    assert tight.cache_info().host.bytes == 0


def test_many_threads_one_answer(engine, folder):
    """32 calls on 4 images and 2 models from 8 threads: each pair is computed once, and correctly."""
    jobs = [(model, seed) for seed in range(4) for model in ("cpt", "qup")] * 4
    with ThreadPoolExecutor(8) as pool:
        traces = list(pool.map(lambda job: engine.trace(job[0], picture(job[1])), jobs))
    assert engine.cache_info().misses == 8
    fresh = Engine(device="cpu", models_dir=folder)
    for (model, seed), trace in zip(jobs[:8], traces[:8], strict=True):
        assert_close(trace.logits, fresh.trace(model, picture(seed)).logits)


def test_clicks_go_before_jobs():
    turns, order = Turns(), []
    started = threading.Barrier(5)

    def work(name: str, priority: int, delay: float) -> None:
        started.wait()
        time.sleep(delay)
        with turns.take(priority):
            order.append(name)

    with turns.take():
        plan = [("job 1", JOB, 0.0), ("job 2", JOB, 0.1), ("click 1", CLICK, 0.2), ("click 2", CLICK, 0.3)]
        threads = [threading.Thread(target=work, args=item) for item in plan]
        for thread in threads:
            thread.start()
        started.wait()
        time.sleep(0.6)
        assert order == []
    for thread in threads:
        thread.join()
    assert order == ["click 1", "click 2", "job 1", "job 2"]


def test_checkpoint_round_trip(tmp_path):
    torch.manual_seed(0)
    segmenter = build(SPEC).eval()
    save(tmp_path / "a.safetensors", segmenter, {"seed": 5}, half=False)
    checkpoint = load(tmp_path / "a.safetensors")
    assert checkpoint.provenance == {"seed": 5} and checkpoint.segmenter.spec == SPEC
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(checkpoint.segmenter(x), segmenter(x))
    save(tmp_path / "b.safetensors", segmenter, {}, half=True)
    assert (tmp_path / "b.safetensors").stat().st_size < 0.6 * (tmp_path / "a.safetensors").stat().st_size
    bank = load(tmp_path / "b.safetensors").segmenter.decoder.memory_banks()[0].bank
    assert bank.dtype == torch.float32
    assert_close(bank, segmenter.decoder.memory_banks()[0].bank, rtol=1e-3, atol=1e-4)


def broken_checkpoints(folder: Path, tmp_path: Path) -> dict[Path, str]:
    """File → what its sentence must say."""
    whole = (folder / "cpt.safetensors").read_bytes()
    cut, short, pickled, text = (tmp_path / f"{n}.safetensors" for n in ("cut", "short", "pickled", "text"))
    for protocol in (3, 5):
        (tmp_path / f"pickle{protocol}.safetensors").write_bytes(pickle.dumps([1], protocol=protocol))
    cut.write_bytes(whole[: len(whole) // 2])
    short.write_bytes(whole[:5])
    pickled.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))
    text.write_text("not a checkpoint")
    foreign, misfit = tmp_path / "foreign.safetensors", tmp_path / "misfit.safetensors"
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(3)}, foreign)
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(folder / "cpt.safetensors", "pt") as f:
        metadata = f.metadata()
    save_file({"weight": torch.zeros(3)}, misfit, metadata=metadata)
    other = tmp_path / "reshaped.safetensors"
    weights = load_file(folder / "cpt.safetensors")
    save_file({**weights, "decoder.classifier.weight": torch.zeros(2, 2, 1, 1)}, other, metadata=metadata)
    unknown = tmp_path / "unknown.safetensors"
    save_file(weights, unknown, metadata={**metadata, "spec": metadata["spec"].replace('"cpt"', '"nobody"')})
    nan = tmp_path / "nan.safetensors"
    save_file({**weights, "decoder.classifier.bias": torch.full((7,), float("nan"))}, nan, metadata=metadata)
    listed = tmp_path / "listed.safetensors"
    save_file(weights, listed, metadata={**metadata, "provenance": "[1]"})
    typed = {}
    for field, value in {
        "channels": '"64"',
        "heads": "0",
        "backbone": "5",
        "mean": "[0.5]",
        "pool_channels": "-1",
        "memory_share": '"x"',
        "classes": "[1, 2]",
    }.items():
        spec = json.dumps({**json.loads(metadata["spec"]), field: json.loads(value)})
        typed[tmp_path / f"{field}.safetensors"] = field
        save_file(weights, tmp_path / f"{field}.safetensors", metadata={**metadata, "spec": spec})
    return {
        **typed,
        tmp_path / "pickle3.safetensors": "pickle",
        tmp_path / "pickle5.safetensors": "pickle",
        nan: "decoder.classifier.bias holds values that are not finite",
        listed: "provenance",
        cut: "truncated",
        short: "truncated",
        pickled: "pickle",
        text: "truncated or damaged",
        foreign: "no checkpoint of this program",
        misfit: "another architecture",
        other: "decoder.classifier.weight has shape",
        unknown: 'method "nobody"',
        tmp_path / "absent.safetensors": "there is no checkpoint",
    }


def test_bad_checkpoints_say_why_and_lose_nothing(engine, folder, tmp_path):
    kept = engine.trace("cpt", picture())
    for path, reason in broken_checkpoints(folder, tmp_path).items():
        with pytest.raises(LoupeError) as caught:
            engine.trace(path, picture())
        text = str(caught.value)
        assert reason in text and "\n" not in text
        assert path.name in text or "nobody" in text
    assert engine.trace("cpt", picture()).logits is kept.logits


def test_a_broken_file_in_the_folder_hides_no_other(folder, tmp_path):
    shutil.copy(folder / "qup.safetensors", tmp_path / "qup.safetensors")
    (tmp_path / "cpt.safetensors").write_bytes(b"nothing")
    (tmp_path / "dangling.safetensors").symlink_to(tmp_path / "nowhere")
    engine = Engine(device="cpu", models_dir=tmp_path)
    assert list(engine.models()) == ["qup"]
    assert set(engine.problems()) == {"cpt.safetensors", "dangling.safetensors"}
    with pytest.raises(LoupeError, match="truncated or damaged"):
        engine.trace("cpt", picture())


def test_unknown_names_are_one_sentence(engine):
    with pytest.raises(LoupeError, match="known are qup, cpt, other"):
        engine.trace("nothing", picture())
    with pytest.raises(LoupeError, match="bf16 needs a CUDA device"):
        Engine(device="cpu", precision="bf16")
    with pytest.raises(LoupeError, match='precision "fp8"'):
        Engine(precision="fp8")
    with pytest.raises(LoupeError, match='device "nowhere"'):
        Engine(device="nowhere")
    with pytest.raises(LoupeError, match="timm has no backbone"):
        build(SegmenterSpec("no_such_net", ("a", "b")))


def test_large_images_are_reduced_and_said_so(engine):
    trace = engine.trace("cpt", picture(0, 120, 300), long_side=100)
    assert trace.image.reduced and trace.image.original_size == (120, 300) and trace.image_size == (40, 100)
    assert trace.labels.shape == (40, 100)


def test_device_entries_move_to_the_host_and_back():
    from engine.cache import TieredCache

    moves = []
    cache = TieredCache(
        20,
        20,
        to_host=lambda v: moves.append(("host", v)) or v,
        to_device=lambda v: moves.append(("device", v)) or v,
    )
    cache.put("a", "A", 10)
    cache.put("b", "B", 10)
    cache.put("c", "C", 10)
    assert moves == [("host", "A")]
    assert cache.get("a") == "A" and moves[-1] == ("host", "B") and ("device", "A") in moves
    cache.put("d", "D", 10)
    assert cache.device.info().bytes <= 20 and cache.host.info().bytes <= 20
    assert cache.get("nothing") is None
    cache.put("huge", "H", 50)
    assert cache.get("huge") is None


def test_state_and_statistics_of_a_trace_survive_the_move_to_another_device(engine):
    from engine.trace import tensor_bytes, to_device

    trace = engine.trace("cpt", picture())
    moved = to_device(trace, "cpu")
    assert torch.equal(moved.stages[1].affinity(0, 1), trace.stages[1].affinity(0, 1))
    assert tensor_bytes(trace) > trace.logits.nbytes


def test_host_memory_has_room_for_a_quarter_of_what_the_process_may_have(monkeypatch, tmp_path):
    machine = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 24 << 18}  # 24 GiB
    monkeypatch.setattr(cache.os, "sysconf", lambda name: machine[name])
    group = tmp_path / "memory.max"
    monkeypatch.setattr(cache, "_GROUPS", (group,))
    assert cache.host_budget() == 6 << 30
    for said, expected in (
        ("max", 6 << 30),
        (str(12 << 30), 3 << 30),
        (str(1 << 30), 2 << 30),
        (str(1 << 62), 6 << 30),
    ):
        group.write_text(f"{said}\n")
        assert cache.host_budget() == expected
    machine["SC_PHYS_PAGES"] = 512 << 18
    assert cache.host_budget() == 8 << 30
    monkeypatch.delattr(cache.os, "sysconf")
    assert cache.host_budget() == 2 << 30


def test_a_small_file_that_claims_a_huge_model_is_refused_before_it_is_built(folder, tmp_path, monkeypatch):
    """Memory is taken for what a file holds, not for what its header says it holds."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    from engine import checkpoints

    weights = load_file(folder / "cpt.safetensors")
    with safe_open(folder / "cpt.safetensors", "pt") as f:
        metadata = f.metadata()
    real, built = checkpoints.build, []

    def build(spec):
        built.append(torch.empty(0).device.type)
        return real(spec)

    monkeypatch.setattr(checkpoints, "build", build)
    for change, said in (
        ({"channels": 8192}, "has shape"),
        ({"backbone": "vit_giant_patch14_224"}, "vit_giant_patch14_224"),
        ({"backbone": "convnext_xxlarge"}, "another architecture"),
        ({"channels": 10**12}, "channels of the model's spec cannot be"),
        ({"context_keys": 10**9, "method": "hfgd"}, "context_keys of the model's spec cannot be"),
        ({"backbone": "hf-hub:somebody/something"}, "no backbone"),
    ):
        spec = json.dumps({**json.loads(metadata["spec"]), **change})
        path = tmp_path / "claims.safetensors"
        save_file(weights, path, metadata={**metadata, "spec": spec})
        with pytest.raises(LoupeError, match=said):
            load(path)
    assert set(built) == {"meta"}, "a model was built in memory"
