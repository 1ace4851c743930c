"""The pipeline as a user runs it: real DVC repositories, real commands."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.project import ROOT, commit, make_project, read_params, run, small_params, stages_run, write_params

BEFORE_REPORT = {
    "preprocess@demo",
    "teacher@demo",
    "student@demo-tea",
    "student@demo-cmad",
    "evaluate@demo",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which everything has run once; tests leave its params as they found them."""
    folder = tmp_path_factory.mktemp("project")
    make_project(folder, small_params())
    assert stages_run(run(folder, "dvc", "repro")) == {*BEFORE_REPORT, "report"}
    commit(folder)
    return folder


def test_second_repro_runs_nothing(project: Path) -> None:
    assert stages_run(run(project, "dvc", "repro")) == set()


def test_report_names_itself(project: Path) -> None:
    text = (project / "reports/report.md").read_text(encoding="utf-8")
    assert "demo" in text
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert set(metrics["demo"]) == {"tea", "cmad"}


def test_the_page_is_written_and_git_does_not_see_it(project: Path) -> None:
    text = (project / "reports/report.html").read_text(encoding="utf-8")
    assert '<tr id="demo-row-cmad">' in text
    assert "report.html" not in run(project, "git", "status", "--porcelain")
    assert "report.html" not in run(project, "git", "ls-files")


@pytest.fixture
def unchanged(project: Path) -> Iterator[Path]:
    """The project, put back after the test as it was committed."""
    yield project
    run(project, "git", "checkout", "-q", "--", ".")
    run(project, "dvc", "checkout", "-q", "--force")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            "data/presets/demo.yaml:preprocess.generator.seed=1", BEFORE_REPORT, marks=pytest.mark.long
        ),
        pytest.param(
            "data/presets/demo.yaml:teacher.epochs=1",
            BEFORE_REPORT - {"preprocess@demo"},
            marks=pytest.mark.long,
        ),
        (
            "data/presets/demo.yaml:student.optimiser.learning_rate=0.00001",
            BEFORE_REPORT - {"preprocess@demo", "teacher@demo"},
        ),
        ("+definitions.cmad.student.sigma=0.25", {"student@demo-cmad", "evaluate@demo"}),
        ("data/presets/demo.yaml:evaluate.seed=3", {"evaluate@demo"}),
        ("data/presets/demo_classes.yaml:student.sigma=0.5", set()),
    ],
)
def test_a_changed_param_reruns_exactly_what_depends_on_it(
    unchanged: Path, change: str, expected: set[str]
) -> None:
    """Up to the evaluation; that the report follows it, other tests see."""
    assert stages_run(run(unchanged, "dvc", "exp", "run", "-S", change, "evaluate@demo")) == expected


@pytest.mark.long
def test_queue_runs_the_code_of_its_own_clone(project: Path) -> None:
    run(project, "dvc", "exp", "run", "--queue", "-S", "data/presets/demo.yaml:student.sigma=0.5")
    run(project, "dvc", "exp", "run", "--run-all")
    shown = json.loads(run(project, "dvc", "exp", "show", "--json"))
    sigmas = {
        row["data"]["params"]["data/presets/demo.yaml"]["data"]["student"]["sigma"]
        for row in _experiments(shown)
    }
    assert 0.5 in sigmas
    assert stages_run(run(project, "dvc", "repro")) == set(), "the queue changed the workspace"


def _experiments(shown: list[Any]) -> list[Any]:
    return [rev for entry in shown for exp in entry.get("experiments") or [] for rev in exp["revs"]]


@pytest.mark.long
def test_temporary_run_of_another_data_set(project: Path) -> None:
    """Of the third kind of task; that of the second is in the grid beside the first."""
    output = run(project, "dvc", "exp", "run", "--temp", "--name", "other", "-S", "datasets=[demo_binary4]")
    assert {"preprocess@demo_binary4", "student@demo_binary4-cmad", "report"} <= stages_run(output)
    (other,) = run(project, "git", "for-each-ref", "--format=%(objectname)", "refs/exps/*/*/other").split()
    metrics = json.loads(run(project, "git", "show", f"{other}:reports/metrics.json"))
    assert set(metrics) == {"demo_binary4"}
    assert set(json.loads((project / "reports/metrics.json").read_text())) == {"demo"}


@pytest.mark.long
def test_removing_a_variant_leaves_it_out_of_the_report(unchanged: Path) -> None:
    output = run(unchanged, "dvc", "exp", "run", "-S", "variants=[cmad]")
    assert stages_run(output) == {"evaluate@demo", "report"}
    assert set(json.loads((unchanged / "reports/metrics.json").read_text())["demo"]) == {"cmad"}


