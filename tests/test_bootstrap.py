"""The paired bootstrap against a plain loop, known standard errors and simulated truth."""

from itertools import product
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cmad.config.schema import Evaluate
from cmad.entries import entries
from cmad.evaluation.evaluate import difference_table
from cmad.evaluation.predict import Predicted
from cmad.scores import bootstrap
from cmad.scores.bootstrap import COMPARED, averages, draw_resamples, holm, paired_difference, sign_flip_p
from cmad.scores.metrics import scores
from cmad.store.store import Store
from cmad.task import Task
from tests.generators.splits import make_split

REGRESSION = Task("regression")
THREE = Task("classes", ("a", "b", "c"))
PAIR = Task("binary", ("x", "y"))
TASKS = [REGRESSION, THREE, PAIR]

System = NDArray[np.float64]


def make_labels(task: Task, n: int, rng: np.random.Generator) -> NDArray[Any]:
    if task.kind == "regression":
        return np.round(rng.normal(size=n), 1)
    return rng.integers(0, task.classes, (n, task.records) if task.kind == "binary" else n)


def make_system(task: Task, n: int, rng: np.random.Generator, seeds: int = 3) -> System:
    """Random outputs; every third sample has language only, none has LAV."""
    outputs = rng.normal(size=(seeds, 7, n, task.outputs))
    outputs[:, 1:, ::3] = np.nan
    outputs[:, 6] = np.nan
    return outputs


def plain_average(task: Task, outputs: System, labels: NDArray[Any], metric: str) -> float:
    """The statistic of one system, [S, 7, n, K], from `scores` alone."""
    seeds = []
    for of_seed in outputs:
        columns = []
        for of_combination in of_seed:
            has = ~np.isnan(of_combination[:, 0])
            columns.append(scores(task, of_combination[has], labels[has])[metric])
        seeds.append(np.nanmean(columns))
    return float(np.mean(seeds))


@pytest.mark.parametrize("task", TASKS)
def test_equals_a_plain_loop_over_the_same_draws(task: Task) -> None:
    rng = np.random.default_rng(0)
    labels = make_labels(task, 15, rng)
    a, b = make_system(task, 15, rng), make_system(task, 15, rng)
    got = paired_difference(task, a, b, labels, 40, 0.9, np.random.default_rng(7))
    ((of_seeds, of_samples),) = draw_resamples(np.random.default_rng(7), 40, 3, 15)
    for metric in COMPARED:
        drawn = []
        for seed_counts, sample_counts in zip(of_seeds, of_samples, strict=True):
            s, i = np.repeat(range(3), seed_counts), np.repeat(range(15), sample_counts)
            one, other = (plain_average(task, x[s][:, :, i], labels[i], metric) for x in (a, b))
            drawn.append(one - other)
        low, high = np.quantile(drawn, [0.05, 0.95])
        difference = plain_average(task, a, labels, metric) - plain_average(task, b, labels, metric)
        assert got[metric] == pytest.approx((difference, low, high), abs=1e-12)


@pytest.mark.parametrize("task", TASKS)
def test_identical_systems_differ_by_exactly_zero(task: Task) -> None:
    rng = np.random.default_rng(1)
    labels = make_labels(task, 30, rng)
    a = make_system(task, 30, rng)
    for interval in paired_difference(task, a, a.copy(), labels, 50, 0.95, rng).values():
        assert interval == (0, 0, 0)


def test_swapping_the_systems_mirrors_the_interval() -> None:
    rng = np.random.default_rng(2)
    labels = make_labels(REGRESSION, 30, rng)
    a, b = make_system(REGRESSION, 30, rng), make_system(REGRESSION, 30, rng)
    forth = paired_difference(REGRESSION, a, b, labels, 50, 0.95, np.random.default_rng(0))
    back = paired_difference(REGRESSION, b, a, labels, 50, 0.95, np.random.default_rng(0))
    for metric in COMPARED:
        difference, low, high = forth[metric]
        assert back[metric] == pytest.approx((-difference, -high, -low), abs=1e-15)


