"""UMDF on the unchanged shared network (AAAI 2024), a reconstruction; see ``self_distillation``."""

from cmad.methods.method import Context
from cmad.methods.self_distillation import SelfDistillation


def create(context: Context) -> SelfDistillation:
    """See ``cmad.methods.method``."""
    return SelfDistillation(context.network, context)
