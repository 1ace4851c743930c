import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmad.losses.auxiliary import auxiliary_loss, decoupled_distillation, scaled_squared_error
from cmad.losses.task import task_loss
from cmad.task import Task

REGRESSION = Task("regression")
CLASSES = Task("classes", ("negative", "neutral", "positive"))
BINARY = Task("binary", ("neutral", "happy", "sad", "angry"))

GOLDEN_STUDENT = torch.tensor([[2, 1, 0], [0, 1, -1]], dtype=torch.float64)
GOLDEN_TEACHER = torch.tensor([[3, 1, 1], [0, 0, 1]], dtype=torch.float64)


def slow_softmax(values: list[float]) -> list[float]:
    top = max(values)
    powers = [math.exp(v - top) for v in values]
    return [p / sum(powers) for p in powers]


def slow_kl(p: list[float], q: list[float]) -> float:
    return sum(x * (math.log(max(x, 1e-8)) - math.log(max(y, 1e-8))) for x, y in zip(p, q, strict=True))


def slow_dkd(
    student: list[float], teacher: list[float], target: int, alpha: float, temperature: float
) -> float:
    parts = []
    for logits in (student, teacher):
        scaled = [z / temperature for z in logits]
        p = slow_softmax(scaled)
        rest = [z for k, z in enumerate(scaled) if k != target]
        others = sum(x for k, x in enumerate(p) if k != target)
        parts.append(([p[target], others], slow_softmax(rest)))
    (binary_s, rest_s), (binary_t, rest_t) = parts
    divergence = alpha * slow_kl(binary_t, binary_s) + (1 - alpha) * slow_kl(rest_t, rest_s)
    return temperature * temperature * divergence


@st.composite
def records(draw: st.DrawFn, largest: float) -> tuple[list[list[float]], list[list[float]], list[int]]:
    n, classes = draw(st.integers(1, 4)), draw(st.integers(2, 5))
    logits = st.lists(st.floats(-largest, largest), min_size=classes, max_size=classes)
    batch = st.lists(logits, min_size=n, max_size=n)
    targets = draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n))
    student = draw(batch)
    return student, draw(st.one_of(st.just(student), batch)), targets


def test_golden_dkd() -> None:
    loss = decoupled_distillation(GOLDEN_STUDENT, GOLDEN_TEACHER, torch.tensor([0, 2]), 0.9, 2.0)
    assert loss[0].item() == pytest.approx(0.04744872, abs=5e-9)
    assert loss[1].item() == pytest.approx(0.6739352, abs=5e-8)


@settings(max_examples=60, deadline=None)
@given(records(100), st.floats(0, 1), st.sampled_from([0.5, 1.0, 2.0, 4.0]))
def test_dkd_equals_the_loops(
    batch: tuple[list[list[float]], list[list[float]], list[int]], alpha: float, temperature: float
) -> None:
    student, teacher, targets = batch
    expected = [
        slow_dkd(s, t, k, alpha, temperature) for s, t, k in zip(student, teacher, targets, strict=True)
    ]
    loss = decoupled_distillation(
        torch.tensor(student, dtype=torch.float64),
        torch.tensor(teacher, dtype=torch.float64),
        torch.tensor(targets),
        alpha,
        temperature,
    )
    assert loss.tolist() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=4, max_size=4), st.integers(0, 1), st.floats(0, 1))
def test_two_classes_leave_only_the_target_term(z: list[float], target: int, alpha: float) -> None:
    student, teacher = z[:2], z[2:]
    p, q = slow_softmax([x / 2 for x in teacher]), slow_softmax([x / 2 for x in student])
    expected = alpha * 4 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    loss = decoupled_distillation(
        torch.tensor([student], dtype=torch.float64),
        torch.tensor([teacher], dtype=torch.float64),
        torch.tensor([target]),
        alpha,
        2.0,
    )
    assert loss.item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("largest", [1.0, 1e4, 1e30])
def test_two_classes_have_no_other_term_at_all(largest: float) -> None:
    student = largest * torch.tensor([[0.3, -1.0], [1.0, 0.2]])
    teacher = largest * torch.tensor([[-0.5, 1.0], [0.1, 0.7]])
    loss = decoupled_distillation(student, teacher, torch.tensor([0, 1]), 0.0, 2.0)
    assert loss.tolist() == [0.0, 0.0]


