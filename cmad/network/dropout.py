"""ReLU with the dropout behind it, in few passes over what is the widest tensor of the fusion."""

from collections.abc import Sequence

import torch
from torch import Tensor


class ReluDropout:
    """``Dropout(p)`` of ``relu`` between two layers (``cmad.network.feed_forward.Between``).

    Drawn from torch's default generator. Four samples of 16 bits come from each number of 64, at a sixth of
    the time that ``bernoulli_`` takes on a CPU. So p is rounded to the nearest 2^-16, and what is kept is
    scaled by what p is then.

    Args:
        p: in [0, 1); 0 draws nothing.
    """

    def __init__(self, p: float) -> None:
        self._p = round(p * 2**16) / 2**16
        self.scale = 1 / (1 - self._p)

    def forward(self, wide: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """What is above 0 after both is what the gradient passes: neither input nor mask need be kept."""
        hidden = wide.relu_()
        if self._p > 0:
            hidden.mul_(mask(hidden, self._p))
        return hidden, (hidden,)

    def backward(self, gradient: Tensor, kept: Sequence[Tensor]) -> Tensor:
        """In the place of the gradient."""
        (hidden,) = kept
        return torch.ops.aten.threshold_backward.grad_input(gradient, hidden, 0, grad_input=gradient)


def mask(like: Tensor, p: float) -> Tensor:
    """1 with chance 1 - p, else 0, in a tensor's shape and kind; p in [0, 1), a multiple of 2^-16."""
    count = like.numel()
    numbers = torch.empty((count + 3) // 4, dtype=torch.int64, device=like.device).random_(-(2**63), None)
    samples = numbers.view(torch.int16)[:count].view(like.shape)
    # Compared into the kind that is wanted: bool would have to be turned into it by a pass of its own.
    return torch.ge(samples, round(p * 2**16) - 2**15, out=torch.empty_like(like))
