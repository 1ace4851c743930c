"""CMAD computed the plain way, as the authors' code does: the yardstick of tests and benchmark.

Every modality of every sample is encoded, absent ones as frames of zeros; streams are padded to T;
the teacher runs in each step; each combination is evaluated by a pass of its own. A fine-tuned
language encoder reads all samples padded to T, whatever the combination shows of them. It reads the
weights of a ``Network`` but shares no computation with it: its fusion transformer is torch's own.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from cmad.combinations import MASKS, MODALITIES
from cmad.config.schema import Student
from cmad.losses.auxiliary import auxiliary_loss
from cmad.losses.cafd import consistency_loss
from cmad.losses.mar import Banks
from cmad.losses.task import per_record, task_loss
from cmad.network.encoder import TokenEncoder
from cmad.network.network import Network, Output
from cmad.network.perceiver import CrossAttention, FeedForward, Layer, Perceiver, SelfAttention
from cmad.store.store import Split
from cmad.task import Task
from cmad.training.optimiser import Adam


@dataclass(frozen=True)
class Padded:
    """B samples with all their modalities.

    Attributes:
        frames: by modality, [B, T, d], zero after a sample's last frame; token ids and segments, int64
            [B, T, 2], where the store has an encoder.
        valid: by modality, bool [B, T], True on its frames; all False where it is natively absent.
        labels: [B] or [B, J], by task kind.
    """

    frames: Mapping[str, Tensor]
    valid: Mapping[str, Tensor]
    labels: Tensor

    def at(self, rows: NDArray[np.int64]) -> "Padded":
        """Some of the samples."""
        chosen = torch.from_numpy(rows).to(self.labels.device)
        return Padded(
            {m: frames[chosen] for m, frames in self.frames.items()},
            {m: valid[chosen] for m, valid in self.valid.items()},
            self.labels[chosen],
        )

    def to(self, device: torch.device) -> "Padded":
        """The same on a device."""
        return Padded(
            {m: frames.to(device) for m, frames in self.frames.items()},
            {m: valid.to(device) for m, valid in self.valid.items()},
            self.labels.to(device),
        )

    @property
    def complete(self) -> Tensor:
        """bool [B], True where a sample has all three modalities."""
        return torch.stack([valid.any(1) for valid in self.valid.values()]).all(0)


def pad(split: Split, lengths: Mapping[str, int]) -> Padded:
    """A whole split in memory, padded to T = ``lengths`` by modality."""
    kinds = {m: np.int64 if split.features[m].dtype == np.int32 else np.float32 for m in MODALITIES}
    frames = {m: np.zeros((len(split), lengths[m], split.features[m].shape[1]), kinds[m]) for m in MODALITIES}
    valid = {m: np.zeros((len(split), lengths[m]), np.bool_) for m in MODALITIES}
    for m in MODALITIES:
        for i, (start, length) in enumerate(zip(split.starts[m], split.lengths[m], strict=True)):
            frames[m][i, :length] = split.features[m][start : start + length]
            valid[m][i, :length] = True
    return Padded(
        {m: torch.from_numpy(frames[m]) for m in MODALITIES},
        {m: torch.from_numpy(valid[m]) for m in MODALITIES},
        torch.from_numpy(split.labels),
    )


def forward(network: Network, batch: Padded, masks: Tensor, attend_padding: bool = False) -> Output:
    """Network of spec section 1, everything computed.

    Args:
        network: whose weights (and train or eval mode) to use.
        masks: bool [B, 3], the modalities that the network is to see.
        attend_padding: attend to all T frames, as the authors do (D16).
    """
    tokens = []
    for m, modality in enumerate(MODALITIES):
        frames, valid = batch.frames[modality], batch.valid[modality]
        if modality == "language" and network.encoder is not None:
            frames = hidden_states(cast(TokenEncoder, network.encoder), frames, valid)
        frames = frames * masks[:, m, None, None]
        convolution = cast(nn.Conv1d, network.convolutions[modality])
        context = convolution(frames.transpose(1, 2)).transpose(1, 2)
        # Without a frame there is nothing to attend to. All frames are zero then, so all keys and all
        # values are equal: it makes no difference whether one, some or all are attended to.
        valid = valid | ~valid.any(1, keepdim=True)
        if attend_padding:
            valid = torch.ones_like(valid)
        tokens.append(perceive(cast(Perceiver, network.perceivers[modality]), context, valid))
    fusion = network.fusion
    fused = fusion.transformer(torch.stack(tokens, dim=1))
    joined = torch.cat([fused[:, 0], fused[:, 1], fused[:, 2]], dim=1)
    representation = F.relu(fusion.dropout(fusion.linear(joined)))
    return Output(representation, network.classifier(representation))


def hidden_states(encoder: TokenEncoder, tokens: Tensor, valid: Tensor) -> Tensor:
    """States of the language encoder: tokens [B, T, 2] to [B, T, width], zero where not valid."""
    model = cast(Any, encoder.model)
    segments = {"token_type_ids": tokens[..., 1]} if getattr(model.config, "type_vocab_size", 0) > 1 else {}
    output = model(input_ids=tokens[..., 0], attention_mask=valid.long(), **segments)
    return cast(Tensor, output.last_hidden_state * valid[..., None])


def perceive(perceiver: Perceiver, context: Tensor, valid: Tensor) -> Tensor:
    """The Perceiver: context [B, T, D], key mask ``valid`` [B, T]; [B, D]."""
    x = perceiver.latents.expand(len(context), -1, -1)
    for layer in cast(Iterable[Layer], perceiver.layers):
        x = x + attend(layer.cross, layer.cross.norm(x), layer.cross.context_norm(context), valid)
        x = x + feed_forward(layer.cross_feed, x)
        normed = layer.own.norm(x)
        x = x + attend(layer.own, normed, normed, None)
        x = x + feed_forward(layer.own_feed, x)
    return cast(Tensor, perceiver.norm(x.mean(dim=1)))


def attend(block: CrossAttention | SelfAttention, x: Tensor, context: Tensor, valid: Tensor | None) -> Tensor:
    """Multi-head attention: queries [B, N, D], keys and values from context [B, T, D]; [B, N, D]."""
    queries = split_heads(block.query(x), block.heads)
    keys, values = (split_heads(both, block.heads) for both in block.key_value(context).chunk(2, dim=-1))
    scores = torch.einsum("bhnd,bhtd->bhnt", queries, keys) * queries.shape[-1] ** -0.5
    if valid is not None:
        scores = scores.masked_fill(~valid[:, None, None, :], -torch.finfo(scores.dtype).max)
    read = torch.einsum("bhnt,bhtd->bhnd", scores.softmax(dim=-1), values)
    return cast(Tensor, block.out(read.transpose(1, 2).flatten(2)))


def split_heads(rows: Tensor, heads: int) -> Tensor:
    """[B, N, H d_h] to [B, H, N, d_h]."""
    return rows.view(*rows.shape[:2], heads, -1).transpose(1, 2)


def feed_forward(block: FeedForward, x: Tensor) -> Tensor:
    """Pre-norm GEGLU, [B, N, D] to [B, N, D]."""
    value, gate = block.expand(block.norm(x)).chunk(2, dim=-1)
    return block.contract(value * F.gelu(gate))


@dataclass(frozen=True)
class Pair:
    """Student and frozen teacher with what the losses need to know.

    Attributes:
        settings: the student section.
        attend_padding: see ``forward``.
    """

    student: Network
    teacher: Network
    settings: Student
    task: Task
    attend_padding: bool = False


def losses(
    pair: Pair, batch: Padded, masks: Tensor, combinations: Tensor, psi: Tensor, banks: Banks
) -> tuple[dict[str, Tensor], Banks]:
    """Terms of CMAD's total loss (spec section 4), and the banks with this batch added.

    Args:
        masks: bool [B, 3].
        combinations: int64 [B], indices into COMBINATIONS.
        psi: [7], weights of the combinations (Eq. 10).
    """
    task, settings, complete = pair.task, pair.settings, batch.complete
    with torch.no_grad():
        teacher = forward(pair.teacher, batch, torch.ones_like(masks), pair.attend_padding)
        difficulty = task_loss(task, teacher.outputs, batch.labels)
    student = forward(pair.student, batch, masks, pair.attend_padding)
    loss = task_loss(task, student.outputs, batch.labels)
    auxiliary = auxiliary_loss(
        task,
        student.outputs,
        teacher.outputs,
        batch.labels,
        settings.alpha,
        settings.temperature,
        settings.phi,
    )
    weights, learns = per_record(task, psi[combinations]), per_record(task, complete)
    cafd = consistency_loss(
        settings.consistency, student.representation[complete], teacher.representation[complete], settings.tau
    )
    terms = {
        "task": settings.task_weight * (weights * loss).mean(),
        "cafd": settings.sigma * cafd,
        "auxiliary": settings.gamma * (weights * auxiliary)[learns].mean(),
    }
    return terms, banks.add(per_record(task, combinations)[learns], loss[learns], difficulty[learns])


def train_epoch(
    pair: Pair,
    padded: Padded,
    steps: Iterator[tuple[NDArray[np.int64], Tensor, Tensor]],
    optimiser: Adam,
) -> dict[str, float]:
    """One warm-up epoch (Psi = 1).

    Args:
        padded: the train split.
        steps: rows, masks and combinations of each batch.

    Returns:
        The mean of each term over the samples.
    """
    pair.student.train(not pair.settings.dropout_off)
    device = padded.labels.device
    banks, psi = Banks.empty(device), torch.ones(len(MASKS), device=device)
    sums: dict[str, float] = {}
    samples = 0
    for rows, masks, combinations in steps:
        terms, banks = losses(pair, padded.at(rows), masks, combinations, psi, banks)
        optimiser.forget_gradients()
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        if pair.settings.optimiser.clip is not None:
            torch.nn.utils.clip_grad_norm_(pair.student.parameters(), pair.settings.optimiser.clip)
        optimiser.step()
        samples += len(rows)
        for name, term in terms.items():
            sums[name] = sums.get(name, 0.0) + float(term.detach()) * len(rows)
    return {name: value / samples for name, value in sums.items()}


@torch.no_grad()
def evaluate(network: Network, padded: Padded, batch: int, attend_padding: bool = False) -> Tensor:
    """Outputs [7, n, K]: seven passes over the data, whatever samples natively have."""
    training = network.training
    network.eval()
    count = len(padded.labels)
    passes = []
    for mask in torch.from_numpy(MASKS).to(padded.labels.device):
        outputs = []
        for start in range(0, count, batch):
            rows = np.arange(start, min(start + batch, count))
            outputs.append(
                forward(network, padded.at(rows), mask.expand(len(rows), 3), attend_padding).outputs
            )
        passes.append(torch.cat(outputs))
    network.train(training)
    return torch.stack(passes)
