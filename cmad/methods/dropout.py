"""The plain student: combinations drawn as for CMAD, the task loss, no teacher."""

from cmad.methods.method import Context, chances
from cmad.methods.task_only import TaskOnly


def create(context: Context) -> TaskOnly:
    """See ``cmad.methods.method``."""
    return TaskOnly(context.network, context.task, chances(context))
