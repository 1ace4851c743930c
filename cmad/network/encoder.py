"""A pretrained language encoder (BERT or alike) as part of the network, fine-tuned with it."""

import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cmad.batches import Batch
from cmad.errors import UserError
from cmad.network.parts import in_parts


class TokenEncoder(nn.Module):
    """Token ids to the model's last hidden state.

    Args:
        model: a model of transformers; its own dropout is that of its config.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self._width: int = model.config.hidden_size
        known = "token_type_ids" in inspect.signature(model.forward).parameters
        # A model of one segment adds the same vector everywhere when it is told none.
        self._segments = known and getattr(model.config, "type_vocab_size", 0) > 1

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
        segments = {"token_type_ids": tokens[..., 1]} if self._segments else {}
        states = self.model(
            input_ids=tokens[..., 0], attention_mask=valid.long(), **segments
        ).last_hidden_state
        return states.masked_fill(~valid[..., None], 0.0)


def load_encoder(folder: Path) -> TokenEncoder:
    """An encoder with its pretrained weights; the state of torch's generators stays as it was.

    Args:
        folder: see ``cmad.language.find``.

    Raises:
        UserError: the text extra is not installed, or the folder holds no whole encoder.
    """
    try:
        from transformers import MODEL_MAPPING, AutoConfig, AutoModel
    except ImportError:
        raise UserError("the store holds token ids; install the text extra: make text") from None
    with _quiet(), torch.random.fork_rng():
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            # What is read are the tokens' states; a pooling layer would never be trained.
            kind: Any = MODEL_MAPPING[type(config)]
            pools = "add_pooling_layer" in inspect.signature(kind).parameters
            options: dict[str, Any] = {"add_pooling_layer": False} if pools else {}
            model, told = AutoModel.from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                **options,
            )
        except Exception as error:
            # Foreign files: transformers, safetensors and json raise whatever they like.
            first = next(iter(str(error).splitlines()), type(error).__name__)
            raise UserError(f"{folder}: not a readable language encoder ({first}); get it again") from None
    lacking = sorted(told["missing_keys"])
    if lacking:
        raise UserError(f"{folder}: its weights lack {lacking[0]}; get the encoder again")
    return TokenEncoder(model)


def embed(encoder: nn.Module | None, batch: Batch, micro_batch: int | None) -> Batch:
    """A batch with the encoder's states [P, T, width] in place of its tokens; without encoder itself."""
    if encoder is None:
        return batch
    stream = batch.streams["language"]
    states = in_parts(encoder, micro_batch, stream.frames, stream.valid)
    return replace(batch, streams={**batch.streams, "language": replace(stream, frames=states)})


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the loading bars, reports and warnings of transformers."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()
