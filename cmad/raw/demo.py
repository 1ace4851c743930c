"""The embedded demo sets: a linear-Gaussian model whose Bayes-optimal predictors are known.

    z ~ N(0, I),  x[m, t] = W_m z + noise ~ N(0, I)  for t = 1 .. T_m,  y = SCORE . z

with lengths T_m independent of z. Given the frames of the modalities in a combination c, z is
Gaussian with

    precision  P = I + sum over m in c of T_m W_m' W_m
    mean       P^-1 sum over m in c of W_m' sum over t of x[m, t]

so that each task's optimal outputs have a closed form (``ceiling``). Language sees the whole of z;
audio and vision see one direction of y each and a nuisance, so that they complement each other.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cmad.combinations import MASKS, MODALITIES, contained
from cmad.config.schema import Generator
from cmad.raw.raw_data import Ragged, RawData
from cmad.splits import SPLITS
from cmad.task import Kind

WIDTHS = {"language": 12, "audio": 8, "vision": 6}
# Shortest and longest stream, both drawn.
LENGTHS = {"language": (5, 20), "audio": (8, 20), "vision": (4, 16)}
# Rows: what a modality's leading feature directions measure of z, in units of the frame noise.
SEES = {
    "language": np.diag([0.65, 0.65, 1.2, 0.6]),
    "audio": np.array([[0.8, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.5]]),
    "vision": np.array([[0.0, 0.9, 0.0, 0.0], [0.0, 0.0, 0.0, 0.5]]),
}
# y has variance 1.5 squared, of which z1 (audio) gives 33 %, z2 (vision) 29 %, z3 38 %.
SCORE = 1.5 * np.sqrt([0.33, 0.29, 0.38, 0.0])
CLASSES = ("negative", "neutral", "positive")
# The classes are y below, between and above these.
THRESHOLDS = (-0.65, 0.65)
LABELS = ("happy", "sad", "angry", "neutral")
# Label j is 1 where row j . z > 0.
LABEL_WEIGHTS = np.array(
    [
        [0.6, 0.5, 0.6, 0.1],
        [-0.7, -0.4, 0.2, 0.3],
        [0.5, -0.6, -0.4, 0.3],
        [-0.4, 0.5, -0.5, -0.4],
    ]
)
_LATENTS = len(SCORE)


def loading(modality: str) -> NDArray[np.float64]:
    """W_m [width, 4]: what the modality sees of z, spread over all its features.

    The spreading columns are of the cosine transform: orthonormal, and written down without a
    factorisation whose signs depend on the machine.
    """
    sees, width = SEES[modality], WIDTHS[modality]
    angles = np.pi * np.outer(np.arange(width) + 0.5, np.arange(1, len(sees) + 1)) / width
    w: NDArray[np.float64] = math.sqrt(2 / width) * np.cos(angles) @ sees
    return w


def generate(params: Generator, kind: Kind) -> RawData:
    """Generate a demo set; the same seed gives every task kind the same frames and lengths.

    Args:
        params: seed, sizes and shares of samples that natively lack audio and vision.
        kind: "regression" scores y, "classes" cuts y at THRESHOLDS, "binary" signs of
            LABEL_WEIGHTS . z.

    Returns:
        The set with its ``ceiling`` [n, 7, K]: posterior mean, log probabilities of the classes,
        or pairs (log p(0), log p(1)) of each label; NaN where a sample lacks the combination.
    """
    splits = [name for name in SPLITS for _ in range(getattr(params, name))]
    n = len(splits)
    # One stream of random numbers per purpose: a knob of one leaves the others as they are.
    for_latents, for_missing, *for_frames = np.random.default_rng(params.seed).spawn(2 + len(MODALITIES))
    z = for_latents.standard_normal((n, _LATENTS))
    shares = np.array([0.0, params.missing_audio, params.missing_vision])
    has = for_missing.random((n, 3)) >= shares
    streams = {
        m: _frames(m, z, has[:, j], rng)
        for j, (m, rng) in enumerate(zip(MODALITIES, for_frames, strict=True))
    }
    labels, names = _labels(z, kind)
    mean, covariance = posterior(streams)
    outputs = ceiling(mean, covariance, kind)
    outputs[~contained(has)] = np.nan
    within = [i for name in SPLITS for i in range(getattr(params, name))]
    return RawData(
        ids=[f"{split}_{i:05d}" for split, i in zip(splits, within, strict=True)],
        splits=splits,
        groups=[f"{split}_group_{i // 10:04d}" for split, i in zip(splits, within, strict=True)],
        labels=labels,
        names=names,
        streams=streams,
        ceiling=outputs,
    )


def posterior(streams: Mapping[str, Ragged]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean [n, 7, 4] and covariance [n, 7, 4, 4] of z given each combination's frames."""
    n = len(streams["language"].lengths)
    precision = np.zeros((n, 3, _LATENTS, _LATENTS))
    evidence = np.zeros((n, 3, _LATENTS))
    for j, m in enumerate(MODALITIES):
        w, lengths = loading(m), streams[m].lengths
        sample = np.repeat(np.arange(n), lengths)
        precision[:, j] = lengths[:, None, None] * (w.T @ w)
        np.add.at(evidence[:, j], sample, streams[m].features.astype(np.float64) @ w)
    total = np.eye(_LATENTS) + np.einsum("cm,nmij->ncij", MASKS.astype(float), precision)
    covariance = np.linalg.inv(total)
    mean = np.einsum("ncij,cm,nmj->nci", covariance, MASKS.astype(float), evidence)
    return mean, covariance


