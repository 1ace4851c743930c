"""How an epoch is judged on dev, of teacher and student. Test is never seen here."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from cmad.combinations import COMBINATIONS, FULL, contained
from cmad.losses.task import task_loss
from cmad.network.network import Network
from cmad.network.predictions import predict_combinations
from cmad.scores.metrics import scores
from cmad.store.store import Split
from cmad.task import Task
from cmad.training.fit import Judge


def full_input_loss(task: Task, outputs: NDArray[np.float32], split: Split) -> tuple[float, float]:
    """Mean task loss and mean squared error on the complete samples.

    Args:
        outputs: [n, K] on full input, NaN where a sample is incomplete.

    Returns:
        The loss; and for regression the squared error, for other tasks the loss again.
    """
    rows = split.complete
    given, labels = torch.from_numpy(outputs[rows]), torch.from_numpy(split.labels[rows])
    loss = float(task_loss(task, given, labels).mean())
    squared = float((given[:, 0] - labels).square().mean()) if task.kind == "regression" else loss
    return loss, squared


def teacher_judge(
    network: Network,
    split: Split,
    task: Task,
    select: Literal["dev_loss", "dev_mse", "last"],
    batch: int,
    device: torch.device,
) -> Judge:
    """Judge by full input: lowest dev loss, lowest dev squared error (B4), or simply last (B3)."""

    def judge(epoch: int) -> tuple[float, Mapping[str, float]]:
        outputs = predict_combinations(network, split, batch, device, (FULL,)).outputs[FULL]
        loss, squared = full_input_loss(task, outputs, split)
        rows = split.complete
        f1 = scores(task, outputs[rows], split.labels[rows])["f1"]
        score = {"dev_loss": -loss, "dev_mse": -squared, "last": float(epoch)}[select]
        return score, {"dev_loss": loss, "dev_f1_LAV": f1}

    return judge


def student_judge(
    network: Network,
    split: Split,
    task: Task,
    chosen: Sequence[int],
    seen: Sequence[int],
    batch: int,
    device: torch.device,
) -> Judge:
    """Judge by dev F1, averaged over the combinations ``chosen`` of those ``seen``.

    Each combination counts by the number of dev samples that have it, so that one that hardly any
    sample has does not choose the epoch.
    """
    possible = contained(split.has)
    counts = possible.sum(0)

    def average(f1: Mapping[int, float], of: Sequence[int]) -> float:
        known = [j for j in of if j in f1 and not np.isnan(f1[j])]
        return float(np.average([f1[j] for j in known], weights=counts[known])) if known else float("nan")

    def judge(epoch: int) -> tuple[float, Mapping[str, float]]:
        del epoch
        outputs = predict_combinations(network, split, batch, device, seen).outputs
        f1 = {
            j: scores(task, outputs[j, rows], split.labels[rows])["f1"]
            for j, rows in enumerate(possible.T)
            if j in seen and rows.any()
        }
        columns = {f"dev_f1_{COMBINATIONS[j]}": value for j, value in f1.items()}
        return average(f1, chosen), {"dev_f1": average(f1, seen)} | columns

    return judge
