"""A Conv1d over streams of different lengths as one matrix product over the frames that there are."""

from functools import reduce
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cmad.network.lengths import last_frames


def convolve(convolution: nn.Conv1d, frames: Tensor, valid: Tensor) -> Tensor:
    """Apply a Conv1d of odd kernel, padded to keep the length and without bias, to a batch.

    The streams are laid end to end with zeros between them, so that a kernel never sees two. Each frame
    is multiplied with all k taps at once; the taps' products, each shifted by its place, are summed.

    Args:
        frames: [P, T, d], zero where not valid.
        valid: bool [P, T].

    Returns:
        [P, T, D], up to the last valid frame of each stream; zero after it.
    """
    width, depth, taps = convolution.weight.shape
    apart = taps // 2
    lengths = last_frames(valid)
    ends = (lengths + apart).cumsum(0)
    steps = torch.arange(frames.shape[1], device=frames.device)
    places = (ends - lengths)[:, None] + steps
    # The last window, behind all streams, holds nothing but zeros.
    nothing = int(ends[-1]) if len(ends) else 0
    given = valid.nonzero(as_tuple=True)
    laid = frames.new_zeros(nothing + taps, depth).index_put_((places[given],), frames[given])
    products = laid @ convolution.weight.permute(1, 2, 0).reshape(depth, taps * width)
    windows = cast(Tensor, _Shifted.apply(products.view(-1, taps, width)))  # type: ignore[no-untyped-call]
    shown, places = steps < lengths[:, None], places - apart
    if windows.device.type == "cuda":
        return pick_spread(windows, places, shown)
    return windows.index_select(0, torch.where(shown, places, nothing).flatten()).view(*valid.shape, width)


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


def pick_spread(windows: Tensor, places: Tensor, shown: Tensor) -> Tensor:
    """Rows by their places, and zeros elsewhere, with hardly any row picked twice.

    A GPU that is to repeat its bits adds the gradients of one row one after the other: a row of zeros picked
    for all that is padding would hold up the rest.

    Args:
        windows: [N, D], N at least 1.
        places: int64 [P, T]; where not ``shown`` anything.
        shown: bool [P, T].

    Returns:
        [P, T, D].
    """
    others = torch.arange(shown.numel(), device=shown.device).view_as(shown) % len(windows)
    picked = windows.index_select(0, torch.where(shown, places, others).flatten())
    return picked.view(*shown.shape, windows.shape[1]).masked_fill(~shown[..., None], 0.0)
