import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cmad.combinations import COMBINATIONS
from cmad.losses.mar import Banks, mar_weights, mean_difficulty, relative_difficulty, weakest_weights

# The golden lists of the spec stand in the authors' column order.
AUTHORS_ORDER = ("L", "A", "V", "LV", "LA", "AV", "LAV")
GOLDEN_COMBINATIONS = ("L", "L", "A", "V", "AV", "LAV")
GOLDEN_STUDENT = torch.tensor([0.5, 0.3, 1.0, 0.9, 0.8, 0.2], dtype=torch.float64)
GOLDEN_TEACHER = torch.tensor([0.3, 0.4, 0.2, 0.3, 0.3, 0.3], dtype=torch.float64)

Record = tuple[int, float, float]
records = st.lists(st.tuples(st.integers(0, 6), st.floats(0, 10), st.floats(0, 10)), max_size=30)


def by_name(weights: Tensor) -> dict[str, float]:
    return dict(zip(COMBINATIONS, weights.tolist(), strict=True))


def indices(*names: str) -> Tensor:
    return torch.tensor([COMBINATIONS.index(name) for name in names])


def difficulties(**named: float) -> Tensor:
    return torch.tensor([named.get(name, 0.0) for name in COMBINATIONS], dtype=torch.float64)


def filled(batch: list[Record]) -> Banks:
    combination = torch.tensor([r[0] for r in batch], dtype=torch.int64)
    student = torch.tensor([r[1] for r in batch], dtype=torch.float64)
    return Banks.empty().add(combination, student, torch.tensor([r[2] for r in batch], dtype=torch.float64))


def slow_difficulty(batch: list[Record], *, subtract_teacher: bool) -> list[float]:
    result = []
    for j in range(7):
        own = [(s if not subtract_teacher else 0.0 if s < t else s - t) for i, s, t in batch if i == j]
        result.append(sum(own) / len(own) if own else 0.0)
    return result


GOLDEN = Banks.empty().add(indices(*GOLDEN_COMBINATIONS), GOLDEN_STUDENT, GOLDEN_TEACHER)


def test_golden_weights() -> None:
    psi = mar_weights(mean_difficulty(GOLDEN.relative, GOLDEN.counts), GOLDEN.counts, 20.0, 0.0)
    golden = dict(zip(AUTHORS_ORDER, [0.3125, 20, 11.25, 0, 0, 7.8125, 0], strict=True))
    assert by_name(psi) == pytest.approx(golden, abs=1e-7)


def test_golden_weights_of_cmad_t() -> None:
    psi = mar_weights(mean_difficulty(GOLDEN.absolute, GOLDEN.counts), GOLDEN.counts, 20.0, 0.0)
    golden = dict(zip(AUTHORS_ORDER, [3.2, 20, 16.2, 0, 0, 12.8, 0.8], strict=True))
    assert by_name(psi) == pytest.approx(golden, abs=1e-7)


def test_golden_counts_and_difficulty() -> None:
    assert by_name(GOLDEN.counts) == {"L": 2, "A": 1, "V": 1, "LA": 0, "LV": 0, "AV": 1, "LAV": 1}
    expected = {"L": 0.1, "A": 0.8, "V": 0.6, "LA": 0.0, "LV": 0.0, "AV": 0.5, "LAV": 0.0}
    assert by_name(mean_difficulty(GOLDEN.relative, GOLDEN.counts)) == pytest.approx(expected)


def test_the_authors_two_middle_columns_are_told_apart() -> None:
    banks = Banks.empty().add(indices("LV", "LA"), torch.tensor([2.0, 1.0]), torch.zeros(2))
    psi = by_name(mar_weights(mean_difficulty(banks.relative, banks.counts), banks.counts, 20.0, 0.0))
    assert (psi["LV"], psi["LA"]) == (20.0, 5.0)


def test_relative_difficulty_stops_at_zero() -> None:
    gap = relative_difficulty(torch.tensor([1.0, 1.0, 1.0]), torch.tensor([0.25, 1.0, 3.0]))
    assert gap.tolist() == [0.75, 0.0, 0.0]


