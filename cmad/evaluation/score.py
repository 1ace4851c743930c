"""Scores of one network's predictions as tidy rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmad.combinations import COMBINATIONS, contained
from cmad.scores.metrics import PRIMARY, scored, scores
from cmad.store.store import Split
from cmad.task import Task


def combination_scores(task: Task, outputs: NDArray[np.floating[Any]], split: Split) -> list[dict[str, Any]]:
    """Every metric of every combination, on the samples that have it.

    Args:
        outputs: [7, n, K].

    Returns:
        Rows with combination, metric, value, n. n counts the samples behind the metric; a
        combination that no sample has gives no rows.
    """
    rows = []
    for j, have in enumerate(contained(split.has).T):
        if have.any():
            found = score_rows(task, outputs[j, have], split.labels[have])
            rows += [{"combination": COMBINATIONS[j]} | row for row in found]
    return rows


def score_rows(task: Task, outputs: NDArray[Any], labels: NDArray[Any]) -> list[dict[str, Any]]:
    """Every metric of these samples: rows with metric, value, n.

    Args:
        outputs: [n, K].
        labels: see ``cmad.task``.
    """
    counted = scored(task, labels)
    return [
        {
            "metric": metric,
            "value": value,
            "n": counted if metric.split("_")[0] in PRIMARY else len(labels),
        }
        for metric, value in scores(task, outputs, labels).items()
    ]
