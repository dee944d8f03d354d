"""Two processes on gloo train as one does with the joined batch: gradients, norms, memory bank and weights."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from engine.errors import LoupeError
from engine.training import data, loop, processes, segmentation
from engine.training.sync_norm import SharedBatchNorm2d
from tests.engine.training.test_loop import TINY, Stripes

# Dropout is drawn apart in each process, so there is none here.
RECIPE = dataclasses.replace(
    TINY,
    batch=4,
    steps=2,
    warmup=0,
    optimiser="sgd",
    learning_rate=0.05,
    clip=1e9,
    spec=TINY.spec | {"dropout": 0.0},
    validation_images=0,
)


def train(path: Path, recipe=RECIPE, device: str = "cpu") -> dict[str, torch.Tensor]:
    """Weights and last gradients after a run on striped images."""
    torch.set_num_threads(1)
    data.materialise = lambda name, count: Stripes()  # pyright: ignore[reportAttributeAccessIssue]
    segmentation.open_dataset = lambda name: Stripes()  # pyright: ignore[reportAttributeAccessIssue]
    task = loop.make_task(recipe)
    task.objective.double()  # in fp32 a ReLU's input of 1e-8 falls on either side of 0, and gradients jump
    written = {}
    task.finish = lambda *_: None  # pyright: ignore[reportAttributeAccessIssue]

    def keep(finished: int, steps: int, figures: dict) -> None:
        written.update({f"loss.{finished}": torch.tensor(figures["loss"])})

    loop.run(recipe, task, path, processes.launched(recipe, device), resume=False, progress=keep)
    found = {f"weight.{name}": x.detach().clone() for name, x in task.objective.state_dict().items()}
    found |= {
        f"gradient.{name}": p.grad for name, p in task.objective.named_parameters() if p.grad is not None
    }
    return found | written


def work(rank: int, folder: str) -> None:
    for name, value in {
        "TORCHELASTIC_RUN_ID": "test",
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": 2,
        "LOCAL_WORLD_SIZE": 2,
        "GROUP_RANK": 0,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": (Path(folder) / "port").read_text(),
        "GLOO_SOCKET_IFNAME": "lo",
    }.items():
        os.environ[name] = str(value)
    torch.save(train(Path(folder) / "two.safetensors"), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """(one process with the joined batch, the two processes)."""
    import socket

    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        (folder / "port").write_text(str(free.getsockname()[1]))
    torch.multiprocessing.spawn(work, args=(str(folder),), nprocs=2)  # pyright: ignore[reportPrivateImportUsage]
    two = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    kept, before = (data.materialise, segmentation.open_dataset), torch.get_num_threads()
    one = train(folder / "one.safetensors")
    data.materialise, segmentation.open_dataset = kept
    torch.set_num_threads(before)
    return one, two


@pytest.mark.slow
def test_two_processes_are_one_with_the_joined_batch(runs):
    one, two = runs
    names = [name for name in one if not name.startswith("loss.")]
    assert any(name.endswith("memory.bank") for name in names)
    assert sum(name.startswith("gradient.") for name in names) > 100
    for name in names:
        assert torch.equal(two[0][name], two[1][name]), name
        scale = max(1e-3, float(one[name].abs().max()))
        assert float((two[0][name] - one[name]).abs().max()) < 1e-6 * scale, name
    # The first process tells, and the mean over all.
    assert not any(name.startswith("loss.") for name in two[1])
    for step in (1, 2):
        assert_close(two[0][f"loss.{step}"], one[f"loss.{step}"], rtol=1e-6, atol=1e-6)


def test_parts_one_after_the_other_are_the_batch_where_no_norm_sees_it(monkeypatch, tmp_path):
    """Gradient accumulation: with norms in evaluation mode and no memory two parts give the whole batch's step."""
    monkeypatch.setattr(data, "materialise", lambda name, count: Stripes())
    monkeypatch.setattr(segmentation, "open_dataset", lambda name: Stripes())
    monkeypatch.setattr(nn.BatchNorm2d, "train", lambda self, mode=True: nn.Module.train(self, False))
    spec = RECIPE.spec | {"sources": "prototypes"}
    # Presence is counted part by part: with all categories in all images both count the same pairs.
    recipe = dataclasses.replace(RECIPE, spec=spec, crop=96, crop_from=96, crop_to=96, jitter=0.0, steps=1)
    found = []
    for parts in (1, 2):
        each = dataclasses.replace(recipe, accumulate=parts)
        task = loop.make_task(each)
        monkeypatch.setattr(task, "finish", lambda *_: None)
        fabric = processes.launched(each, "cpu")
        loop.run(each, task, tmp_path / "a.safetensors", fabric, resume=False, progress=None)
        found.append({name: p.detach() for name, p in task.objective.named_parameters()})
    for name, weights in found[0].items():
        assert_close(found[1][name], weights, rtol=1e-4, atol=1e-6, msg=name)


def test_shared_norms_are_plain_ones_in_a_process_alone(monkeypatch):
    monkeypatch.setattr("engine.training.sync_norm.total", lambda x: x)
    torch.manual_seed(0)
    plain = nn.BatchNorm2d(5)
    shared = SharedBatchNorm2d(5)
    for norm in (plain, shared):
        nn.init.uniform_(norm.weight)
        norm.load_state_dict(plain.state_dict())
    x = torch.randn(3, 5, 4, 6) + 2
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outs = [norm(each) for norm, each in zip((plain, shared), inputs, strict=True)]
    assert_close(outs[1], outs[0], rtol=1e-5, atol=1e-6)
    for out in outs:
        out.square().mul(torch.arange(5.0)[:, None, None]).sum().backward()
    assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-4, atol=1e-5)
    assert_close(shared.weight.grad, plain.weight.grad, rtol=1e-4, atol=1e-4)
    for name, value in plain.state_dict().items():
        assert_close(shared.state_dict()[name], value, rtol=1e-5, atol=1e-6)
    shared.load_state_dict(plain.state_dict())
    plain.eval()
    shared.eval()
    assert_close(shared(x), plain(x), rtol=0, atol=0)


def test_batches_that_cannot_be_shared_are_refused():
    for count, parts in ((3, 1), (2, 2), (4, 1)):
        with pytest.raises(LoupeError, match="cannot be shared"):
            processes.check_shares(dataclasses.replace(RECIPE, accumulate=parts), count)
    processes.check_shares(RECIPE, 2)
