"""The attention of a Perceiver's latents, to frames and to each other, as blocks with their gradients.

Scores, masks and shares (the softmax of scores) of all heads are the largest tensors of the network: the
fewer passes over them the better.

Under autocast scores and shares stay in float32. Groups come in ever new shapes, and for each of them a CPU
prepares its product in bfloat16 anew, which takes longer than the product; and what latents give each other
takes no product of matrices.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from cmad.computing.precision import cast_to, single


class Cross:
    """Latents attend to frames (``cmad.network.blocks.Block``), computed as in ``cmad.network.perceiver``.

    Rows are normalised latents [P or 1, N, D]; one row stands for all. Weights are those of queries
    [H d_h, D], of keys and values, one below the other, [2 H d_h, D], gain and shift of the frames [D], the
    last layer's [D, H d_h] and [D], then the normalised frames of each group of rows, in their order,
    [P_g, T_g, D]. Outputs are [P, N, D].

    Args:
        biases: of each group, [P_g, T_g, 1], added to the scores: -inf where a frame is not to be seen; None
            where all are.
    """

    def __init__(self, heads: int, head_width: int, biases: Sequence[Tensor | None]) -> None:
        self._heads = heads
        self._head_width = head_width
        self._biases = biases

    def forward(self, rows: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        """See the class."""
        asking, key_value, gain, shift, out, last_shift, *frames = weights
        kind, width = rows.dtype, rows.shape[2]
        keys, values = self._split(key_value)
        flat = rows.reshape(-1, width)
        query = (flat @ cast_to(kind, asking).t()).view(-1, self._heads, self._head_width)
        folded = cast_to(kind, keys * (gain * self._head_width**-0.5))
        asked = each_head(query, folded).view(len(rows), rows.shape[1] * self._heads, width)
        pooled, shares = read(single(asked), frames, self._biases)
        opened = cast_to(kind, values * gain)
        pooled = cast_to(kind, pooled).view(-1, self._heads, width)
        joined = each_head(pooled, opened.mT) + cast_to(kind, values) @ cast_to(kind, shift)
        joined = joined.view(-1, self._heads * self._head_width)
        found = torch.addmm(cast_to(kind, last_shift), joined, cast_to(kind, out).t())
        return found.view(-1, *rows.shape[1:]), (flat, query, folded, asked, pooled, opened, joined, *shares)

    def backward(
        self, gradient: Tensor, weights: Sequence[Tensor], kept: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """See the class."""
        asking, key_value, gain, shift, out, _, *frames = weights
        flat, query, folded, asked, pooled, opened, joined, *shares = kept
        kind, width = gradient.dtype, gradient.shape[2]
        keys, values = self._split(key_value)
        pull = gradient.reshape(-1, width)
        of_joined = (pull @ cast_to(kind, out)).view(-1, self._heads, self._head_width)
        of_offset = cast_to(gain.dtype, of_joined.sum(0))
        of_pooled, of_opened = each_head_back(of_joined, pooled, opened.mT)
        of_pooled = single(of_pooled).view(-1, *asked.shape[1:])
        of_asked, of_frames = read_back(of_pooled, single(asked), frames, shares)
        of_asked = cast_to(kind, of_asked.sum_to_size(asked.shape)).view(-1, self._heads, width)
        of_query, of_folded = each_head_back(of_asked, query, folded)
        of_query = of_query.view(-1, self._heads * self._head_width)
        scale = gain * self._head_width**-0.5
        of_folded, of_opened = cast_to(gain.dtype, of_folded), cast_to(gain.dtype, of_opened.mT)
        of_gain = (of_opened * values).sum((0, 1)) + (of_folded * keys).sum((0, 1)) * self._head_width**-0.5
        of_values = of_opened * gain + of_offset[..., None] * shift
        of_shift = values.reshape(-1, width).t().mv(of_offset.flatten())
        return (of_query @ cast_to(kind, asking)).view(-1, *gradient.shape[1:]), (
            of_query.t() @ flat,
            torch.stack([of_folded * scale, of_values]).view(key_value.shape),
            of_gain,
            of_shift,
            pull.t() @ joined,
            pull.sum(0),
            *of_frames,
        )

    def _split(self, key_value: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = key_value.view(2, self._heads, self._head_width, -1)
        return keys, values


def read(
    queries: Tensor, frames: Sequence[Tensor], biases: Sequence[Tensor | None]
) -> tuple[Tensor, list[Tensor]]:
    """Each query's mean of its row's frames, weighted by the softmax of their dot products.

    Args:
        queries: [P, Q, D], or [1, Q, D] for all rows alike.
        frames, biases: as ``Cross`` takes them.

    Returns:
        [P, Q, D], and each group's shares. They are [P_g, T_g, Q]: a multiple of the vector width stands
        innermost, which T_g is not.
    """
    counts = [len(part) for part in frames]
    queries = queries.expand(sum(counts), -1, -1)
    pooled, shares = queries.new_empty(queries.shape), []
    split = (torch.split(tensor, counts) for tensor in (queries, pooled))
    for query, out, part, bias in zip(*split, frames, biases, strict=True):
        given = single(part)
        scores = torch.bmm(given, query.mT)
        if bias is not None:
            scores += bias
        share = scores.softmax(1)
        torch.bmm(share.mT, given, out=out)
        shares.append(share)
    return pooled, shares


def read_back(
    gradient: Tensor, queries: Tensor, frames: Sequence[Tensor], shares: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Gradients of the queries, [P, Q, D] for all rows, and of each group's frames."""
    of_queries, of_frames = gradient.new_empty(gradient.shape), []
    counts = [len(part) for part in frames]
    split = (torch.split(each, counts) for each in (queries.expand_as(gradient), of_queries, gradient))
    for query, out, pull, part, share in zip(*split, frames, shares, strict=True):
        given = single(part)
        of_scores = _through_softmax(torch.bmm(given, pull.mT), share, 1)
        torch.bmm(of_scores.mT, given, out=out)
        of_frames.append(torch.bmm(share, pull).baddbmm_(of_scores, query))
    return of_queries, of_frames


