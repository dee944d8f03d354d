"""BatchNorm over the images of all processes.

On GPUs this is torch's SyncBatchNorm, converted by timm so that norms with an activation keep it. torch has none for CPUs; there
the same sums go through `torch.distributed`, so that processes on CPUs train as one does with the joined batch:

    μ = Σ x / N,  σ² = Σ x² / N − μ²        sums and N over all processes; running variance with N / (N − 1)

Gradients flow through the sums. [choice]
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from timm.layers.norm_act import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, nn

from engine.shapes import Float


def synchronised(module: nn.Module, device: torch.device) -> nn.Module:
    """The module with norms that count over all processes; the same module on a CPU."""
    if device.type == "cuda":
        return convert_sync_batchnorm(module)
    for each in module.modules():
        if type(each) in SHARED:
            each.__class__ = SHARED[type(each)]  # weights, running sums and their names stay
    return module


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Its training mode counts over all processes."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return _shared(self, input) if self.training else super().forward(input)


class SharedBatchNormAct2d(BatchNormAct2d):
    """The same with timm's activation."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        if not self.training:
            return super().forward(x)
        x = self.drop(_shared(self, x))  # pyright: ignore[reportCallIssue]  (timm's stubs do not say what they are)
        return self.act(x)  # pyright: ignore[reportCallIssue]


SHARED: dict[type, type] = {nn.BatchNorm2d: SharedBatchNorm2d, BatchNormAct2d: SharedBatchNormAct2d}


class Total(torch.autograd.Function):
    """The sum over processes; its gradient is the sum of theirs, as every process's loss hangs on it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def total(x: Tensor) -> Tensor:
    return Total.apply(x)  # pyright: ignore[reportReturnType]


def _shared(norm: Any, x: Tensor) -> Tensor:
    here = x.double()  # Σ x² / N − μ² cancels
    count = here.new_tensor([here.shape[0] * here.shape[2] * here.shape[3]])
    sums = total(torch.cat([here.sum((0, 2, 3)), here.square().sum((0, 2, 3)), count]))
    added, squares, n = sums[: len(norm.weight)], sums[len(norm.weight) : -1], sums[-1]
    mean = added / n
    variance = (squares / n - mean.square()).clamp_min(0)
    if (
        norm.running_mean is not None
        and norm.running_var is not None
        and norm.num_batches_tracked is not None
    ):
        with torch.no_grad():
            norm.num_batches_tracked.add_(1)
            momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean.to(norm.running_mean), momentum)
            norm.running_var.lerp_((variance * n / (n - 1)).to(norm.running_var), momentum)
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return ((here - mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]).to(x.dtype)
