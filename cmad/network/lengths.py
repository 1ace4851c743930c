"""Streams of like length together, so that not all of a batch is padded to its longest.

A group costs time by itself, and so does padding; how much padding a group may hold is where the two
meet. A GPU is given a group by some dozens of launches, each of which takes about as long as a great many
products, so there it may hold far more.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

# What takes about as long as a group does by itself, by type of device: products of a frame's and a latent's
# numbers in a Perceiver, tokens in a language encoder whose attention alone goes by groups, and tokens in one
# that goes by groups from end to end.
PRODUCTS: Mapping[str, int] = {"cpu": 400_000, "cuda": 10_000_000_000}
TOKENS: Mapping[str, int] = {"cpu": 8, "cuda": 1_000_000}
UNPACKED_TOKENS: Mapping[str, int] = {"cpu": 25, "cuda": 1_000_000}


@dataclass(frozen=True)
class ByLength:
    """Rows sorted by length, longest first, and cut into groups.

    Attributes:
        order: int64 [P], the rows in that order.
        groups: rows and frames (P_g, T_g) of each group, in that order.
    """

    order: Tensor
    groups: tuple[tuple[int, int], ...]

    def sort(self, rows: Tensor) -> Tensor:
        """[P, ...] in the order of length."""
        return rows.index_select(0, self.order)

    def restore(self, rows: Tensor) -> Tensor:
        """The opposite of ``sort``."""
        return rows.index_select(0, torch.argsort(self.order))

    def cut(self, rows: Tensor) -> list[Tensor]:
        """Sorted rows [P, T, ...] as groups [P_g, T_g, ...]."""
        counts = [count for count, _ in self.groups]
        parts = torch.split(rows, counts)
        return [part[:, :longest] for part, (_, longest) in zip(parts, self.groups, strict=True)]


def by_length(valid: Tensor, padding: int) -> ByLength:
    """Group rows so that each group is padded by few frames.

    Args:
        valid: bool [P, T]; a row is as long as its last True, and one frame long without any.
        padding: the most frames of padding in a group, all its rows together. About as many as take
            the time that a group takes by itself.
    """
    count, longest = valid.shape
    if count and valid.device.type == "cuda" and padding >= valid.numel():
        # All together as they are: a GPU would have to be waited for to tell the lengths.
        return ByLength(torch.arange(count, device=valid.device), ((count, longest),))
    lengths, order = last_frames(valid).clamp(min=1).sort(descending=True, stable=True)
    groups: list[tuple[int, int]] = []
    count, longest, spent = 0, 0, 0
    for length in lengths.tolist():
        if count and spent + longest - length > padding:
            groups.append((count, longest))
            count, spent = 0, 0
        longest = longest if count else length
        count, spent = count + 1, spent + longest - length
    return ByLength(order, (*groups, (count, longest)) if count else tuple(groups))


def last_frames(valid: Tensor) -> Tensor:
    """Place of the last True of each row, counted from 1: bool [P, T] to int64 [P]; 0 without any."""
    return (valid * torch.arange(1, valid.shape[1] + 1, device=valid.device)).amax(1)
