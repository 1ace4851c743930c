"""A pretrained language encoder (BERT or alike) as part of the network, fine-tuned with it."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmad.language.model import Traits, load_model, traits
from cmad.network.lengths import TOKENS, by_length
from cmad.network.parts import in_parts
from cmad.store.batches import Batch


class TokenEncoder(nn.Module):
    """Token ids to the model's last hidden state.

    Args:
        model: a model of transformers; its own dropout is that of its config.
        kind: its width, and whether it tells segments apart.
    """

    def __init__(self, model: nn.Module, kind: Traits) -> None:
        super().__init__()
        self.model = model
        self._width = kind.width
        self._segments = kind.segments

    def forward(self, tokens: Tensor, valid: Tensor) -> Tensor:
        """Encode.

        Args:
            tokens: int64 [P, T, 2], token id and segment.
            valid: bool [P, T], at least one True a row. What is not valid is not attended to; the
                others keep their positions.

        Returns:
            [P, T, width], zero where not valid.
        """
        if not len(tokens):
            # Sequences of nothing are not what every model takes.
            weight = next(self.model.parameters())
            return weight.new_zeros(*valid.shape, self._width)
        grouped = by_length(valid, TOKENS[valid.device.type])
        given, seen = grouped.cut(grouped.sort(tokens)), grouped.cut(grouped.sort(valid))
        states = [
            F.pad(self._states(part, own), (0, 0, 0, valid.shape[1] - own.shape[1]))
            for part, own in zip(given, seen, strict=True)
        ]
        return grouped.restore(torch.cat(states)).masked_fill(~valid[..., None], 0.0)

    def _states(self, tokens: Tensor, valid: Tensor) -> Tensor:
        segments = {"token_type_ids": tokens[..., 1]} if self._segments else {}
        output = self.model(input_ids=tokens[..., 0], attention_mask=valid.long(), **segments)
        return cast(Tensor, output.last_hidden_state)


def load_encoder(folder: Path) -> TokenEncoder:
    """An encoder with its pretrained weights; the state of torch's generators stays as it was.

    Args:
        folder: see ``cmad.language.find``.

    Raises:
        UserError: the folder holds no whole encoder (``cmad.language.model``).
    """
    # Its dropout is off until the network's training mode turns it on.
    return TokenEncoder(load_model(folder), traits(folder))


def embed(encoder: nn.Module | None, batch: Batch, micro_batch: int | None) -> Batch:
    """A batch with the encoder's states [P, T, width] in place of its tokens; without encoder itself."""
    if encoder is None:
        return batch
    stream = batch.streams["language"]
    states = in_parts(encoder, micro_batch, stream.frames, stream.valid)
    return replace(batch, streams={**batch.streams, "language": replace(stream, frames=states)})
