"""A Conv1d over streams of different lengths as one matrix product over the frames that there are."""

from functools import reduce
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cmad.network.laid import Laid
from cmad.network.lengths import last_frames


def convolve(convolution: nn.Conv1d, frames: Tensor, valid: Tensor) -> Laid:
    """Apply a Conv1d of odd kernel, padded to keep the length and without bias, to a batch.

    The streams are laid end to end with zeros between them, so that a kernel never sees two. Each frame
    is multiplied with all k taps at once; the taps' products, each shifted by its place, are summed.

    Args:
        frames: [P, T, d], zero where not valid.
        valid: bool [P, T].

    Returns:
        The streams, [P, T, D], up to the last valid frame of each.
    """
    width, depth, taps = convolution.weight.shape
    apart = taps // 2
    lengths = last_frames(valid)
    ends = (lengths + apart).cumsum(0)
    steps = torch.arange(frames.shape[1], device=frames.device)
    places = (ends - lengths)[:, None] + steps
    # The last window, behind all streams, holds nothing but zeros.
    nothing = int(ends[-1]) if len(ends) else 0
    given = valid.flatten().nonzero()[:, 0]
    laid = _placed(frames.flatten(0, 1), given, places.flatten()[given], nothing + taps)
    products = laid @ convolution.weight.permute(1, 2, 0).reshape(depth, taps * width)
    windows = cast(Tensor, _Shifted.apply(products.view(-1, taps, width)))  # type: ignore[no-untyped-call]
    return Laid(windows, torch.where(steps < lengths[:, None], places - apart, nothing), nothing)


def _placed(rows: Tensor, given: Tensor, places: Tensor, count: int) -> Tensor:
    """Some rows of many, each at its place among ``count`` rows that are zero elsewhere.

    Args:
        rows: [R, d].
        given: int64 [N], which of them.
        places: int64 [N], where to.
    """
    if not len(rows):
        return F.pad(rows, (0, 0, 0, count))
    # All rows are picked in one pass; what stands where none belongs is any one, and no one often.
    source = torch.arange(count, device=rows.device) % len(rows)
    empty = torch.ones_like(source, dtype=torch.bool)
    source[places], empty[places] = given, False
    return rows.index_select(0, source).index_fill_(0, empty.nonzero()[:, 0], 0.0)


class _Shifted(torch.autograd.Function):
    """The sum of the taps' products, each shifted by its place: [N + k - 1, k, D] to [N, D].

    Left to autograd, each tap's gradient would be an [N + k - 1, k, D] of its own, zero but for that tap.
    """

    @staticmethod
    def forward(ctx: Any, products: Tensor) -> Tensor:
        ctx.shape = products.shape
        return reduce(torch.add, _taps(products))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        of_products = gradient.new_zeros(ctx.shape)
        for tap in _taps(of_products):
            tap.copy_(gradient)
        return of_products


def _taps(products: Tensor) -> list[Tensor]:
    """Of [N + k - 1, k, D] what each tap adds to the N sums, [N, D]."""
    count, taps, _ = products.shape
    return [products[tap : tap + count - taps + 1, tap] for tap in range(taps)]