def each_head(rows: Tensor, weights: Tensor) -> Tensor:
    """A product for each head: rows [R, H, n] by weights [H, n, m] to [R, H, m]."""
    # Written where it belongs: to turn it round takes longer than the product.
    found = rows.new_empty(*rows.shape[:2], weights.shape[2])
    torch.bmm(rows.transpose(0, 1), weights, out=found.transpose(0, 1))
    return found


def each_head_back(gradient: Tensor, rows: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the rows and of the weights of ``each_head``."""
    given, pull = rows.transpose(0, 1), gradient.transpose(0, 1)
    # Of both widths the larger is to be the inner one, which is twice as fast.
    narrower = given.shape[2] <= pull.shape[2]
    of_weights = torch.bmm(given.mT, pull) if narrower else torch.bmm(pull.mT, given).mT
    return each_head(gradient, weights.mT), of_weights


class Within:
    """Latents attend to each other (``cmad.network.blocks.Block``), without bias but the last.

    Rows are normalised latents [P, N, D]. Weights are those of queries [H d_h, D], of keys and values, one
    below the other, [2 H d_h, D], and the last layer's [D, H d_h] and [D]. Outputs are [P, N, D].

    The P rows are innermost, which makes long vectors of them: queries, keys and values are [H, d_h, N, P],
    shares [H, N, N, P].
    """

    def __init__(self, heads: int) -> None:
        self._heads = heads

    def forward(self, rows: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        """See the class."""
        *parts, out, last_shift = weights
        kind, (count, few, width) = rows.dtype, rows.shape
        joint = cast_to(kind, torch.cat(parts))
        given = rows.transpose(0, 1).reshape(-1, width)
        every = single(joint @ given.t()).view(3, self._heads, len(joint) // (3 * self._heads), few, count)
        query, key, value = every
        scores = _summed_product(query[:, :, :, None], key[:, :, None], 1).mul_(every.shape[2] ** -0.5)
        shares = scores.softmax(2)
        mixed = _summed_product(shares[:, None], value[:, :, None], 3)
        joined = cast_to(kind, mixed.view(len(joint) // 3, few * count))
        found = torch.addmm(cast_to(kind, last_shift), joined.t(), cast_to(kind, out).t())
        return found.view(few, count, width).transpose(0, 1), (given, joint, every, shares, joined)

    def backward(
        self, gradient: Tensor, weights: Sequence[Tensor], kept: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """See the class."""
        asking, _, out, _ = weights
        given, joint, every, shares, joined = kept
        few, count = every.shape[3:]
        pulled = gradient.transpose(0, 1).reshape(given.shape)
        pull = single(cast_to(pulled.dtype, out).t() @ pulled.t()).view(every.shape[1:])[:, :, :, None]
        query, key, value = every
        of_shares = _summed_product(pull, value[:, :, None], 1)
        of_scores = _through_softmax(of_shares, shares, 2).mul_(every.shape[2] ** -0.5)[:, None]
        found = torch.empty_like(every)
        _summed_product(of_scores, key[:, :, None], 3, found[0])
        _summed_product(of_scores, query[:, :, :, None], 2, found[1])
        _summed_product(shares[:, None], pull, 2, found[2])
        of_every = cast_to(given.dtype, found.view(len(joint), few * count))
        of_joint = of_every @ given
        return (of_every.t() @ joint).view(few, count, len(out)).transpose(0, 1), (
            of_joint[: len(asking)],
            of_joint[len(asking) :],
            pulled.t() @ joined.t(),
            pulled.sum(0),
        )


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


def _through_softmax(gradient: Tensor, shares: Tensor, dim: int) -> Tensor:
    """The gradient before a softmax over ``dim`` from that after it."""
    return torch.ops.aten._softmax_backward_data(gradient, shares, dim, gradient.dtype)
