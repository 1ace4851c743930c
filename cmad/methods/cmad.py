"""CMAD: consistency with the teacher (CAFD) and weighing of combinations (MAR).

L = sigma L_CAFD + mean_i Psi(j_i) L_TASK,i + gamma mean_i Psi(j_i) L_AUXI,i   (spec section 4)

All samples contribute the task loss; CAFD, the auxiliary loss and the memory banks take the
samples that natively have all three modalities, for only those have a teacher.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmad.combinations import COMBINATIONS
from cmad.config.schema import Student
from cmad.losses.auxiliary import auxiliary_loss
from cmad.losses.cafd import consistency_loss
from cmad.losses.mar import Banks, mar_weights, mean_difficulty, weakest_weights
from cmad.losses.task import per_record, task_loss
from cmad.methods.method import Context, Step, chances
from cmad.network.network import Network
from cmad.task import Task


class Cmad:
    """CMAD, CMAD_w, CMAD_t and their ablations, as the student section says."""

    def __init__(self, network: Network, settings: Student, task: Task, sampler: NDArray[np.float64]) -> None:
        self.network = self.trained = network
        self.sampler = sampler
        self._settings = settings
        self._task = task
        device = network.classifier.weight.device
        # The banks, and Psi as it is in force.
        self.memory = {**vars(Banks.empty(device)), "psi": torch.ones(len(COMBINATIONS), device=device)}
        self._warming = True

    def wanted(self, _has: NDArray[np.bool_], masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What is seen."""
        return masks

    def begin_epoch(self, epoch: int) -> None:
        """At epoch G fix Psi for good; until then it is 1 and the banks fill."""
        self._warming = epoch < self._settings.warmup
        if epoch == self._settings.warmup:
            self.memory["psi"] = self._current_weights(self._settings.subtract_teacher).float()

    def losses(self, step: Step) -> Mapping[str, Tensor]:
        """The three terms with their factors; a term whose factor is 0 is left out."""
        settings, task = self._settings, self._task
        output = self.network.fuse(self.network.encode(step.batch), step.masks)
        loss = task_loss(task, output.outputs, step.batch.labels)
        psi = per_record(task, self.memory["psi"][step.combinations])
        terms = {}
        if settings.task_weight > 0:
            weights = psi if settings.weigh in ("both", "task") else torch.ones_like(psi)
            terms["task"] = settings.task_weight * (weights * loss).mean()
        if step.teacher is None or not len(step.teacher.loss):
            # A batch without a complete sample may have nothing to learn from, but the loop wants a loss.
            return terms or {"task": 0.0 * loss.sum()}
        of_complete = per_record(task, step.complete)
        if settings.sigma > 0:
            terms["cafd"] = settings.sigma * consistency_loss(
                settings.consistency,
                output.representation[step.complete],
                step.teacher.representation,
                settings.tau,
            )
        if settings.gamma > 0:
            auxiliary = auxiliary_loss(
                task,
                output.outputs[step.complete],
                step.teacher.outputs,
                step.batch.labels[step.complete],
                settings.alpha,
                settings.temperature,
                settings.phi,
            )
            weights = (
                psi[of_complete] if settings.weigh in ("both", "auxiliary") else torch.ones_like(auxiliary)
            )
            terms["auxiliary"] = settings.gamma * (weights * auxiliary).mean()
        if self._warming:
            added = self._banks.add(
                per_record(task, step.combinations)[of_complete], loss[of_complete], step.teacher.loss
            )
            self.memory.update(vars(added))
        return terms

    def end_epoch(self) -> Mapping[str, float]:
        """W and Psi from what the banks hold, and the weights in force.

        Returns:
            ``w_<c>``: W, unnormalised (Eq. 9). ``psi_<c>``: Psi (Eq. 10) as if it were fixed now.
            ``psi_t_<c>``: the same without subtracting the teacher's difficulty. ``applied_<c>``:
            the weights that this epoch was trained with. From epoch G on all stand still.
        """
        difficulty = mean_difficulty(self._banks.relative, self._banks.counts)
        columns = {
            "w": difficulty,
            "psi": self._current_weights(subtract_teacher=True),
            "psi_t": self._current_weights(subtract_teacher=False),
            "applied": self.memory["psi"],
        }
        return {
            f"{name}_{c}": float(value)
            for name, values in columns.items()
            for c, value in zip(COMBINATIONS, values, strict=True)
        }

    @property
    def _banks(self) -> Banks:
        return Banks(**{name: value for name, value in self.memory.items() if name != "psi"})

    def _current_weights(self, subtract_teacher: bool) -> Tensor:
        banks, settings = self._banks, self._settings
        difficulty = mean_difficulty(banks.relative if subtract_teacher else banks.absolute, banks.counts)
        if settings.weights == "weakest":
            return weakest_weights(difficulty, settings.rho)
        return mar_weights(difficulty, banks.counts, settings.rho, settings.unseen_weight)


def create(context: Context) -> Cmad:
    """See ``cmad.methods.method``."""
    return Cmad(context.network, context.settings, context.task, chances(context))
