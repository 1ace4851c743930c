"""Scores of predictions (spec section 6). Accuracy and every F1 come from confusion counts.

Counts take whole-number weights of the samples, so that one and the same code scores a test set
and thousands of resamples of it (``cmad.scores.bootstrap``).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmad.task import Kind, Task

Floats = NDArray[np.float64]

# What heads every table; of students f1, on dev, selects the epoch too.
PRIMARY = ("accuracy", "f1")

# The names that `scores` gives by task kind; True where higher is better. "binary" has accuracy
# and f1 of each label too, as accuracy_<name> and f1_<name>.
METRICS: Mapping[Kind, Mapping[str, bool]] = {
    "regression": {
        "accuracy": True,
        "f1": True,
        "f1_paper": True,
        "mae": False,
        "correlation": True,
        "acc7": True,
        "acc5": True,
    },
    "classes": {"accuracy": True, "f1": True, "f1_macro": True, "f1_paper": True},
    "binary": {"accuracy": True, "f1": True, "f1_paper": True},
}


def scores(task: Task, outputs: NDArray[Any], labels: NDArray[Any]) -> dict[str, float]:
    """Every metric of a task (spec section 6).

    Accuracy and F1s of "regression" are those of positive against negative, over the samples
    whose label is not 0; its other metrics are over all samples. Those of "binary" are arithmetic
    means over the labels.

    Args:
        outputs: [n, K], of samples that have the combination.
        labels: [n] or, for "binary", [n, J].

    Returns:
        The names of ``METRICS`` and their values: shares in [0, 1], but "correlation" in [-1, 1]
        and "mae" in units of the label. NaN where no sample is behind a score.

    Raises:
        ValueError: shapes that do not fit the task, NaN among the outputs.
    """
    by_label = from_confusion(confusion(task, outputs, labels))
    values = {name: float(by_label[name].mean()) for name in METRICS[task.kind] if name in by_label}
    if task.kind == "regression":
        values |= _regression_scores(outputs[:, 0].astype(np.float64), labels.astype(np.float64))
    if task.kind == "binary":
        values |= {f"{m}_{name}": float(by_label[m][j]) for m in PRIMARY for j, name in enumerate(task.names)}
    return values


def scored(task: Task, labels: NDArray[Any]) -> int:
    """How many of the samples are behind accuracy and F1: for regression those with label not 0."""
    return int(_counted(task, labels).sum())


def confusion(
    task: Task, outputs: NDArray[Any], labels: NDArray[Any], weights: NDArray[Any] | None = None
) -> Floats:
    """Count decisions by true and predicted class.

    A regression counts as two classes, value > 0 being the second; its label 0 is not counted.

    Args:
        outputs: [..., n, K].
        labels: [n] or, for "binary", [n, J].
        weights: [R, n], how often each of R resamples holds each sample; None for once each.

    Returns:
        [..., J, C, C], led by R where weights are given; rows are the truth. Whole numbers, exact.
        J is 1 except for "binary".

    Raises:
        ValueError: shapes that do not fit the task, NaN among the outputs.
    """
    _check(task, outputs, labels)
    classes = 2 if task.kind == "regression" else task.classes
    cells = _decisions(task, labels) * classes + _predictions(task, outputs)
    cells = np.where(_counted(task, labels)[:, None], cells, -1)
    # A one-hot cell per decision makes the counts of all resamples one matrix product.
    hot = np.moveaxis(cells, -2, 0)[..., None] == np.arange(classes**2)
    columns = hot.astype(np.float64).reshape(len(labels), math.prod(hot.shape[1:]))
    rows = np.ones((1, len(labels))) if weights is None else weights.astype(np.float64)
    counts: Floats = (rows @ columns).reshape(len(rows), *hot.shape[1:-1], classes, classes)
    return counts[0] if weights is None else counts


def from_confusion(counts: Floats) -> dict[str, Floats]:
    """Accuracy and F1s of confusion counts [..., C, C], rows the truth.

    "f1" weighs the F1 of each class by its true count. "f1_paper" weighs it by its predicted
    count, which is what the published numbers do (spec section 6). "f1_macro" is the plain mean
    over the classes that occur in truth or prediction. A class that is never hit has F1 0.

    Returns:
        By name, [...]; NaN where nothing was counted.
    """
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    true, predicted = counts.sum(-1), counts.sum(-2)
    total = true.sum(-1)
    f1 = _ratio(2 * hits, true + predicted, 0.0)
    return {
        "accuracy": _ratio(hits.sum(-1), total, np.nan),
        "f1": _ratio((true * f1).sum(-1), total, np.nan),
        "f1_macro": _ratio(f1.sum(-1), (true + predicted > 0).sum(-1), np.nan),
        "f1_paper": _ratio((predicted * f1).sum(-1), total, np.nan),
    }


def by_class(counts: Floats) -> dict[str, Floats]:
    """How well each class is told, of confusion counts [..., C, C], rows the truth.

    Returns:
        "precision" (0 for a class that is never predicted), "recall" (NaN for one that never occurs) and
        "f1" (0 for one that is never hit, NaN for one that neither occurs nor is predicted), [..., C].
    """
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    true, predicted = counts.sum(-1), counts.sum(-2)
    return {
        "precision": _ratio(hits, predicted, 0.0),
        "recall": _ratio(hits, true, np.nan),
        "f1": _ratio(2 * hits, true + predicted, np.nan),
    }


def _regression_scores(outputs: Floats, labels: Floats) -> dict[str, float]:
    """The metrics of [n] scores over all samples, label 0 included."""
    if len(labels) == 0:
        return dict.fromkeys(("mae", "correlation", "acc7", "acc5"), float("nan"))
    return {
        "mae": float(np.abs(outputs - labels).mean()),
        "correlation": _correlation(outputs, labels),
        "acc7": _rounded_accuracy(outputs, labels, 3),
        "acc5": _rounded_accuracy(outputs, labels, 2),
    }


def _rounded_accuracy(outputs: Floats, labels: Floats, limit: int) -> float:
    """Share of scores that agree after clipping to [-limit, limit] and rounding."""
    first, second = (np.round(np.clip(x, -limit, limit)) for x in (outputs, labels))
    return float((first == second).mean())


def _correlation(x: Floats, y: Floats) -> float:
    """Pearson correlation, 0 where it is undefined: a side that is constant or infinite."""
    if any(not np.isfinite(v).all() or v.min() == v.max() for v in (x, y)):
        return 0.0
    # Scaled by the largest deviation first, so that tiny deviations do not vanish when squared.
    x, y = (v / np.abs(v).max() for v in (x - x.mean(), y - y.mean()))
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1, 1))


def _counted(task: Task, labels: NDArray[Any]) -> NDArray[np.bool_]:
    """[n], the samples behind accuracy and F1."""
    return labels != 0 if task.kind == "regression" else np.ones(len(labels), np.bool_)


def _decisions(task: Task, labels: NDArray[Any]) -> NDArray[np.int64]:
    """Labels as true classes [n, J]."""
    if task.kind == "binary":
        return labels.astype(np.int64)
    return (labels > 0 if task.kind == "regression" else labels).astype(np.int64)[:, None]


def _predictions(task: Task, outputs: NDArray[Any]) -> NDArray[np.int64]:
    """Outputs [..., n, K] as predicted classes [..., n, J]."""
    if task.kind == "regression":
        return (outputs > 0).astype(np.int64)
    pairs = outputs.reshape(*outputs.shape[:-1], task.records, task.classes)
    predicted: NDArray[np.int64] = np.argmax(pairs, axis=-1)
    return predicted


def _check(task: Task, outputs: NDArray[Any], labels: NDArray[Any]) -> None:
    if outputs.shape[-2:] != (len(labels), task.outputs):
        raise ValueError(f"outputs {outputs.shape} do not end in [{len(labels)}, {task.outputs}]")
    shape = (len(labels), task.records) if task.kind == "binary" else (len(labels),)
    if labels.shape != shape:
        raise ValueError(f"labels {labels.shape} are not {shape}")
    # NaN would pass for "negative" or for class 0.
    if np.isnan(outputs).any():
        raise ValueError("NaN among the outputs; score only the samples that have the combination")


def _ratio(top: Floats, bottom: NDArray[Any], empty: float) -> Floats:
    """top / bottom, `empty` where bottom is 0."""
    result: Floats = np.divide(top, bottom, out=np.full(top.shape, empty), where=bottom > 0)
    return result
