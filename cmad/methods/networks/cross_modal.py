"""UMDF's modules between Conv1d and Perceiver, reconstructed (baselines spec section 3).

Named in the paper: coarse- and fine-grained cross-modal attention (MCIM), self-enhancement and
filtering of frames (DFIM). All else is a reconstruction: how the parts are wired, no dropout, a
feed-forward of 4 D with ReLU. Padded frames are no keys; an absent stream is one frame of zeros, as
in the shared network.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cmad.combinations import MODALITIES
from cmad.computing.precision import forward_pass
from cmad.errors import UserError
from cmad.methods.networks.frames import Frames, convolve
from cmad.network.encoder import embed
from cmad.network.laid import lay
from cmad.network.network import Network, Output, said
from cmad.network.parts import in_parts
from cmad.store.batches import Batch

HEADS = (8, 5, 4)


def attention_heads(width: int) -> int:
    """H', the largest of 8, 5 and 4 that divides D.

    Raises:
        UserError: none does.
    """
    for heads in HEADS:
        if width % heads == 0:
            return heads
    raise UserError(f"network.width = {width}: umdf_full needs a multiple of 8, 5 or 4")


def _attend(attention: nn.Module, queries: Tensor, keys: Tensor, valid: Tensor) -> Tensor:
    """MHA(q, kv): [B, T, D] and [B, S, D] with bool [B, S] to [B, T, D]."""
    return attention(queries, keys, keys, key_padding_mask=~valid, need_weights=False)[0]


class Interaction(nn.Module):
    """MCIM of one modality: Z = LN(X + coarse + fine), then a feed-forward with a residual.

    coarse = MHA(q = X, kv = both others joined in time); fine = sum of MHA(q = X, kv = X_n) over them.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        heads = attention_heads(width)
        self.coarse = nn.MultiheadAttention(width, heads, batch_first=True)
        self.fine = nn.ModuleList(nn.MultiheadAttention(width, heads, batch_first=True) for _ in range(2))
        self.norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))

    def forward(self, own: Tensor, others: list[Tensor], valid: list[Tensor]) -> Tensor:
        """Own frames [B, T, D], the others' [B, T_n, D] with bool [B, T_n], to Z [B, T, D]."""
        joined = _attend(self.coarse, own, torch.cat(others, dim=1), torch.cat(valid, dim=1))
        for attention, frames, seen in zip(self.fine, others, valid, strict=True):
            joined = joined + _attend(attention, own, frames, seen)
        interacted = self.norm(own + joined)
        return interacted + self.feed(interacted)


class Filter(nn.Module):
    """DFIM of one modality: Z' = Z + MHA_self(Z), X' = s Z' + (1 - s) X, s = sigmoid(Linear([Z'; X]))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, attention_heads(width), batch_first=True)
        self.gate = nn.Linear(2 * width, width)

    def forward(self, own: Tensor, interacted: Tensor, valid: Tensor) -> Tensor:
        """X and Z [B, T, D] with bool [B, T] to X' [B, T, D]."""
        enhanced = interacted + _attend(self.attention, interacted, interacted, valid)
        gate = self.gate(torch.cat([enhanced, own], dim=2)).sigmoid()
        return gate * enhanced + (1 - gate) * own


class CrossModalNetwork(nn.Module):
    """The shared network with both modules; they see the mask, so only the Conv1d is done once.

    Args:
        network: gives its parts, which are not copied.
        lengths: T of each modality.
    """

    def __init__(self, network: Network, lengths: Mapping[str, int]) -> None:
        super().__init__()
        width = network.classifier.in_features
        self._lengths = dict(lengths)
        self._attend_padding = network.lengths is not None
        self._micro_batch = network.micro_batch
        self.encoder = network.encoder
        self.convolutions = network.convolutions
        self.interactions = nn.ModuleDict({m: Interaction(width) for m in MODALITIES})
        self.filters = nn.ModuleDict({m: Filter(width) for m in MODALITIES})
        self.perceivers = network.perceivers
        self.fusion = network.fusion
        self.classifier = network.classifier

    @forward_pass
    def encode(self, batch: Batch) -> Frames:
        """Apply the encoder and the Conv1d to each present pair once."""
        embedded = embed(self.encoder, batch, self._micro_batch)
        return convolve(self.convolutions, embedded, self._lengths, self._attend_padding)

    @forward_pass
    def fuse(self, frames: Frames, masks: Tensor) -> Output:
        """Relate what is seen, then read and fuse.

        Args:
            masks: bool [B, 3], the modalities that the network is to see of each sample.
        """
        rows = [frames.rows(m, masks[:, m]) for m in range(3)]
        seen = [frames.tables[m][rows[m]] for m in range(3)]
        valid = [frames.valid[m][rows[m]] for m in range(3)]
        representation = self.fusion(in_parts(self._tokens, self._micro_batch, *seen, *valid))
        return said(representation, self.classifier)

    def _tokens(self, *streams: Tensor) -> Tensor:
        """Frames of the three streams, then what is valid of each, to the tokens [S, 3, D]."""
        seen, valid = streams[:3], streams[3:]
        tokens = []
        for m, modality in enumerate(MODALITIES):
            others = [n for n in range(3) if n != m]
            related = self.interactions[modality](
                seen[m], [seen[n] for n in others], [valid[n] for n in others]
            )
            context = self.filters[modality](seen[m], related, valid[m])
            tokens.append(self.perceivers[modality](lay(context), valid[m]))
        return torch.stack(tokens, dim=1)
