"""CorrKD: correlation-decoupled distillation from the complete teacher (CVPR 2024).

L = L_TASK + L_SCD + L_CPD + L_RCD, without weights (baselines spec section 4).

There is no released code. Taken from descriptions of the paper: the frozen complete teacher, the
three terms and that they are added without weights. Recalled, not read again: the formulas of the
terms and the margins (MOSI 1.2, MOSEI 1.0, IEMOCAP 1.4). Adapted or reconstructed here: H is the
fused representation E; L_SCD is a mean over ordered pairs, not a sum; one MLP per part of L_RCD,
trained along, its negatives the teacher's responses rolled by one; what regression and binary
labels do; optimiser, epochs and selection are the shared ones.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cmad.config.schema import bounded
from cmad.losses.cafd import similarities
from cmad.losses.task import record_labels, records, task_loss
from cmad.methods.method import Context, Step, chances, read_options
from cmad.task import Task

CRITIC_WIDTH = 64


@dataclass(frozen=True)
class Options:
    """Knobs of CorrKD.

    Attributes:
        margin: eta of L_SCD; 1.2 for MOSI, 1.0 for MOSEI, 1.4 for IEMOCAP, else 1.0.
    """

    margin: float = bounded(0)


def sample_contrast(student: Tensor, teacher: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """L_SCD, the mean over i != j of ||H^s_i - H^t_i||^2 + max(0, eta - ||H^s_i - H^t_j||)^2.

    The paper sums; the mean over the B (B - 1) ordered pairs does not grow with B^2 [adapted].

    Args:
        student: H^s [B, D].
        teacher: H^t [B, D].
        margin: eta.

    Returns:
        The loss, without other samples (B = 1) its first part alone; and how many of the pairs are
        closer than eta, for only those are pushed apart. Scalars.
    """
    # Differences, not products: the latter cancel near 0. The derivative at 0 is taken as 0.
    distances = torch.cdist(student, teacher, compute_mode="donot_use_mm_for_euclid_dist")
    own = torch.eye(len(student), dtype=torch.bool, device=student.device)
    missing = (margin - distances).clamp_min(0.0).masked_fill(own, 0.0)
    apart = missing.square().sum() / max(len(student) * (len(student) - 1), 1)
    together = (student - teacher).square().sum(dim=1).mean()
    return together + apart, (missing > 0).sum()


def class_members(task: Task, labels: Tensor) -> Tensor:
    """Which samples make each class's prototype.

    Classes are the classes; for regression the bins below, at and above 0; for binary one class per
    label, of the samples where it is positive [both adapted]. With exactly one positive label a
    sample (IEMOCAP) that is the index of the positive one. Otherwise a sample with several belongs to
    several classes, and one with none to none, but is still compared with all prototypes.

    Args:
        task: what is predicted.
        labels: as in ``cmad.losses.task.record_labels``, B samples.

    Returns:
        bool [B, classes].
    """
    if task.kind == "regression":
        return torch.stack([labels < 0, labels == 0, labels > 0], dim=1)
    if task.kind == "classes":
        return functional.one_hot(labels, task.classes).bool()
    return labels.bool()


def prototype_similarities(representation: Tensor, members: Tensor) -> Tensor:
    """M(i, k) = cos(H_i, C_k), C_k the mean of H over the samples of class k.

    Args:
        representation: H [B, D].
        members: bool [B, classes].

    Returns:
        [B, classes with a member].
    """
    shares = members[:, members.any(dim=0)].to(representation.dtype)
    prototypes = (shares / shares.sum(dim=0)).transpose(0, 1) @ representation
    return similarities(representation, prototypes)


def prototype_consistency(student: Tensor, teacher: Tensor, members: Tensor) -> Tensor:
    """L_CPD, the mean of |M^s - M^t| over the samples and the classes present, each with its own prototypes.

    Args:
        student: H^s [B, D].
        teacher: H^t [B, D].
        members: bool [B, classes]; classes without a member are skipped.

    Returns:
        A scalar; 0 without any class.
    """
    gaps = prototype_similarities(student, members) - prototype_similarities(teacher, members)
    return gaps.abs().sum() / max(gaps.numel(), 1)


def responses(task: Task, outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Split softmax(z) into the target's part and the others', which are not normalised again.

    Regression responds with the two classes (1 - sigmoid(y), sigmoid(y)), the target being 1[label > 0];
    binary with two classes for each of its J labels [both adapted]. J is 1 for the other kinds.

    Args:
        task: what is predicted.
        outputs: z [B, K].
        labels: as in ``cmad.losses.task.record_labels``.

    Returns:
        r_T [B, J, 1] and r_NT [B, J, classes - 1].
    """
    logits, targets = records(task, outputs), record_labels(task, labels)
    if task.kind == "regression":
        logits, targets = torch.stack([torch.zeros_like(logits), logits], dim=1), (targets > 0).long()
    probabilities = logits.softmax(dim=1)
    target = functional.one_hot(targets, logits.shape[1]).bool()
    shape = (len(outputs), task.records, -1)
    return probabilities[target].reshape(shape), probabilities[~target].reshape(shape)


