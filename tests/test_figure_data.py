"""What figures show beyond scores: exact on small cases, checked on loading, drawn the same twice."""

import json
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

from cmad.combinations import COMBINATIONS
from cmad.config.sweeps import Sweep
from cmad.entries import entries
from cmad.errors import UserError
from cmad.evaluation.details import (
    PROJECTED,
    confusion_rows,
    pair_rows,
    projection_rows,
    reliability_rows,
    scatter_rows,
)
from cmad.report.load import Cells, load
from cmad.report.pairs import pair_means
from cmad.report.source import read
from cmad.report.sweeps import sweep_figure, sweep_series
from cmad.report.swept import COLUMNS, load_sweeps
from cmad.scores.metrics import METRICS
from cmad.task import Task
from tests.generators.splits import make_split, random_lengths
from tests.test_report import SEEDS, make_tree, value

ROWS = entries(("tea", "cmad"), (), ())
CLASSES = Task("classes", ("a", "b", "c"))


def test_pairs_of_equal_rows_are_all_at_one() -> None:
    rows = np.tile(np.array([[1.0, 2.0]], np.float32), (5, 1))
    found = pd.DataFrame(pair_rows(np.tile(rows, (7, 1, 1)), rows, batch=2))
    top = found[found["low"] == found["low"].max()]
    assert top["share"].tolist() == [1.0, 1.0]
    # Batches of 2, 2 and 1 samples: 5 positive pairs and 2 + 2 negative ones a combination.
    assert top.set_index("pair")["n"].to_dict() == {"positive": 35, "negative": 28}


def test_positive_pairs_are_those_of_one_sample() -> None:
    taught = np.eye(4, dtype=np.float32)
    found = pd.DataFrame(pair_rows(np.tile(taught, (7, 1, 1)), taught, batch=4))
    mean = (found["low"] * found["share"]).groupby(found["pair"]).sum()
    assert mean["positive"] == pytest.approx(0.95)
    assert mean["negative"] == pytest.approx(0.0)


def test_without_complete_samples_there_are_no_pairs_and_no_projection() -> None:
    assert pair_rows(np.empty((7, 0, 3), np.float32), np.empty((0, 3), np.float32), 4) == []
    assert projection_rows(np.empty((7, 0, 3), np.float32)) == []


def test_projection_keeps_distances_of_a_plane_and_takes_the_first_samples() -> None:
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(7 * 120, 2)) @ np.linalg.qr(rng.normal(size=(5, 2)))[0].T
    student = plane.reshape(7, 120, 5).astype(np.float32)
    found = pd.DataFrame(projection_rows(student))
    assert len(found) == 7 * PROJECTED
    points = found[["x", "y"]].to_numpy().reshape(7, PROJECTED, 2)
    before = np.linalg.norm(student[3, 4] - student[6, 50])
    assert np.linalg.norm(points[3, 4] - points[6, 50]) == pytest.approx(before, abs=1e-5)
    assert found["x_share"][0] + found["y_share"][0] == pytest.approx(1)
    assert found["x_share"][0] >= found["y_share"][0]


def test_a_projection_of_one_dimension_has_an_empty_second_axis() -> None:
    found = pd.DataFrame(projection_rows(np.random.default_rng(0).normal(size=(7, 9, 1)).astype(np.float32)))
    assert (found["y"] == 0).all()


def test_reliability_and_confusion_count_every_sample_once() -> None:
    rng = np.random.default_rng(1)
    split = make_split(random_lengths(60, rng), 1, CLASSES)
    outputs = rng.normal(size=(7, 60, 3)).astype(np.float32)
    reliability = pd.DataFrame(reliability_rows(CLASSES, outputs, split))
    confusion = pd.DataFrame(confusion_rows(CLASSES, outputs, split))
    for j, combination in enumerate(COMBINATIONS):
        have = split.has[:, ["LAV".index(m) for m in combination]].all(axis=1)
        bins = reliability[reliability["combination"] == combination]
        counts = confusion[confusion["combination"] == combination]
        right = outputs[j, have].argmax(1) == split.labels[have]
        assert bins["n"].sum() == counts["n"].sum() == have.sum()
        assert (bins["n"] * bins["accuracy"]).sum() == pytest.approx(right.sum())
        assert counts[counts["true"] == counts["predicted"]]["n"].sum() == right.sum()
        used = bins[bins["n"] > 0]
        assert used["confidence"].between(used["low"], used["low"] + 0.1).all()


def test_scatter_pairs_scores_with_labels() -> None:
    split = make_split(random_lengths(20, np.random.default_rng(2)), 1, Task("regression"))
    outputs = np.tile(split.labels[None, :, None] + 1, (7, 1, 1)).astype(np.float32)
    found = pd.DataFrame(scatter_rows(outputs, split))
    np.testing.assert_allclose(found["score"], found["truth"] + 1, rtol=1e-6)
    assert (found["combination"] == "LAV").sum() == split.has.all(axis=1).sum()


