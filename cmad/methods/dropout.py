"""The plain student: combinations drawn as for CMAD, the task loss, no teacher."""

from cmad.combinations import SAMPLERS
from cmad.methods.method import Context
from cmad.methods.task_only import TaskOnly


def create(context: Context) -> TaskOnly:
    """See ``cmad.methods.method``."""
    return TaskOnly(context.network, context.task, SAMPLERS[context.settings.sampler])