def test_same_generator_state_gives_the_same_bits_in_any_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    labels = make_labels(THREE, 31, rng)
    a, b = make_system(THREE, 31, rng), make_system(THREE, 31, rng)

    def run(seed: int) -> object:
        return paired_difference(THREE, a, b, labels, 50, 0.95, np.random.default_rng(seed))

    whole = run(4)
    assert run(4) == whole
    assert run(5) != whole
    monkeypatch.setattr(bootstrap, "_HELD", 31 * 7)
    assert len(list(draw_resamples(rng, 50, 3, 31))) == 8
    assert run(4) == whole


def test_draws_are_with_replacement() -> None:
    ((of_seeds, of_samples),) = draw_resamples(np.random.default_rng(0), 400, 3, 20)
    assert of_seeds.shape == (400, 3)
    assert of_samples.shape == (400, 20)
    assert set(of_seeds.sum(1)) == {3}
    assert set(of_samples.sum(1)) == {20}
    # A sample is left out of a resample with chance (1 - 1/20)^20.
    assert (of_samples == 0).mean() == pytest.approx(0.95**20, abs=0.02)
    assert of_samples.mean(0) == pytest.approx(np.ones(20), abs=0.2)


def answers(right: NDArray[np.bool_], labels: NDArray[np.float64]) -> System:
    """Outputs [S, 7, n, 1] whose sign is right where [S, n] says so, in every combination."""
    return np.repeat(np.where(right, labels, -labels)[:, None, :, None], 7, axis=1)


def test_one_seed_has_the_standard_error_of_a_paired_mean() -> None:
    rng = np.random.default_rng(5)
    labels = rng.choice([-1.0, 1.0], 2000)
    right_a = rng.random((1, 2000)) < 0.7
    right_b = np.where(rng.random((1, 2000)) < 0.8, right_a, rng.random((1, 2000)) < 0.6)
    a, b = answers(right_a, labels), answers(right_b, labels)
    difference, low, high = paired_difference(REGRESSION, a, b, labels, 2000, 0.95, rng)["accuracy"]
    by_sample = right_a[0].astype(float) - right_b[0]
    assert difference == pytest.approx(by_sample.mean())
    assert high - low == pytest.approx(2 * 1.96 * by_sample.std() / np.sqrt(2000), rel=0.06)


def test_seeds_that_disagree_widen_the_interval() -> None:
    rng = np.random.default_rng(6)
    labels = rng.choice([-1.0, 1.0], 500)
    chances = np.array([0.5, 0.7, 0.9])[:, None]
    a = answers(rng.random(500) < chances, labels)
    b = answers(np.repeat(rng.random((1, 500)) < 0.7, 3, axis=0), labels)
    _, low, high = paired_difference(REGRESSION, a, b, labels, 500, 0.95, rng)["accuracy"]
    # Three draws of -.2, 0, .2: all at one end has a chance of 1/27 = 3.7 % each.
    assert low < -0.15
    assert high > 0.15


def test_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(200):
        labels = rng.choice([-1.0, 1.0], 120)
        # Samples are hard or easy for both systems; seeds differ a little; a is better by .1.
        difficulty = rng.random(120)
        level = 0.7 + 0.02 * rng.normal(size=(5, 1))
        a = answers(difficulty + 0.1 * rng.uniform(-1, 1, (5, 120)) < level, labels)
        b = answers(difficulty + 0.1 * rng.uniform(-1, 1, (5, 120)) < level - 0.1, labels)
        _, low, high = paired_difference(REGRESSION, a, b, labels, 200, 0.9, rng)["accuracy"]
        covered += low <= 0.1 <= high
    assert 0.85 * 200 <= covered <= 0.97 * 200


def test_a_combination_that_no_sample_has_is_left_out() -> None:
    rng = np.random.default_rng(9)
    labels = rng.choice([-1.0, 1.0], 40)
    outputs = rng.normal(size=(2, 7, 40, 1))
    without = outputs.copy()
    without[:, 3] = np.nan
    expected = [
        np.mean([scores(REGRESSION, outputs[s, j], labels)["f1"] for j in range(7) if j != 3]) for s in (0, 1)
    ]
    assert averages(REGRESSION, without, labels)["f1"] == pytest.approx(expected)


