"""TEA: the full-input teacher itself, evaluated on missing input (spec section 2)."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cmad.methods.method import Context, Step


class Tea:
    """Nothing is trained."""

    trained = None
    sampler = None

    def __init__(self, context: Context) -> None:
        self.network = context.teacher
        self.memory: dict[str, Tensor] = {}

    def wanted(self, _has: NDArray[np.bool_], masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What is seen."""
        return masks

    def begin_epoch(self, epoch: int) -> None:
        """Never called."""

    def losses(self, _step: Step) -> Mapping[str, Tensor]:
        """Never called."""
        return {}

    def end_epoch(self) -> Mapping[str, float]:
        """Never called."""
        return {}


def create(context: Context) -> Tea:
    """See ``cmad.methods.method``."""
    return Tea(context)
