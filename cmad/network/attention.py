"""The inner loops of the Perceiver's attention, with their gradients written out.

Left to autograd they would be several times as many passes over memory: scores, masks and weights of
all heads are the largest tensors of the network.

Under autocast scores and weights stay in float32. Groups come in ever new shapes, and for each of them a CPU
prepares its product in bfloat16 anew, which takes longer than the product; and what latents give each other
takes no product of matrices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cmad.computing.precision import cast_as_autocast


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
        every = [_single(each) for each in (queries.expand(rows, -1, -1), *frames)]
        return _Read.apply(every[0], biases, *every[1:])  # type: ignore[no-untyped-call]


def by_head(rows: Tensor, weights: Tensor) -> Tensor:
    """A product for each head: rows [R, H, n] by weights [H, n, m] to [R, H, m]."""
    with cast_as_autocast(rows, weights) as given:
        return _ByHead.apply(*given)  # type: ignore[no-untyped-call]


def attend_within(rows: Tensor, joint: Tensor, out: Tensor, shift: Tensor, heads: int) -> Tensor:
    """Attention of a few to each other, without bias but the last.

    Args:
        rows: [P, N, D].
        joint: weights of queries, keys and values, one below the other, [3 H d_h, D].
        out, shift: the last layer, [D, H d_h] and [D].

    Returns:
        [P, N, D].
    """
    with cast_as_autocast(rows, joint, out, shift) as given:
        return _Within.apply(*given, heads)  # type: ignore[no-untyped-call]


def _single(tensor: Tensor) -> Tensor:
    """In float32, or whatever more it is in."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


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


class _ByHead(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weights)
        return _each_head(rows, weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        rows, weights = ctx.saved_tensors
        given, pull = rows.transpose(0, 1), gradient.transpose(0, 1)
        # Of both widths the larger is to be the inner one, which is twice as fast.
        if given.shape[2] > pull.shape[2]:
            of_weights = torch.bmm(pull.mT, given).mT
        else:
            of_weights = torch.bmm(given.mT, pull)
        return _each_head(gradient, weights.mT), of_weights


def _each_head(rows: Tensor, weights: Tensor) -> Tensor:
    # Written where it belongs: to turn it round takes longer than the product.
    found = rows.new_empty(*rows.shape[:2], weights.shape[2])
    torch.bmm(rows.transpose(0, 1), weights, out=found.transpose(0, 1))
    return found


class _Within(torch.autograd.Function):
    # The P rows are innermost, which makes long vectors of them: queries, keys and values are [H, d_h, N, P],
    # weights [H, N, N, P].

    @staticmethod
    def forward(ctx: Any, rows: Tensor, joint: Tensor, out: Tensor, shift: Tensor, heads: int) -> Tensor:
        count, few, width = rows.shape
        given = rows.transpose(0, 1).reshape(-1, width)
        every = _single(joint @ given.t()).view(3, heads, out.shape[1] // heads, few, count)
        query, key, value = every
        scores = _summed_product(query[:, :, :, None], key[:, :, None], 1).mul_(every.shape[2] ** -0.5)
        weights = scores.softmax(2)
        mixed = _summed_product(weights[:, None], value[:, :, None], 3)
        joined = mixed.view(out.shape[1], few * count).to(rows.dtype)
        ctx.save_for_backward(given, joint, out, every, weights, joined)
        return torch.addmm(shift, joined.t(), out.t()).view(few, count, width).transpose(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        given, joint, out, every, weights, joined = ctx.saved_tensors
        few, count = every.shape[3:]
        pulled = gradient.transpose(0, 1).reshape(given.shape)
        pull = _single(out.t() @ pulled.t()).view(every.shape[1:])[:, :, :, None]
        query, key, value = every
        of_weights = _summed_product(pull, value[:, :, None], 1)
        of_scores = _through_softmax(of_weights, weights, 2).mul_(every.shape[2] ** -0.5)[:, None]
        found = torch.empty_like(every)
        _summed_product(of_scores, key[:, :, None], 3, found[0])
        _summed_product(of_scores, query[:, :, :, None], 2, found[1])
        _summed_product(weights[:, None], pull, 2, found[2])
        of_joint = found.view(len(joint), few * count).to(given.dtype)
        of_rows = (of_joint.t() @ joint).view(few, count, len(out)).transpose(0, 1)
        return of_rows, of_joint @ given, pulled.t() @ joined.t(), pulled.sum(0), None


def _summed_product(first: Tensor, second: Tensor, dim: int, out: Tensor | None = None) -> Tensor:
    """The sum of a product over a dimension that both have.

    Term by term: written out at once, the terms would be many times as large as what goes in and comes out. A
    GPU takes longer to be told of each term than to write it.
    """
    if first.device.type == "cuda":
        return torch.sum(first * second, dim, out=out)
    (one, other), *rest = zip(first.unbind(dim), second.unbind(dim), strict=True)
    out = torch.mul(one, other, out=out)
    for one, other in rest:
        out.addcmul_(one, other)
    return out


def _through_softmax(gradient: Tensor, weights: Tensor, dim: int) -> Tensor:
    """The gradient before a softmax over ``dim`` from that after it."""
    return torch.ops.aten._softmax_backward_data(gradient, weights, dim, gradient.dtype)
