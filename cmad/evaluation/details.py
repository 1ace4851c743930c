"""What the figures show beyond scores: pairs, projections, predictions against the truth."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cmad.combinations import COMBINATIONS, contained
from cmad.losses.cafd import similarities
from cmad.scores.metrics import confusion
from cmad.store.store import Split
from cmad.task import Task

# Of similarities in [-1, 1], and of confidences in [0, 1].
PAIR_BINS, CONFIDENCE_BINS = 40, 10
# Samples drawn as points: more would only hide each other.
PROJECTED, SCATTERED = 100, 300


def pair_rows(student: NDArray[np.float32], teacher: NDArray[np.float32], batch: int) -> list[dict[str, Any]]:
    """Histograms of cosine(E^s_i, E^t_k) over all combinations: pairs i = k are positive, others negative.

    As in training, pairs are those within a batch (supplement, Figure 8).

    Args:
        student: E^s [7, C, D] of the C complete samples.
        teacher: E^t [C, D] on full input.
        batch: its size.

    Returns:
        Rows with pair ("positive", "negative"), low (lower edge of the bin), share, n (all pairs); none
        for C = 0.
    """
    edges = np.linspace(-1, 1, PAIR_BINS + 1)
    counts = {"positive": np.zeros(PAIR_BINS, np.int64), "negative": np.zeros(PAIR_BINS, np.int64)}
    for start in range(0, len(teacher), batch):
        taught = torch.from_numpy(teacher[start : start + batch])
        same = np.eye(len(taught), dtype=bool)
        for of_combination in student[:, start : start + batch]:
            # Rounding may lead just beyond 1.
            found = similarities(torch.from_numpy(of_combination), taught).numpy().clip(-1, 1)
            counts["positive"] += np.histogram(found[same], edges)[0]
            counts["negative"] += np.histogram(found[~same], edges)[0]
    return [
        {"pair": pair, "low": round(float(low), 6), "share": count / max(total, 1), "n": int(total)}
        for pair, found, total in ((p, c, c.sum()) for p, c in counts.items())
        for low, count in zip(edges, found.tolist(), strict=False)
        if len(teacher)
    ]


def projection_rows(student: NDArray[np.float32]) -> list[dict[str, Any]]:
    """E^s on its first two principal axes, fitted over all combinations of the first samples.

    Args:
        student: [7, C, D].

    Returns:
        Rows with combination, sample, x, y, x_share, y_share (of the variance); none for C = 0.
    """
    taken = student[:, :PROJECTED].astype(np.float64)
    if taken.shape[1] == 0:
        return []
    # Of a width of 1, the second axis is empty.
    taken = np.pad(taken, ((0, 0), (0, 0), (0, max(0, 2 - taken.shape[2]))))
    points = taken.reshape(-1, taken.shape[2])
    points = points - points.mean(axis=0)
    _, lengths, axes = np.linalg.svd(points, full_matrices=False)
    # An axis has no direction of its own: its largest entry is made positive.
    signs = np.sign(axes[np.arange(2), np.abs(axes[:2]).argmax(axis=1)])
    found = (points @ (axes[:2] * signs[:, None]).T).reshape(len(COMBINATIONS), -1, 2)
    x_share, y_share = (lengths[:2] ** 2 / max(float((lengths**2).sum()), 1e-30)).tolist()
    return [
        {"combination": c, "sample": i, "x": x, "y": y, "x_share": x_share, "y_share": y_share}
        for c, of_combination in zip(COMBINATIONS, found, strict=True)
        for i, (x, y) in enumerate(of_combination.tolist())
    ]


def scatter_rows(outputs: NDArray[np.float32], split: Split) -> list[dict[str, Any]]:
    """Score and label of the first samples that have each combination; of a regression.

    Args:
        outputs: [7, n, 1].

    Returns:
        Rows with combination, sample, truth, score.
    """
    return [
        {"combination": c, "sample": int(i), "truth": float(split.labels[i]), "score": float(found[i, 0])}
        for c, found, have in zip(COMBINATIONS, outputs, contained(split.has).T, strict=True)
        for i in np.flatnonzero(have)[:SCATTERED]
    ]


def reliability_rows(task: Task, outputs: NDArray[np.float32], split: Split) -> list[dict[str, Any]]:
    """How often the class with the largest probability is right, by that probability; not of a regression.

    Args:
        outputs: [7, n, K].

    Returns:
        Rows with combination, low (lower edge of the bin), confidence (mean), accuracy, n (records); the
        two are NaN in a bin without records. A combination that no sample has gives no rows.
    """
    rows = []
    for combination, found, have in zip(COMBINATIONS, outputs, contained(split.has).T, strict=True):
        if not have.any():
            continue
        logits = found[have].reshape(-1, task.classes).astype(np.float64)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        confidence = odds.max(axis=1) / odds.sum(axis=1)
        right = logits.argmax(axis=1) == split.labels[have].reshape(-1)
        places = np.minimum((confidence * CONFIDENCE_BINS).astype(int), CONFIDENCE_BINS - 1)
        for place in range(CONFIDENCE_BINS):
            here = places == place
            n = int(here.sum())
            means = (confidence[here].mean(), right[here].mean()) if n else (np.nan, np.nan)
            bin_ = {"low": place / CONFIDENCE_BINS, "confidence": means[0], "accuracy": means[1], "n": n}
            rows.append({"combination": combination} | bin_)
    return rows


def confusion_rows(task: Task, outputs: NDArray[np.float32], split: Split) -> list[dict[str, Any]]:
    """Counts of true and predicted classes; not of a regression.

    Args:
        outputs: [7, n, K].

    Returns:
        Rows with combination, label (of a binary task; "-" for classes), true, predicted, n. A combination
        that no sample has gives no rows.
    """
    labels, names = (task.names, ("no", "yes")) if task.kind == "binary" else (("-",), task.names)
    return [
        {"combination": combination, "label": label, "true": true, "predicted": predicted, "n": int(n)}
        for combination, found, have in zip(COMBINATIONS, outputs, contained(split.has).T, strict=True)
        if have.any()
        for label, counts in zip(labels, confusion(task, found[have], split.labels[have]), strict=True)
        for true, of_true in zip(names, counts, strict=True)
        for predicted, n in zip(names, of_true, strict=True)
    ]


def table(rows: Iterable[dict[str, Any]], columns: str) -> pd.DataFrame:
    """Rows as a table with these columns, even where there are none."""
    return pd.DataFrame(list(rows), columns=columns.split())