def information(critic: Callable[[Tensor, Tensor], Tensor], student: Tensor, teacher: Tensor) -> Tensor:
    """The Jensen-Shannon bound E_joint[-sp(-F)] - E_shuffled[sp(F)], sp the softplus.

    Args:
        critic: F, two [B, J, n] to [B, J].
        student: [B, J, n], B at least 2.
        teacher: [B, J, n]; rolled by one sample it gives the negatives.

    Returns:
        [J], at most 0; -2 ln 2 if F says nothing.
    """
    joint = -functional.softplus(-critic(student, teacher)).mean(dim=0)
    return joint - functional.softplus(critic(student, teacher.roll(1, dims=0))).mean(dim=0)


class Critic(nn.Module):
    """F, an MLP with one hidden layer; part of a loss, hence in float32 whatever the precision."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * size, CRITIC_WIDTH), nn.ReLU(), nn.Linear(CRITIC_WIDTH, 1))

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Two [..., size] to [...]."""
        return self.layers(torch.cat([student, teacher], dim=-1)).squeeze(-1)


class Corrkd:
    """The task loss on all samples; the three transfers on complete ones, for only those have a teacher."""

    def __init__(self, context: Context, options: Options) -> None:
        self.network = context.network
        self.sampler = chances(context)
        self.memory: dict[str, Tensor] = {}
        self._task = context.task
        self._margin = options.margin
        others = max(context.task.classes - 1, 1)
        # Labels of a binary task share the two critics.
        self._critics = nn.ModuleList([Critic(1), Critic(others)]).to(context.device)
        self.trained = nn.ModuleDict({"network": self.network, "critics": self._critics})
        self._active = torch.zeros((), dtype=torch.int64, device=context.device)
        self._pairs = 0

    def wanted(self, _has: NDArray[np.bool_], masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What is seen."""
        return masks

    def begin_epoch(self, epoch: int) -> None:
        """Count pairs anew."""
        del epoch
        self._active = torch.zeros_like(self._active)
        self._pairs = 0

    def losses(self, step: Step, /) -> Mapping[str, Tensor]:
        """The four terms; L_RCD needs two complete samples in a batch, L_SCD and L_CPD one."""
        output = self.network.fuse(self.network.encode(step.batch), step.masks)
        terms = {"task": task_loss(self._task, output.outputs, step.batch.labels).mean()}
        if step.teacher is None or not len(step.teacher.outputs):
            return terms
        count, labels = len(step.teacher.outputs), step.batch.labels[step.complete]
        student, teacher = output.representation[step.complete], step.teacher.representation
        terms["scd"], active = sample_contrast(student, teacher, self._margin)
        terms["cpd"] = prototype_consistency(student, teacher, class_members(self._task, labels))
        if count > 1:
            parts = zip(
                self._critics,
                responses(self._task, output.outputs[step.complete], labels),
                responses(self._task, step.teacher.outputs, labels),
                strict=True,
            )
            terms["rcd"] = -torch.stack([information(*part).sum() for part in parts]).sum()
        self._active = self._active + active
        self._pairs += count * (count - 1)
        return terms

    def end_epoch(self) -> Mapping[str, float]:
        """The share of pairs closer than the margin: where it is 0, L_SCD pushes nothing apart."""
        return {"scd_active": float(self._active) / max(self._pairs, 1)}


def create(context: Context) -> Corrkd:
    """See ``cmad.methods.method``.

    Raises:
        UserError: an option that is not allowed.
    """
    return Corrkd(context, read_options(Options, context))
