"""The benchmark: its rows are measured, its ratios follow, and what it is asked for in vain is one sentence."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from engine import Engine, LoupeError
from engine.attention import attend
from engine.bench import run, scene
from engine.bench_decoder import CHANNELS, decoder_against_plain, explicit, noise, plain_attention
from engine.bench_device import Setup, measure, saved_bytes
from engine.decoders import block
from engine.decoders.cpt import CPTDecoder
from engine.measuring import Row, peak_bytes


def test_ratio_and_bound():
    row = Row("a", measured=3.0, against=2.0, unit="ms", bound=1.4)
    assert row.ratio == 1.5 and not row.held and row.json()["held"] is False
    assert Row("b", measured=2.0, against=2.0, unit="ms", bound=1.0).held
    assert Row("c", measured=2.0, against=1.0, unit="ms", bound=None).json()["held"] is None


def test_the_input_is_a_picture_and_not_zeros():
    pixels = scene(96)
    assert pixels.shape == (96, 96, 3) and pixels.std() > 20


def test_peak_counts_what_is_held_at_once():
    """Three maps of 4 MB one after the other are 8 MB at most: the second is freed before the third is made."""

    def sequential() -> None:
        x = torch.ones(1 << 20)
        y = x + 1
        del x
        y = y * 2

    assert 8 * 2**20 <= peak_bytes(sequential, torch.device("cpu")) < 9 * 2**20


def test_unknown_measurement():
    with pytest.raises(LoupeError, match='no measurement "nothing"'):
        run(device="cpu", only="nothing")


@pytest.mark.parametrize("kind", ["memory", "prototypes", "pixels"])
def test_the_explicit_decoder_has_the_same_logits(kind: str):
    torch.manual_seed(0)
    decoder = CPTDecoder(CHANNELS, 7, kind, channels=32).eval()
    features = noise(96, torch.device("cpu"))
    with torch.no_grad():
        fused = decoder(features)
        with explicit():
            assert block.attend is plain_attention
            plain = decoder(features)
        assert block.attend is attend
    assert fused.std() > 0.01
    torch.testing.assert_close(plain, fused, rtol=0, atol=1e-5)


def test_the_plain_function_comes_back_after_an_error():
    with pytest.raises(ZeroDivisionError), explicit():
        _ = 1 // 0
    assert block.attend is attend


def test_attention_never_makes_the_matrix_however_its_vectors_lie():
    """Queries from a map (b, d, h, w) as a convolution may leave it: a vector's numbers are far apart."""
    torch.manual_seed(0)
    query = torch.randn(1, 2, 16, 2048).transpose(-1, -2)
    key, value = torch.randn(2, 1, 2, 512, 16)
    assert query.stride(-1) != 1
    torch.testing.assert_close(
        attend(query, key, value), plain_attention(query, key, value), rtol=1e-4, atol=1e-5
    )
    matrix = 4 * 2 * 2048 * 512
    assert peak_bytes(lambda: attend(query, key, value), torch.device("cpu")) < matrix / 4


def test_rows_of_the_decoder():
    rows = list(decoder_against_plain(Engine(device="cpu"), size=64, rounds=1))
    assert [row.unit for row in rows] == ["ms", "MiB", "ms", "MiB", "GMACs"]
    assert all(row.measured > 0 and row.bound == 1 for row in rows)
    assert rows[-1].measured == rows[-1].against
    assert "31.41 M parameters" in rows[-1].note


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # a warning of the compiler's would count as its failure
@pytest.mark.parametrize(("precisions", "backend"), [(("fp32", "bf16"), ""), (("bf16",), "eager")])
def test_rows_of_a_device(precisions: tuple[str, ...], backend: str):
    """What a GPU measures, small and on the CPU: every call in both precisions, and captured for the compiler."""
    small = Setup(
        backbone="test_efficientnet",
        classes=5,
        channels=32,
        size=64,
        batch=2,
        rounds=1,
        matrix=64,
        copied=1 << 16,
        precisions=precisions,
        compiled=(backend,),
    )
    rows = list(measure(small, torch.device("cpu")))
    assert len(rows) == 4 * len(precisions)
    assert all(row.measured > 0 and row.against > 0 and row.bound is None for row in rows)
    assert all(("compiled" in row.name) == bool(backend) for row in rows)


def test_device_figures_need_a_gpu():
    with pytest.raises(LoupeError, match="on a CUDA device only"):
        run(device="cpu", only="device")


def test_what_a_step_leaves_to_its_backward_pass():
    """y = (x w)²: x and x w are kept, w is a parameter of its own."""
    layer = torch.nn.Linear(8, 8, bias=False)
    x = torch.randn(4, 8)
    assert saved_bytes(lambda: (layer(x) ** 2).sum(), layer) == 2 * 4 * 4 * 8


def test_the_bench_needs_no_scipy():
    """A bare GPU machine has torch, timm, numpy, einops and safetensors."""
    code = (
        "import sys\n"
        "for name in ('scipy', 'sklearn', 'torchmetrics', 'lightning_fabric', 'pyarrow', 'typer', 'rich', 'jaxtyping'):\n"
        "    sys.modules[name] = None\n"
        "import engine.bench"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
