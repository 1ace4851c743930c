"""ReLU and the dropout behind it, in few passes over what is the widest tensor of the fusion."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class ReluDropout(nn.Module):
    """``Dropout(p)`` of ``relu``, drawn from torch's default generator.

    Two samples of 32 bits come from each number of 64, at a third of the time that ``bernoulli_`` takes
    on a CPU; p is met to 2^-32.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, inputs: Tensor) -> Tensor:
        """Of any shape; in training the inputs are overwritten."""
        if not self.training or self.p == 0:
            return inputs.relu()
        return _ReluDropout.apply(inputs, self.p)  # type: ignore[no-untyped-call]

    def extra_repr(self) -> str:
        """What ``print`` shows of it."""
        return f"p={self.p}"


class _ReluDropout(torch.autograd.Function):
    # What is above 0 after both is what the gradient passes: neither input nor mask need be kept.

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, p: float) -> Tensor:
        ctx.scale = 1 / (1 - p)
        outputs = inputs.relu_().mul_(kept(inputs, p)).mul_(ctx.scale)
        ctx.mark_dirty(outputs)
        ctx.save_for_backward(outputs)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (outputs,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(gradient, outputs, 0).mul_(ctx.scale), None


def kept(like: Tensor, p: float) -> Tensor:
    """1 with chance 1 - p, else 0, in a tensor's shape and type; p in [0, 1)."""
    count = like.numel()
    numbers = torch.empty((count + 1) // 2, dtype=torch.int64, device=like.device).random_(-(2**63), None)
    first = round(p * 2**32) - 2**31
    mask = like.new_empty(count)
    return torch.ge(numbers.view(torch.int32)[:count], first, out=mask).view(like.shape)
