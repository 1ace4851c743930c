"""Two linear layers with something wide between them, as the Perceivers and the fusion have them.

Most of the network's time goes here. Forward and backward are written out, so that nothing as wide is copied
or passed over more often than it must be. What is wide has its features outermost: all that is computed with
single numbers runs over whole blocks of memory then, and no product has a narrow matrix on its inner side.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from cmad.computing.precision import cast_to


class Between(Protocol):
    """What stands between the two layers.

    Attributes:
        scale: a factor to its outputs, which the second layer's weights take on: they are far fewer.
    """

    scale: float

    def forward(self, wide: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """From the first layer's outputs [W, R], which may be overwritten.

        Returns:
            The second layer's inputs [V, S], and what ``backward`` needs.
        """

    def backward(self, gradient: Tensor, kept: Sequence[Tensor]) -> Tensor:
        """The gradient before it, [W, R], from that after it, [V, S], which may be overwritten."""


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


class Averaged:
    """What another gives, averaged over blocks of rows, one after the other.

    Ahead of the second layer it spares products.

    Args:
        blocks: how many; R is a multiple of it.
    """

    def __init__(self, between: Between, blocks: int) -> None:
        self.scale = between.scale
        self._between = between
        self._blocks = blocks

    def forward(self, wide: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """[W, R] to [V, R / blocks]."""
        hidden, kept = self._between.forward(wide)
        return hidden.view(len(hidden), self._blocks, -1).mean(1), kept

    def backward(self, gradient: Tensor, kept: Sequence[Tensor]) -> Tensor:
        """[V, R / blocks] to [W, R]."""
        return self._between.backward(gradient.div_(self._blocks).repeat(1, self._blocks), kept)


class Widened:
    """The first layer, what is between, and the second (``cmad.network.blocks.Block``).

    Rows are [R, n], or [P, N, n] with R = P N where S = R. Weights are those of the first layer, [W, n] and
    [W], and of the second, [m, V] and [m]. Outputs are [S, m], or [P, N, m].
    """

    def __init__(self, between: Between) -> None:
        self._between = between

    def forward(self, rows: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        """See the class."""
        widening, shift, narrowing, last_shift = (cast_to(rows.dtype, each) for each in weights)
        flat = rows.reshape(-1, rows.shape[-1])
        hidden, kept = self._between.forward(torch.addmm(shift[:, None], widening, flat.t()))
        found = torch.addmm(last_shift, hidden.t(), self._scaled(narrowing).t())
        found = found if rows.dim() == 2 else found.view(*rows.shape[:2], len(narrowing))
        return found, (flat, hidden, *kept)

    def backward(
        self, gradient: Tensor, weights: Sequence[Tensor], kept: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """See the class."""
        flat, hidden, *kept = kept
        widening, _, narrowing, _ = (cast_to(flat.dtype, each) for each in weights)
        pull = gradient.reshape(-1, len(narrowing))
        of_hidden = self._scaled(narrowing).t() @ pull.t()
        of_wide = self._between.backward(of_hidden, kept)
        of_narrowing = self._scaled(pull.t() @ hidden.t())
        of_rows = of_wide.t() @ widening
        of_rows = of_rows if gradient.dim() == 2 else of_rows.view(*gradient.shape[:2], widening.shape[1])
        return of_rows, (of_wide @ flat, of_wide.sum(1), of_narrowing, pull.sum(0))

    def _scaled(self, weights: Tensor) -> Tensor:
        # A multiplication by 1 would cost half a percent of a training step.
        return weights if self._between.scale == 1 else weights * self._between.scale
