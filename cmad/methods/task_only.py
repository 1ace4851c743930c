"""Training on the task loss alone: the plain student, and the teacher."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cmad.losses.task import task_loss
from cmad.methods.method import Step
from cmad.network.network import Network
from cmad.task import Task


class TaskOnly:
    """L = mean_i L_TASK,i over all samples (Eq. 11)."""

    def __init__(self, network: Network, task: Task, sampler: NDArray[np.float64] | None) -> None:
        self.network = self.trained = network
        self.sampler = sampler
        self.memory: dict[str, Tensor] = {}
        self._task = task

    def wanted(self, _has: NDArray[np.bool_], masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What is seen."""
        return masks

    def begin_epoch(self, epoch: int) -> None:
        """Every epoch is the same."""

    def losses(self, step: Step, /) -> Mapping[str, Tensor]:
        """The task loss."""
        output = self.network.fuse(self.network.encode(step.batch), step.masks)
        return {"task": task_loss(self._task, output.outputs, step.batch.labels).mean()}

    def end_epoch(self) -> Mapping[str, float]:
        """Nothing to log."""
        return {}