def test_dkd_runs_from_teacher_to_student() -> None:
    """KL(teacher||student), not the other way round."""
    sharp, flat = torch.tensor([[4.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    p = 1 / (1 + math.exp(-4))
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    loss = decoupled_distillation(flat, sharp, torch.tensor([0]), 1.0, 1.0)
    assert loss.item() == pytest.approx(math.log(2) - entropy, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=60, deadline=None)
@given(batch=records(1e30), alpha=st.floats(0, 1))
def test_dkd_and_its_gradient_are_finite(
    dtype: torch.dtype, batch: tuple[list[list[float]], list[list[float]], list[int]], alpha: float
) -> None:
    student = torch.tensor(batch[0], dtype=dtype, requires_grad=True)
    loss = decoupled_distillation(
        student, torch.tensor(batch[1], dtype=dtype), torch.tensor(batch[2]), alpha, 2.0
    )
    (gradient,) = torch.autograd.grad(loss.sum(), student)
    assert loss.isfinite().all()
    assert gradient.isfinite().all()


def test_overconfident_student_is_measured_right_in_single_precision() -> None:
    """The small probability of the rest keeps its digits."""
    losses = [
        decoupled_distillation(
            torch.tensor([[16.0, 0.0]], dtype=dtype),
            torch.zeros(1, 2, dtype=dtype),
            torch.tensor([0]),
            1.0,
            1.0,
        ).item()
        for dtype in (torch.float32, torch.float64)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_equal_logits_cost_nothing() -> None:
    student = GOLDEN_TEACHER.clone().requires_grad_()
    loss = decoupled_distillation(student, GOLDEN_TEACHER, torch.tensor([0, 2]), 0.9, 2.0)
    (gradient,) = torch.autograd.grad(loss.sum(), student)
    assert loss.tolist() == [0.0, 0.0]
    torch.testing.assert_close(gradient, torch.zeros_like(student), rtol=0, atol=1e-15)


def test_dkd_gradient_is_that_of_the_formula() -> None:
    student = GOLDEN_STUDENT.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s: decoupled_distillation(s, GOLDEN_TEACHER, torch.tensor([0, 2]), 0.7, 2.0), (student,)
    )


number = st.floats(-100, 100, allow_subnormal=False)


@settings(max_examples=60, deadline=None)
@given(number, number, st.floats(0.01, 100))
def test_phi_cancels(student: float, teacher: float, phi: float) -> None:
    s, t = torch.tensor([student], dtype=torch.float64), torch.tensor([teacher], dtype=torch.float64)
    assert scaled_squared_error(s, t, phi).item() == pytest.approx((student - teacher) ** 2, abs=1e-9)


def test_auxiliary_loss_takes_each_task_by_its_records() -> None:
    scores = auxiliary_loss(
        REGRESSION, torch.tensor([[1.0], [4.0]]), torch.tensor([[3.0], [4.5]]), torch.zeros(2), 0.9, 2.0, 3.0
    )
    assert scores.tolist() == pytest.approx([4.0, 0.25])

    targets = torch.tensor([0, 2])
    classes = auxiliary_loss(CLASSES, GOLDEN_STUDENT, GOLDEN_TEACHER, targets, 0.9, 2.0, 3.0)
    assert classes.tolist() == pytest.approx([0.04744872, 0.6739352], abs=1e-7)

    student = torch.tensor([[0.0, 1.0, 2.0, 0.5, -1.0, 0.0, 3.0, 1.0]], dtype=torch.float64)
    teacher = torch.tensor([[1.0, 1.0, 0.0, 0.5, -2.0, 1.0, 2.0, 2.0]], dtype=torch.float64)
    labels = torch.tensor([[1, 0, 1, 0]])
    binary = auxiliary_loss(BINARY, student, teacher, labels, 0.9, 2.0, 3.0)
    expected = [
        slow_dkd(
            student[0, 2 * j : 2 * j + 2].tolist(),
            teacher[0, 2 * j : 2 * j + 2].tolist(),
            int(labels[0, j]),
            0.9,
            2.0,
        )
        for j in range(4)
    ]
    assert binary.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("task", [REGRESSION, CLASSES, BINARY])
def test_no_sample_gives_no_record_but_a_graph(task: Task) -> None:
    outputs = torch.zeros(0, task.outputs, requires_grad=True)
    labels = torch.zeros((0, task.records) if task is BINARY else 0, dtype=torch.int64)
    loss = auxiliary_loss(task, outputs, torch.zeros(0, task.outputs), labels, 0.9, 2.0, 3.0)
    assert loss.shape == task_loss(task, outputs, labels).shape == (0,)
    (gradient,) = torch.autograd.grad(loss.sum(), outputs)
    assert gradient.shape == outputs.shape