@settings(max_examples=60, deadline=None)
@given(records)
def test_difficulty_equals_the_loops(batch: list[Record]) -> None:
    banks = filled(batch)
    relative = mean_difficulty(banks.relative, banks.counts)
    absolute = mean_difficulty(banks.absolute, banks.counts)
    assert relative.tolist() == pytest.approx(slow_difficulty(batch, subtract_teacher=True), abs=1e-12)
    assert absolute.tolist() == pytest.approx(slow_difficulty(batch, subtract_teacher=False), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(records, records)
def test_banks_accumulate(first: list[Record], second: list[Record]) -> None:
    banks = filled(first)
    for record in second:
        banks = banks.add(
            torch.tensor([record[0]]), *(torch.tensor([x], dtype=torch.float64) for x in record[1:])
        )
    for name, value in vars(filled(first + second)).items():
        torch.testing.assert_close(vars(banks)[name], value)


def test_add_leaves_the_old_banks_alone() -> None:
    before = {name: value.clone() for name, value in vars(GOLDEN).items()}
    GOLDEN.add(indices("LA"), torch.tensor([1.0]), torch.tensor([0.0]))
    assert all(torch.equal(vars(GOLDEN)[name], before[name]) for name in before)


def test_banks_hold_no_graph() -> None:
    loss = torch.ones(2, requires_grad=True)
    banks = Banks.empty().add(indices("L", "A"), 2 * loss, loss)
    assert not any(value.requires_grad for value in vars(banks).values())


def test_banks_sum_single_precision_losses_in_double() -> None:
    losses = torch.tensor([2.0**24, 1.0, 1.0])
    assert Banks.empty().add(indices("L", "L", "L"), losses, torch.zeros(3)).absolute[0].item() == 2**24 + 2


def test_banks_survive_a_checkpoint() -> None:
    file = io.BytesIO()
    torch.save(vars(GOLDEN), file)
    file.seek(0)
    restored = Banks(**torch.load(file, weights_only=True))
    assert all(torch.equal(vars(restored)[name], value) for name, value in vars(GOLDEN).items())


@settings(max_examples=60, deadline=None)
@given(records, st.floats(0.1, 50), st.sampled_from([0.0, 1.0]))
def test_weights_equal_the_loops(batch: list[Record], rho: float, unseen: float) -> None:
    banks = filled(batch)
    difficulty = slow_difficulty(batch, subtract_teacher=True)
    hardest = max(difficulty)
    if hardest <= 1e-12:
        expected = [1.0] * 7
    else:
        seen = {i for i, _, _ in batch}
        expected = [rho * (d / hardest) ** 2 if j in seen else unseen for j, d in enumerate(difficulty)]
    psi = mar_weights(mean_difficulty(banks.relative, banks.counts), banks.counts, rho, unseen)
    assert psi.tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("largest", [0.0, 1e-13, 1e-12])
def test_no_difficulty_gives_all_ones(largest: float) -> None:
    psi = mar_weights(difficulties(A=largest), torch.ones(7, dtype=torch.int64), 20.0, 0.0)
    assert psi.tolist() == [1.0] * 7


def test_unseen_weight_is_for_unseen_combinations_only() -> None:
    counts = torch.tensor([1, 1, 0, 1, 1, 1, 1])
    psi = by_name(mar_weights(difficulties(A=2.0, L=1.0), counts, 20.0, 1.0))
    assert psi == {"L": 5.0, "A": 20.0, "V": 1.0, "LA": 0.0, "LV": 0.0, "AV": 0.0, "LAV": 0.0}


@pytest.mark.parametrize(
    ("hardest", "raised"), [("LA", {"LA", "L", "A"}), ("LV", {"LV", "L", "V"}), ("AV", {"AV", "A", "V"})]
)
def test_cmad_w_raises_the_hardest_pair_and_its_singles(hardest: str, raised: set[str]) -> None:
    # Singles and LAV are harder still, and must not count in the choice.
    difficulty = difficulties(
        **{"L": 9.0, "A": 9.0, "V": 9.0, "LAV": 9.0, "LA": 1.0, "LV": 1.0, "AV": 1.0, hardest: 2.0}
    )
    psi = by_name(weakest_weights(difficulty, 20.0))
    assert psi == {name: 20.0 if name in raised else 1.0 for name in COMBINATIONS}


def test_cmad_w_without_a_hard_pair_is_all_ones() -> None:
    assert weakest_weights(difficulties(L=3.0), 20.0).tolist() == [1.0] * 7


@pytest.mark.parametrize(
    ("tied", "chosen"), [(("LA", "LV"), "LA"), (("LA", "AV"), "LA"), (("LV", "AV"), "LV")]
)
def test_cmad_w_resolves_ties_in_table_order(tied: tuple[str, str], chosen: str) -> None:
    psi = by_name(weakest_weights(difficulties(**dict.fromkeys(tied, 2.0)), 20.0))
    assert {name for name, weight in psi.items() if weight == 20.0} == {chosen, *chosen}
