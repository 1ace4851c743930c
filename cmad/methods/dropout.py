"""The plain student: modality dropout and the task loss, no teacher."""

from collections.abc import Mapping

from torch import Tensor

from cmad.combinations import SAMPLERS
from cmad.losses.task import task_loss
from cmad.methods.method import Context, Step


class Dropout:
    """L = mean_i L_TASK,i over all samples (Eq. 11)."""

    def __init__(self, context: Context) -> None:
        self.network = self.trained = context.network
        self.sampler = SAMPLERS[context.settings.sampler]
        self._task = context.task

    def begin_epoch(self, epoch: int) -> None:
        """Every epoch is the same."""

    def losses(self, step: Step) -> Mapping[str, Tensor]:
        """The task loss."""
        output = self.network.fuse(self.network.encode(step.batch), step.masks)
        return {"task": task_loss(self._task, output.outputs, step.batch.labels).mean()}

    def end_epoch(self) -> Mapping[str, float]:
        """Nothing to log."""
        return {}


def create(context: Context) -> Dropout:
    """See ``cmad.methods.method``."""
    return Dropout(context)
