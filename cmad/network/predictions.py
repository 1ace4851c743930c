"""Running a network over a split: all seven combinations from one encoding, and dropped frames."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmad.combinations import COMBINATIONS, MASKS, contained
from cmad.errors import UserError
from cmad.network.network import Network
from cmad.store.batches import collate
from cmad.store.store import Split


@dataclass(frozen=True)
class Predictions:
    """What a network says of each sample of a split under each combination.

    Rows are NaN where a sample natively lacks a modality of the combination, or it was not asked for.

    Attributes:
        representation: E, float32 [7, n, D].
        outputs: z, float32 [7, n, K].
    """

    representation: NDArray[np.float32]
    outputs: NDArray[np.float32]


def _chunks(count: int, size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))


def _finite(outputs: Tensor) -> NDArray[np.float32]:
    """Outputs of a batch as they are.

    Raises:
        UserError: one of them is not finite.
    """
    if not outputs.isfinite().all():
        raise UserError(
            "the network's outputs are not finite, its weights having grown too large; "
            "lower optimiser.learning_rate or set optimiser.clip"
        )
    return outputs.cpu().numpy()


@torch.no_grad()
def predict_combinations(
    network: Network,
    split: Split,
    batch: int,
    device: torch.device,
    combinations: Sequence[int] = range(len(COMBINATIONS)),
) -> Predictions:
    """Evaluate combinations, all seven unless told; each (sample, modality) pair is encoded once.

    Leaves the network in the mode (train or eval) in which it came.

    Raises:
        UserError: an output is not finite.
    """
    training = network.training
    network.eval()
    representation = np.full((7, len(split), network.classifier.in_features), np.nan, np.float32)
    outputs = np.full((7, len(split), network.classifier.out_features), np.nan, np.float32)
    for rows in _chunks(len(split), batch):
        encoded = network.encode(collate(split, rows, split.has[rows], device))
        possible = contained(split.has[rows])
        for j in combinations:
            if not possible[:, j].any():
                continue
            mask = torch.from_numpy(MASKS[j]).to(device).expand(len(rows), 3)
            output = network.fuse(encoded, mask)
            chosen = rows[possible[:, j]]
            representation[j, chosen] = output.representation.cpu().numpy()[possible[:, j]]
            outputs[j, chosen] = _finite(output.outputs)[possible[:, j]]
    network.train(training)
    return Predictions(representation, outputs)


@torch.no_grad()
def predict_dropped(
    network: Network,
    split: Split,
    ratio: float,
    numbers: Mapping[str, NDArray[np.float64]],
    batch: int,
    device: torch.device,
) -> NDArray[np.float32]:
    """Outputs [n, K] with a share ``ratio`` of each modality's frames dropped (D17).

    Samples see what they natively have, less the dropped frames. Leaves the network's mode alone.

    Args:
        numbers: by modality, ``cmad.store.batches.frame_numbers`` of the split.

    Raises:
        UserError: an output is not finite.
    """
    training = network.training
    network.eval()
    kept = {modality: of_frames >= ratio for modality, of_frames in numbers.items()}
    outputs = np.empty((len(split), network.classifier.out_features), np.float32)
    full = torch.ones(1, 3, dtype=torch.bool, device=device)
    for rows in _chunks(len(split), batch):
        encoded = network.encode(collate(split, rows, split.has[rows], device, kept))
        outputs[rows] = _finite(network.fuse(encoded, full.expand(len(rows), 3)).outputs)
    network.train(training)
    return outputs
