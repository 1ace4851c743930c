"""A pretrained language encoder (BERT or alike) as part of the network, fine-tuned with it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmad.language.model import Traits, load_model, traits
from cmad.network import packed
from cmad.network.lengths import TOKENS, UNPACKED_TOKENS, by_length
from cmad.network.parts import in_parts
from cmad.store.batches import Batch


class TokenEncoder(nn.Module):
    """Token ids to the model's last hidden state.

    Args:
        model: a model of transformers; its own dropout is that of its config.
        kind: its width, and how it takes sequences.
    """

    def __init__(self, model: Any, kind: Traits) -> None:
        super().__init__()
        self.model: Any = model
        self._kind = kind
        if kind.packs:
            packed.pack(model)

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
            return weight.new_zeros(*valid.shape, self._kind.width)
        allowed = TOKENS if self._kind.packs else UNPACKED_TOKENS
        grouped = by_length(valid, allowed[valid.device.type])
        # All tokens at once: the gradient of this table is as large as the table, for however few of them.
        given = {"inputs_embeds": self.model.get_input_embeddings()(tokens[..., 0])}
        if self._kind.segments:
            given["token_type_ids"] = tokens[..., 1]
        seen = grouped.cut(grouped.sort(valid))
        parts = {name: grouped.cut(grouped.sort(each)) for name, each in given.items()}
        found = [F.pad(part, (0, 0, 0, valid.shape[1] - part.shape[1])) for part in self._states(seen, parts)]
        return grouped.restore(torch.cat(found)).masked_fill(~valid[..., None], 0.0)

    def _states(self, valid: Sequence[Tensor], given: Mapping[str, Sequence[Tensor]]) -> list[Tensor]:
        if self._kind.packs:
            return packed.states(self.model, valid, given, self._kind.first)
        every = {"attention_mask": [own.long() for own in valid], **given}
        return [
            self.model(**dict(zip(every, group, strict=True))).last_hidden_state
            for group in zip(*every.values(), strict=True)
        ]


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
