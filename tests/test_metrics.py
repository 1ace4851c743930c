"""Metrics against scikit-learn, the published numbers and plain repetition of samples."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score

from cmad.scores.constant import constant_outputs
from cmad.scores.metrics import METRICS, PRIMARY, confusion, from_confusion, scored, scores
from cmad.task import Task

REGRESSION = Task("regression")
FIVE = Task("classes", ("a", "b", "c", "d", "e"))
TWO = Task("classes", ("no", "yes"))
EMOTIONS = Task("binary", ("Neutral", "Happy", "Sad", "Angry"))
TASKS = [REGRESSION, FIVE, TWO, EMOTIONS]

Case = tuple[NDArray[Any], NDArray[Any]]


@st.composite
def cases(draw: st.DrawFn, task: Task, least: int = 1) -> Case:
    """Outputs and labels; few samples, so that classes are often missing on either side."""
    n = draw(st.integers(least, 12))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    if task.kind == "regression":
        values = st.sampled_from([-3.4, -2.5, -1.5, -0.5, 0.0, 0.2, 0.5, 1.0, 2.49, 3.0])
        outputs, labels = (draw(hnp.arrays(np.float32, n, elements=values)) for _ in range(2))
        return outputs[:, None], labels
    used = draw(st.integers(1, task.classes))
    shape = (n, task.records) if task.kind == "binary" else (n,)
    return rng.normal(size=(n, task.outputs)), rng.integers(0, used, shape)


def sklearn_scores(truth: NDArray[Any], predicted: NDArray[Any]) -> dict[str, float]:
    return {
        "accuracy": accuracy_score(truth, predicted),
        "f1": f1_score(truth, predicted, average="weighted", zero_division=0),
        "f1_macro": f1_score(truth, predicted, average="macro", zero_division=0),
        "f1_paper": f1_score(predicted, truth, average="weighted", zero_division=0),
    }


def logits(predicted: list[int], classes: int = 2) -> NDArray[np.float64]:
    return np.eye(classes)[predicted]


@pytest.mark.parametrize("task", [FIVE, TWO])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_classes_equal_sklearn(task: Task, data: st.DataObject) -> None:
    outputs, labels = data.draw(cases(task))
    assert scores(task, outputs, labels) == pytest.approx(sklearn_scores(labels, outputs.argmax(1)))


@given(case=cases(REGRESSION))
@settings(max_examples=100, deadline=None)
def test_regression_equals_sklearn_on_labels_other_than_zero(case: Case) -> None:
    outputs, labels = case
    got = scores(REGRESSION, outputs, labels)
    known = labels != 0
    assert scored(REGRESSION, labels) == known.sum()
    if known.any():
        expected = sklearn_scores(labels[known] > 0, outputs[known, 0] > 0)
        del expected["f1_macro"]
        assert {name: got[name] for name in expected} == pytest.approx(expected)
    else:
        assert math.isnan(got["accuracy"])
        assert math.isnan(got["f1"])
    assert math.isfinite(got["mae"])


@given(case=cases(EMOTIONS))
@settings(max_examples=60, deadline=None)
def test_binary_is_the_mean_over_labels(case: Case) -> None:
    outputs, labels = case
    got = scores(EMOTIONS, outputs, labels)
    each = [
        sklearn_scores(labels[:, j], outputs[:, 2 * j : 2 * j + 2].argmax(1))
        for j in range(len(EMOTIONS.names))
    ]
    for metric in ("accuracy", "f1", "f1_paper"):
        assert got[metric] == pytest.approx(np.mean([one[metric] for one in each]))
    for metric in PRIMARY:
        for name, one in zip(EMOTIONS.names, each, strict=True):
            assert got[f"{metric}_{name}"] == pytest.approx(one[metric])


@pytest.mark.parametrize("task", TASKS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_weights_equal_repeated_samples(task: Task, data: st.DataObject) -> None:
    outputs, labels = data.draw(cases(task))
    weights = data.draw(hnp.arrays(np.int64, (3, len(labels)), elements=st.integers(0, 3)))
    for row, counts in zip(weights, confusion(task, outputs, labels, weights), strict=True):
        repeated = np.repeat(np.arange(len(labels)), row)
        np.testing.assert_array_equal(counts, confusion(task, outputs[repeated], labels[repeated]))


@pytest.mark.parametrize("task", TASKS)
def test_leading_dimensions_are_kept(task: Task) -> None:
    rng = np.random.default_rng(3)
    outputs = rng.normal(size=(2, 3, 20, task.outputs))
    labels = rng.integers(0, 2, (20, task.records) if task.kind == "binary" else 20)
    weights = rng.integers(0, 4, (5, 20))
    together = confusion(task, outputs, labels, weights)
    size = 2 if task.kind == "regression" else task.classes
    assert together.shape == (5, 2, 3, task.records, size, size)
    for i in range(2):
        for j in range(3):
            np.testing.assert_array_equal(together[:, i, j], confusion(task, outputs[i, j], labels, weights))


def test_rows_of_a_confusion_are_the_truth() -> None:
    counts = confusion(TWO, logits([0, 0, 0, 1]), np.array([1, 1, 0, 1]))
    assert counts.tolist() == [[[1, 0], [2, 1]]]


def test_swapped_f1_explains_a_published_pair() -> None:
    # MUStARD's 51.5/60.6 (spec section 6): 34/34 test items of which 31 and 4 are right.
    labels = np.repeat([1, 0], 34)
    predicted = [1] * 31 + [0] * 3 + [1] * 30 + [0] * 4
    got = scores(TWO, logits(predicted), labels)
    assert round(100 * got["accuracy"], 1) == 51.5
    assert round(100 * got["f1_paper"], 1) == 60.6
    assert round(100 * got["f1"], 1) == 42.4


def test_regression_over_all_samples() -> None:
    outputs = np.array([[3.6], [-1.2], [0.4], [2.4]])
    labels = np.array([2.8, -1.0, 0.0, 1.0])
    got = scores(REGRESSION, outputs, labels)
    assert got["mae"] == pytest.approx((0.8 + 0.2 + 0.4 + 1.4) / 4)
    assert got["correlation"] == pytest.approx(np.corrcoef(outputs[:, 0], labels)[0, 1])
    # 3.6 and 2.8 meet at 3, as at 2; 2.4 and 1 meet nowhere.
    assert got["acc7"] == 0.75
    assert got["acc5"] == 0.75
    got = scores(REGRESSION, np.array([[2.0]]), np.array([3.0]))
    assert (got["acc7"], got["acc5"]) == (0.0, 1.0)


@pytest.mark.parametrize("constant", [0.1, 0.0, np.inf])
def test_undefined_correlation_is_zero(constant: float) -> None:
    outputs = np.full((3, 1), constant)
    assert scores(REGRESSION, outputs, np.array([1.0, -1.0, 0.3]))["correlation"] == 0
    assert scores(REGRESSION, np.array([[1.0], [2.0]]), np.full(2, 0.7))["correlation"] == 0


def test_correlation_survives_tiny_deviations() -> None:
    outputs = np.array([[0.0], [1e-200], [2e-200]])
    assert scores(REGRESSION, outputs, np.array([1.0, 2.0, 3.0]))["correlation"] == pytest.approx(1)


def test_an_output_of_zero_is_negative() -> None:
    assert scores(REGRESSION, np.zeros((2, 1)), np.array([-1.0, 2.0]))["accuracy"] == 0.5


@pytest.mark.parametrize("task", TASKS)
def test_no_samples_give_nan(task: Task) -> None:
    labels = np.zeros((0, task.records) if task.kind == "binary" else 0)
    got = scores(task, np.zeros((0, task.outputs)), labels)
    assert got
    assert all(math.isnan(value) for value in got.values())
    assert scored(task, labels) == 0


@pytest.mark.parametrize("task", TASKS)
def test_names_are_those_listed(task: Task) -> None:
    labels = np.ones((2, task.records) if task.kind == "binary" else 2, np.int64)
    names = list(scores(task, np.ones((2, task.outputs)), labels))
    by_label = [f"{m}_{name}" for m in PRIMARY for name in task.names] if task.kind == "binary" else []
    assert names == [*METRICS[task.kind], *by_label]


def test_macro_f1_leaves_out_classes_that_never_occur() -> None:
    counts = np.diag([3.0, 2.0, 0.0])
    assert from_confusion(counts)["f1_macro"] == 1


@pytest.mark.parametrize(
    ("task", "outputs", "labels", "message"),
    [
        (FIVE, np.zeros((3, 4)), np.zeros(3, int), "outputs"),
        (REGRESSION, np.zeros(3), np.zeros(3), "outputs"),
        (REGRESSION, np.zeros((3, 1)), np.zeros((3, 1)), "labels"),
        (EMOTIONS, np.zeros((3, 8)), np.zeros(3, int), "labels"),
        (TWO, np.array([[0.0, 1.0], [np.nan, np.nan]]), np.zeros(2, int), "NaN"),
    ],
)
def test_misuse_is_refused(task: Task, outputs: NDArray[Any], labels: NDArray[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scores(task, outputs, labels)


def constant_scores(task: Task, labels: NDArray[Any]) -> dict[str, float]:
    outputs = np.tile(constant_outputs(task, labels), (len(labels), 1))
    return {name: round(100 * value, 2) for name, value in scores(task, outputs, labels).items()}


def test_constant_predictor_of_mosei() -> None:
    # 62.85 % positive among the labels other than 0 (spec section 9).
    labels = np.repeat([1.0, -1.0, 0.0], [6285, 3715, 4000])
    got = constant_scores(REGRESSION, labels)
    assert (got["accuracy"], round(got["f1"], 1)) == (62.85, 48.5)


def test_constant_predictor_of_iemocap() -> None:
    # Positives of the 938 test samples, exactly one label each (spec of the data sets, section 2).
    labels = np.eye(4, dtype=np.int64)[np.repeat(range(4), [383, 135, 193, 227])]
    got = constant_scores(EMOTIONS, labels)
    assert [round(got[f"accuracy_{name}"], 1) for name in EMOTIONS.names] == [59.2, 85.6, 79.4, 75.8]
    assert round(got["accuracy"], 1) == 75.0
    assert round(got["f1"], 1) == 64.7


def test_constant_predictor_of_classes_is_the_log_of_the_shares() -> None:
    got = constant_outputs(FIVE, np.array([2, 2, 2, 0, 0, 1, 3, 3]))
    np.testing.assert_allclose(np.exp(got), [2 / 8, 1 / 8, 3 / 8, 2 / 8, 0.5 / 8])


@pytest.mark.parametrize(
    ("labels", "constant"),
    [
        ([-1.0, 0.4, 2.0], 0.4),
        # Most are 0, so is the median; but positive is right more often.
        ([0.0, 0.0, 0.0, 1.4, 0.6, -1.0], 0.6),
        ([-2.0, -0.5, -0.5, 1.0, 0.0], -0.5),
        ([0.0, 0.0, 0.0, -1.4, -0.6, 1.0], 0.0),
        # A tie of signs leaves the median.
        ([-1.0, 2.0], 0.5),
        ([0.0, 0.0], 0.0),
    ],
)
def test_constant_score(labels: list[float], constant: float) -> None:
    assert constant_outputs(REGRESSION, np.array(labels)).tolist() == [constant]


@given(labels=hnp.arrays(np.float32, st.integers(1, 15), elements=st.sampled_from([-2, -0.5, 0, 0.3, 1, 3])))
def test_constant_score_predicts_the_majority_sign_nearest_to_the_median(labels: NDArray[Any]) -> None:
    (constant,) = constant_outputs(REGRESSION, labels)
    positive, negative = (labels > 0).sum(), (labels < 0).sum()
    if positive != negative:
        assert (constant > 0) == (positive > negative)
    median = np.median(labels.astype(np.float64))
    candidates = [c for c in [*labels, median] if positive == negative or (c > 0) == (constant > 0)]
    assert abs(constant - median) == min(abs(c - median) for c in candidates)
