"""The command line: one JSON object on stdout, one line on stderr for what is wrong, never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine import cli
from engine.images import cell, load_image

ROOT = Path(__file__).resolve().parents[2]
SIZE = (70, 100)  # height, width


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng(1).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


class Run:
    """Runs commands in this process and keeps what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.stdout = self.stderr = ""

    def __call__(self, *arguments: object) -> int:
        self.capsys.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        self.stdout, self.stderr = self.capsys.readouterr()
        return code

    def json(self, *arguments: object) -> dict:
        """The object that a command prints with --json; stdout holds it and nothing else."""
        assert self(*arguments, "--json") == 0, self.stderr
        assert self.stdout.count("\n") == 1
        return json.loads(self.stdout, parse_constant=pytest.fail)

    def refusal(self, *arguments: object) -> str:
        """The one line with which a command is refused."""
        assert self(*arguments) == 1
        assert self.stdout == ""
        lines = self.stderr.splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: ")
        return lines[0]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


@pytest.mark.parametrize(
    "command", [[], ["models"], ["trace"], ["train"], ["evaluate"], ["atlas"], ["bench"], ["data"]]
)
def test_every_command_explains_itself(run, command):
    assert run(*command, "--help") == 0
    assert "Usage" in run.stdout and run.stderr == ""


def test_without_a_command_the_help_is_shown(run):
    assert run() == 0 and "evaluate" in run.stdout


def test_trace_reads_the_pixel_that_was_asked_for(run, photo, tiny_checkpoint):
    row, col = 41, 93
    found = run.json(
        "trace", "--model", tiny_checkpoint, "--image", photo, "--pixel", f"{row},{col}", "--device", "cpu"
    )
    assert found["pixel"] == [row, col] and found["image"]["original_size"] == list(SIZE)
    assert [stage["stage"] for stage in found["stages"]] == ["stride16", "stride8", "stride4"]
    for stage in found["stages"]:
        assert stage["cell"] == list(cell(row, col, SIZE, tuple(stage["grid"])))
        assert stage["pixel"] == [row, col]
        assert stage["blend_weight"] == pytest.approx(0.1)
        assert 0 <= stage["entropy"] <= 1
        assert sum(source["weight"] for source in stage["by_weight"]) == pytest.approx(
            1, abs=1e-4
        )  # 5 of 5 sources


def test_trace_of_one_stage_agrees_with_the_engine(run, photo, tiny_checkpoint, tmp_path):
    from engine import Engine

    npz = tmp_path / "numbers.out"
    wanted = [
        "--model",
        tiny_checkpoint,
        "--image",
        photo,
        "--pixel",
        "10,20",
        "--stage",
        "stride8",
        "--device",
        "cpu",
    ]
    found = run.json("trace", *wanted, "--npz", npz)
    assert [stage["stage"] for stage in found["stages"]] == ["stride8"]
    stage = Engine(device="cpu").trace(tiny_checkpoint, photo).stage("stride8")
    at = cell(10, 20, SIZE, stage.grid)
    with np.load(npz) as arrays:
        assert np.allclose(arrays["stride8.affinity"], stage.affinity(*at), atol=1e-6)
        assert np.allclose(arrays["stride8.pixel_affinity"], stage.pixel_affinity(*at), atol=1e-6)
        assert arrays["stride8.contribution_share"].sum() == pytest.approx(1, abs=1e-4)
        assert arrays["labels"].shape == SIZE and tuple(arrays["stride8.cell"]) == at
    weights = stage.affinity(*at).mean(0)
    assert found["stages"][0]["by_weight"][0]["weight"] == pytest.approx(float(weights.max()), abs=1e-6)


def test_pixels_are_of_the_original_when_the_image_is_reduced(run, tiny_checkpoint, tmp_path):
    path = tmp_path / "large.png"
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (300, 200, 3), dtype=np.uint8)).save(path)
    options = [
        "--model",
        tiny_checkpoint,
        "--image",
        path,
        "--pixel",
        "299,199",
        "--long-side",
        96,
        "--device",
        "cpu",
    ]
    found = run.json("trace", *options)
    assert found["image"]["reduced"] and found["image"]["size"] == [96, 64]
    for stage in found["stages"]:
        assert stage["cell"] == [stage["grid"][0] - 1, stage["grid"][1] - 1]