def test_averages_keep_leading_dimensions() -> None:
    rng = np.random.default_rng(10)
    labels = make_labels(PAIR, 12, rng)
    outputs = np.stack([make_system(PAIR, 12, rng), make_system(PAIR, 12, rng)])
    weights = rng.integers(0, 3, (5, 12))
    together = averages(PAIR, outputs, labels, weights)["accuracy"]
    assert together.shape == (5, 2, 3)
    assert together[:, 1, 2] == pytest.approx(averages(PAIR, outputs[1, 2], labels, weights)["accuracy"])


def test_nothing_to_score_gives_nan() -> None:
    nothing = np.full((2, 7, 4, 1), np.nan)
    result = paired_difference(REGRESSION, nothing, nothing, np.ones(4), 10, 0.95, np.random.default_rng(0))
    assert list(result) == list(COMPARED)
    assert np.isnan(list(result.values())).all()


def test_resamples_without_a_scored_sample_are_left_out() -> None:
    # One label other than 0 among five: a third of the resamples lack it.
    labels = np.array([0.0, 0.0, 0.0, 0.0, 1.0])
    a, b = np.ones((1, 7, 5, 1)), -np.ones((1, 7, 5, 1))
    result = paired_difference(REGRESSION, a, b, labels, 50, 0.95, np.random.default_rng(0))
    assert result["accuracy"] == (1, 1, 1)


def test_misuse_is_refused() -> None:
    rng = np.random.default_rng(0)
    labels = np.ones(9)
    a = make_system(REGRESSION, 9, rng)
    failed = a.copy()
    failed[1, 0] = np.nan
    partly = rng.normal(size=(1, 7, 9, 3))
    partly[0, 2, 4, 1] = np.nan
    for task, one, other, message in [
        (REGRESSION, a, failed, "different places"),
        (THREE, partly, partly, "different places"),
        (REGRESSION, a, a[:2], "differ in shape"),
        (REGRESSION, a[:, :6], a[:, :6], "7, n, K"),
    ]:
        with pytest.raises(ValueError, match=message):
            paired_difference(task, one, other, labels, 10, 0.95, rng)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_sign_flips_equal_brute_force(tenths: list[int]) -> None:
    # Whole numbers make the expected count exact; tenths make ties that rounding could break.
    flips = [abs(np.dot(signs, tenths)) for signs in product((1, -1), repeat=len(tenths))]
    expected = np.mean([flip >= abs(sum(tenths)) for flip in flips])
    assert sign_flip_p(np.array(tenths) / 10) == expected


def test_least_sign_flip_p() -> None:
    assert sign_flip_p(np.full(9, 0.3)) == 2 / 2**9
    assert sign_flip_p(np.array([-2.0])) == 1
    assert np.isnan(sign_flip_p(np.array([0.1, np.nan])))
    for size in (0, 25):
        with pytest.raises(ValueError, match="seeds"):
            sign_flip_p(np.ones(size))


@pytest.mark.parametrize(("seeds", "tested"), [(8, False), (9, True), (24, True), (25, False)])
def test_systems_are_tested_where_all_flips_can_be_listed(seeds: int, tested: bool) -> None:
    rng = np.random.default_rng(6)
    split = make_split(np.ones((12, 3), np.int64), 6, THREE)
    store = cast(Store, SimpleNamespace(task=THREE, splits={"test": split}))
    names = ("cmad", "dropout", "tea")
    drawn = {name: rng.normal(size=(seeds, 7, 12, 3)).astype(np.float32) for name in names}
    predicted = {name: Predicted(of, of[:, :1], [], [], [], 1) for name, of in drawn.items()}
    found = difference_table(store, predicted, entries(names, (), ()), Evaluate((0.5,), 0, 8, 100, 0.95))
    assert len(found) == 2 * len(COMPARED)
    assert found["difference"].notna().all()
    for column in ("p", "p_holm"):
        assert found[found[column].notna()]["variant"].tolist() == ["tea"] * len(COMPARED) * tested


def test_holm() -> None:
    got = holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert got == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.5, 0.6])) == pytest.approx([1, 1])
    assert holm(np.array([])).tolist() == []


def test_holm_leaves_out_tests_that_were_not_made() -> None:
    assert holm(np.array([0.02, np.nan, 0.01])) == pytest.approx([0.02, np.nan, 0.02], nan_ok=True)
