import math
from typing import get_args, get_type_hints

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from cmad.config.schema import Student
from cmad.losses.cafd import (
    Consistency,
    cafd,
    consistency_loss,
    consistency_metrics,
    contrast,
    direct_transfer,
    feature_mse,
    row_divergence,
    similarities,
)

KINDS: tuple[Consistency, ...] = get_args(Consistency)
GOLDEN_STUDENT = torch.tensor([[1, 0, 2], [0, 1, 1], [2, 2, 0]], dtype=torch.float64)
GOLDEN_TEACHER = torch.tensor([[1, 1, 1], [0, 2, 1], [1, 2, 0]], dtype=torch.float64)

Rows = list[list[float]]


# A second implementation, in loops over plain numbers.


def slow_cosine(a: list[float], b: list[float]) -> float:
    length_a, length_b = math.sqrt(sum(x * x for x in a)), math.sqrt(sum(x * x for x in b))
    if length_a <= 1e-12 or length_b <= 1e-12:
        return 0.0
    return sum(x / length_a * y / length_b for x, y in zip(a, b, strict=True))


def slow_similarities(a: Rows, b: Rows) -> Rows:
    return [[slow_cosine(x, y) for y in b] for x in a]


def slow_softmax(values: list[float]) -> list[float]:
    top = max(values)
    powers = [math.exp(v - top) for v in values]
    return [p / sum(powers) for p in powers]


def slow_kl(p: list[float], q: list[float]) -> float:
    return sum(x * math.log(x / y) for x, y in zip(p, q, strict=True))


def slow_sa(first: Rows, second: Rows, tau: float) -> list[float]:
    result = []
    for a, b in zip(first, second, strict=True):
        p, q = slow_softmax([x / tau for x in a]), slow_softmax([x / tau for x in b])
        result.append((slow_kl(p, q) + slow_kl(q, p)) / 2)
    return result


def slow_sp(cross: Rows, own: Rows) -> float:
    n = range(len(own))
    diagonal = sum(abs(own[i][i] - cross[i][i]) for i in n)
    return diagonal / (sum(abs(own[i][j] - cross[i][j]) for i in n for j in n) + 1e-8)


def slow_mse(student: Rows, teacher: Rows) -> list[float]:
    return [
        sum((x - y) ** 2 for x, y in zip(s, t, strict=True)) / len(s)
        for s, t in zip(student, teacher, strict=True)
    ]


def slow_losses(student: Rows, teacher: Rows, tau: float) -> dict[str, float]:
    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    cross, own = slow_similarities(student, teacher), slow_similarities(teacher, teacher)
    sa, sp, mse = slow_sa(cross, own, tau), slow_sp(cross, own), slow_mse(student, teacher)
    product = mean([a * m for a, m in zip(sa, mse, strict=True)])
    return {
        "full": product + sp,
        "mse": mean(mse),
        "similarity": mean(sa) + sp,
        "direct": mean(slow_sa(slow_similarities(student, student), own, tau)),
        "no_contrast": product,
    }


# Multiples of 1/8, so that zero rows, equal rows and equal batches come up often.
def matrices(samples: int, width: int, scale: int = 1) -> st.SearchStrategy[Rows]:
    number = st.integers(-16, 16).map(lambda k: scale * k / 8)
    row = st.one_of(st.just([0.0] * width), st.lists(number, min_size=width, max_size=width))
    return st.lists(row, min_size=samples, max_size=samples)


@st.composite
def batches(draw: st.DrawFn, scale: int = 1) -> tuple[Rows, Rows]:
    samples, width = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    student = draw(matrices(samples, width, scale))
    teacher = draw(st.one_of(st.just(student), matrices(samples, width, scale)))
    return student, teacher


def tensor(rows: Rows) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_golden_values() -> None:
    mse, sims = consistency_metrics(GOLDEN_STUDENT, GOLDEN_TEACHER, 0.2)
    assert cafd(GOLDEN_STUDENT, GOLDEN_TEACHER, 0.2).item() == pytest.approx(0.24019015, abs=5e-9)
    assert sims.item() == pytest.approx(0.28148819, abs=5e-9)
    assert mse.item() == pytest.approx(0.44444444, abs=5e-9)
    assert direct_transfer(GOLDEN_STUDENT, GOLDEN_TEACHER, 0.2).item() == pytest.approx(0.21527087, abs=5e-9)


def test_kinds_are_those_of_the_config() -> None:
    assert set(KINDS) == set(get_args(get_type_hints(Student)["consistency"]))


@settings(max_examples=60, deadline=None)
@given(batches(), st.sampled_from([0.1, 0.2, 1.0]))
def test_every_kind_equals_the_loops(batch: tuple[Rows, Rows], tau: float) -> None:
    student, teacher = batch
    expected = slow_losses(student, teacher, tau)
    # Where all gaps are rounding noise, their ratio is too.
    noise = abs(
        tensor(slow_similarities(student, teacher)) - tensor(slow_similarities(teacher, teacher))
    ).sum()
    assume(noise == 0 or noise > 1e-6)
    for kind in KINDS:
        loss = consistency_loss(kind, tensor(student), tensor(teacher), tau)
        assert loss.item() == pytest.approx(expected[kind], rel=1e-7, abs=1e-7)
    mse, sims = consistency_metrics(tensor(student), tensor(teacher), tau)
    assert mse.item() == pytest.approx(expected["mse"], abs=1e-12)
    assert sims.item() == pytest.approx(expected["similarity"], rel=1e-7, abs=1e-7)


