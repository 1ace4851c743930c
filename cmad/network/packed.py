"""Sequences of several lengths through a model of transformers, end to end as one long sequence.

A BERT-type model looks at each token by itself but for attention, which transformers lets be replaced. So
its products are those of all tokens at once, and the gradient of a weight is one product and no sum of many.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Under this name transformers knows ``_attend``.
_NAME = "cmad_packed"


def pack(model: Any) -> None:
    """Make a model ready for ``states``; called without, it gives what it gave before.

    Args:
        model: of a kind that packs (``cmad.language.model.Traits``).
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(_NAME, _attend)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    model.set_attn_implementation(_NAME)


def states(
    model: Any, valid: Sequence[Tensor], given: Mapping[str, Sequence[Tensor]], first: int
) -> list[Tensor]:
    """Last hidden states of groups of sequences.

    Args:
        model: after ``pack``.
        valid: of each group, bool [P_g, T_g], the tokens to be attended to.
        given: by the model's name for it, what each group's tokens are, [P_g, T_g] or [P_g, T_g, n].
        first: the model's number of a sequence's first place.

    Returns:
        Of each group, [P_g, T_g, width].
    """
    places = [torch.arange(first, first + own.shape[1], device=own.device).expand_as(own) for own in valid]
    every = {"position_ids": places, **given}
    output = model(
        **{name: torch.cat([each.flatten(0, 1) for each in groups])[None] for name, groups in every.items()},
        masks=[None if bool(own.all()) else own[:, None, None] for own in valid],
        shapes=[own.shape for own in valid],
    )
    found = output.last_hidden_state[0].split([own.numel() for own in valid])
    return [part.unflatten(0, own.shape) for part, own in zip(found, valid, strict=True)]


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    shapes: Sequence[tuple[int, int]] | None = None,
    masks: Sequence[Tensor | None] = (),
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers wants it, of [1, H, S, d_h] to [1, S, H, d_h], within each sequence alone."""
    if shapes is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
    sizes = [count * longest for count, longest in shapes]
    split = (torch.split(each[0], sizes, 1) for each in (query, key, value))
    found = []
    for shape, mask, *parts in zip(shapes, masks, *split, strict=True):
        q, k, v = (part.unflatten(1, shape).transpose(0, 1) for part in parts)
        attended = F.scaled_dot_product_attention(q, k, v, mask, dropout, scale=scaling)
        found.append(attended.transpose(1, 2).flatten(0, 1))
    return torch.cat(found)[None], None
