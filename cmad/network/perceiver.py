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
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmad.network.attention import Cross, Within
from cmad.network.blocks import Step, added, applied
from cmad.network.feed_forward import Averaged, Gated, Widened
from cmad.network.laid import Laid
from cmad.network.lengths import PRODUCTS, by_length


@dataclass(frozen=True)
class Context:
    """What some rows of a batch read.

    Attributes:
        frames: [P_g, T_g, D].
        bias: [P_g, T_g, 1], added to the scores: -inf where a frame is not to be seen; None where all are.
    """

    frames: Tensor
    bias: Tensor | None


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

    def step(self, contexts: Sequence[Context]) -> Step:
        """From latents [P or 1, N, D], one row standing for all, to [P, N, D].

        Args:
            contexts: what all rows see, in their order.
        """
        weights = self.query.weight, self.key_value.weight, self.context_norm.weight, self.context_norm.bias
        frames, biases = [each.frames for each in contexts], [each.bias for each in contexts]
        block = Cross(self.heads, self.head_width, biases)
        return Step(self.norm, block, (*weights, self.out.weight, self.out.bias, *frames))


class SelfAttention(nn.Module):
    """Latents attend to each other. Weights as in ``CrossAttention``."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, heads * head_width, bias=False)
        self.key_value = nn.Linear(width, 2 * heads * head_width, bias=False)
        self.out = nn.Linear(heads * head_width, width)

    def step(self) -> Step:
        """From latents [P, N, D] to latents."""
        weights = self.query.weight, self.key_value.weight, self.out.weight, self.out.bias
        return Step(self.norm, Within(self.heads), weights)


class FeedForward(nn.Module):
    """Pre-norm GEGLU: first half times exact GELU of the second half."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 8 * width)
        self.contract = nn.Linear(4 * width, width)

    def step(self) -> Step:
        """From latents [P, N, D] to latents."""
        return Step(self.norm, Widened(Gated()), self._weights())

    def mean(self, latents: Tensor) -> Tensor:
        """The mean of the latents [P, N, D] once the step is taken, [P, D]."""
        rows = self.norm(latents).transpose(0, 1).flatten(0, 1)
        return latents.mean(1) + applied(Widened(Averaged(Gated(), latents.shape[1])), rows, *self._weights())

    def _weights(self) -> tuple[Tensor, ...]:
        return self.expand.weight, self.expand.bias, self.contract.weight, self.contract.bias


class Layer(nn.Module):
    """Cross-attention, feed-forward, self-attention, feed-forward, each residual."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.cross = CrossAttention(width, heads, head_width)
        self.cross_feed = FeedForward(width)
        self.own = SelfAttention(width, heads, head_width)
        self.own_feed = FeedForward(width)

    def attended(self, contexts: Sequence[Context]) -> tuple[Step, Step, Step]:
        """All but the last, one after the other; ``contexts`` as in ``CrossAttention``."""
        return self.cross.step(contexts), self.cross_feed.step(), self.own.step()


class Perceiver(nn.Module):
    """N learnable latents read a context; their mean, layer-normalised, is the token U."""

    def __init__(self, width: int, depth: int, latents: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(latents, width))
        self.layers = nn.ModuleList(Layer(width, heads, head_width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        # Of each frame in each layer.
        self._products = latents * heads * width

    def forward(self, context: Laid, valid: Tensor | None) -> Tensor:
        """Read.

        Args:
            context: P streams of T frames after the Conv1d.
            valid: bool [P, T], at least one True a row; None lets every frame be attended to.

        Returns:
            [P, D].
        """
        width = context.frames.shape[1]
        normed = replace(context, frames=F.layer_norm(context.frames, (width,)))
        if valid is None:
            frames = normed.pick(context.places.flatten()).view(*context.places.shape, width)
            return self._read([Context(frames, None)])
        grouped = by_length(valid, PRODUCTS[valid.device.type] // self._products)
        places, seen = grouped.cut(grouped.sort(context.places)), grouped.cut(grouped.sort(valid))
        # The empty one is there for a batch without any stream.
        every = [context.places.new_empty(0), *(own.flatten() for own in places)]
        parts = torch.split(normed.pick(torch.cat(every)), [own.numel() for own in places])
        contexts = [
            Context(part.view(*own.shape, width), _bias(own, part.dtype))
            for part, own in zip(parts, seen, strict=True)
        ]
        return grouped.restore(self._read(contexts))

    def _read(self, contexts: Sequence[Context]) -> Tensor:
        *early, last = cast(Sequence[Layer], self.layers)
        steps = [step for layer in early for step in (*layer.attended(contexts), layer.own_feed.step())]
        # Of what the last one ends with the mean alone is wanted, which spares products.
        latents = added([*steps, *last.attended(contexts)], self.latents[None])
        return cast(Tensor, self.norm(last.own_feed.mean(latents)))


def _bias(valid: Tensor, dtype: torch.dtype) -> Tensor | None:
    """``Context.bias`` of what is valid, bool [P_g, T_g]."""
    # To wait for a GPU's answer takes longer than to add zeros.
    if valid.device.type == "cpu" and bool(valid.all()):
        return None
    return torch.zeros_like(valid, dtype=dtype).masked_fill_(~valid, -torch.inf)[..., None]
