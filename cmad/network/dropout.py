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
        """Of any shape; the inputs are overwritten where there is dropout or no gradient."""
        if not self.training or self.p == 0:
            return inputs.relu() if torch.is_grad_enabled() else inputs.relu_()
        return _ReluDropout.apply(inputs, self.p)  # type: ignore[no-untyped-call]

    def extra_repr(self) -> str:
        """What ``print`` shows of it."""
        return f"p={self.p}"


class _ReluDropout(torch.autograd.Function):
    # What is above 0 after both is what the gradient passes: neither input nor mask need be kept.

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, p: float) -> Tensor:
        ctx.scale = 1 / (1 - p)
        # A tensor of its own on the same memory: torch copies the gradient of a view that is overwritten, and
        # what a linear layer makes of samples in rows is one.
        outputs = inputs.detach().relu_().mul_(ctx.scale).mul_(kept(inputs, p))
        ctx.save_for_backward(outputs)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (outputs,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(gradient, outputs, 0).mul_(ctx.scale), None


def kept(like: Tensor, p: float) -> Tensor:
    """True with chance 1 - p, bool in a tensor's shape; p in [0, 1)."""
    count = like.numel()
    numbers = torch.empty((count + 1) // 2, dtype=torch.int64, device=like.device).random_(-(2**63), None)
    return (numbers.view(torch.int32)[:count] >= round(p * 2**32) - 2**31).view(like.shape)
