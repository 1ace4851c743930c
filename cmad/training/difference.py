"""A network's weights with its fine-tuned encoder told as what it moved from the pretrained one.

Fine-tuning moves weights by little, so half precision says the difference well: what is lost of a
weight is at most 2^-11 of its movement, or 3e-8 where that is larger.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from cmad.errors import UserError

_PREFIX = "encoder."


def to_difference(state: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state with the encoder's weights as float16 differences, all else untouched.

    Args:
        state: of a network with an ``encoder``.
        base: of the pretrained encoder.

    Raises:
        UserError: a weight has moved by more than 65504.
    """
    found = {}
    for name, value in state.items():
        if name.startswith(_PREFIX) and value.is_floating_point():
            pretrained = base[name.removeprefix(_PREFIX)].to(value.device)
            value = (value - pretrained).half()
            if not value.isfinite().all():
                raise UserError(
                    f"{name} is too far from the pretrained encoder for half precision; "
                    "set keep.weights: full"
                )
        found[name] = value
    return found


def from_difference(state: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of ``to_difference``, up to what half precision loses."""
    found = {}
    for name, value in state.items():
        pretrained = base.get(name.removeprefix(_PREFIX)) if name.startswith(_PREFIX) else None
        if pretrained is not None and value.dtype == torch.float16 and value.shape == pretrained.shape:
            value = pretrained + value.to(pretrained.dtype)
        found[name] = value
    return found
