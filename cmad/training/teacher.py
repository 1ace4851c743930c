"""Training the teacher on full input, and its outputs for the students."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cmad.combinations import FULL
from cmad.config.schema import Network as Settings
from cmad.config.schema import Teacher
from cmad.errors import UserError
from cmad.files import whole_file
from cmad.losses.task import task_loss
from cmad.methods.method import Step
from cmad.network.network import Network
from cmad.predictions import predict_combinations
from cmad.randomness import torch_seeded
from cmad.store.store import Split, Store
from cmad.task import Task
from cmad.training.checkpoint import build_network
from cmad.training.fit import Fitted, Plan, TeacherCache, fit
from cmad.training.judge import teacher_judge


class FullInput:
    """The teacher as a method: every sample shows all it has, the loss is the task's."""

    sampler = None

    def __init__(self, network: Network, task: Task) -> None:
        self.network = self.trained = network
        self._task = task

    def begin_epoch(self, epoch: int) -> None:
        """Every epoch is the same."""

    def losses(self, step: Step) -> Mapping[str, Tensor]:
        """The mean task loss (Eq. 11)."""
        output = self.network.fuse(self.network.encode(step.batch), step.masks)
        return {"task": task_loss(self._task, output.outputs, step.batch.labels).mean()}

    def end_epoch(self) -> Mapping[str, float]:
        """Nothing to log."""
        return {}


def train_teacher(
    store: Store, network: Settings, teacher: Teacher, seed: int, label: str, device: torch.device
) -> Fitted:
    """Train one teacher; the epoch kept is chosen on dev.

    Raises:
        UserError: no complete sample to learn from or to choose by.
    """
    train, dev = store.splits["train"], store.splits["dev"]
    for name, split in (("train", train), ("dev", dev)):
        if not split.complete.any():
            raise UserError(
                f"{label}: no sample of the {name} split has all three modalities, so there is no teacher; "
                f"add complete samples to {name}"
            )
    with torch_seeded(seed, "teacher weights"):
        model = build_network(network, store).to(device)
    rows = np.arange(len(train)) if teacher.use_incomplete else np.flatnonzero(train.complete)
    judge = teacher_judge(model, dev, store.task, teacher.select, teacher.batch, device)
    plan = Plan(teacher.optimiser, teacher.batch, teacher.epochs, False, seed, label)
    return fit(FullInput(model, store.task), train, rows, None, judge, plan, device)


def teacher_cache(
    network: Network, split: Split, task: Task, batch: int, device: torch.device
) -> TeacherCache:
    """Run the frozen teacher over a split once, on full input (spec section 8, speed note)."""
    predictions = predict_combinations(network, split, batch, device)
    outputs = torch.from_numpy(predictions.outputs[FULL])
    loss = torch.full((len(split), task.records), torch.nan)
    rows = torch.from_numpy(split.complete)
    labels = torch.from_numpy(split.labels)
    loss[rows] = task_loss(task, outputs[rows], labels[rows]).reshape(-1, task.records)
    return TeacherCache(torch.from_numpy(predictions.representation[FULL]), outputs, loss)


def save_cache(path: Path, cache: TeacherCache) -> None:
    """Write a cache as ``.npz``."""
    with whole_file(path) as aside:
        np.savez(aside, **{name: value.numpy() for name, value in vars(cache).items()})


def load_cache(path: Path, device: torch.device) -> TeacherCache:
    """Read a cache.

    Raises:
        UserError: missing or unreadable.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            parts: dict[str, Any] = {n: torch.from_numpy(arrays[n]).to(device) for n in arrays.files}
        return TeacherCache(**parts)
    except (OSError, ValueError, TypeError, EOFError):
        raise UserError(f"{path}: not readable teacher outputs; run the teacher stage again") from None