def test_trace_knows_the_true_category_from_labels(run, photo, tiny_checkpoint, tmp_path):
    labels = tmp_path / "truth.png"
    Image.fromarray(np.full(SIZE, 3, np.uint8)).save(labels)
    options = ["trace", "--model", tiny_checkpoint, "--image", photo, "--pixel", "1,2", "--device", "cpu"]
    found = run.json(*options, "--labels", labels)
    assert {stage["true"] for stage in found["stages"]} == {3}
    assert {stage["true"] for stage in run.json(*options)["stages"]} == {None}
    assert str(photo) in run.refusal(*options, "--labels", photo)
    assert "absent.png" in run.refusal(*options, "--labels", tmp_path / "absent.png")


def test_trace_of_a_guided_model_reads_both_branches(run, photo, tiny_guided_checkpoint, tmp_path):
    from engine import Engine

    npz = tmp_path / "guided.npz"
    where = ["--model", tiny_guided_checkpoint, "--image", photo, "--pixel", "41,93", "--device", "cpu"]
    found = run.json("trace", *where, "--influence", "f1", "--npz", npz)
    guidance = Engine(device="cpu").trace(tiny_guided_checkpoint, photo).guidance
    assert found["stages"] == [] and [b["branch"] for b in found["branches"]] == ["guide", "upsampler"]
    for branch, logits in zip(
        found["branches"], (guidance.guide_logits, guidance.upsampler_logits), strict=True
    ):
        row, col = cell(41, 93, SIZE, logits.shape[-2:])
        assert branch["cell"] == [row, col] and branch["grid"] == list(logits.shape[-2:])
        probabilities = logits[:, row, col].softmax(0)
        best = probabilities.argmax()
        assert branch["top"][0]["category"] == ("sky", "water", "grass", "house", "tree")[best]
        assert branch["top"][0]["probability"] == pytest.approx(probabilities[best].item(), rel=1e-4)
    influence = Engine(device="cpu").influence(tiny_guided_checkpoint, photo, (41, 93), "f1")
    assert found["influence"]["total"] == pytest.approx(influence.total, rel=1e-4)
    assert found["influence"]["top"][0]["share"] == pytest.approx(influence.shares.max().item(), rel=1e-4)
    with np.load(npz) as arrays:
        assert np.allclose(arrays["influence.f1"], influence.shares, atol=1e-6)
        assert arrays["guidance.tokens"].shape == (5, 16)
    assert run("trace", *where, "--influence", "f3") == 0
    assert (
        "guide at cell" in run.stdout and "influence at f3" in run.stdout and "no query update" in run.stdout
    )
    assert "choose f3, f2, f1, f0, image" in run.refusal("trace", *where, "--influence", "f7")


def test_trace_for_people_names_model_image_and_categories(run, photo, tiny_checkpoint):
    assert (
        run("trace", "--model", tiny_checkpoint, "--image", photo, "--pixel", "41,93", "--device", "cpu") == 0
    )
    for word in ("photo.png", "pixel 41,93", "stride16", "stride4", "sky", "entropy", "μ"):
        assert word in run.stdout


@pytest.mark.parametrize("pixel", ["70,0", "0,100", "-1,5", "5", "5,6,7", "a,b", "1.5,2", "", "9999999999,1"])
def test_bad_pixels_are_refused(run, photo, tiny_checkpoint, pixel):
    assert pixel in run.refusal(
        "trace", "--model", tiny_checkpoint, "--image", photo, f"--pixel={pixel}", "--json"
    )


def test_bad_input_is_one_line_that_names_it(run, photo, tiny_checkpoint, tmp_path):
    good = ["--image", photo, "--pixel", "1,2", "--device", "cpu"]
    assert "unheard-of" in run.refusal("trace", "--model", "unheard-of", *good)
    assert "stride3" in run.refusal("trace", "--model", tiny_checkpoint, "--stage", "stride3", *good)
    assert "abacus" in run.refusal("trace", "--model", tiny_checkpoint, *good[:-1], "abacus")
    assert "fp3" in run.refusal("trace", "--model", tiny_checkpoint, "--precision", "fp3", *good)
    assert "bf16" in run.refusal("trace", "--model", tiny_checkpoint, "--precision", "bf16", *good)
    assert "7" in run.refusal("trace", "--model", tiny_checkpoint, "--long-side", 7, *good)
    nowhere = tmp_path / "no" / "where.npz"
    assert str(nowhere) in run.refusal("trace", "--model", tiny_checkpoint, "--npz", nowhere, *good)
    text = tmp_path / "notes.jpg"
    text.write_text("words")
    assert str(text) in run.refusal("trace", "--model", tiny_checkpoint, "--image", text, "--pixel", "1,2")
    assert "absent.jpg" in run.refusal(
        "trace", "--model", tiny_checkpoint, "--image", "absent.jpg", "--pixel", "1,2"
    )


