"""Two linear layers with something wide between them, as the Perceivers and the fusion have them.

Most of the network's time goes here. Forward and backward are written out, so that nothing as wide is copied
or passed over more often than it must be. What is wide has its features outermost: all that is computed with
single numbers runs over whole blocks of memory then, and no product has a narrow matrix on its inner side.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cmad.computing.precision import cast_as_autocast


class Between(Protocol):
    """What stands between the two layers.

    Attributes:
        scale: a factor to its outputs, which the second layer's weights take on: they are far fewer.
    """

    scale: float

    def forward(self, wide: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """From the first layer's outputs [W, R], which may be overwritten.

        Returns:
            The second layer's inputs [V, R], and what ``backward`` needs.
        """

    def backward(self, gradient: Tensor, kept: Sequence[Tensor]) -> Tensor:
        """The gradient before it, [W, R], from that after it, [V, R], which may be overwritten."""


class Gated:
    """GEGLU: the first half times exact GELU of the second."""

    scale = 1.0

    def forward(self, wide: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """[W, R] to [W / 2, R]."""
        value, gate = wide.chunk(2)
        opened = F.gelu(gate)
        return value * opened, (wide, opened)

    def backward(self, gradient: Tensor, kept: Sequence[Tensor]) -> Tensor:
        """[W / 2, R] to [W, R], each half written where it belongs."""
        wide, opened = kept
        value, gate = wide.chunk(2)
        found = torch.empty_like(wide)
        of_value, of_gate = found.chunk(2)
        torch.mul(gradient, opened, out=of_value)
        torch.ops.aten.gelu_backward.grad_input(gradient.mul_(value), gate, grad_input=of_gate)
        return found


def feed_forward(
    inputs: Tensor, first: nn.Linear, second: nn.Linear, between: Between, average: int = 1
) -> Tensor:
    """The first layer, what is between, and the second.

    Args:
        inputs: [R, n].
        average: of how many blocks of rows, one after the other, the mean is wanted; taken before the second
            layer it spares products.

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
        hidden, kept = between.forward(torch.addmm(shift[:, None], widening, inputs.t()))
        if average > 1:
            hidden = hidden.view(len(hidden), average, -1).mean(1)
        if between.scale != 1:
            narrowing = narrowing * between.scale
        ctx.between, ctx.average = between, average
        ctx.save_for_backward(inputs, widening, narrowing, hidden, *kept)
        return torch.addmm(last_shift, hidden.t(), narrowing.t())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, widening, narrowing, hidden, *kept = ctx.saved_tensors
        of_hidden = narrowing.t() @ gradient.t()
        if ctx.average > 1:
            of_hidden = of_hidden.div_(ctx.average).repeat(1, ctx.average)
        of_wide = ctx.between.backward(of_hidden, kept)
        of_narrowing = gradient.t() @ hidden.t()
        if ctx.between.scale != 1:
            of_narrowing *= ctx.between.scale
        return (
            of_wide.t() @ widening,
            of_wide @ inputs,
            of_wide.sum(1),
            of_narrowing,
            gradient.sum(0),
            None,
            None,
        )
