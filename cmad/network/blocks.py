"""Blocks of layers whose gradient is written out, and the one place where autograd is told of them.

Left to autograd a block would be a dozen nodes, and at D = 30 most of them would take longer than what they
compute. So a whole chain of blocks is one node.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cmad.computing.precision import cast_to, product_dtype


class Block(Protocol):
    """Takes rows and gives outputs in one dtype; inside it may compute in another.

    Its weights are in full precision, and may be data that has a gradient, like frames.
    """

    def forward(self, rows: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        """Outputs, and what ``backward`` needs, which is not to be overwritten."""

    def backward(
        self, gradient: Tensor, weights: Sequence[Tensor], kept: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Gradients of the rows and of each of the weights, from that of the outputs.

        In any dtype; they share memory with nothing else, for gradients are summed in their place.
        """


@dataclass(frozen=True)
class Step:
    """What is added to rows: a block's outputs from the normalised rows."""

    norm: nn.LayerNorm
    block: Block
    weights: Sequence[Tensor]


def applied(block: Block, rows: Tensor, *weights: Tensor) -> Tensor:
    """The outputs of a block; under autocast in its dtype, as of a layer."""
    kind = product_dtype(rows)
    with torch.autocast(rows.device.type, enabled=False):
        return cast(Tensor, _Applied.apply(block, kind, rows, *weights))  # type: ignore[no-untyped-call]


def added(steps: Sequence[Step], rows: Tensor) -> Tensor:
    """Rows with what each step adds to what the ones before it have made of them.

    Args:
        rows: [..., D]; dimensions of size 1 stand for as many as a block's outputs have.
    """
    kind = product_dtype(rows)
    with torch.autocast(rows.device.type, enabled=False):
        if not torch.is_grad_enabled():
            for step in steps:
                rows = _forward(step.block, kind, rows, step.norm.eps, *_given(step))[0]
            return rows
        given = [_given(step) for step in steps]
        # Each once, however many steps take it: its gradients are summed here.
        tensors = {id(tensor): tensor for own in given for tensor in own}
        places = {key: place for place, key in enumerate(tensors)}
        taken = [[places[id(tensor)] for tensor in own] for own in given]
        return cast(Tensor, _Added.apply(steps, taken, kind, rows, *tensors.values()))  # type: ignore[no-untyped-call]


def _given(step: Step) -> tuple[Tensor, ...]:
    return (step.norm.weight, step.norm.bias, *step.weights)


class _Applied(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, block: Block, kind: torch.dtype, rows: Tensor, *weights: Tensor) -> Tensor:
        found, kept = block.forward(cast_to(kind, rows), weights)
        ctx.block, ctx.count = block, len(weights)
        ctx.save_for_backward(*weights, *kept)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        # Once: what is computed again (``cmad.network.parts``) is not there a second time.
        saved = ctx.saved_tensors
        of_rows, of_weights = ctx.block.backward(gradient, saved[: ctx.count], saved[ctx.count :])
        return (None, None, of_rows, *of_weights)


class _Added(torch.autograd.Function):
    # What a step has kept goes once its gradient is there, not with the last one's; so there is one backward.
    clear_saved_tensors_on_access = True

    @staticmethod
    def forward(
        ctx: Any,
        steps: Sequence[Step],
        taken: Sequence[Sequence[int]],
        kind: torch.dtype,
        rows: Tensor,
        *tensors: Tensor,
    ) -> Tensor:
        saved: list[Tensor] = []
        counts = []
        for step, places in zip(steps, taken, strict=True):
            after, kept = _forward(
                step.block, kind, rows, step.norm.eps, *(tensors[place] for place in places)
            )
            saved += (rows, *kept)
            counts.append(1 + len(kept))
            rows = after
        ctx.blocks, ctx.taken, ctx.kind, ctx.counts = [step.block for step in steps], taken, kind, counts
        ctx.save_for_backward(*tensors, *saved)
        return rows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        saved = list(ctx.saved_tensors)
        tensors = saved[: len(saved) - sum(ctx.counts)]
        sums: list[Tensor | None] = [None] * len(tensors)
        for block, places, count in reversed(list(zip(ctx.blocks, ctx.taken, ctx.counts, strict=True))):
            rows, *kept = saved[-count:]
            del saved[-count:]
            own = [tensors[place] for place in places]
            gradient, of_own = _backward(block, ctx.kind, gradient, rows, own, kept)
            for place, each in zip(places, of_own, strict=True):
                so_far = sums[place]
                # In the dtype of the weight: many small ones would be lost in a shorter one.
                sums[place] = cast_to(tensors[place].dtype, each) if so_far is None else so_far.add_(each)
        return (None, None, None, gradient, *sums)


def _forward(
    block: Block, kind: torch.dtype, rows: Tensor, eps: float, gain: Tensor, shift: Tensor, *weights: Tensor
) -> tuple[Tensor, Sequence[Tensor]]:
    normed, mean, scale = torch.native_layer_norm(rows, rows.shape[-1:], gain, shift, eps)
    found, kept = block.forward(cast_to(kind, normed), weights)
    return rows + found, (mean, scale, *kept)


def _backward(
    block: Block,
    kind: torch.dtype,
    gradient: Tensor,
    rows: Tensor,
    own: Sequence[Tensor],
    kept: Sequence[Tensor],
) -> tuple[Tensor, Sequence[Tensor]]:
    """Gradients of the rows and of what a step takes."""
    (gain, shift, *weights), (mean, scale, *kept) = own, kept
    of_normed, of_weights = block.backward(cast_to(kind, gradient), weights, kept)
    of_normed = cast_to(rows.dtype, of_normed)
    of_rows, of_gain, of_shift = torch.ops.aten.native_layer_norm_backward(
        of_normed, rows, rows.shape[-1:], mean, scale, gain, shift, [True, True, True]
    )
    return of_rows.add_(gradient.sum_to_size(rows.shape)), (of_gain, of_shift, *of_weights)