def ceiling(mean: NDArray[np.float64], covariance: NDArray[np.float64], kind: Kind) -> NDArray[np.float64]:
    """Bayes-optimal outputs [n, 7, K] from the posterior of z.

    The mean of y is also its median and has its likelier sign: optimal for L1 and for accuracy.
    """
    if kind == "binary":
        centre = mean @ LABEL_WEIGHTS.T
        deviation = np.sqrt(np.einsum("ncij,ki,kj->nck", covariance, LABEL_WEIGHTS, LABEL_WEIGHTS))
        pairs = np.stack([_log(_below(-centre / deviation)), _log(_below(centre / deviation))], axis=-1)
        return pairs.reshape(*centre.shape[:2], 2 * len(LABELS))
    centre = mean @ SCORE
    if kind == "regression":
        return centre[..., None]
    deviation = np.sqrt(np.einsum("ncij,i,j->nc", covariance, SCORE, SCORE))
    low, high = ((edge - centre) / deviation for edge in THRESHOLDS)
    # Mirrored into the lower tail, where the difference of two small numbers stays exact.
    flip = low + high > 0
    low_, high_ = np.where(flip, -high, low), np.where(flip, -low, high)
    return np.stack([_log(p) for p in (_below(low), _below(high_) - _below(low_), _below(-high))], axis=-1)


def _frames(
    modality: str, z: NDArray[np.float64], has: NDArray[np.bool_], rng: np.random.Generator
) -> Ragged:
    """Draw every sample's frames, then leave out those of samples that lack the modality."""
    shortest, longest = LENGTHS[modality]
    drawn = rng.integers(shortest, longest + 1, len(z))
    sample = np.repeat(np.arange(len(z)), drawn)
    noise = rng.standard_normal((len(sample), WIDTHS[modality]))
    frames = (z @ loading(modality).T)[sample] + noise
    return Ragged(frames[has[sample]].astype(np.float32), np.where(has, drawn, 0).astype(np.int64))


def _labels(z: NDArray[np.float64], kind: Kind) -> tuple[NDArray[np.float64 | np.int64], tuple[str, ...]]:
    if kind == "regression":
        return z @ SCORE, ()
    if kind == "classes":
        return np.searchsorted(THRESHOLDS, z @ SCORE).astype(np.int64), CLASSES
    return (z @ LABEL_WEIGHTS.T > 0).astype(np.int64), LABELS


# The standard normal distribution function; erfc keeps its lower tail exact.
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def _below(x: NDArray[np.float64]) -> NDArray[np.float64]:
    p: NDArray[np.float64] = 0.5 * _erfc(-x / math.sqrt(2))
    return p


def _log(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of a probability, finite where it underflows (beyond 37 deviations)."""
    log_p: NDArray[np.float64] = np.log(np.maximum(p, 1e-300))
    return log_p
