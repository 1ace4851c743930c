"""The three modalities and the seven combinations of them that a model may be given."""

import numpy as np
from numpy.typing import NDArray

MODALITIES = ("language", "audio", "vision")

# The order of every table (supplement, Table 6).
COMBINATIONS = ("L", "A", "V", "LA", "LV", "AV", "LAV")
FULL = COMBINATIONS.index("LAV")

# MASKS[j, m] is True where combination j contains modality m.
MASKS: NDArray[np.bool_] = np.array([[m[0].upper() in c for m in MODALITIES] for c in COMBINATIONS])

# Chances of the training sampler, in the order of COMBINATIONS (spec section 2).
SAMPLERS = {
    "authors": np.array([2, 3, 3, 1, 1, 3, 1]) / 14,
    "uniform": np.full(7, 1 / 7),
}

_CODES = np.array([1, 2, 4])
_INDEX_OF_CODE = np.full(8, -1)
_INDEX_OF_CODE[MASKS @ _CODES] = np.arange(7)


def combination_index(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Masks [..., 3] to indices into COMBINATIONS [...]; the empty mask gives -1."""
    index: NDArray[np.int64] = _INDEX_OF_CODE[masks.astype(np.int64) @ _CODES]
    return index


def contained(has: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which combinations can be formed from what each sample has: [n, 3] to [n, 7]."""
    return np.asarray((has[:, None] | ~MASKS).all(-1))


def draw_combinations(
    has: NDArray[np.bool_], chances: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw one combination per sample, among the subsets of what it has.

    Args:
        has: [n, 3], the modalities that each sample natively has; no row is empty.
        chances: [7], in the order of COMBINATIONS; renormalised over a sample's subsets.

    Returns:
        [n] indices into COMBINATIONS (spec section 2).
    """
    weights = contained(has) * chances
    edges = np.cumsum(weights / weights.sum(1, keepdims=True), axis=1)
    edges[:, -1] = 1.0
    drawn: NDArray[np.int64] = (rng.random((len(has), 1)) >= edges).sum(1)
    # A draw that rounds past the last possible combination falls back to it.
    last = 6 - np.argmax(weights[:, ::-1] > 0, axis=1)
    clipped: NDArray[np.int64] = np.minimum(drawn, last)
    return clipped
