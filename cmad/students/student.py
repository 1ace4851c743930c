"""Training one system from a teacher."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from cmad.combinations import COMBINATIONS, FULL, contained
from cmad.computing.randomness import torch_seeded
from cmad.config.schema import Network as Settings
from cmad.config.schema import Student
from cmad.errors import UserError
from cmad.methods.method import Context, Method, creator
from cmad.network.network import Network
from cmad.store.store import Store
from cmad.training.checkpoint import build_network
from cmad.training.fit import Fitted, Plan, fit
from cmad.training.judge import student_judge
from cmad.training.scratch import Place
from cmad.training.teacher_cache import TeacherCache


def create_method(
    name: str,
    store: Store,
    network: Settings,
    student: Student,
    options: Mapping[str, Any],
    teacher: Network,
    combination: int | None,
    seed: int,
    device: torch.device,
) -> Method:
    """A system with its initial weights, which depend on the seed alone, so that systems start alike."""
    with torch_seeded(seed, "student weights"):
        model = build_network(network, store, student.micro_batch).to(device)
        context = Context(
            network=model,
            teacher=teacher,
            settings=student,
            options=options,
            task=store.task,
            widths=store.widths,
            lengths=store.manifest["max_frames"],
            dev=store.splits["dev"],
            combination=combination,
            device=device,
        )
        return creator(name)(context)


def train_student(
    method: Method,
    store: Store,
    student: Student,
    cache: TeacherCache,
    combination: int | None,
    seed: int,
    label: str,
    device: torch.device,
    place: Place | None = None,
) -> Fitted:
    """Train one student of one seed; the epoch kept is chosen on dev.

    Args:
        combination: index of the one combination to train, select and test on; None for all seven.
        place: see ``cmad.training.fit.fit``.

    Raises:
        UserError: the training diverged, or no sample has the combination.
    """
    if method.trained is None:
        return Fitted(method.network.state_dict(), [])
    train, dev = store.splits["train"], store.splits["dev"]
    seen = range(len(COMBINATIONS)) if combination is None else (combination,)
    chosen = (FULL,) if combination is None and student.select == "full" else seen
    rows = np.flatnonzero(contained(train.has)[:, seen].any(1))
    if not len(rows) or not contained(dev.has)[:, seen].any():
        raise UserError(
            f"{label}: no train or dev sample has {COMBINATIONS[seen[0]]}; "
            "take the system out of customised, or give such samples"
        )
    judge = student_judge(method.network, dev, store.task, chosen, seen, student.batch, device)
    plan = Plan(student.optimiser, student.batch, student.epochs, student.dropout_off, seed, label)
    return fit(method, train, rows, cache, judge, plan, device, place)
