"""Two linear layers with something wide between them, as the Perceivers and the fusion have them.

Most of the network's time goes here. Forward and backward are written out, so that nothing as wide is copied
or passed over more often than it must be.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cmad.computing.precision import cast_as_autocast

# Numbers in a vector of a matrix library's inner loops.
VECTOR = 8


class Between(Protocol):
    """What stands between the two layers."""

    def forward(self, wide: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """From the first layer's outputs [R, W], which may be overwritten.

        Returns:
            The second layer's inputs [R, V], and what ``backward`` needs.
        """

    def backward(self, gradient: Tensor, kept: Sequence[Tensor]) -> Tensor:
        """The gradient before it, [R, W], from that after it, [R, V], which may be overwritten."""


class Gated:
    """GEGLU: the first half times exact GELU of the second."""

    def forward(self, wide: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """[R, W] to [R, W / 2]."""
        value, gate = wide.chunk(2, dim=1)
        opened = F.gelu(gate)
        return value * opened, (wide, opened)

    def backward(self, gradient: Tensor, kept: Sequence[Tensor]) -> Tensor:
        """[R, W / 2] to [R, W], each half written where it belongs."""
        wide, opened = kept
        value, gate = wide.chunk(2, dim=1)
        found = torch.empty_like(wide)
        of_value, of_gate = found.chunk(2, dim=1)
        torch.mul(gradient, opened, out=of_value)
        torch.ops.aten.gelu_backward.grad_input(gradient.mul_(value), gate, grad_input=of_gate)
        return found


def feed_forward(
    inputs: Tensor, first: nn.Linear, second: nn.Linear, between: Between, average: int = 1
) -> Tensor:
    """The first layer, what is between, and the second.

    Args:
        inputs: [R, n].
        average: how many rows next to each other are wanted as their mean; taken before the second layer it
            spares products.

    Returns:
        [R / average, m].
    """
    with cast_as_autocast(inputs, first.weight, first.bias, second.weight, second.bias) as given:
        return _FeedForward.apply(*given, between, average)  # type: ignore[no-untyped-call]


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        widening: Tensor,
        shift: Tensor,
        narrowing: Tensor,
        last_shift: Tensor,
        between: Between,
        average: int,
    ) -> Tensor:
        hidden, kept = between.forward(_linear(inputs, widening, shift))
        if average > 1:
            hidden = hidden.view(-1, average, hidden.shape[1]).mean(1)
        ctx.between, ctx.average = between, average
        ctx.save_for_backward(inputs, widening, narrowing, hidden, *kept)
        return _linear(hidden, narrowing, last_shift)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, widening, narrowing, hidden, *kept = ctx.saved_tensors
        of_hidden = gradient @ narrowing
        if ctx.average > 1:
            of_hidden = of_hidden.div_(ctx.average).repeat_interleave(ctx.average, 0)
        of_wide = ctx.between.backward(of_hidden, kept)
        return (
            _product(of_wide, widening),
            _product(of_wide.t(), inputs),
            of_wide.sum(0),
            gradient.t() @ hidden,
            gradient.sum(0),
            None,
            None,
        )


def _linear(rows: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
    if len(weight) % VECTOR == 0:
        return torch.addmm(shift, rows, weight.t())
    return _product(rows, weight.t()).add_(shift)


def _product(first: Tensor, second: Tensor) -> Tensor:
    """[R, n] by [n, m].

    Where m is no whole number of vectors, as IEMOCAP's D = 30 is not, the product of the transposed takes
    two thirds of the time.
    """
    if second.shape[1] % VECTOR == 0:
        return first @ second
    return (second.t() @ first.t()).t().contiguous()
