"""Several processes: the bank and the mask loss average over all of them, and every process ends with the same bank."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.testing import assert_close

from engine.decoders.prototypes import MemoryBank
from engine.losses import mask_losses

K, C, MU = 4, 6, 0.25


def prototypes(rank: int) -> torch.Tensor:
    return torch.randn(2, K, C, generator=torch.Generator().manual_seed(rank))


def batch(rank: int) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    masks = torch.randn(2, K, 5, 7, generator=torch.Generator().manual_seed(10 + rank))
    labels = torch.full((2, 10, 14), 255)
    for category in range(1 + 2 * rank):  # one pair an image in the first process, three in the second
        labels[:, 3 * category : 3 * category + 3] = category
    return (masks,), labels


def work(rank: int, folder: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    torch.manual_seed(0)
    bank = MemoryBank(K, C, MU)
    bank.update(prototypes(rank))
    losses = mask_losses(*batch(rank))
    torch.save([bank.bank, *losses], f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes(tmp_path: Path):
    torch.multiprocessing.spawn(work, args=(str(tmp_path),), nprocs=2)  # pyright: ignore[reportPrivateImportUsage]
    results = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    torch.manual_seed(0)
    start = MemoryBank(K, C, MU).bank
    mean = torch.stack([prototypes(0).mean(0), prototypes(1).mean(0)]).mean(0)
    expected = (1 - MU) * start + MU * F.normalize(mean, dim=-1)
    for bank, *_ in results:
        assert_close(bank, expected)
    # 2 pairs and 6 pairs: both divide by their mean, 4, where alone they would divide by 2 and by 6.
    for rank, alone_pairs in ((0, 2), (1, 6)):
        for got, alone in zip(results[rank][1:], mask_losses(*batch(rank)), strict=True):
            assert_close(got, alone * alone_pairs / 4)
