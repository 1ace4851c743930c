"""The task loss (Eq. 11), one value per record."""

from torch import Tensor
from torch.nn import functional

from cmad.task import Task


def records(task: Task, outputs: Tensor) -> Tensor:
    """Split the network's outputs into records (spec section 4, "IEMOCAP").

    Args:
        task: what is predicted.
        outputs: [B, K].

    Returns:
        Scores [B] for regression, logits [B, K] for classes, and for binary logits [B * J, 2],
        sample-major: the J labels of a sample stand together.
    """
    if task.kind == "regression":
        return outputs.squeeze(1)
    if task.kind == "classes":
        return outputs
    return outputs.reshape(len(outputs) * task.records, task.classes)


def record_labels(task: Task, labels: Tensor) -> Tensor:
    """Labels in the order of ``records``.

    Args:
        task: what is predicted.
        labels: real [B] for regression, int64 [B] for classes, int64 [B, J] for binary.

    Returns:
        [R].
    """
    return labels.flatten() if task.kind == "binary" else labels


def per_record(task: Task, per_sample: Tensor) -> Tensor:
    """Repeat each sample's value over its records: [B] to [R], sample-major."""
    return per_sample.repeat_interleave(task.records, dim=0)


def task_loss(task: Task, outputs: Tensor, labels: Tensor) -> Tensor:
    """Absolute error or cross-entropy of each record (Eq. 11; Eq. 6 is the same number).

    Args:
        task: what is predicted.
        outputs: [B, K].
        labels: as in ``record_labels``.

    Returns:
        [R], not reduced.
    """
    predicted, true = records(task, outputs), record_labels(task, labels)
    if task.kind == "regression":
        return (predicted - true).abs()
    return functional.cross_entropy(predicted, true, reduction="none")
