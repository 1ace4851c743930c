"""The network of teacher and student: Conv1d, Perceivers, fusion, classifier (spec section 1).

An absent modality is one constant token per modality, so only present (sample, modality) pairs
are encoded, together with one row of zeros that gives that token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmad.combinations import MODALITIES
from cmad.computing import processes
from cmad.computing.precision import forward_pass, in_full
from cmad.config.schema import Network as Settings
from cmad.network.convolution import convolve
from cmad.network.fusion import Fusion
from cmad.network.parts import in_parts
from cmad.network.perceiver import Perceiver
from cmad.store.batches import Batch, Stream


@dataclass(frozen=True)
class Encoded:
    """The tokens of a batch, from which the tokens of any combination can be picked.

    Attributes:
        tokens: by modality, [P + 1, D]: the present samples, then the absent token.
        places: int64 [B, 3], row of each sample's token; that of the absent token where absent.
    """

    tokens: tuple[Tensor, ...]
    places: Tensor


@dataclass(frozen=True)
class Output:
    """What the network says.

    Attributes:
        representation: E [B, D].
        outputs: z [B, K].
    """

    representation: Tensor
    outputs: Tensor


def said(representation: Tensor, classifier: nn.Linear) -> Output:
    """E, and what the last layer makes of it; both in the precision of its weights, as losses want them."""
    representation = representation.to(classifier.weight.dtype)
    return Output(representation, in_full(classifier, representation))


class Network(nn.Module):
    """Teacher or student.

    Args:
        settings: the network section of the params.
        widths: d of each modality.
        lengths: T of each modality; read only with ``attend_padding``.
        outputs: K.
        encoder: of token ids, see ``cmad.network.encoder``; None where language comes as features.
        micro_batch: samples encoded at once, see ``cmad.network.parts``.
    """

    def __init__(
        self,
        settings: Settings,
        widths: Mapping[str, int],
        lengths: Mapping[str, int],
        outputs: int,
        encoder: nn.Module | None = None,
        micro_batch: int | None = None,
    ) -> None:
        super().__init__()
        kernels = settings.kernels
        self.micro_batch = micro_batch
        self.lengths = dict(lengths) if settings.attend_padding else None
        self.convolutions = nn.ModuleDict(
            {
                m: nn.Conv1d(widths[m], settings.width, size, padding=size // 2, bias=False)
                for m in MODALITIES
                for size in [getattr(kernels, m)]
            }
        )
        self.perceivers = nn.ModuleDict(
            {
                m: Perceiver(
                    settings.width, settings.depth, settings.latents, settings.heads, settings.head_width
                )
                for m in MODALITIES
            }
        )
        self.fusion = Fusion(settings)
        self.classifier = nn.Linear(settings.width, outputs)
        self.apply(_initialise)
        # After the initial weights of all else: its own are pretrained.
        self.encoder = encoder

    @forward_pass
    def encode(self, batch: Batch) -> Encoded:
        """Encode each present pair of a batch once."""
        tokens = []
        places = torch.empty(batch.size, 3, dtype=torch.int64, device=batch.labels.device)
        for m, modality in enumerate(MODALITIES):
            stream = batch.streams[modality]
            tokens.append(self._tokens(modality, stream))
            places[:, m] = len(stream.rows)
            places[stream.rows, m] = torch.arange(len(stream.rows), device=places.device)
        return Encoded(tuple(tokens), places)

    def _tokens(self, modality: str, stream: Stream) -> Tensor:
        own = processes.share(len(stream.frames))
        frames, valid = stream.frames[own], stream.valid[own]
        if self.micro_batch is None or len(frames) <= self.micro_batch:
            tokens = self._read(modality, frames, valid)
        else:
            read = in_parts(lambda *part: self._read(modality, *part)[:-1], self.micro_batch, frames, valid)
            tokens = torch.cat([read, self._read(modality, frames[:0], valid[:0])])
        if processes.count() == 1:
            return tokens
        return torch.cat([processes.gathered(tokens[:-1], len(stream.frames)), tokens[-1:]])

    def _read(self, modality: str, frames: Tensor, valid: Tensor) -> Tensor:
        """Tokens [P + 1, D] of P streams and of the absent one."""
        if self.encoder is not None and modality == "language":
            frames = self.encoder(frames, valid)
        if self.lengths is not None:
            missing = self.lengths[modality] - frames.shape[1]
            frames, valid = (
                F.pad(frames, (0, 0, 0, missing)),
                valid.new_ones(len(valid), self.lengths[modality]),
            )
        context = convolve(cast(nn.Conv1d, self.convolutions[modality]), frames, valid).with_absent()
        if self.lengths is not None:
            return self.perceivers[modality](context, None)
        # The absent token reads one frame of zeros: all keys being equal, one is as good as T.
        absent = valid.new_zeros(1, valid.shape[1])
        absent[:, 0] = True
        return self.perceivers[modality](context, torch.cat([valid, absent]))

    @forward_pass
    def fuse(self, encoded: Encoded, masks: Tensor) -> Output:
        """Fuse the tokens of one combination per sample.

        Args:
            masks: bool [B, 3], the modalities that the network is to see of each sample.
        """
        tokens = []
        for m, table in enumerate(encoded.tokens):
            absent = len(table) - 1
            tokens.append(table[torch.where(masks[:, m], encoded.places[:, m], absent)])
        representation = self.fusion(torch.stack(tokens, dim=1))
        return said(representation, self.classifier)


def _initialise(module: nn.Module) -> None:
    # As Hugging Face's BERT, which the authors' classes inherit from; convolutions, latents and
    # the attention in-projections of the fusion transformer keep PyTorch's defaults.
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
