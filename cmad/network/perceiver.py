"""The Perceiver that turns a stream of any length into one vector (spec section 1).

Cross-attention is computed in frame space. The context is the same for all layers, so it is
normalised once, without gain and bias; a layer's own gain g and bias b, keys W_k and values W_v
then fold into the few latents' side:

    q . W_k (g c + b)          = (g W_k^T q) . c + a constant, which softmax ignores
    sum_t a_t W_v (g c_t + b)  = W_v (g sum_t a_t c_t + b), as the weights a_t sum to 1

so that no key or value of any frame is ever formed. With N latents and H heads that replaces
2 H d_h columns per frame and layer by N H dot products.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmad.network.attention import Context, attend_within, by_head, read
from cmad.network.feed_forward import Gated, feed_forward
from cmad.network.lengths import PRODUCTS, by_length


class CrossAttention(nn.Module):
    """Latents attend to frames. Weights as in the reference: q, k, v without bias, out with."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.head_width = head_width
        self.norm = nn.LayerNorm(width)
        self.context_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, heads * head_width, bias=False)
        self.key_value = nn.Linear(width, 2 * heads * head_width, bias=False)
        self.out = nn.Linear(heads * head_width, width)

    def forward(self, latents: Tensor, contexts: Sequence[Context]) -> Tensor:
        """Attend.

        Args:
            latents: [P or 1, N, D]; one row stands for all.
            contexts: what all rows see, in their order.

        Returns:
            [P, N, D], to be added to the latents.
        """
        _, count, width = latents.shape
        gain, shift = self.context_norm.weight, self.context_norm.bias
        keys, values = self.key_value.weight.view(2, self.heads, self.head_width, width)
        query = self.query(self.norm(latents)).view(-1, self.heads, self.head_width)
        query = by_head(query, keys * (gain * self.head_width**-0.5))
        pooled = read(query.view(-1, count * self.heads, width), contexts).view(-1, self.heads, width)
        joined = by_head(pooled, (values * gain).transpose(1, 2)) + values @ shift
        return self.out(joined.view(-1, count, self.heads * self.head_width))


class SelfAttention(nn.Module):
    """Latents attend to each other. Weights as in ``CrossAttention``."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, heads * head_width, bias=False)
        self.key_value = nn.Linear(width, 2 * heads * head_width, bias=False)
        self.out = nn.Linear(heads * head_width, width)

    def forward(self, latents: Tensor) -> Tensor:
        """[P, N, D] to [P, N, D], to be added to the latents."""
        joint = torch.cat([self.query.weight, self.key_value.weight])
        return attend_within(self.norm(latents), joint, self.out.weight, self.out.bias, self.heads)


class FeedForward(nn.Module):
    """Pre-norm GEGLU: first half times exact GELU of the second half."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 8 * width)
        self.contract = nn.Linear(4 * width, width)

    def forward(self, latents: Tensor) -> Tensor:
        """[P, N, D] to [P, N, D], to be added to the latents."""
        rows = self.norm(latents).flatten(0, 1)
        return feed_forward(rows, self.expand, self.contract, Gated()).view(latents.shape)

    def mean(self, latents: Tensor) -> Tensor:
        """The mean over the latents of what ``forward`` gives, [P, D]."""
        rows = self.norm(latents).transpose(0, 1).flatten(0, 1)
        return feed_forward(rows, self.expand, self.contract, Gated(), average=latents.shape[1])


class Layer(nn.Module):
    """Cross-attention, feed-forward, self-attention, feed-forward, each residual."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.cross = CrossAttention(width, heads, head_width)
        self.cross_feed = FeedForward(width)
        self.own = SelfAttention(width, heads, head_width)
        self.own_feed = FeedForward(width)

    def forward(self, latents: Tensor, contexts: Sequence[Context]) -> Tensor:
        """As ``CrossAttention``; returns the new latents [P, N, D]."""
        latents = self._attended(latents, contexts)
        return latents + self.own_feed(latents)

    def mean(self, latents: Tensor, contexts: Sequence[Context]) -> Tensor:
        """The mean of the new latents, [P, D]."""
        latents = self._attended(latents, contexts)
        return latents.mean(1) + self.own_feed.mean(latents)

    def _attended(self, latents: Tensor, contexts: Sequence[Context]) -> Tensor:
        latents = latents + self.cross(latents, contexts)
        latents = latents + self.cross_feed(latents)
        return latents + self.own(latents)


class Perceiver(nn.Module):
    """N learnable latents read a context; their mean, layer-normalised, is the token U."""

    def __init__(self, width: int, depth: int, latents: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(latents, width))
        self.layers = nn.ModuleList(Layer(width, heads, head_width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        # Of each frame in each layer.
        self._products = latents * heads * width

    def forward(self, context: Tensor, valid: Tensor | None) -> Tensor:
        """Read.

        Args:
            context: [P, T, D], frames after the Conv1d.
            valid: bool [P, T], at least one True a row; None lets every frame be attended to.

        Returns:
            [P, D].
        """
        context = F.layer_norm(context, context.shape[-1:])
        if valid is None:
            return self._read([Context(context, None)])
        grouped = by_length(valid, PRODUCTS[valid.device.type] // self._products)
        frames, seen = grouped.cut(grouped.sort(context)), grouped.cut(grouped.sort(valid))
        contexts = [Context(part, _bias(own, part.dtype)) for part, own in zip(frames, seen, strict=True)]
        return grouped.restore(self._read(contexts))

    def _read(self, contexts: Sequence[Context]) -> Tensor:
        latents = self.latents[None]
        *early, last = cast(Sequence[Layer], self.layers)
        for layer in early:
            latents = layer(latents, contexts)
        return self.norm(last.mean(latents, contexts))


def _bias(valid: Tensor, dtype: torch.dtype) -> Tensor | None:
    """``Context.bias`` of what is valid, bool [P_g, T_g]."""
    # To wait for a GPU's answer takes longer than to add zeros.
    if valid.device.type == "cpu" and bool(valid.all()):
        return None
    return torch.zeros_like(valid, dtype=dtype).masked_fill_(~valid, -torch.inf)[..., None]
