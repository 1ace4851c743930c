"""The best that can be done without looking at the input: the reference row of every table."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmad.task import Task


def constant_outputs(task: Task, train_labels: NDArray[Any]) -> NDArray[np.float64]:
    """Outputs of the constant predictor fitted on train (spec section 9, "Sanity anchor").

    A regression has two optima, the median for the mean absolute error and the majority sign of
    the labels other than 0 for accuracy. The one constant returned is the median; only where that
    is 0 (which counts as negative) against a positive majority, it is the smallest positive label,
    the nearest number that train offers. A negative majority never has a positive median.

    Classes and binary labels get the log of their shares in train, so that the largest output is
    the majority class. A class that train lacks counts as half a sample, to stay finite.

    Args:
        train_labels: [n] or, for "binary", [n, J]; n > 0.

    Returns:
        [K].
    """
    if task.kind == "regression":
        return np.array([_constant_score(train_labels.astype(np.float64))])
    if task.kind == "classes":
        return _log_shares(train_labels, task.classes)
    return np.concatenate([_log_shares(column, task.classes) for column in train_labels.T])


def _constant_score(labels: NDArray[np.float64]) -> float:
    median = float(np.median(labels))
    if median == 0 and (labels > 0).sum() > (labels < 0).sum():
        return float(labels[labels > 0].min())
    return median


def _log_shares(labels: NDArray[Any], classes: int) -> NDArray[np.float64]:
    counts = np.bincount(labels.astype(np.int64), minlength=classes)
    return np.log(np.maximum(counts, 0.5) / len(labels))
