"""AdamW and Adam with the authors' decay groups and step schedule (spec section 5)."""

import torch
from torch import nn

from cmad.config.schema import Optimiser


def create_optimiser(module: nn.Module, settings: Optimiser) -> torch.optim.Optimizer:
    """An optimiser over all trainable weights of a module.

    As in the authors' code, weights whose names contain "bias" or "LayerNorm.weight" are not
    decayed; of all norms only BERT's are named so, the others are decayed.
    """
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for name, weight in module.named_parameters():
        if weight.requires_grad:
            (spared if "bias" in name or "LayerNorm.weight" in name else decayed).append(weight)
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    kind = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=settings.learning_rate, betas=(0.9, 0.999), eps=1e-8, fused=True)


def learning_rate(settings: Optimiser, epoch: int) -> float:
    """The rate of an epoch: a tenth after each milestone that it has reached."""
    return settings.learning_rate * 0.1 ** sum(epoch >= milestone for milestone in settings.milestones)