def test_bad_checkpoints_are_refused(run, photo, tiny_checkpoint, tmp_path):
    good = ["--image", photo, "--pixel", "1,2", "--device", "cpu"]
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(tiny_checkpoint.read_bytes()[:5000])
    pickle = tmp_path / "pickle.safetensors"
    pickle.write_bytes(b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x8c\x06system\x93.")
    for path in (cut, pickle, tmp_path / "absent.safetensors", photo):
        assert path.name in run.refusal("trace", "--model", path, *good)


def test_usage_errors_are_one_line_too(run):
    assert "--modle" in run.refusal("trace", "--modle", "cpt")
    assert "--model" in run.refusal("trace")
    assert "teleport" in run.refusal("teleport")
    assert "--limit" in run.refusal("evaluate", "--model", "cpt", "--limit", "many")
    assert "--limit" in run.refusal("evaluate", "--model", "cpt", "--limit", 0)
    assert "nonsense" in run.refusal("train", "nonsense")


def test_models_lists_the_catalogue(run, tiny_checkpoint, monkeypatch):
    monkeypatch.setenv("LOUPE_MODELS", str(tiny_checkpoint.parent))
    (card,) = run.json("models")["models"]
    assert card["id"] == "tiny" and card["sources"] == "memory" and len(card["classes"]) == 5
    assert (
        card["memory_share"] == pytest.approx(0.1) and card["parameters"] > 1000 and len(card["hash"]) == 64
    )
    from engine import Engine
    from engine.costs import gmacs

    counted = gmacs(Engine(device="cpu").segmenter(tiny_checkpoint), (256, 256))
    assert card["GMACs"] == pytest.approx(counted) and counted > 0, "without weights as with them"
    assert run("models") == 0 and "tiny" in run.stdout


def test_data_render_writes_what_the_engine_renders(run, tmp_path):
    from engine.data.scenes import render

    found = run.json("data", "render", "--seed", 5, "--out", tmp_path / "scenes", "--size", 64)
    scene = render(5, 64)
    arrays = [np.asarray(Image.open(path)) for path in found["files"]]
    for array, expected in zip(arrays, scene, strict=True):
        assert np.array_equal(array, expected)
    assert sum(found["share"].values()) == pytest.approx(1)
    assert "-1" in run.refusal("data", "render", "--seed", -1, "--out", tmp_path)


def test_data_materialise_writes_images_that_the_engine_reads(run, tmp_path):
    from engine.data.datasets import materialise

    found = run.json("data", "materialise", "scenes-val", "--limit", 2, "--root", tmp_path)
    assert found == {"data": "scenes-val", "images": 2}
    done = next(tmp_path.glob("scenes-val*")) / "done.npy"
    before = done.stat().st_mtime_ns
    assert len(materialise("scenes-val", 2, tmp_path)) == 2 and done.stat().st_mtime_ns == before
    assert "nowhere" in run.refusal("data", "materialise", "nowhere")
    assert "501" in run.refusal("data", "materialise", "scenes-val", "--limit", 501, "--root", tmp_path)


@pytest.mark.slow
def test_evaluate_prints_the_measures_of_one_or_of_several(run, tmp_path):
    import torch

    from engine import checkpoints
    from engine.data.scenes import CLASS_NAMES
    from engine.segmenter import SegmenterSpec, build

    torch.manual_seed(0)
    for sources in ("pixels", "memory"):
        spec = SegmenterSpec("mobilenetv4_conv_small_050", tuple(CLASS_NAMES), sources=sources, channels=16)
        checkpoints.save(tmp_path / f"{sources}.safetensors", build(spec), provenance={})
    options = ["--data", "scenes-val", "--limit", 2, "--device", "cpu"]
    one = run.json("evaluate", "--model", tmp_path / "pixels.safetensors", *options)
    assert one["model"] == "pixels" and one["data"] == "scenes-val" and one["images"] == 2
    assert 0 <= one["mIoU"] <= 100 and 0 <= one["boundary_IoU"] <= 100
    assert list(one["categories"]) == list(CLASS_NAMES)
    both = ["--model", tmp_path / "pixels.safetensors", "--model", tmp_path / "memory.safetensors"]
    two = run.json("evaluate", *both, *options)["models"]
    assert two[0] == one and two[1]["model"] == "memory"
    assert run("evaluate", *both, *options) == 0 and "boundary IoU" in run.stdout
    assert "nowhere" in run.refusal("evaluate", *both, "--data", "nowhere")


RECIPE = """
train_images = 4
validation_images = 1
batch = 2
crop = 64
crop_from = 64
crop_to = 128
steps = 9
precision = "fp32"
[spec]
backbone = "mobilenetv4_conv_small_050"
sources = "pixels"
channels = 16
"""


@pytest.mark.slow
def test_train_makes_a_checkpoint_that_can_be_traced(run, photo, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.data.datasets.DATA_ROOT", tmp_path / "data")
    recipe = tmp_path / "small.toml"
    recipe.write_text(RECIPE)
    out = tmp_path / "made.safetensors"
    found = run.json("train", recipe, "--out", out, "--device", "cpu", "--seed", 5, "--steps", 2)
    assert found["recipe"] == "small" and found["checkpoint"] == str(out) and found["seconds"] >= 0
    assert found["provenance"]["recipe"]["seed"] == 5 and found["provenance"]["recipe"]["steps"] == 2
    traced = run.json("trace", "--model", out, "--image", photo, "--pixel", "1,2", "--device", "cpu")
    assert traced["model"] == "made" and len(traced["stages"]) == 3
    assert "abacus" in run.refusal("train", recipe, "--out", out, "--device", "abacus")
    recipe.write_text("steps = 'many'")
    assert "small.toml" in run.refusal("train", recipe, "--out", out)


def test_bench_prints_rows_with_their_ratios(run, monkeypatch):
    from engine import bench

    row = bench.Row("hovering", measured=3.0, against=2.0, unit="ms", bound=1.6)
    monkeypatch.setattr(bench, "run", lambda *_: [row])
    (found,) = run.json("bench")["rows"]
    assert found["name"] == "hovering" and found["ratio"] == pytest.approx(1.5)
    assert run("bench") == 0 and "hovering" in run.stdout and "1.500" in run.stdout


def test_bench_refuses_what_it_does_not_measure(run):
    assert "levitation" in run.refusal("bench", "--device", "cpu", "--only", "levitation")


def test_interrupts_and_defects_leave_no_traceback(run, monkeypatch, photo):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def defective(*_: object, **__: object) -> None:
        raise RuntimeError("first line\nsecond line")

    arguments = ["trace", "--model", "cpt", "--image", photo, "--pixel", "1,2"]
    monkeypatch.setattr("engine.images.load_image", interrupted)
    assert run(*arguments) == 130 and run.stderr == "interrupted\n" and run.stdout == ""
    monkeypatch.setattr("engine.images.load_image", defective)
    assert "RuntimeError: first line second line" in run.refusal(*arguments)


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "engine", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_the_real_program_prints_one_object(photo, tiny_checkpoint):
    done = start(
        "trace", "--model", tiny_checkpoint, "--image", photo, "--pixel", "1,2", "--device", "cpu", "--json"
    )
    stdout, stderr = done.communicate(timeout=120)
    assert done.returncode == 0, stderr
    assert stderr == ""
    found = json.loads(stdout)
    assert found["image"]["hash"] == load_image(photo).hash


@pytest.mark.slow
def test_the_real_program_refuses_without_a_traceback(photo):
    done = start("trace", "--model", "cpt", "--image", photo, "--pixel", "70,0", "--json")
    stdout, stderr = done.communicate(timeout=120)
    assert (done.returncode, stdout) == (1, "")
    assert stderr == "error: pixel 70,0 is outside the image: rows 0 to 69, columns 0 to 99\n"


def test_a_reader_who_leaves_early_is_no_accident():
    done = start("--help")
    assert done.stdout is not None and done.stderr is not None
    done.stdout.close()
    stderr = done.stderr.read()
    done.stderr.close()
    assert done.wait(60) != 0 and stderr == ""
