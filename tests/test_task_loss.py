import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmad.losses.task import per_record, record_labels, records, task_loss
from cmad.task import Task

REGRESSION = Task("regression")
CLASSES = Task("classes", ("negative", "neutral", "positive"))
BINARY = Task("binary", ("neutral", "happy", "sad", "angry"))


def slow_cross_entropy(logits: list[float], label: int) -> float:
    top = max(logits)
    return top + math.log(sum(math.exp(z - top) for z in logits)) - logits[label]


def test_regression_is_the_absolute_error() -> None:
    outputs = torch.tensor([[1.0], [-2.0], [0.5]])
    loss = task_loss(REGRESSION, outputs, torch.tensor([0.0, 1.0, 0.5]))
    assert loss.tolist() == [1.0, 3.0, 0.0]


def test_binary_records_are_sample_major() -> None:
    outputs = torch.arange(16.0).reshape(2, 8)
    labels = torch.tensor([[0, 1, 0, 0], [1, 1, 0, 1]])
    assert records(BINARY, outputs).tolist() == [[2.0 * r, 2.0 * r + 1] for r in range(8)]
    assert record_labels(BINARY, labels).tolist() == [0, 1, 0, 0, 1, 1, 0, 1]
    assert per_record(BINARY, torch.tensor([5, 7])).tolist() == [5] * 4 + [7] * 4


@pytest.mark.parametrize("task", [REGRESSION, CLASSES])
def test_one_record_per_sample_otherwise(task: Task) -> None:
    values = torch.tensor([3, 1, 2])
    assert per_record(task, values).tolist() == [3, 1, 2]
    assert record_labels(task, values).tolist() == [3, 1, 2]
    for samples in (0, 1, 3):
        assert records(task, torch.zeros(samples, task.outputs)).shape[:1] == (samples,)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5), st.data())
def test_classification_is_cross_entropy_of_each_record(samples: int, data: st.DataObject) -> None:
    logit = st.floats(-50, 50)
    for task in (CLASSES, BINARY):
        n = samples * task.records
        shape = (samples, task.outputs)
        rows = data.draw(
            st.lists(st.lists(logit, min_size=task.classes, max_size=task.classes), min_size=n, max_size=n)
        )
        labels = data.draw(st.lists(st.integers(0, task.classes - 1), min_size=n, max_size=n))
        label_tensor = torch.tensor(labels, dtype=torch.int64)
        if task is BINARY:
            label_tensor = label_tensor.reshape(samples, task.records)
        loss = task_loss(task, torch.tensor(rows, dtype=torch.float64).reshape(shape), label_tensor)
        expected = [slow_cross_entropy(row, label) for row, label in zip(rows, labels, strict=True)]
        assert loss.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("task", [REGRESSION, CLASSES, BINARY])
@pytest.mark.parametrize("samples", [0, 1, 3])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e30])
def test_loss_and_gradient_are_finite(task: Task, samples: int, scale: float) -> None:
    outputs = (scale * torch.linspace(-1, 1, samples * task.outputs)).reshape(samples, task.outputs)
    outputs.requires_grad_()
    labels = torch.zeros((samples, task.records) if task is BINARY else samples, dtype=torch.int64)
    loss = task_loss(task, outputs, labels)
    (gradient,) = torch.autograd.grad(loss.sum(), outputs)
    assert loss.shape == (samples * task.records,)
    assert loss.isfinite().all()
    assert gradient.isfinite().all()