@pytest.mark.long
def test_adding_a_value_to_a_sweep_trains_that_value_alone(unchanged: Path) -> None:
    settings = ["-S", "sweeps=[sigma,rho]", "-S", "sweep_values.sigma=[0.5]", "-S"]
    places = unchanged / ".dvc/tmp/cmad"
    before = set(places.iterdir())
    sweeps = ["sweep@demo-sigma", "sweep@demo-rho"]
    first = stages_run(run(unchanged, "dvc", "exp", "run", *settings, "sweep_values.rho=[5]", *sweeps))
    assert first == set(sweeps)
    of_first = {path: path.stat().st_mtime_ns for path in places.glob("*/done.pt")}
    second = stages_run(run(unchanged, "dvc", "exp", "run", *settings, "sweep_values.rho=[10,5]"))
    assert second == {"sweep@demo-rho", "report"}
    # What each training leaves in the scratch tells that two were made first, and then one.
    assert len(set(of_first) - {path / "done.pt" for path in before}) == 2
    of_second = {path: path.stat().st_mtime_ns for path in places.glob("*/done.pt")}
    assert of_first.items() <= of_second.items()
    assert len(of_second) == len(of_first) + 1
    table = pd.read_csv(unchanged / "reports/tables/demo_sweeps.csv")
    # cmad's own value stands among them.
    assert table.groupby("parameter")["setting"].unique().map(list).to_dict() == {
        "sigma": [0.1, 0.5],
        "rho": [5.0, 10.0, 20.0],
    }
    assert (unchanged / "reports/figures/demo_sweeps.svg").exists()


@pytest.mark.long
def test_a_swept_value_scores_as_the_same_value_in_the_preset(unchanged: Path) -> None:
    run(unchanged, "dvc", "exp", "run", "-S", "sweeps=[sigma]", "-S", "sweep_values.sigma=[0.1]")
    table = pd.read_csv(unchanged / "reports/tables/demo_sweeps.csv")
    assert set(table["variant"]) == {"sigma_0.1"}
    averages = table.groupby("metric")["value"].mean().round(4).to_dict()
    assert averages == json.loads((unchanged / "reports/metrics.json").read_text())["demo"]["cmad"]


@pytest.mark.long
def test_a_second_grid_runs_beside_the_first(unchanged: Path) -> None:
    grid = [
        "-S",
        "also.datasets=[demo_classes]",
        "-S",
        "also.variants=[cmad]",
        "-S",
        "also.sweeps=[alpha]",
        "-S",
        "sweep_values.alpha=[0.5]",
    ]
    # What another test ran with the same settings comes from DVC's cache of runs.
    names = {"evaluate_also@demo_classes", "sweep_also@demo_classes-alpha", "report"}
    assert names <= stages_run(run(unchanged, "dvc", "exp", "run", *grid))
    metrics = json.loads((unchanged / "reports/metrics.json").read_text())
    assert {name: set(rows) for name, rows in metrics.items()} == {
        "demo": {"tea", "cmad"},
        "demo_classes": {"cmad"},
    }
    assert (unchanged / "reports/figures/demo_classes_confusion.png").exists()


@pytest.mark.long
def test_the_guides_new_system_reruns_no_other(unchanged: Path) -> None:
    grid = ["-S", "unified=[mmanet]", "-S", "customised=[mplmm]"]
    before = stages_run(run(unchanged, "dvc", "exp", "run", *grid))
    systems = {"unified@demo-mmanet", "customised@demo-mplmm"}
    assert before == systems | {"evaluate@demo", "report"}

    guide = (ROOT / "docs/add_a_system.md").read_text(encoding="utf-8")
    code = guide.split("```python\n")[1].split("```")[0]
    (unchanged / "cmad/methods/agree.py").write_text(code, encoding="utf-8")
    params = read_params(unchanged)
    params["presets"]["demo"]["systems"]["agree"] = {"pull": 0.1}
    params["unified"].append("agree")
    write_params(unchanged, params)
    assert stages_run(run(unchanged, "dvc", "repro")) == {"unified@demo-agree", "evaluate@demo", "report"}
    (unchanged / "cmad/methods/agree.py").unlink()
    text = (unchanged / "reports/report.md").read_text(encoding="utf-8")
    assert all(name in text for name in ("agree", "MMANet", "MPLMM"))
