"""Memory moments: when they are taken, what their mean is, what the file holds."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.training.moments import MomentRecorder, moment_steps


@pytest.mark.parametrize("steps", [40, 100, 5000])
def test_moments_run_from_the_first_step_to_the_last(steps: int):
    chosen = moment_steps(steps, 40)
    assert len(chosen) == 40 and chosen[0] == 0 and chosen[-1] == steps
    gaps = [b - a for a, b in pairwise(chosen)]
    assert min(gaps) >= 1
    assert gaps[0] <= gaps[-1], "dense at the beginning"


@pytest.mark.parametrize("steps", [1, 2, 10, 38])
def test_short_runs_have_fewer(steps: int):
    assert moment_steps(steps, 40) == list(range(steps + 1))


def test_file(tmp_path: Path):
    recorder = MomentRecorder(steps=120, moments=40)
    banks = [torch.zeros(1, 3, 4) for _ in range(3)]
    for finished in range(121):
        for i, bank in enumerate(banks):
            bank.fill_(finished + 100 * i)  # changed in place, as a bank is
        recorder.record(finished, banks)
        if finished == 60:  # a new process
            state = recorder.state()
            recorder = MomentRecorder(steps=120, moments=40)
            recorder.restore(state)
    recorder.write(tmp_path / "m.memory.safetensors", tmp_path / "m.safetensors")
    file = load_file(tmp_path / "m.memory.safetensors")
    assert set(file) == {"steps"} | {
        f"{s}.{w}" for s in ("stride16", "stride8", "stride4") for w in ("bank", "mean")
    }
    steps = file["steps"]
    assert steps.dtype == torch.int64 and steps.tolist() == moment_steps(120, 40)
    for i, stage in enumerate(("stride16", "stride8", "stride4")):
        bank, mean = file[f"{stage}.bank"], file[f"{stage}.mean"]
        assert bank.shape == mean.shape == (40, 3, 4) and bank.dtype == mean.dtype == torch.float16
        assert torch.equal(bank[:, 0, 0].long(), steps + 100 * i)
        since = (steps - 49).clamp(min=0)
        assert torch.allclose(mean[:, 0, 0].float(), (since + steps) / 2 + 100 * i, atol=1)
