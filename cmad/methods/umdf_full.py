"""UMDF with its attention modules MCIM and DFIM between Conv1d and Perceiver (AAAI 2024).

Training and losses are ``cmad.methods.self_distillation``'s, the modules those of
``cmad.methods.networks.cross_modal``. Known of the modules is what the abstract and the figure name;
how they are put together is a reconstruction (baselines spec section 3).
"""

from typing import cast

from cmad.methods.method import Context
from cmad.methods.networks.cross_modal import CrossModalNetwork
from cmad.methods.self_distillation import SelfDistillation
from cmad.network.network import Network


def create(context: Context) -> SelfDistillation:
    """See ``cmad.methods.method``.

    Raises:
        UserError: no number of heads divides the network's width, or an option that is not allowed.
    """
    network = CrossModalNetwork(context.network, context.lengths).to(context.device)
    # Not a Network by class, but used as one: encode, fuse, classifier.
    return SelfDistillation(cast(Network, network), context)
