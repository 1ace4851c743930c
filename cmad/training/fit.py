"""The one training loop, of the teacher and of every system."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from cmad.combinations import MASKS, combination_index, draw_combinations
from cmad.computing import processes
from cmad.computing.device import on_device
from cmad.computing.randomness import generator, torch_seeded
from cmad.config.schema import Optimiser
from cmad.errors import UserError
from cmad.methods.method import Method, Step
from cmad.store.batches import collate
from cmad.store.store import Split
from cmad.training.optimiser import Adam, create_optimiser, learning_rate
from cmad.training.scratch import Place
from cmad.training.teacher_cache import TeacherCache


@dataclass(frozen=True)
class Plan:
    """How long and how to train.

    Attributes:
        optimiser, batch, epochs: see ``cmad.config.schema``.
        dropout_off: keep the network in eval mode (B1).
        seed: of order, combinations and dropout.
        label: for the progress bar and for error messages.
    """

    optimiser: Optimiser
    batch: int
    epochs: int
    dropout_off: bool
    seed: int
    label: str


@dataclass(frozen=True)
class Fitted:
    """The result of a training.

    Attributes:
        state: weights of the selected epoch of ``method.network``.
        log: one mapping of columns per epoch.
    """

    state: Mapping[str, Tensor]
    log: list[dict[str, Any]]


# Judges the network on dev after an epoch: what to select by (higher is better), and columns for the
# log.
Judge = Callable[[int], tuple[float, Mapping[str, float]]]


def fit(
    method: Method,
    split: Split,
    rows: NDArray[np.int64],
    teacher: TeacherCache | None,
    judge: Judge,
    plan: Plan,
    device: torch.device,
    place: Place | None = None,
) -> Fitted:
    """Train a method and keep the epoch that ``judge`` likes best, the first of equals.

    All chance is seeded by the epoch (``cmad.computing.randomness``), so a training that goes on from a
    finished epoch ends with the bits of one that was never interrupted.

    Args:
        rows: samples of ``split`` to train on.
        place: where to keep finished epochs and the result, and to go on from.

    Raises:
        UserError: the training diverged, or dev has nothing to choose an epoch by.
    """
    assert method.trained is not None
    if place is not None and (done := place.done()):
        return Fitted(_on(done["state"], device), done["log"])
    optimiser = create_optimiser(method.trained, plan.optimiser)
    best, state = -math.inf, {name: value.clone() for name, value in method.network.state_dict().items()}
    log: list[dict[str, Any]] = []
    if place is not None and (before := place.epoch()):
        method.trained.load_state_dict(before["trained"])
        optimiser.load_state_dict(before["optimiser"])
        method.memory.update(_on(before["memory"], device))
        best, log = before["best"], before["log"]
        _copy(before["state"], state)
    epochs = range(len(log), plan.epochs)
    quiet = True if processes.rank() else None
    bar = tqdm(epochs, plan.label, plan.epochs, initial=len(log), unit="epoch", disable=quiet)
    for epoch in bar:
        if plan.optimiser.renew_each_epoch:
            optimiser = create_optimiser(method.trained, plan.optimiser)
        rate = learning_rate(plan.optimiser, epoch)
        optimiser.rate = rate
        method.trained.train(not plan.dropout_off)
        method.begin_epoch(epoch)
        with torch_seeded(plan.seed, "dropout", epoch):
            sums: dict[str, Tensor] = {}
            for step in _steps(method, split, rows, teacher, plan, epoch, device):
                terms = method.losses(step)
                _update(torch.stack(list(terms.values())).sum(), method.trained, optimiser, plan)
                for name, term in terms.items():
                    sums[name] = sums.get(name, term.new_zeros(())) + term.detach() * step.batch.size
        columns = {f"loss_{name}": float(value) / len(rows) for name, value in sums.items()}
        columns = {"loss": sum(columns.values())} | columns | dict(method.end_epoch())
        if not (np.isfinite(columns["loss"]) and _all_finite(method.trained)):
            raise UserError(
                f"{plan.label}: the training diverged in epoch {epoch}; "
                "lower optimiser.learning_rate or set optimiser.clip"
            )
        score, judged = judge(epoch)
        if not np.isfinite(score):
            raise UserError(
                f"{plan.label}: dev gives no score to choose an epoch by; "
                "give dev samples with labels other than 0, or change select"
            )
        if score > best:
            best = float(score)
            _copy(method.network.state_dict(), state)
        # Plain numbers: what is kept is read back by a loader that knows no others.
        row = {"learning_rate": rate} | columns | dict(judged)
        log.append({"epoch": epoch} | {name: float(value) for name, value in row.items()})
        if place is not None:
            place.save_epoch(
                {
                    "trained": method.trained.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "memory": dict(method.memory),
                    "best": best,
                    "state": state,
                    "log": log,
                }
            )
    if place is not None:
        place.save_done({"state": state, "log": log})
    return Fitted(state, log)


def _steps(
    method: Method,
    split: Split,
    rows: NDArray[np.int64],
    teacher: TeacherCache | None,
    plan: Plan,
    epoch: int,
    device: torch.device,
) -> Iterator[Step]:
    order = rows[generator(plan.seed, "order", epoch).permutation(len(rows))]
    masks = split.has[order]
    if method.sampler is not None:
        drawn = draw_combinations(masks, method.sampler, generator(plan.seed, "combinations", epoch))
        masks = MASKS[drawn]
    wanted = method.wanted(split.has[order], masks)
    combinations = on_device(combination_index(masks), device)
    for start in range(0, len(order), plan.batch):
        chosen = slice(start, start + plan.batch)
        complete = split.complete[order[chosen]]
        taught = on_device(order[chosen][complete], device)
        yield Step(
            batch=collate(split, order[chosen], wanted[chosen], device),
            masks=on_device(masks[chosen], device),
            combinations=combinations[chosen],
            complete=on_device(complete, device),
            teacher=None if teacher is None else teacher.at(taught),
        )


def _update(loss: Tensor, trained: nn.Module, optimiser: Adam, plan: Plan) -> None:
    optimiser.forget_gradients()
    processes.shared_loss(loss).backward()  # type: ignore[no-untyped-call]
    processes.add_gradients(trained.parameters())
    optimiser.step(plan.optimiser.clip)


def _copy(weights: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    # In place: two copies of a large network at a time are one too many.
    for name, value in weights.items():
        target[name].copy_(value)


def _on(weights: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: value.to(device) for name, value in weights.items()}


def _all_finite(module: nn.Module) -> bool:
    # By the root of their squares, which a CPU sums ten times as fast as it finds the largest. It is infinite
    # for weights of 10^19, too, which are as lost.
    return bool(nn.utils.get_total_norm(weight.detach() for weight in module.parameters()).isfinite())
