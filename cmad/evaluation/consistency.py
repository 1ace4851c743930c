"""How close a student's representations are to its teacher's (supplement, Tables 7 and 8)."""

import numpy as np
import torch
from numpy.typing import NDArray

from cmad.combinations import COMBINATIONS
from cmad.losses.cafd import consistency_metrics


def consistency_rows(
    student: NDArray[np.float32], teacher: NDArray[np.float32], batch: int, tau: float
) -> list[dict[str, str | float | int]]:
    """MSE and SIMS of E^s against E^t for each combination.

    SIMS compares the samples of a batch with each other, so batches are those of training:
    ``batch`` samples in the order given, the smaller last one kept. Batches count by their size.

    Args:
        student: E^s [7, C, D] of the C complete samples.
        teacher: E^t [C, D] on full input.

    Returns:
        Rows with combination, metric ("mse", "sims"), value, n.
    """
    rows: list[dict[str, str | float | int]] = []
    edges = range(0, len(teacher), batch)
    sizes = [min(batch, len(teacher) - start) for start in edges]
    for j, combination in enumerate(COMBINATIONS):
        values = [
            consistency_metrics(
                torch.from_numpy(student[j, start : start + batch]).double(),
                torch.from_numpy(teacher[start : start + batch]).double(),
                tau,
            )
            for start in edges
        ]
        for k, metric in enumerate(("mse", "sims")):
            value = (
                float(np.average([float(v[k]) for v in values], weights=sizes)) if values else float("nan")
            )
            rows.append({"combination": combination, "metric": metric, "value": value, "n": len(teacher)})
    return rows
