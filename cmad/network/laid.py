"""Streams of frames laid end to end, so that what each frame goes through is not done to padding."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Laid:
    """P streams.

    Attributes:
        frames: [N, D], those of all streams.
        places: int64 [P, T], the row of each frame of a stream; after its last one ``nothing``.
        nothing: a row of zeros; one that there is not where no stream needs it.
    """

    frames: Tensor
    places: Tensor
    nothing: int

    def with_absent(self) -> "Laid":
        """With one more stream, of T frames of zeros."""
        absent = self.places.new_full((1, self.places.shape[1]), self.nothing)
        return replace(self, places=torch.cat([self.places, absent]))

    def pick(self, places: Tensor) -> Tensor:
        """Frames [K, D] by their places, int64 [K]."""
        if self.frames.device.type == "cuda":
            return pick_spread(self.frames, places, self.nothing)
        return self.frames.index_select(0, places)


def lay(streams: Tensor) -> Laid:
    """Streams [P, T, D] as they are, their padding among the frames."""
    rows = streams.flatten(0, 1)
    return Laid(rows, torch.arange(len(rows), device=rows.device).view(streams.shape[:2]), -1)


def pick_spread(rows: Tensor, places: Tensor, nothing: int) -> Tensor:
    """Rows by their places, and zeros where ``nothing`` is picked, with hardly any row picked twice.

    A GPU that is to repeat its bits adds the gradients of one row one after the other: a row of zeros picked
    for all that is padding would hold up the rest.

    Args:
        rows: [N, D], N at least 1 where any is picked.
        places: int64 [K].

    Returns:
        [K, D].
    """
    empty = places == nothing
    others = torch.arange(len(places), device=places.device) % len(rows)
    return rows.index_select(0, torch.where(empty, others, places)).masked_fill(empty[:, None], 0.0)
