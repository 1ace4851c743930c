"""Working through the rows of a batch in parts, so that the activations of one part are held at a time.

Losses that relate the samples of a batch to each other need the outputs of the whole batch, so the
batch itself cannot be cut. Instead a part's activations are forgotten and computed again when its
gradient is needed (``torch.utils.checkpoint``), with the same dropout. The gradient is that of the
whole batch, up to the rounding of its sums.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def in_parts(function: Callable[..., Tensor], size: int | None, *tensors: Tensor) -> Tensor:
    """Apply a function that treats rows alone.

    Dropout inside it is drawn part by part, so its masks depend on ``size``.

    Args:
        function: tensors of S rows each to one of S rows.
        size: rows of a part; None, or no fewer than there are, for all at once and nothing recomputed.
        tensors: S rows each.

    Returns:
        S rows.
    """
    if size is None or len(tensors[0]) <= size:
        return function(*tensors)
    run: Callable[..., Tensor] = function
    if torch.is_grad_enabled():
        run = partial(checkpoint, function, use_reentrant=False, preserve_rng_state=True)
    return torch.cat(
        [run(*part) for part in zip(*(torch.split(each, size) for each in tensors), strict=True)]
    )
