"""The auxiliary loss (Eq. 12 and 13): the student's outputs follow the teacher's, one value per record."""

import torch
from torch import Tensor
from torch.nn import functional

from cmad.losses.task import record_labels, records
from cmad.task import Task

# Saturated softmaxes give 0 log 0 otherwise (spec section 8, B15).
LEAST_PROBABILITY = 1e-8


def scaled_squared_error(student: Tensor, teacher: Tensor, phi: float) -> Tensor:
    """((y^s - y^t) / phi)^2 phi^2 (Eq. 13 for k = 1); phi cancels (spec section 7, D9).

    Args:
        student: y^s [R].
        teacher: y^t [R].
        phi: above 0.

    Returns:
        [R].
    """
    return (student / phi - teacher / phi).square() * phi**2


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(p||q) of distributions [R, C]: [R], with probabilities clamped inside the logarithms."""
    log_p, log_q = (x.clamp_min(LEAST_PROBABILITY).log() for x in (p, q))
    return (p * (log_p - log_q)).sum(dim=1)


def _decouple(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """b, target against the rest [R, 2], and p-hat, the softmax over the rest [R, C] (0 at the target)."""
    p = logits.softmax(dim=1)
    # The rest is summed, not taken from 1, which would lose it where the target nears 1.
    rest = p.masked_fill(target, 0.0).sum(dim=1)
    binary = torch.stack([p.masked_fill(~target, 0.0).sum(dim=1), rest], dim=1)
    return binary, logits.masked_fill(target, -torch.inf).softmax(dim=1)


def decoupled_distillation(
    student: Tensor, teacher: Tensor, targets: Tensor, alpha: float, temperature: float
) -> Tensor:
    """DKD = T^2 [alpha KL(b^t||b^s) + (1 - alpha) KL(p-hat^t||p-hat^s)] (Eq. 12, with T_d of D8).

    With two classes the second term is exactly 0.

    Args:
        student: logits [R, C], C at least 2.
        teacher: logits [R, C].
        targets: int64 [R], the true classes.
        alpha: share of the target term.
        temperature: T_d, divides the logits.

    Returns:
        [R].
    """
    target = functional.one_hot(targets, student.shape[1]).bool()
    student_binary, student_rest = _decouple(student / temperature, target)
    teacher_binary, teacher_rest = _decouple(teacher / temperature, target)
    on_target = _divergence(teacher_binary, student_binary)
    off_target = _divergence(teacher_rest, student_rest)
    return temperature**2 * (alpha * on_target + (1 - alpha) * off_target)


def auxiliary_loss(
    task: Task,
    student_outputs: Tensor,
    teacher_outputs: Tensor,
    labels: Tensor,
    alpha: float,
    temperature: float,
    phi: float,
) -> Tensor:
    """L_AUXI of each record (Eq. 13).

    Args:
        task: what is predicted.
        student_outputs: [B, K].
        teacher_outputs: [B, K].
        labels: as in ``cmad.losses.task.record_labels``; regression does not look at them.
        alpha: share of DKD's target term.
        temperature: T_d of DKD.
        phi: of regression; it cancels.

    Returns:
        [R], not reduced.
    """
    student, teacher = records(task, student_outputs), records(task, teacher_outputs)
    if task.kind == "regression":
        return scaled_squared_error(student, teacher, phi)
    return decoupled_distillation(student, teacher, record_labels(task, labels), alpha, temperature)
