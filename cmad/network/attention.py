"""The two inner loops of the Perceiver, with their gradients written out.

Left to autograd they would be several times as many passes over memory: scores, masks and weights of
all heads are the largest tensors of the network.

Under autocast both go on in float32. Groups come in ever new shapes, and for each of them a CPU prepares
its product in bfloat16 anew, which takes longer than the product; mixing multiplies no matrices.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Numbers between the sums of ``mix`` that are made at once, by type of device: what the cache next to a
# processor's core holds, and on a GPU as many as come.
CACHED: Mapping[str, int] = {"cpu": 200_000, "cuda": 10**15}


@dataclass(frozen=True)
class Context:
    """What some rows of a batch read.

    Attributes:
        frames: [P_g, T_g, D].
        bias: [P_g, T_g, 1], added to the scores: -inf where a frame is not to be seen; None where all are.
    """

    frames: Tensor
    bias: Tensor | None


def read(queries: Tensor, contexts: Sequence[Context]) -> Tensor:
    """Each query's mean of its row's frames, weighted by the softmax of their dot products.

    Args:
        queries: [P, Q, D], or [1, Q, D] for all rows alike.
        contexts: of all P rows, in their order.

    Returns:
        [P, Q, D].
    """
    rows = sum(len(context.frames) for context in contexts)
    biases = [context.bias for context in contexts]
    frames = [context.frames for context in contexts]
    with torch.autocast(queries.device.type, enabled=False):
        every = _single(queries.expand(rows, -1, -1), *frames)
        return _Read.apply(every[0], biases, *every[1:])  # type: ignore[no-untyped-call]


def mix(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of few to few, all [P, N, H, d_h]; queries come scaled.

    Products of such size are not worth a matrix product for each head.
    """
    return _Mix.apply(*_single(queries, keys, values))  # type: ignore[no-untyped-call]


def _single(*tensors: Tensor) -> list[Tensor]:
    """In float32, or whatever more they are in."""
    return [each.to(torch.promote_types(each.dtype, torch.float32)) for each in tensors]


class _Read(torch.autograd.Function):
    # Scores are [P_g, T_g, Q]: a multiple of the vector width stands innermost, which T_g is not.

    @staticmethod
    def forward(ctx: Any, queries: Tensor, biases: Sequence[Tensor | None], *frames: Tensor) -> Tensor:
        pooled, weights = queries.new_empty(queries.shape), []
        counts = [len(part) for part in frames]
        split = (torch.split(tensor, counts) for tensor in (queries, pooled))
        for query, out, part, bias in zip(*split, frames, biases, strict=True):
            scores = torch.bmm(part, query.transpose(1, 2))
            if bias is not None:
                scores += bias
            weight = scores.softmax(1)
            torch.bmm(weight.transpose(1, 2), part, out=out)
            weights.append(weight)
        ctx.save_for_backward(queries, *frames, *weights)
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        queries, *saved = ctx.saved_tensors
        frames, weights = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        of_queries, of_frames = gradient.new_empty(gradient.shape), []
        counts = [len(part) for part in frames]
        split = (torch.split(tensor, counts) for tensor in (queries, of_queries, gradient))
        for query, out, pull, part, weight in zip(*split, frames, weights, strict=True):
            of_scores = _through_softmax(torch.bmm(part, pull.transpose(1, 2)), weight, 1)
            torch.bmm(of_scores.transpose(1, 2), part, out=out)
            of_frames.append(torch.bmm(weight, pull).baddbmm_(of_scores, query))
        return (of_queries, None, *of_frames)


class _Mix(torch.autograd.Function):
    # [P, queries, keys, H, d_h], of which the products of heads are summed over d_h. That is many times as
    # much as goes in and comes out, so a few rows at a time, while the processor's cache holds them.

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        weights = queries.new_empty(*queries.shape[:2], *keys.shape[1:3])
        mixed = torch.empty_like(queries, memory_format=torch.contiguous_format)
        rows = _rows_at_once(weights, queries)
        for query, key, value, weight, out in _cut(rows, queries, keys, values, weights, mixed):
            torch.softmax((query[:, :, None] * key[:, None]).sum(-1), 2, out=weight)
            torch.sum(weight[..., None] * value[:, None], 2, out=out)
        ctx.save_for_backward(queries, keys, values, weights)
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        given = ctx.saved_tensors
        found = tuple(torch.empty_like(each, memory_format=torch.contiguous_format) for each in given[:3])
        rows = _rows_at_once(given[3], given[0])
        for query, key, value, weight, pull, *outs in _cut(rows, *given, gradient, *found):
            of_weights = (pull[:, :, None] * value[:, None]).sum(-1)
            of_scores = _through_softmax(of_weights, weight, 2)[..., None]
            torch.sum(of_scores * key[:, None], 2, out=outs[0])
            torch.sum(of_scores * query[:, :, None], 1, out=outs[1])
            torch.sum(weight[..., None] * pull[:, :, None], 1, out=outs[2])
        return found


def _rows_at_once(weights: Tensor, queries: Tensor) -> int:
    """So many rows that their products are about ``CACHED`` numbers."""
    each = weights[0].numel() * queries.shape[-1] if len(weights) else 1
    return max(1, CACHED[weights.device.type] // each)


def _cut(rows: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(torch.split(tensor, rows) for tensor in tensors), strict=True)


def _through_softmax(gradient: Tensor, weights: Tensor, dim: int) -> Tensor:
    """The gradient before a softmax over ``dim`` from that after it."""
    return torch.ops.aten._softmax_backward_data(gradient, weights, dim, gradient.dtype)
