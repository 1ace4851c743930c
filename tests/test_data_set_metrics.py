"""The metrics of the paper's data sets (spec section 6), with scikit-learn as the oracle."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, precision_recall_fscore_support

from cmad.combinations import COMBINATIONS, contained
from cmad.evaluation.evaluate import class_table
from cmad.evaluation.origin import write_origin
from cmad.evaluation.predict import Predicted
from cmad.report.load import load
from cmad.report.summary import COLUMNS
from cmad.report.tables import class_tables, label_tables
from cmad.report.write import write_tables
from cmad.scores.metrics import by_class, confusion, scores
from cmad.store.store import Store
from cmad.task import Task
from tests.generators.splits import make_split, random_lengths
from tests.test_report import ROWS, SEEDS, cells_of, make_tree, report, tables, value

SEVEN = Task("classes", ("anger", "disgust", "fear", "happy", "neutral", "sad", "surprise"))
SARCASM = Task("classes", ("0", "1"))
EMOTIONS = Task("binary", ("Neutral", "Happy", "Sad", "Angry"))


def test_mosei() -> None:
    rng = np.random.default_rng(0)
    labels = np.clip(np.round(rng.normal(0.3, 1.4, 500) * 3) / 3, -3, 3)
    outputs = labels + rng.normal(0, 1.5, 500)
    got = scores(Task("regression"), outputs[:, None], labels)
    known = labels != 0
    assert 0 < known.sum() < 500
    truth, said = labels[known] > 0, outputs[known] > 0
    assert got["accuracy"] == pytest.approx(accuracy_score(truth, said))
    assert got["f1"] == pytest.approx(f1_score(truth, said, average="weighted"))
    for name, limit in (("acc7", 3), ("acc5", 2)):
        first, second = (np.round(np.clip(x, -limit, limit)).astype(int) for x in (labels, outputs))
        assert got[name] == pytest.approx(accuracy_score(first, second))
    assert got["mae"] == pytest.approx(mean_absolute_error(labels, outputs))
    assert got["correlation"] == pytest.approx(np.corrcoef(labels, outputs)[0, 1])


def test_iemocap_per_emotion_and_mean() -> None:
    rng = np.random.default_rng(1)
    labels = np.eye(4, dtype=np.int64)[rng.integers(0, 4, 300)]
    outputs = rng.normal(size=(300, 8))
    got = scores(EMOTIONS, outputs, labels)
    said = outputs.reshape(-1, 4, 2).argmax(2)
    accuracy = [accuracy_score(labels[:, j], said[:, j]) for j in range(4)]
    f1 = [f1_score(labels[:, j], said[:, j], average="weighted") for j in range(4)]
    assert [got[f"accuracy_{name}"] for name in EMOTIONS.names] == pytest.approx(accuracy)
    assert [got[f"f1_{name}"] for name in EMOTIONS.names] == pytest.approx(f1)
    assert (got["accuracy"], got["f1"]) == pytest.approx((np.mean(accuracy), np.mean(f1)))


def test_iemocap_constant_no_has_the_known_scores() -> None:
    # Spec section 9: test has 383, 135, 193 and 227 ones; "no" throughout gives 75.0 and 64.7.
    ones = (383, 135, 193, 227)
    labels = np.repeat(np.eye(4, dtype=np.int64), ones, axis=0)
    got = scores(EMOTIONS, np.tile([1.0, 0.0], (938, 4)), labels)
    assert [round(100 * got[f"accuracy_{name}"], 1) for name in EMOTIONS.names] == [59.2, 85.6, 79.4, 75.8]
    assert round(100 * got["accuracy"], 1) == 75.0
    assert round(100 * got["f1"], 1) == 64.7


def predictions(classes: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, 400, p=np.arange(1, classes + 1) / (classes * (classes + 1) / 2))
    return labels, rng.normal(size=(400, classes)) + 1.5 * np.eye(classes)[labels]


def test_cherma_and_its_classes() -> None:
    labels, outputs = predictions(7, 2)
    got = scores(SEVEN, outputs, labels)
    said = outputs.argmax(1)
    assert got["accuracy"] == pytest.approx(accuracy_score(labels, said))
    assert got["f1"] == pytest.approx(f1_score(labels, said, average="weighted"))
    assert got["f1_macro"] == pytest.approx(f1_score(labels, said, average="macro"))
    each = by_class(confusion(SEVEN, outputs, labels)[0])
    expected = precision_recall_fscore_support(labels, said, labels=range(7))
    for name, values in zip(("precision", "recall", "f1"), expected[:3], strict=True):
        np.testing.assert_allclose(each[name], values)


def test_mustard_paper_comparable_f1_swaps_truth_and_prediction() -> None:
    labels, outputs = predictions(2, 3)
    got = scores(SARCASM, outputs, labels)
    said = outputs.argmax(1)
    assert got["f1"] == pytest.approx(f1_score(labels, said, average="weighted"))
    assert got["f1_paper"] == pytest.approx(f1_score(said, labels, average="weighted"))
    assert got["f1"] != pytest.approx(got["f1_paper"], abs=1e-4)


def test_a_class_that_never_occurs() -> None:
    each = by_class(np.array([[3.0, 1, 0], [0, 0, 0], [0, 0, 0]]))
    np.testing.assert_array_equal(each["precision"], [1, 0, 0])
    np.testing.assert_array_equal(each["recall"], [0.75, np.nan, np.nan])
    np.testing.assert_allclose(each["f1"], [6 / 7, 0, np.nan])


def test_class_table_of_an_evaluation() -> None:
    task = Task("classes", ("x", "y", "z"))
    split = make_split(random_lengths(40, np.random.default_rng(4)), 4, task)
    rng = np.random.default_rng(5)
    outputs = rng.normal(size=(1, 7, 40, 3)).astype(np.float32)
    have = contained(split.has).T
    outputs[0][~have] = np.nan
    store = cast(Store, SimpleNamespace(task=task, splits={"test": split}))
    found = class_table(store, {"cmad": Predicted(outputs, outputs[:, :1], [], [], [], 1)}, (5,))
    assert len(found) == 7 * 3 * 3
    j = COMBINATIONS.index("AV")
    rows = found[(found["combination"] == "AV") & (found["seed"] == 5)]
    truth, said = split.labels[have[j]], outputs[0, j, have[j]].argmax(1)
    expected = precision_recall_fscore_support(truth, said, labels=range(3))
    for name, values in zip(("precision", "recall", "f1"), expected[:3], strict=True):
        part = rows[rows["metric"] == name]
        np.testing.assert_allclose(part["value"], values)
        assert part["n"].tolist() == expected[3].tolist()
    other = cast(Store, SimpleNamespace(task=Task("regression"), splits={"test": split}))
    assert class_table(other, {"cmad": Predicted(outputs, outputs[:, :1], [], [], [], 1)}, (5,)).empty


def test_the_report_has_a_table_by_class(tmp_path: Path) -> None:
    make_tree(tmp_path / "runs", kind="classes", data_format="folder")
    cells = cells_of(tmp_path / "runs")
    found = tables(report([cells], 1))["By class"]
    assert [list(table) for table in found] == [["class", "no (25)", "yes (25)"]] * 2
    # Of cmad; the two seeds differ by a point up and down, so their mean is in the middle.
    row = class_tables(cells, "cmad")["f1"].rows[1]
    means = {c: np.mean([value("cmad", s, c, "f1") - 0.1 for s in SEEDS]) for c in COMBINATIONS}
    assert [cell.value for cell in row.cells if cell][:7] == pytest.approx(list(means.values()))
    write_tables(cells, tmp_path)
    assert len((tmp_path / "demo_classes.csv").read_text().splitlines()) == 1 + 3 * 2 * 7 * 2 * 3
    assert found[0]["class"] == list(COLUMNS)


def test_a_class_is_counted_where_no_combination_has_all_samples(tmp_path: Path) -> None:
    make_tree(tmp_path, kind="classes")
    # Of its 25 test samples some lack language, others audio and vision.
    classes = tmp_path / "demo/evaluation/classes.csv"
    classes.write_text(classes.read_text().replace(",25\n", ",20\n"))
    cells = cells_of(tmp_path)
    assert set(cells.classes["n"]) == {20}
    assert [row.name for row in class_tables(cells, "cmad")["f1"].rows] == ["no (25)", "yes (25)"]


def test_the_report_has_a_table_by_label(tmp_path: Path) -> None:
    make_tree(tmp_path / "runs", kind="binary")
    cells = cells_of(tmp_path / "runs")
    found = tables(report([cells], 1))["By label"]
    assert [list(table) for table in found] == [["label", "n", "happy", "sad", "mean"]] * 2
    assert [table["n"] for table in found] == [["100", "95", "90", "95", "90", "85", "85", ""]] * 2
    assert label_tables(cells, "cmad")["accuracy"].rows[0].cells
    assert class_tables(cells, "cmad") == {}


def test_the_report_has_acc7_and_acc5(tmp_path: Path) -> None:
    make_tree(tmp_path / "runs")
    cells = cells_of(tmp_path / "runs")
    text = report([cells], 1)
    assert len(tables(text)["Acc-7 and Acc-5"]) == 2
    assert "By class" not in text
    assert "By label" not in text


def test_a_class_may_be_called_na(tmp_path: Path) -> None:
    make_tree(tmp_path, kind="classes")
    here = tmp_path / "demo"
    for path in (here / "evaluation/classes.csv", here / "store/manifest.json"):
        path.write_text(path.read_text().replace(",no,", ",NA,").replace('"no"', '"NA"'))
    # There two names stand beside each other.
    confusion = here / "evaluation/confusion.csv"
    confusion.write_text(confusion.read_text().replace(",no,", ",NA,").replace(",no,", ",NA,"))
    write_origin(here / "evaluation", here, ROWS)
    found = load(tmp_path, "demo", ROWS, SEEDS)
    assert set(found.classes["class"]) == set(found.details.confusion["true"]) == {"NA", "yes"}
