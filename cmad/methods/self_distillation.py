"""What ``umdf`` and ``umdf_full`` share: one network teaches itself, both versions of a sample each other.

L = L_TASK(z^c) + L_TASK(z^m) + distillation L_kd + feature L_f (baselines spec section 3)

From the paper's abstract: one network for complete and missing input, and self-distillation in both
directions. Its equations, weights and code were not found: the losses here are a reconstruction, on
any network. No teacher is used. A sample's complete version is all that it natively has.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmad.config.schema import bounded, positive
from cmad.losses.cafd import feature_mse
from cmad.losses.task import records, task_loss
from cmad.methods.method import Context, Step, chances, read_options
from cmad.network.network import Network
from cmad.task import Task


@dataclass(frozen=True)
class Options:
    """Knobs of UMDF.

    While the network has learnt nothing yet, L_kd and L_f can drive E to 0; the ReLU in front of E then
    lets nothing back, and the prediction is a constant. Hence the ramp.

    Attributes:
        distillation: factor of L_kd.
        feature: factor of L_f.
        temperature: T of L_kd; regression has none.
        ramp: epochs over which both factors grow, linearly and from 0, to what they are; 0 for none.
    """

    distillation: float = bounded(0)
    feature: float = bounded(0)
    temperature: float = positive()
    ramp: int = bounded(0)


def mutual_distillation(task: Task, complete: Tensor, masked: Tensor, temperature: float) -> Tensor:
    """L_kd of each record: T^2 1/2 [KL(p^c||p^m) + KL(p^m||p^c)], or (y^c - y^m)^2 for regression.

    p = softmax(z / T). No stop-gradient: both versions move [reconstruction].

    Args:
        task: what is predicted.
        complete: z^c [B, K].
        masked: z^m [B, K].
        temperature: T.

    Returns:
        [R], not reduced; the same with the two swapped.
    """
    first, second = records(task, complete), records(task, masked)
    if task.kind == "regression":
        return (first - second).square()
    log_p, log_q = ((z / temperature).log_softmax(dim=1) for z in (first, second))
    # The two directions share their terms: p ln(p/q) + q ln(q/p) = (p - q)(ln p - ln q).
    return temperature**2 * 0.5 * ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=1)


class SelfDistillation:
    """Two passes with shared weights over a batch: all that the samples have, and what the masks leave."""

    def __init__(self, network: Network, context: Context) -> None:
        self.network = self.trained = network
        self.sampler = chances(context)
        self.memory: dict[str, Tensor] = {}
        self._task = context.task
        self._options = read_options(Options, context)
        self._active = torch.zeros(())
        self.begin_epoch(0)

    def wanted(self, has: NDArray[np.bool_], _masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """All there is: encoded once, seen whole by one pass and in part by the other."""
        return has

    def begin_epoch(self, epoch: int) -> None:
        """How far the two transfers have grown."""
        self._share = min(1.0, epoch / self._options.ramp) if self._options.ramp else 1.0

    def losses(self, step: Step, /) -> Mapping[str, Tensor]:
        """The task loss of both passes, and what draws them together."""
        task, options, labels = self._task, self._options, step.batch.labels
        encoded = self.network.encode(step.batch)
        complete = self.network.fuse(encoded, torch.ones_like(step.masks))
        masked = self.network.fuse(encoded, step.masks)
        distances = mutual_distillation(task, complete.outputs, masked.outputs, options.temperature)
        apart = feature_mse(complete.representation, masked.representation)
        # Not a number yet, which a GPU would have to be waited for.
        self._active = (complete.representation > 0).float().mean()
        both = [task_loss(task, output.outputs, labels).mean() for output in (complete, masked)]
        return {
            "task": torch.stack(both).sum(),
            "distillation": self._share * options.distillation * distances.mean(),
            "feature": self._share * options.feature * apart.mean(),
        }

    def end_epoch(self) -> Mapping[str, float]:
        """Returns: ``active``, the share of E's dimensions above 0 in the last step; 0 is a collapse."""
        return {"active": float(self._active)}