def with_sweeps(runs: Path, *names: str) -> tuple[Sweep, ...]:
    """A tree of ``tea`` and ``cmad`` and what sweep stages leave of these values."""
    make_tree(runs, rows=ROWS)
    found = [Sweep(parameter, float(number)) for parameter, number in (name.split("_") for name in names)]
    rows = [
        (each.parameter, each.value, s, c, m, value("cmad", s, c, m) - 0.01 * k, 90)
        for k, each in enumerate(found)
        for s in SEEDS
        for c in COMBINATIONS
        for m in METRICS["regression"]
    ]
    columns = ["parameter", "setting", "seed", "combination", "metric", "value", "n"]
    for parameter, table in pd.DataFrame(rows, columns=columns).groupby("parameter"):
        folder = runs / "demo/sweeps" / str(parameter)
        folder.mkdir(parents=True)
        table.drop(columns="parameter").to_csv(folder / "scores.csv", index=False)
        (folder / "sweep.json").write_text(json.dumps({"parameter": parameter, "own": 0.1}))
    return tuple(found)


def cells_with(runs: Path, *names: str) -> Cells:
    return load(runs, "demo", ROWS, SEEDS, with_sweeps(runs, *names))


def test_cmad_stands_among_the_values_of_a_sweep(tmp_path: Path) -> None:
    series = sweep_series(cells_with(tmp_path, "sigma_0.5", "sigma_0.02"))
    accuracy = series[series["metric"] == "accuracy"].groupby("setting")["value"].mean()
    # The second value is a point lower by construction; cmad is as the first.
    assert accuracy.index.tolist() == [0.02, 0.1, 0.5]
    assert accuracy[0.1] == pytest.approx(accuracy[0.5])
    assert accuracy[0.02] == pytest.approx(accuracy[0.5] - 0.01)
    assert set(series[series["setting"] == 0.1]["variant"]) == {"cmad"}


def test_a_value_that_is_the_presets_own_is_not_shown_twice(tmp_path: Path) -> None:
    series = sweep_series(cells_with(tmp_path, "sigma_0.1", "sigma_0.5"))
    assert set(series[series["setting"] == 0.1]["variant"]) == {"sigma_0.1"}


def test_the_figure_of_sweeps_is_the_same_twice(tmp_path: Path) -> None:
    cells = cells_with(tmp_path / "runs", "phi_1", "sigma_0.5")
    for name in ("a", "b"):
        sweep_figure(cells, tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    drawn = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert drawn == (tmp_path / "b.svg").read_text(encoding="utf-8")
    assert "cancels in the loss" in drawn


def test_a_knobs_files_are_read_once_for_all_its_values(tmp_path: Path) -> None:
    sweeps = with_sweeps(tmp_path, "sigma_0.5", "sigma_0.02", "phi_1")
    with (
        patch("cmad.report.swept.read", wraps=read) as tables,
        patch("json.loads", wraps=json.loads) as texts,
    ):
        found = load_sweeps(tmp_path / "demo/sweeps", "", sweeps, SEEDS, COMBINATIONS, ("accuracy",))
    assert (tables.call_count, texts.call_count) == (2, 2)
    assert list(found.columns) == list(COLUMNS)
    kept = found[["sweep", "parameter", "setting"]].drop_duplicates().to_numpy().tolist()
    assert kept == [[each.name, each.parameter, each.value] for each in sweeps]


@pytest.mark.parametrize("damage", ["absent", "foreign", "another value"])
def test_a_missing_or_stale_value_is_named(tmp_path: Path, damage: str) -> None:
    sweeps = with_sweeps(tmp_path, "sigma_0.5")
    folder = tmp_path / "demo/sweeps/sigma"
    if damage == "absent":
        (folder / "scores.csv").unlink()
    elif damage == "another value":
        sweeps = (Sweep("sigma", 0.4),)
    else:
        (folder / "sweep.json").write_text(json.dumps({"parameter": "phi", "own": 0.1}))
    with pytest.raises(UserError, match=r"dvc repro --single-item --force sweep_also@demo-sigma"):
        load(tmp_path, "demo", ROWS, SEEDS, sweeps, "_also")


@pytest.mark.parametrize("name", ["pairs", "projection", "scatter"])
def test_a_row_that_a_figure_lacks_is_named(tmp_path: Path, name: str) -> None:
    make_tree(tmp_path, rows=ROWS)
    path = tmp_path / f"demo/evaluation/{name}.csv"
    table = pd.read_csv(path)
    table[table["variant"] != "tea"].to_csv(path, index=False)
    with pytest.raises(UserError, match=rf"{name}\.csv: no row for variant tea.*evaluate@demo"):
        load(tmp_path, "demo", ROWS, SEEDS)


def test_means_of_pairs_are_those_of_the_histograms(tmp_path: Path) -> None:
    make_tree(tmp_path, rows=ROWS)
    # Bins [-1, 0) and [0, 1): see tests.figure_tables.
    found = pair_means(load(tmp_path, "demo", ROWS, SEEDS))
    assert found["cmad", "positive"] == pytest.approx(0.5)
    assert found["cmad", "negative"] == pytest.approx(-0.25)
