"""The frames of a batch after the Conv1d, for systems that work on them before the Perceiver."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmad.combinations import MODALITIES
from cmad.store.batches import Batch


@dataclass(frozen=True)
class Frames:
    """Frames from which those of any combination can be picked.

    Attributes:
        tables: by modality, [P + 1, T, D]: the present samples, then zeros, an absent one.
        valid: by modality, bool [P + 1, T], the frames that may be attended to; an absent stream is
            one frame of zeros, for which all T, being equal, could stand as well.
        places: int64 [B, 3], row of each sample; that of the absent one where absent.
    """

    tables: tuple[Tensor, ...]
    valid: tuple[Tensor, ...]
    places: Tensor

    @property
    def present(self) -> Tensor:
        """Bool [B, 3], True where the batch holds the stream."""
        return self.places < torch.tensor([len(t) - 1 for t in self.tables], device=self.places.device)

    def rows(self, m: int, shown: Tensor, samples: Tensor | slice = slice(None)) -> Tensor:
        """Rows of modality m's table [S], for the samples; absent where not ``shown``, bool [S]."""
        return torch.where(shown, self.places[samples, m], len(self.tables[m]) - 1)


def convolve(
    convolutions: nn.ModuleDict, batch: Batch, lengths: Mapping[str, int], attend_padding: bool
) -> Frames:
    """Pad each stream of a batch to its T and apply its Conv1d.

    Args:
        lengths: T of each modality.
        attend_padding: mark all frames valid (spec section 7, D16).
    """
    tables, valid = [], []
    places = torch.empty(batch.size, 3, dtype=torch.int64, device=batch.labels.device)
    for m, modality in enumerate(MODALITIES):
        stream = batch.streams[modality]
        count, longest, _ = stream.frames.shape
        frames = F.pad(stream.frames, (0, 0, 0, lengths[modality] - longest))
        convolved = convolutions[modality](frames.transpose(1, 2)).transpose(1, 2)
        tables.append(F.pad(convolved, (0, 0, 0, 0, 0, 1)))
        seen = F.pad(stream.valid, (0, lengths[modality] - longest, 0, 1))
        seen[-1, 0] = True
        valid.append(torch.ones_like(seen) if attend_padding else seen)
        places[:, m] = count
        places[stream.rows, m] = torch.arange(count, device=places.device)
    return Frames(tuple(tables), tuple(valid), places)
