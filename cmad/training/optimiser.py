"""AdamW and Adam with the authors' decay groups and step schedule (spec section 5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cmad.config.schema import Optimiser

_REMEMBERED = ("steps", "means", "squares")


@dataclass(frozen=True)
class Group:
    """Weights that decay alike.

    Attributes:
        weights: what is trained.
        decay: their weight decay.
        seen: float32 [number of weights], how many updates each has seen.
        steps: each of them by itself, float32 [], in the memory of ``seen``.
        means, squares: running means of its gradients and of their squares, in its shape.
    """

    weights: Sequence[nn.Parameter]
    decay: float
    seen: Tensor
    steps: Sequence[Tensor]
    means: Sequence[Tensor]
    squares: Sequence[Tensor]


class Adam:
    """``torch.optim.Adam`` or ``AdamW`` with ``fused=True``, to the bit.

    Not those classes themselves: the first that a process makes imports torch's compiler, which would take a
    second or more of every stage that trains, and with weights as small as these they take longer to sort
    them at each step than to update them.

    Attributes:
        groups: what is trained.
        rate: the learning rate, to be changed from epoch to epoch.
    """

    def __init__(self, groups: Sequence[Group], rate: float, decoupled: bool) -> None:
        self.groups = groups
        self.rate = rate
        self._decoupled = decoupled

    @torch.no_grad()
    def step(self, clip: float | None = None) -> None:
        """Update all weights that have a gradient.

        Args:
            clip: what the norm of all gradients is cut to, as by ``clip_grad_norm_``; None for no cut.
        """
        moved = [_with_gradient(group) for group in self.groups]
        divisor = None
        if clip is not None:
            # As ``torch.nn.utils.get_total_norm``, which sorts them by device at each call.
            norms = torch._foreach_norm([each for _, gradients in moved for each in gradients])
            norm = torch.linalg.vector_norm(torch.stack(norms))
            divisor = ((norm + 1e-6) / clip).clamp(min=1.0)
        update = torch._fused_adamw_ if self._decoupled else torch._fused_adam_
        for group, (which, gradients) in zip(self.groups, moved, strict=True):
            if not which:
                continue
            group.seen[which] += 1
            update(
                [group.weights[i] for i in which],
                gradients,
                [group.means[i] for i in which],
                [group.squares[i] for i in which],
                [],
                [group.steps[i] for i in which],
                # Divides the gradients in the same pass over them.
                grad_scale=divisor,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=self.rate,
                weight_decay=group.decay,
                eps=1e-8,
                maximize=False,
            )

    def forget_gradients(self) -> None:
        """Take the gradients off all weights."""
        for group in self.groups:
            for weight in group.weights:
                weight.grad = None

    def state_dict(self) -> list[dict[str, list[Tensor]]]:
        """All that it remembers, by reference: ``steps``, ``means`` and ``squares`` of each group."""
        return [{name: list(getattr(group, name)) for name in _REMEMBERED} for group in self.groups]

    def load_state_dict(self, state: Sequence[Mapping[str, Sequence[Tensor]]]) -> None:
        """Go on from what ``state_dict`` gave."""
        for group, kept in zip(self.groups, state, strict=True):
            for name in _REMEMBERED:
                for own, other in zip(getattr(group, name), kept[name], strict=True):
                    own.copy_(other)


def _with_gradient(group: Group) -> tuple[list[int], list[Tensor]]:
    """Places of the weights that have a gradient, and the gradients."""
    gradients = {i: weight.grad for i, weight in enumerate(group.weights) if weight.grad is not None}
    return list(gradients), list(gradients.values())


def create_optimiser(module: nn.Module, settings: Optimiser) -> Adam:
    """An optimiser over all trainable weights of a module.

    As in the authors' code, weights whose names contain "bias" or "LayerNorm.weight" are not
    decayed; of all norms only BERT's are named so, the others are decayed.
    """
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for name, weight in module.named_parameters():
        if weight.requires_grad:
            (spared if "bias" in name or "LayerNorm.weight" in name else decayed).append(weight)
    groups = [_group(decayed, settings.weight_decay), _group(spared, 0.0)]
    return Adam(groups, settings.learning_rate, decoupled=settings.name == "adamw")


def _group(weights: Sequence[nn.Parameter], decay: float) -> Group:
    def zeros() -> list[Tensor]:
        return [torch.zeros_like(weight, requires_grad=False) for weight in weights]

    seen = torch.zeros(len(weights), device=weights[0].device if weights else None)
    return Group(weights, decay, seen, seen.unbind(), zeros(), zeros())


def learning_rate(settings: Optimiser, epoch: int) -> float:
    """The rate of an epoch: a tenth after each milestone that it has reached."""
    return settings.learning_rate * 0.1 ** sum(epoch >= milestone for milestone in settings.milestones)
