"""How a cost grows with a size: the exponent of the power law that its measurements follow."""

from collections.abc import Sequence

import numpy as np

# Measurements scatter; an exponent no more than this above its bound is not called worse.
SLACK = 0.05


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Slope of log cost over log size, by least squares over the upper half of the sizes.

    Args:
        sizes: rising; the upper half is their second half, the one in the middle included, and no
            fewer than three.
        costs: positive.
    """
    first = min(len(sizes) // 2, max(len(sizes) - 3, 0))
    slope, _ = np.polyfit(np.log(sizes[first:]), np.log(costs[first:]), 1)
    return float(slope)


def verdict(found: float, bound: float) -> str:
    """Whether an exponent keeps to its bound, in words."""
    return f"**worse, {found - bound:+.2f}**" if found > bound + SLACK else "within"
