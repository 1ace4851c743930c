"""The frozen teacher's outputs on train: computed once, kept as an artifact, cut into batches."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cmad.combinations import FULL
from cmad.errors import UserError
from cmad.files import whole_file
from cmad.losses.task import task_loss
from cmad.methods.method import TeacherRows
from cmad.network.network import Network
from cmad.network.predictions import predict_combinations
from cmad.store.store import Split
from cmad.task import Task


@dataclass(frozen=True)
class TeacherCache:
    """The teacher's outputs on every sample of the train split, NaN where one is incomplete.

    Attributes:
        representation: E^t [n, D].
        outputs: z^t [n, K].
        loss: D^{t,g} [n, records] (Eq. 6).
    """

    representation: Tensor
    outputs: Tensor
    loss: Tensor

    def at(self, rows: Tensor) -> TeacherRows:
        """The rows of some complete samples."""
        return TeacherRows(self.representation[rows], self.outputs[rows], self.loss[rows].flatten())


def cache_name(seed: int) -> str:
    """File of a seed's teacher outputs."""
    return f"train-{seed}.npz"


def teacher_cache(
    network: Network, split: Split, task: Task, batch: int, device: torch.device
) -> TeacherCache:
    """Run the frozen teacher over a split once, on full input; its outputs come to the device."""
    predictions = predict_combinations(network, split, batch, device, (FULL,))
    # Copies, so that the empty rows of the other six combinations are not kept alive.
    outputs = torch.from_numpy(predictions.outputs[FULL].copy())
    loss = torch.full((len(split), task.records), torch.nan)
    rows = torch.from_numpy(split.complete)
    labels = torch.from_numpy(split.labels)
    loss[rows] = task_loss(task, outputs[rows], labels[rows]).reshape(-1, task.records)
    representation = torch.from_numpy(predictions.representation[FULL].copy())
    return TeacherCache(*(each.to(device) for each in (representation, outputs, loss)))


def save_cache(path: Path, cache: TeacherCache) -> None:
    """Write a cache as ``.npz``."""
    with whole_file(path) as aside:
        np.savez(aside, **{name: value.cpu().numpy() for name, value in vars(cache).items()})


def load_cache(path: Path, device: torch.device) -> TeacherCache:
    """Read a cache.

    Raises:
        UserError: missing or unreadable.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            parts: dict[str, Any] = {n: torch.from_numpy(arrays[n]).to(device) for n in arrays.files}
        return TeacherCache(**parts)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        raise UserError(f"{path}: not readable teacher outputs; run the teacher stage again") from None
