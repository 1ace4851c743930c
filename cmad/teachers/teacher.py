"""Training the teacher on full input."""

import numpy as np
import torch

from cmad.computing.randomness import torch_seeded
from cmad.config.schema import Network as Settings
from cmad.config.schema import Teacher
from cmad.errors import UserError
from cmad.methods.task_only import TaskOnly
from cmad.store.store import Store
from cmad.training.checkpoint import build_network
from cmad.training.fit import Fitted, Plan, fit
from cmad.training.judge import teacher_judge
from cmad.training.scratch import Place


def train_teacher(
    store: Store,
    network: Settings,
    teacher: Teacher,
    seed: int,
    label: str,
    device: torch.device,
    place: Place | None = None,
) -> Fitted:
    """Train one teacher; the epoch kept is chosen on dev.

    Args:
        place: see ``cmad.training.fit.fit``.

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
        model = build_network(network, store, teacher.micro_batch).to(device)
    rows = np.arange(len(train)) if teacher.use_incomplete else np.flatnonzero(train.complete)
    judge = teacher_judge(model, dev, store.task, teacher.select, teacher.batch, device)
    plan = Plan(teacher.optimiser, teacher.batch, teacher.epochs, False, seed, label)
    return fit(TaskOnly(model, store.task, None), train, rows, None, judge, plan, device, place)
