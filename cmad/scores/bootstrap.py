"""How sure the difference between two systems is, over training seeds and test samples."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmad.scores.metrics import Floats, confusion, from_confusion
from cmad.task import Task

# What is compared.
COMPARED = ("accuracy", "f1", "f1_paper")

# Resample counts held at once (8 bytes each); bounds the memory whatever n is.
_HELD = 2**21

# Fewer seeds can never bring the corrected p of a sign-flip test below .05.
LEAST_SEEDS = 9

# 2^S sums are listed by `sign_flip_p`.
MOST_SEEDS = 24


class Interval(NamedTuple):
    """A difference and the bounds of its bootstrap interval, shares in [-1, 1]."""

    difference: float
    low: float
    high: float


def paired_difference(
    task: Task,
    a: NDArray[Any],
    b: NDArray[Any],
    labels: NDArray[Any],
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> dict[str, Interval]:
    """Difference a - b of the average over the seven combinations, with its percentile interval.

    Both the seeds and the test samples are drawn with replacement, crossed, the same draw for both
    systems, so that what the two have in common cancels. The interval covers both sources. With
    few seeds S it understates their part, by about (S - 1) / S in variance; where the systems'
    errors are independent from seed to seed it is wider than needed.

    Args:
        a, b: [S, 7, n, K], outputs for the same seeds and test samples, S and n above 0, NaN where
            a sample lacks the combination.
        labels: [n] or, for "binary", [n, J].
        resamples: number of bootstrap draws.
        confidence: of the two-sided interval, in (0, 1).
        rng: source of the draws; the same state gives the same interval.

    Returns:
        By name of ``COMPARED``. NaN where no sample can be scored. Resamples that hold no scored
        sample are left out.

    Raises:
        ValueError: shapes that do not fit, or NaN in other places in one system or seed than in
            another (a failed run is no missing modality).
    """
    if a.shape != b.shape:
        raise ValueError(f"outputs of the two systems differ in shape: {a.shape}, {b.shape}")
    both = np.stack([a, b])
    observed = averages(task, both, labels)
    drawn: dict[str, list[Floats]] = {name: [] for name in COMPARED}
    for seed_counts, sample_counts in draw_resamples(rng, resamples, len(a), len(labels)):
        for name, values in averages(task, both, labels, sample_counts).items():
            by_seed = values[:, 0] - values[:, 1]
            drawn[name].append((by_seed * seed_counts).sum(-1) / len(a))
    edges = [(1 - confidence) / 2, (1 + confidence) / 2]
    result = {}
    for name, (of_a, of_b) in observed.items():
        differences = np.concatenate(drawn[name])
        differences = differences[~np.isnan(differences)]
        low, high = np.quantile(differences, edges) if differences.size else (np.nan, np.nan)
        result[name] = Interval(float((of_a - of_b).mean()), float(low), float(high))
    return result


def averages(
    task: Task, outputs: NDArray[Any], labels: NDArray[Any], weights: NDArray[Any] | None = None
) -> dict[str, Floats]:
    """Average over the seven combinations, each scored on the samples that have it.

    A combination of which no sample is scored is left out of the average.

    Args:
        outputs: [..., 7, n, K], NaN where a sample lacks the combination, the same places
            throughout the leading dimensions.
        labels: [n] or, for "binary", [n, J].
        weights: [R, n], how often each of R resamples holds each sample; None for once each.

    Returns:
        By name of ``COMPARED``, [...], led by R where weights are given.

    Raises:
        ValueError: shapes that do not fit, NaN in other places in one system or seed than in another.
    """
    present = _present(outputs)
    columns: dict[str, list[Floats]] = {name: [] for name in COMPARED}
    for j, rows in enumerate(present):
        counts = confusion(
            task, outputs[..., j, rows, :], labels[rows], None if weights is None else weights[:, rows]
        )
        by_label = from_confusion(counts)
        for name in COMPARED:
            columns[name].append(by_label[name].mean(-1))
    return {name: _mean_of_known(np.stack(values, -1)) for name, values in columns.items()}


def draw_resamples(
    rng: np.random.Generator, resamples: int, seeds: int, samples: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Draw seeds and samples with replacement, some resamples at a time.

    Yields:
        How often each seed [R, seeds] and each sample [R, samples] is drawn. How many resamples
        come at once has no influence on what is drawn.
    """
    of_seeds = _count(rng.integers(0, seeds, (resamples, seeds)), seeds)
    step = max(1, _HELD // samples)
    for start in range(0, resamples, step):
        part = of_seeds[start : start + step]
        yield part, _count(rng.integers(0, samples, (len(part), samples)), samples)


def sign_flip_p(differences: NDArray[np.float64]) -> float:
    """Exact two-sided p of the sign-flip permutation test of mean 0.

    The share of all 2^S ways to flip signs whose sum is at least as far from 0. The least it can
    be is 2 / 2^S: below .05 from S = 6, and with Holm over eight systems from S = 9.

    Args:
        differences: [S], one per seed, S from 1 to 24.

    Returns:
        p in (0, 1], or NaN where a difference is NaN.

    Raises:
        ValueError: no seed, or so many that not all flips can be listed.
    """
    if not 1 <= len(differences) <= MOST_SEEDS:
        raise ValueError(f"sign flips need 1 to {MOST_SEEDS} seeds, not {len(differences)}")
    if np.isnan(differences).any():
        return float("nan")
    # Flipping all signs keeps the distance from 0, so the first sign may stay.
    sums = differences[:1].astype(np.float64)
    for difference in differences[1:]:
        sums = np.concatenate([sums + difference, sums - difference])
    # Sums that are equal in exact arithmetic may differ in the last bits.
    slack = 1e-12 * np.abs(differences).sum()
    return float((np.abs(sums) >= abs(sums[0]) - slack).mean())


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down adjustment of p values [m].

    Returns:
        [m] adjusted values, at most 1. A NaN (no test was made) stays NaN and does not count.
    """
    adjusted = np.full(len(p_values), np.nan)
    order = np.argsort(p_values)[: int((~np.isnan(p_values)).sum())]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors))
    return adjusted


def _present(outputs: NDArray[Any]) -> NDArray[np.bool_]:
    """[7, n], True where a sample has the combination."""
    if outputs.ndim < 3 or outputs.shape[-3] != 7:
        raise ValueError(f"outputs {outputs.shape} are not [..., 7, n, K]")
    missing = np.isnan(outputs).all(-1).reshape(-1, *outputs.shape[-3:-1])
    if (missing != missing[:1]).any() or (np.isnan(outputs).any(-1).reshape(missing.shape) != missing).any():
        raise ValueError("NaN stands in different places; only lacking combinations may be NaN")
    present: NDArray[np.bool_] = ~missing[0]
    return present


def _mean_of_known(values: Floats) -> Floats:
    """Mean over the last axis without NaN, NaN where all are."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(-1)
    mean: Floats = np.divide(total, known.sum(-1), out=np.full(total.shape, np.nan), where=known.any(-1))
    return mean


def _count(drawn: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Counts [R, size] of the numbers below `size` in each row of [R, draws]."""
    flat = (drawn + np.arange(len(drawn))[:, None] * size).ravel()
    return np.bincount(flat, minlength=len(drawn) * size).reshape(len(drawn), size)