@settings(max_examples=60, deadline=None)
@given(batches())
def test_per_sample_terms_equal_the_loops(batch: tuple[Rows, Rows]) -> None:
    student, teacher = batch
    cross, own = slow_similarities(student, teacher), slow_similarities(teacher, teacher)
    assert feature_mse(tensor(student), tensor(teacher)).tolist() == pytest.approx(slow_mse(student, teacher))
    got = similarities(tensor(student), tensor(teacher)).flatten().tolist()
    assert got == pytest.approx([x for row in cross for x in row], abs=1e-12)
    divergence = row_divergence(tensor(cross), tensor(own), 0.2).tolist()
    assert divergence == pytest.approx(slow_sa(cross, own, 0.2), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=60, deadline=None)
@given(batch=batches(scale=100))
def test_values_and_gradients_are_finite(
    kind: Consistency, dtype: torch.dtype, batch: tuple[Rows, Rows]
) -> None:
    student = torch.tensor(batch[0], dtype=dtype, requires_grad=True)
    loss = consistency_loss(kind, student, torch.tensor(batch[1], dtype=dtype), 0.1)
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(0, 3), (1, 3)])
def test_no_sample_and_one_sample(kind: Consistency, shape: tuple[int, int]) -> None:
    student = torch.full(shape, 2.0, requires_grad=True)
    teacher = torch.tensor([[1.0, 0.0, 3.0]])[: shape[0]]
    loss = consistency_loss(kind, student, teacher, 0.2)
    (gradient,) = torch.autograd.grad(loss, student)
    alone = {"full": 1.0, "mse": 2.0, "similarity": 1.0, "direct": 0.0, "no_contrast": 0.0}
    assert loss.item() == pytest.approx(alone[kind] if shape[0] else 0.0, abs=1e-6)
    assert gradient.shape == shape
    assert gradient.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_student_equal_to_teacher_costs_nothing(kind: Consistency) -> None:
    student = GOLDEN_TEACHER.clone().requires_grad_()
    loss = consistency_loss(kind, student, GOLDEN_TEACHER, 0.2)
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.item() == 0
    assert not gradient.any()


def test_zero_row_has_no_cosine_and_no_gradient_from_it() -> None:
    rows = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    cosines = similarities(rows, torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
    (gradient,) = torch.autograd.grad(cosines.sum(), rows)
    assert cosines.tolist() == [[0.0, 0.0], [0.0, pytest.approx(0.6)]]
    assert gradient[0].tolist() == [0.0, 0.0]
    assert gradient[1].any()


def test_zero_row_still_learns_from_the_features() -> None:
    student = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(cafd(student, torch.tensor([[1.0, 2.0], [2.0, 0.5]]), 0.2), student)
    assert (gradient[0] < 0).all()


def test_gradient_is_that_of_the_formula() -> None:
    """No term is held constant: gradients equal finite differences."""
    for kind in KINDS:
        student = GOLDEN_STUDENT.clone().requires_grad_()
        assert torch.autograd.gradcheck(
            lambda s, k=kind: consistency_loss(k, s, GOLDEN_TEACHER, 0.2), (student,)
        )


@settings(max_examples=60, deadline=None)
@given(batches(), st.data())
def test_order_of_the_batch_does_not_matter(batch: tuple[Rows, Rows], data: st.DataObject) -> None:
    student, teacher = tensor(batch[0]), tensor(batch[1])
    order = data.draw(st.permutations(range(len(student))))
    noise = (similarities(student, teacher) - similarities(teacher, teacher)).abs().sum()
    assume(noise == 0 or noise > 1e-6)
    for kind in KINDS:
        there = consistency_loss(kind, student, teacher, 0.2)
        back = consistency_loss(kind, student[order], teacher[order], 0.2)
        assert back.item() == pytest.approx(there.item(), abs=1e-7)


@settings(max_examples=60, deadline=None)
@given(batches(), st.floats(1e-3, 1e3))
def test_similarities_do_not_see_scale(batch: tuple[Rows, Rows], scale: float) -> None:
    student, teacher = tensor(batch[0]), tensor(batch[1])
    torch.testing.assert_close(similarities(scale * student, teacher), similarities(student, teacher))


@settings(max_examples=60, deadline=None)
@given(batches())
def test_contrast_is_a_share(batch: tuple[Rows, Rows]) -> None:
    student, teacher = tensor(batch[0]), tensor(batch[1])
    spread = contrast(similarities(student, teacher), similarities(teacher, teacher)).item()
    assert 0 <= spread <= 1


def test_contrast_counts_only_the_diagonal() -> None:
    own = torch.eye(2, dtype=torch.float64)
    cross = own + torch.tensor([[0.3, 0.1], [0.0, -0.1]], dtype=torch.float64)
    assert contrast(cross, own).item() == pytest.approx(0.4 / 0.5, abs=1e-7)


@settings(max_examples=60, deadline=None)
@given(batches())
def test_row_divergence_is_symmetric_and_by_rows(batch: tuple[Rows, Rows]) -> None:
    first, second = (similarities(tensor(rows), tensor(rows)) for rows in batch)
    forth, back = row_divergence(first, second, 0.2), row_divergence(second, first, 0.2)
    torch.testing.assert_close(forth, back)
    assert (forth >= 0).all()
    # A constant added to a row leaves its softmax alone; added to a column it would not.
    shift = torch.arange(len(first), dtype=torch.float64)[:, None]
    torch.testing.assert_close(row_divergence(first + shift, second, 0.2), forth)
