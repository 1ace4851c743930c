"""The report: known numbers in, exact cells out; what is missing is named."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest
import yaml

from cmad.combinations import COMBINATIONS, MODALITIES
from cmad.entries import Entry, customised, entries, unified
from cmad.errors import UserError
from cmad.evaluation.origin import write_origin
from cmad.paper import Published
from cmad.report.blocks import Printed
from cmad.report.content import content
from cmad.report.curves import training_figure
from cmad.report.drop_bands import band_figure
from cmad.report.drops import drawn_rows, drop_figure, gap_figure
from cmad.report.figures import combination_figure
from cmad.report.grid import side_by_side
from cmad.report.load import Cells, load
from cmad.report.markdown import written
from cmad.report.series import warm_up
from cmad.report.style import system_looks, variant_looks
from cmad.report.systems import compared, footnotes, mark
from cmad.report.table import NO_VALUE, Cell, Row, Shown, Table, spread_text, tidy, value_text
from cmad.report.times import read_seconds, times
from cmad.report.write import metrics_json, write_series, write_tables
from stages import report as stage
from tests.figure_tables import write_figure_tables
from tests.project import ROOT, small_params, write_params
from tools import soak

VARIANTS = ("tea", "dropout", "cmad")
ROWS = entries(VARIANTS, (), ())
# A grid with systems; "own" is one that nobody described.
SYSTEM_ROWS = entries(
    ("tea", "dropout", "cmad", "cmad_w", "no_mar"), ("mmanet", "umdf", "own"), ("corrkd", "umdf")
)
BASE = {"tea": 0.6, "dropout": 0.7, "cmad": 0.8} | {
    "corrkd_customised": 0.75,
    "umdf_customised": 0.55,
    "mmanet_unified": 0.8,
    "umdf_unified": 0.54,
    "own_unified": 0.5,
    "cmad_w": 0.65,
    "no_mar": 0.85,
}
SEEDS = (0, 1)
RATIOS = (0.0, 0.5, 1.0)
METRICS = {
    "regression": ("accuracy", "f1", "f1_paper", "mae", "correlation", "acc7", "acc5"),
    "classes": ("accuracy", "f1", "f1_macro", "f1_paper"),
    "binary": ("accuracy", "f1", "f1_paper", "accuracy_happy", "f1_happy", "accuracy_sad", "f1_sad"),
}
NAMES = {"regression": (), "classes": ("no", "yes"), "binary": ("happy", "sad")}
COUNTS = dict(zip(COMBINATIONS, (100, 95, 90, 95, 90, 85, 85), strict=True))


def value(variant: str, seed: int, combination: str, metric: str) -> float:
    """A share that tells its cell: +-1 point by seed, alternating, so that averages spread less."""
    j = COMBINATIONS.index(combination)
    sign = 1 if (j + seed) % 2 else -1
    return BASE[variant] + 0.01 * j + 0.01 * sign + (0.001 if metric == "f1" else 0.0)


def manifest(kind: str, counts: dict[str, int], data_format: str) -> dict[str, Any]:
    labels: dict[str, Any] = dict.fromkeys(NAMES[kind], 25)
    if kind == "regression":
        labels = {"mean": 0.125, "deviation": 1.5, "zero": 4, "positive_share": 0.475}
    split = {
        "n": 100,
        "complete": counts["LAV"],
        "combinations": counts,
        "labels": labels,
        "lengths": {m: {"mean": 12.25, "max": 20} for m in MODALITIES},
    }
    return {
        "format": data_format,
        "task": {"kind": kind, "names": list(NAMES[kind])},
        "widths": dict(zip(MODALITIES, (12, 8, 6), strict=True)),
        "non_finite": dict(zip(MODALITIES, (0, 7, 0), strict=True)),
        "constant_columns": dict.fromkeys(MODALITIES, 0),
        "cut_frames": dict.fromkeys(MODALITIES, 3),
        "splits": {"train": split, "dev": split, "test": split},
        "shared_groups": {"train-dev": 0, "train-test": 2, "dev-test": 0},
        "checksums": {},
        "skipped": {},
        "wordless": 0,
    }


def make_tree(
    runs: Path,
    dataset: str = "demo",
    kind: str = "regression",
    seeds: tuple[int, ...] = SEEDS,
    counts: dict[str, int] = COUNTS,
    data_format: str = "demo",
    rows: tuple[Entry, ...] = ROWS,
) -> None:
    """Write what the stages leave of one data set."""
    here = runs / dataset
    names = [row.name for row in rows]
    for folder in ("store", "evaluation", "teacher", *(f"students/{v}" for v in names)):
        (here / folder).mkdir(parents=True)
    (here / "store/manifest.json").write_text(json.dumps(manifest(kind, counts, data_format)))
    possible = [c for c in COMBINATIONS if counts[c]]
    grid = [(v, s) for v in names for s in seeds]

    def n(metric: str, combination: str) -> int:
        # Four samples have label 0, which accuracy and F1 of a regression leave out.
        nonzero = kind == "regression" and metric in ("accuracy", "f1", "f1_paper")
        return counts[combination] - 4 * nonzero

    def write(name: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
        table = pd.DataFrame(rows, columns=columns.split())
        if "seed" in table:
            table = table.astype({"seed": "Int64"})
        table.to_csv(here / "evaluation" / f"{name}.csv", index=False)

    scores: list[tuple[Any, ...]] = [
        (v, s, c, m, value(v, s, c, m), n(m, c)) for v, s in grid for c in possible for m in METRICS[kind]
    ]
    references = {"constant": 0.55} | ({"ceiling": 0.9} if data_format == "demo" else {})
    scores += [
        (r, None, c, m, level, n(m, c))
        for r, level in references.items()
        for c in possible
        for m in METRICS[kind]
    ]
    write("scores", "variant seed combination metric value n", scores)
    classes = [
        (v, s, c, name, m, value(v, s, c, m) - 0.1 * k, 25)
        for v, s in grid
        for c in possible
        for k, name in enumerate(NAMES[kind] if kind == "classes" else ())
        for m in ("precision", "recall", "f1")
    ]
    write("classes", "variant seed combination class metric value n", classes)
    complete = counts["LAV"] > 0
    drops = [
        (v, s, p, m, value(v, s, "LAV", m) - 0.3 * p, n(m, "LAV"))
        for v, s in grid
        for p in RATIOS
        for m in METRICS[kind]
        if complete
    ]
    write("drop_ratios", "variant seed ratio metric value n", drops)
    closeness = [
        (v, s, c, m, (0.0 if v == "tea" else 0.25) if complete else float("nan"), counts["LAV"])
        for v, s in grid
        for c in COMBINATIONS
        for m in ("mse", "sims")
    ]
    write("consistency", "variant seed combination metric value n", closeness)
    differences = [
        (r.name, m, 0.8 - BASE[r.name], -0.0004, 0.25, 0.9, *p_values(r, seeds))
        for r in rows
        if r.name != "cmad"
        for m in ("accuracy", "f1", "f1_paper")
    ]
    write("differences", "variant metric difference low high confidence p p_holm", differences)
    models = [(r.name, *(("C", 7) if r.customised else ("U", 1)), 640_000 + i) for i, r in enumerate(rows)]
    write("rows", "variant set models parameters", models)
    write_figure_tables(here / "evaluation", kind, NAMES[kind], rows, seeds, counts)
    for row in rows:
        if not row.customised:
            write_log(here / "students" / row.name / "log.csv", row.name, seeds)
    teacher = [
        {"epoch": e, "loss": 1 / (e + 1), "dev_loss": 1.1 / (e + 1), "dev_f1_LAV": 0.8, "seed": s}
        for s in seeds
        for e in range(3)
    ]
    pd.DataFrame(teacher).to_csv(here / "teacher/log.csv", index=False)
    write_origin(here / "evaluation", here, rows)


def p_values(row: Entry, seeds: tuple[int, ...]) -> tuple[float, float]:
    """p and p_holm: only of systems, and only with enough seeds and not too many."""
    tested = 9 <= len(seeds) <= 24 and (row.system is not None or row.name == "tea")
    return (2 / 512, 6 / 512) if tested else (float("nan"), float("nan"))


def write_log(path: Path, variant: str, seeds: tuple[int, ...]) -> None:
    rows: list[dict[str, Any]] = []
    for seed in seeds if variant != "tea" else ():
        for epoch in range(3):
            row = {"epoch": epoch, "loss": 1.0 / (epoch + 1), "loss_task": 0.5, "dev_f1": 0.5 + 0.1 * epoch}
            if variant == "cmad":
                row |= {f"{k}_{c}": 1.0 + seed for k in ("w", "psi", "psi_t") for c in COMBINATIONS}
            rows.append(row | {"seed": seed})
    pd.DataFrame(rows, columns=None if rows else ["seed"]).to_csv(path, index=False)


def cells_of(runs: Path, dataset: str = "demo", seeds: tuple[int, ...] = SEEDS) -> Cells:
    return load(runs, dataset, ROWS, seeds)


def report(of: Sequence[Cells], threads: int, published: Sequence[Published] = ()) -> str:
    """The whole report in Markdown."""
    return written(content(of, threads, published))


def tables(text: str) -> dict[str, list[dict[str, list[str]]]]:
    """The Markdown tables under each heading, as rows by first field."""
    found: dict[str, list[dict[str, list[str]]]] = {}
    heading, inside = "", False
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if line.startswith("|"):
            fields = [field.strip() for field in line.strip("|").split("|")]
            if not inside:
                found.setdefault(heading, []).append({})
            if not fields[0].startswith(":-"):
                assert fields[0] not in found[heading][-1] or heading == "Systems"
                found[heading][-1][fields[0]] = fields[1:]
        inside = line.startswith("|")
    return found


def systems_table(text: str) -> list[list[str]]:
    """The lines of the first comparison, without the rule: its first field is not unique."""
    (block,) = re.findall(r"### Systems\n\n.*\n\n((?:^\|.*\n)+)", text, flags=re.MULTILINE)[:1]
    lines = [[field.strip() for field in line.strip("|").split("|")] for line in block.splitlines()]
    return [lines[0], *lines[2:]]


def edit(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_csv(path, dtype={"seed": "Int64"})).to_csv(path, index=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    make_tree(folder)
    make_tree(folder, "demo_classes", "classes", data_format="folder")
    return folder


@pytest.fixture(scope="module")
def text(runs: Path) -> str:
    """The report on the data set ``demo``."""
    return report([cells_of(runs)], 1)


@pytest.fixture
def own(runs: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(runs / "demo", tmp_path / "runs/demo")
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def reported(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder in which the stage has run."""
    folder = tmp_path_factory.mktemp("project")
    prepare(folder, runs)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        stage.run()
    return folder


def prepare(folder: Path, runs: Path) -> None:
    """A project folder in which the report stage can run."""
    shutil.copytree(runs / "demo", folder / "data/runs/demo")
    shutil.copytree(ROOT / "data/paper", folder / "data/paper")
    params = small_params() | {"datasets": ["demo"], "variants": list(VARIANTS), "seeds": list(SEEDS)}
    write_params(folder, params)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def tracked(folder: Path) -> dict[str, bytes]:
    """What git keeps of the reports: all but what differs from run to run."""
    return {name: data for name, data in contents(folder).items() if name not in ("report.html", "times.md")}


# Systems


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    folder = tmp_path_factory.mktemp("systems")
    make_tree(folder, rows=SYSTEM_ROWS)
    return load(folder, "demo", SYSTEM_ROWS, SEEDS)


def both(base: int, bold: bool = False) -> list[str]:
    """The columns of a row: accuracy / F1, which is a tenth of a point higher."""
    j = [*range(7), 3]
    spread = [*["1.4"] * 7, "0.2"]
    star = "**" * bold
    return [
        f"{star}{base + i:.1f} ± {s}{star} / {star}{base + i + 0.1:.1f} ± {s}{star}"
        for i, s in zip(j, spread, strict=True)
    ]


def test_comparison_cell_by_cell(systems: Cells) -> None:
    assert systems_table(report([systems], 1)) == [
        ["set", "system", *COMBINATIONS, "Avg.", "models", "parameters"],
        ["", "n", "96", "91", "86", "91", "86", "81", "81", "", "", ""],
        ["C", r"CorrKD\*", *both(75), "7", "0.64 M"],
        ["C", "UMDF†", *both(55), "7", "0.64 M"],
        ["U", "TEA", *both(60), "1", "0.64 M"],
        ["U", r"MMANet\*", *both(80, bold=True), "1", "0.64 M"],
        ["U", "UMDF†‡", *both(54), "1", "0.64 M"],
        ["U", "own?", *both(50), "1", "0.64 M"],
        ["U", "CMAD_w†", *both(65), "1", "0.64 M"],
        ["U", "CMAD", *both(80, bold=True), "1", "0.64 M"],
        ["ref.", "dropout", *both(70), "1", "0.64 M"],
        ["ref.", "constant predictor", *["55.0 / 55.0"] * 8, "", ""],
        ["ref.", "Bayes ceiling", *["90.0 / 90.0"] * 8, "", ""],
    ]


def test_best_accuracy_and_f1_are_bold_each_by_itself(systems: Cells) -> None:
    scores = systems.scores.copy()
    better = (scores["variant"] == "tea") & (scores["combination"] == "A") & (scores["metric"] == "f1")
    scores.loc[better, "value"] = 0.95
    reference = (scores["variant"] == "dropout") & (scores["combination"] == "L")
    scores.loc[reference, "value"] = 0.99
    found = systems_table(report([replace(systems, scores=scores)], 1))
    tea, cmad = (next(line for line in found if line[1] == name) for name in ("TEA", "CMAD"))
    assert tea[3] == "61.0 ± 1.4 / **95.0 ± 0.0**"
    assert cmad[3] == "**81.0 ± 1.4** / 81.1 ± 1.4"
    assert cmad[2] == "**80.0 ± 1.4** / **80.1 ± 1.4**", "a reference takes nobody's place"


def test_what_cmad_wins_is_said(systems: Cells) -> None:
    scores = systems.scores.copy()
    ahead = (scores["variant"] == "tea") & (scores["combination"] != "L") & (scores["metric"] == "f1")
    scores.loc[ahead, "value"] = 0.95
    text = report([replace(systems, scores=scores)], 1)
    everywhere = ", ".join((*COMBINATIONS, "Avg."))
    assert f"CMAD is best, ties included, in accuracy in: {everywhere}; in F1 in: L. " in text
    scores.loc[scores["variant"] == "cmad", "value"] = 0.1
    text = report([replace(systems, scores=scores)], 1)
    assert "CMAD is best, ties included, in accuracy in: no column; in F1 in: no column. " in text


def test_combination_that_no_sample_has_is_a_dash_in_the_comparison(tmp_path: Path) -> None:
    make_tree(tmp_path, counts=COUNTS | {"LAV": 0})
    found = systems_table(report([cells_of(tmp_path)], 1))
    assert {line[8] for line in found[2:]} == {NO_VALUE}
    assert found[1][8] == "0"


@pytest.mark.parametrize(
    ("parameters", "shown"),
    [(987, "1.0 k"), (41_260, "41.3 k"), (99_999, "100.0 k"), (100_000, "0.10 M"), (7_125_000, "7.12 M")],
)
def test_sizes_are_in_thousands_or_millions(systems: Cells, parameters: int, shown: str) -> None:
    changed = replace(systems, models=systems.models.assign(parameters=parameters))
    assert systems_table(report([changed], 1))[2][-1] == shown


def test_comparison_as_csv(systems: Cells, tmp_path: Path) -> None:
    write_tables(systems, tmp_path)
    lines = (tmp_path / "demo_systems.csv").read_text(encoding="utf-8").splitlines()
    heads = (
        "set,system,variant,status,addition,models,parameters,combination,n,accuracy,accuracy_std,f1,f1_std"
    )
    assert lines[0] == heads
    records = pd.read_csv(tmp_path / "demo_systems.csv").to_dict("records")
    assert len(records) == 11 * 8
    (row,) = (r for r in records if (r["variant"], r["combination"]) == ("umdf_unified", "A"))
    assert [row[name] for name in ("set", "system", "status")] == ["U", "UMDF", "reconstructed"]
    assert [row[name] for name in ("addition", "models", "parameters", "n")] == [True, 1, 640_003, 91]
    assert row["f1"] == sum(value("umdf_unified", s, "A", "f1") for s in SEEDS) / 2
    assert {r["status"] for r in records if r["variant"] == "dropout"} == {"baseline"}
    assert lines[-1].startswith("ref.,Bayes ceiling,ceiling,reference,False,,,Avg.,,0.9")
    assert "C,CorrKD,corrkd_customised,adapted,False,7,640000,Avg.,,0.78" in "\n".join(lines)


def test_order_of_the_comparison_is_not_that_of_the_grid() -> None:
    rows = entries(("cmad", "cmad_t", "no_mar", "cmad_w", "dropout", "tea"), ("umdf", "mmanet"), ("umdf",))
    assert [row.name for row in compared(rows)] == [
        *("umdf_customised", "tea", "umdf_unified", "mmanet_unified", "cmad_w", "cmad_t", "cmad")
    ]
    assert compared(entries(("dropout", "no_mar"), (), ())) == ()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (Entry("tea"), ""),
        (Entry("dropout"), ""),
        (Entry("no_mar"), ""),
        (Entry("cmad"), ""),
        (Entry("cmad_t"), ""),
        (Entry("cmad_w"), "†"),
        (unified("mmanet"), "*"),
        (customised("mplmm"), "*"),
        (unified("mplmm"), "*‡"),
        (customised("corrkd"), "*"),
        (unified("corrkd"), "*‡"),
        (customised("umdf"), "†"),
        (unified("umdf_full"), "†‡"),
        (unified("own"), "?"),
        (customised("own"), "?"),
    ],
)
def test_marks(row: Entry, expected: str) -> None:
    assert mark(row) == expected


def test_every_mark_has_a_footnote_and_no_other(systems: Cells) -> None:
    text = report([systems], 1)
    notes = footnotes(compared(SYSTEM_ROWS))
    assert [note.split()[0] for note in notes] == ["*", "†", "‡", "?"]
    assert "  \n".join(notes).replace("*", r"\*") in text
    assert "recalled and not read again" in notes[0]
    assert "MPLMM" not in notes[0], "only what stands in the table"
    assert notes[1].count("UMDF,") == 1, "both sets share a note"
    assert footnotes(compared(ROWS)) == []


def test_marks_stand_in_every_table_of_rows(systems: Cells) -> None:
    found = tables(report([systems], 1))
    headings = ("Accuracy", "F1", "Drop ratios", "Consistency with the teacher", "cmad minus the others")
    for heading in headings:
        for table in found[heading]:
            assert {r"corrkd_customised\*", "umdf_unified†‡", "own_unified?", "cmad_w†", "no_mar"} <= set(
                table
            )


def test_grid_with_systems_is_said(systems: Cells) -> None:
    text = report([systems], 1)
    assert (
        "1 data set (demo), 5 variants (tea, dropout, cmad, cmad_w, no_mar), 3 unified systems "
        "(mmanet, umdf, own), 2 customised systems (corrkd, umdf), 2 seeds (0, 1), 1 thread." in text
    )
    assert (
        "A customised system is shown by its model for LAV. The figures leave CMAD's ablations out." in text
    )
    assert "Customised systems are left out" in text


def test_few_seeds_have_no_p(systems: Cells, text: str) -> None:
    sentence = (
        "With 2 seeds a sign-flip test over seeds cannot reach .05 after correction, so none is shown.\n"
    )
    for each in (report([systems], 1), text):
        assert sentence in each
        (table,) = tables(each)["cmad minus the others"]
        assert table["variant"] == ["accuracy", "f1"]


def test_nine_seeds_have_p(tmp_path: Path) -> None:
    seeds = tuple(range(9))
    make_tree(tmp_path, rows=SYSTEM_ROWS, seeds=seeds)
    cells = load(tmp_path, "demo", SYSTEM_ROWS, seeds)
    text = report([cells], 1)
    (table,) = tables(text)["cmad minus the others"]
    assert table["variant"] == ["accuracy", "f1", "accuracy p", "accuracy p_holm", "f1 p", "f1 p_holm"]
    assert table["tea"] == ["+20.0 [0.0, +25.0]"] * 2 + ["0.0039", "0.0117"] * 2
    assert table["no_mar"] == ["-5.0 [0.0, +25.0]"] * 2 + [""] * 4
    assert "cannot reach" not in text
    write_tables(cells, tmp_path)
    assert "cmad,tea,f1," in (csv := (tmp_path / "demo_differences.csv").read_text())
    assert f",{2 / 512!r},{6 / 512!r}\n" in csv


def test_a_test_that_could_be_made_is_not_called_impossible(tmp_path: Path) -> None:
    """With six seeds and one system the least p is 2 / 64."""
    make_tree(tmp_path, seeds=(0, 1, 2, 3, 4, 5))
    text = report([cells_of(tmp_path, seeds=(0, 1, 2, 3, 4, 5))], 1)
    assert "cannot reach" not in text
    assert "No sign-flip test over seeds was made." in text


def test_too_many_seeds_for_a_test_are_told(tmp_path: Path) -> None:
    seeds = tuple(range(25))
    make_tree(tmp_path, seeds=seeds)
    text = report([cells_of(tmp_path, seeds=seeds)], 1)
    assert "No sign-flip test over seeds was made: it takes 24 seeds at most, not 25.\n" in text
    (table,) = tables(text)["cmad minus the others"]
    assert table["variant"] == ["accuracy", "f1"]


def test_logs_of_customised_systems_are_not_read(systems: Cells) -> None:
    assert set(systems.logs) == {row.name for row in SYSTEM_ROWS if not row.customised} - {"tea"}


@pytest.mark.parametrize(
    ("name", "stage_name"), [("umdf_unified", "unified@demo-umdf"), ("no_mar", "student@demo-no_mar")]
)
def test_a_missing_log_is_named_with_the_stage_of_its_kind(
    tmp_path: Path, name: str, stage_name: str
) -> None:
    make_tree(tmp_path, rows=SYSTEM_ROWS)
    (tmp_path / "demo/students" / name / "log.csv").unlink()
    with pytest.raises(UserError, match=rf"{name}.log\.csv: .*; run its stage.*{stage_name}$"):
        load(tmp_path, "demo", SYSTEM_ROWS, SEEDS)


# Times


def test_times_row_by_row(systems: Cells, tmp_path: Path) -> None:
    recorded = {
        "teacher-demo": '{"seconds": 7.25}',
        "student-demo-cmad": '{"seconds": 60}',
        "student-demo-tea": '{"seconds": 1}',
        "student-demo-dropout": "broken",
        "system-demo-umdf-customised": '{"seconds": 70.04}',
        "system-demo-umdf-unified": '{"seconds": 10}',
        "system-other-corrkd-customised": '{"seconds": 99}',
    }
    for name, text in recorded.items():
        (tmp_path / f"{name}.json").write_text(text)
    seconds = read_seconds(tmp_path, "demo", SYSTEM_ROWS)
    assert seconds == {
        "teacher": 7.25,
        "umdf_customised": 70.04,
        "umdf_unified": 10.0,
        "tea": 1.0,
        "cmad": 60.0,
    }
    cached = "restored from cache"
    assert tables(written(times([systems], {"demo": seconds})))["demo"] == [
        {
            "row": ["models", "seconds"],
            "teacher, shared": ["2", "7.2"],
            r"corrkd_customised\*": ["14", cached],
            "umdf_customised†": ["14", "70.0"],
            r"mmanet_unified\*": ["2", cached],
            "umdf_unified†‡": ["2", "10.0"],
            "own_unified?": ["2", cached],
            "tea": ["0", "trains nothing"],
            "dropout": ["2", cached],
            "cmad": ["2", "60.0"],
            "cmad_w†": ["2", cached],
            "no_mar": ["2", cached],
        }
    ]


def test_times_change_only_the_file_that_git_ignores(
    reported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(reported, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    Path("data/times").mkdir(exist_ok=True)
    Path("data/times/student-demo-cmad.json").write_text('{"seconds": 4321.5}')
    stage.run()
    before, after = contents(reported / "reports"), contents(Path("reports"))
    changed = {"times.md", "report.html"}
    assert {name for name in before if before[name] != after[name]} == changed
    assert all(b"4321.5" in after[name] for name in changed)
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {f"/reports/{name}" for name in changed} <= set(ignored)
    assert "`times.md`" in after["report.md"].decode()


# Tables


def test_accuracy_table_cell_by_cell(text: str) -> None:
    (table,) = tables(text)["Accuracy"]
    assert table == {
        "variant": [*COMBINATIONS, "Avg."],
        "n": ["96", "91", "86", "91", "86", "81", "81", ""],
        "tea": [*(f"{60 + j:.1f} ± 1.4" for j in range(7)), "63.0 ± 0.2"],
        "dropout": [*(f"{70 + j:.1f} ± 1.4" for j in range(7)), "73.0 ± 0.2"],
        "cmad": [*(f"**{80 + j:.1f} ± 1.4**" for j in range(7)), "**83.0 ± 0.2**"],
        "constant predictor": ["55.0"] * 8,
        "Bayes ceiling": ["90.0"] * 8,
    }


def test_f1_table_has_its_own_values(text: str) -> None:
    (table,) = tables(text)["F1"]
    assert table["dropout"][:2] == ["70.1 ± 1.4", "71.1 ± 1.4"]


def test_regression_has_errors_and_correlations_over_all_samples(text: str) -> None:
    mae, correlation = tables(text)["Mean absolute error and correlation"]
    assert mae["n"][0] == correlation["n"][0] == "100"
    assert mae["tea"][0] == "**0.600 ± 0.014**"
    assert correlation["cmad"][0] == "**0.800 ± 0.014**"


def test_columns_line_up_in_plain_text(text: str) -> None:
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        bars = [[i for i, sign in enumerate(line) if sign == "|"] for line in block.splitlines()]
        assert all(places == bars[0] for places in bars)


def test_one_seed_has_no_deviation(tmp_path: Path) -> None:
    make_tree(tmp_path, seeds=(0,))
    text = report([cells_of(tmp_path, seeds=(0,))], 1)
    assert "±" not in text
    assert "one seed, so no deviation" in text
    assert tables(text)["Accuracy"][0]["cmad"][0] == "**79.0**"


def test_classification_has_paper_comparable_and_macro_f1(runs: Path) -> None:
    text = report([cells_of(runs, "demo_classes")], 1)
    found = tables(text)
    assert found["Accuracy"][0]["n"][:3] == ["100", "95", "90"]
    assert found["Paper-comparable F1"][0]["cmad"][0] == "**80.0 ± 1.4**"
    assert found["Macro F1"][0]["cmad"][0] == "**80.0 ± 1.4**"
    assert found["cmad minus the others"][0]["variant"] == ["accuracy", "f1", "f1_paper"]
    assert "Mean absolute error and correlation" not in found
    assert found["Data"][0]["label yes, %"] == ["25.0"] * 3


def test_only_generated_data_has_a_ceiling(runs: Path) -> None:
    text = report([cells_of(runs, "demo_classes")], 1)
    assert "ceiling" not in text
    assert "constant predictor" in tables(text)["Accuracy"][0]


def test_binary_labels_are_named(tmp_path: Path) -> None:
    make_tree(tmp_path, kind="binary")
    cells = cells_of(tmp_path)
    text = report([cells], 1)
    assert "means over the labels happy, sad" in text
    assert "Macro F1" not in tables(text)
    write_tables(cells, tmp_path)
    written = pd.read_csv(tmp_path / "demo_combinations.csv")
    assert set(written["metric"]) == set(METRICS["binary"])


def test_regression_compares_accuracy_and_f1_with_intervals(text: str) -> None:
    (table,) = tables(text)["cmad minus the others"]
    assert table == {
        "variant": ["accuracy", "f1"],
        "tea": ["+20.0 [0.0, +25.0]"] * 2,
        "dropout": ["+10.0 [0.0, +25.0]"] * 2,
    }


def test_differences_say_how_many_samples_they_are_over(text: str) -> None:
    assert "interval of 90 % over seeds and test samples (n = 100), which are taken as independent." in text


def test_drop_ratio_and_consistency_tables(text: str) -> None:
    found = tables(text)
    accuracy, _ = found["Drop ratios"]
    assert accuracy["variant"] == ["0", "0.5", "1"]
    assert accuracy["n"] == ["81"] * 3
    assert accuracy["dropout"] == ["76.0", "61.0", "46.0"]
    assert accuracy["cmad"] == ["**86.0**", "**71.0**", "**56.0**"]
    mse, _ = found["Consistency with the teacher"]
    assert mse["n"][:7] == ["85"] * 7
    assert mse["tea"][6] == "**0.000 ± 0.000**"
    assert mse["cmad"][6] == "0.250 ± 0.000"


def test_data_summary(text: str) -> None:
    splits, modalities = tables(text)["Data"]
    assert splits["without vision"] == ["10"] * 3
    assert splits["with LAV"] == ["85"] * 3
    assert splits["label 0"] == ["4"] * 3
    assert splits["positive among the others, %"] == ["47.5"] * 3
    assert modalities["width"] == ["12", "8", "6"]
    assert modalities["non-finite values set to 0 before scaling"] == ["0", "7", "0"]
    assert modalities["mean frames in train"] == ["12.2"] * 3
    assert "in more than one split: train and test share 2." in text


def test_samples_that_were_left_out_are_told(own: Path) -> None:
    path = own / "demo/store/manifest.json"
    left_out = {"skipped": {"no audio file": 2, "label out of range": 1}, "wordless": 5}
    path.write_text(json.dumps(json.loads(path.read_text()) | left_out))
    write_origin(own / "demo/evaluation", own / "demo", ROWS)
    text = report([cells_of(own)], 1)
    assert (
        "Samples left out, because `skip_bad` says so: 3: label out of range (1); no audio file (2)." in text
    )
    assert "Words that yield no token, and lost their frames: 5." in text


def test_gap_to_the_ceiling_in_words(text: str) -> None:
    assert "On average cmad stays 7.0 points below it in accuracy and 6.9 points below in F1." in text


def test_without_cmad_the_best_variant_stands_for_the_others(runs: Path) -> None:
    cells = load(runs, "demo", entries(("tea", "dropout"), (), ()), SEEDS)
    text = report([cells], 1)
    assert "On average dropout stays 17.0 points below" in text
    assert "minus the others" not in text
    assert "MAR weights" not in text
    assert "CMAD is best" not in text
    assert "minus CMAD" not in text


def test_what_was_run_is_said(runs: Path) -> None:
    text = report([cells_of(runs), cells_of(runs, "demo_classes")], 2)
    assert (
        "2 data sets (demo, demo_classes), 3 variants (tea, dropout, cmad), 2 seeds (0, 1), 2 threads."
        in text
    )


# What no sample has


@pytest.fixture
def no_complete(tmp_path: Path) -> Path:
    make_tree(tmp_path / "runs", counts=COUNTS | {"LAV": 0})
    return tmp_path / "runs"


def test_combination_that_no_sample_has(no_complete: Path) -> None:
    text = report([cells_of(no_complete)], 1)
    (table,) = tables(text)["Accuracy"]
    assert table["n"] == ["96", "91", "86", "91", "86", "81", "0", ""]
    assert [row[6] for name, row in table.items() if name not in ("variant", "n")] == [NO_VALUE] * 5
    assert table["cmad"][7] == "**82.5 ± 0.0**", "the average is that of the other six"


def test_no_complete_sample(no_complete: Path, tmp_path: Path) -> None:
    cells = cells_of(no_complete)
    text = report([cells], 1)
    assert "so no frames were dropped" in text
    assert "so there is no teacher to compare with" in text
    assert "demo_drop_ratios.png" not in text
    write_tables(cells, tmp_path)
    written = pd.read_csv(tmp_path / "demo_drop_ratios.csv")
    assert list(written) == ["metric", "variant", "ratio", "n", "mean", "std"]
    assert written.empty
    write_series([cells], tmp_path)
    assert pd.read_csv(tmp_path / "drop_ratios.csv").empty
    combination_figure(cells, "f1", tmp_path / "f1.png")
    assert (tmp_path / "f1.png").stat().st_size > 10_000


# Missing cells


def without(**wanted: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Drop the rows that have all these values."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        hit = pd.Series(True, index=table.index)
        for column, each in wanted.items():
            hit &= (table[column] == each).fillna(False)
        return table[~hit]

    return change


@pytest.mark.parametrize(
    ("file", "change", "says", "stage_name"),
    [
        (
            "evaluation/scores.csv",
            without(variant="cmad", seed=1, combination="LA", metric="f1"),
            "no row for variant cmad, seed 1, combination LA, metric f1",
            "evaluate@demo",
        ),
        (
            "evaluation/rows.csv",
            without(variant="cmad"),
            "no row for variant cmad",
            "evaluate@demo",
        ),
        (
            "evaluation/scores.csv",
            without(variant="dropout"),
            "no row for variant dropout, seed 0, combination L, metric accuracy (and 97 more)",
            "evaluate@demo",
        ),
        (
            "evaluation/scores.csv",
            without(variant="ceiling", combination="V", metric="mae"),
            "no row for variant ceiling, combination V, metric mae",
            "evaluate@demo",
        ),
        (
            "evaluation/drop_ratios.csv",
            without(variant="tea", seed=0, ratio=0.5, metric="mae"),
            "no row for variant tea, seed 0, ratio 0.5, metric mae",
            "evaluate@demo",
        ),
        ("evaluation/drop_ratios.csv", lambda table: table[:0], "no rows", "evaluate@demo"),
        (
            "evaluation/consistency.csv",
            without(variant="tea", seed=1, combination="AV", metric="sims"),
            "no row for variant tea, seed 1, combination AV, metric sims",
            "evaluate@demo",
        ),
        (
            "evaluation/differences.csv",
            without(variant="dropout", metric="f1"),
            "no row for variant dropout, metric f1",
            "evaluate@demo",
        ),
        (
            "students/cmad/log.csv",
            without(seed=1),
            "no row for seed 1, epoch 0 (and 2 more)",
            "student@demo-cmad",
        ),
        (
            "students/dropout/log.csv",
            without(seed=1, epoch=2),
            "no row for seed 1, epoch 2",
            "student@demo-dropout",
        ),
        (
            "students/cmad/log.csv",
            lambda table: table.drop(columns="dev_f1"),
            "no column dev_f1",
            "student@demo-cmad",
        ),
        ("teacher/log.csv", without(seed=0, epoch=0), "no row for seed 0, epoch 0", "teacher@demo"),
        (
            "evaluation/scores.csv",
            lambda table: pd.concat([table, table[:1]]),
            "more than one row for variant tea, seed 0, combination L, metric accuracy",
            "evaluate@demo",
        ),
        (
            "evaluation/scores.csv",
            lambda table: table.assign(value=table["value"].where(table["variant"] != "cmad")),
            "no value for variant cmad, seed 0, combination L, metric accuracy",
            "evaluate@demo",
        ),
        (
            "evaluation/scores.csv",
            lambda table: table.drop(columns="n"),
            "not a readable table",
            "evaluate@demo",
        ),
        (
            "evaluation/scores.csv",
            lambda table: table.astype({"value": str}).replace({"value": {"0.9": "much"}}),
            "not a readable table",
            "evaluate@demo",
        ),
    ],
)
def test_a_missing_cell_is_named_with_its_stage(
    own: Path, file: str, change: Callable[[pd.DataFrame], pd.DataFrame], says: str, stage_name: str
) -> None:
    edit(own / "demo" / file, change)
    with pytest.raises(UserError) as caught:
        cells_of(own)
    message = str(caught.value)
    assert message.startswith(f"{own / 'demo' / file}: {says}")
    assert message.endswith(f"run its stage again: dvc repro --single-item --force {stage_name}")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("file", "stage_name"),
    [
        ("store/manifest.json", "preprocess@demo"),
        ("evaluation/rows.csv", "evaluate@demo"),
        ("evaluation/scores.csv", "evaluate@demo"),
        ("evaluation/drop_ratios.csv", "evaluate@demo"),
        ("evaluation/consistency.csv", "evaluate@demo"),
        ("evaluation/differences.csv", "evaluate@demo"),
        ("students/tea/log.csv", "student@demo-tea"),
        ("teacher/log.csv", "teacher@demo"),
    ],
)
def test_a_missing_file_is_named_with_its_stage(own: Path, file: str, stage_name: str) -> None:
    (own / "demo" / file).unlink()
    with pytest.raises(
        UserError, match=rf"{re.escape(file)}: .*No such file.*; run its stage.*{stage_name}$"
    ):
        cells_of(own)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"splits": {"train": 1}}'])
def test_a_foreign_manifest_is_refused(own: Path, text: str) -> None:
    (own / "demo/store/manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json: not a readable manifest"):
        cells_of(own)


STALE = "the scores are stale: {} has changed since"


def change_manifest(here: Path) -> None:
    path = here / "store/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"checksums": {"audio.npz": "0" * 64}}))


def change_log(name: str, seed: int) -> Callable[[Path], None]:
    def change(here: Path) -> None:
        edit(here / name, lambda log: log.assign(loss=log["loss"].where(log["seed"] != seed, 0.25)))

    return change


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (change_manifest, "the store"),
        (change_log("teacher/log.csv", 1), "the teacher of seed 1"),
        (change_log("students/cmad/log.csv", 0), "cmad of seed 0"),
        (change_log("students/dropout/log.csv", 1), "dropout of seed 1"),
    ],
)
def test_scores_of_something_else_than_lies_there_are_refused(
    own: Path, change: Callable[[Path], None], what: str
) -> None:
    cells_of(own)
    change(own / "demo")
    with pytest.raises(UserError) as caught:
        cells_of(own)
    path = own / "demo/evaluation/origin.json"
    remedy = "run its stage again: dvc repro --single-item --force evaluate@demo"
    assert str(caught.value) == f"{path}: {STALE.format(what)}; {remedy}"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"store": 1, "teacher": 2, "rows": 3}'])
def test_a_foreign_origin_is_refused(own: Path, text: str) -> None:
    store = json.loads((own / "demo/evaluation/origin.json").read_text())["store"]
    (own / "demo/evaluation/origin.json").write_text(text.replace("1", json.dumps(store)))
    with pytest.raises(UserError, match=r"origin\.json: not a readable origin"):
        cells_of(own)


def test_a_seed_or_row_that_was_never_evaluated_is_named(own: Path) -> None:
    for name in ("teacher", "students/dropout", "students/cmad"):
        edit(own / f"demo/{name}/log.csv", lambda t: pd.concat([t, t[t["seed"] == 1].assign(seed=2)]))
    with pytest.raises(UserError, match="no row for variant tea, seed 2, combination L, metric accuracy"):
        cells_of(own, seeds=(0, 1, 2))
    shutil.copytree(own / "demo/students/cmad", own / "demo/students/cmad_t")
    with pytest.raises(UserError, match=r"rows\.csv: no row for variant cmad_t; run .* evaluate@demo"):
        load(own, "demo", entries((*VARIANTS, "cmad_t"), (), ()), SEEDS)


def test_cells_outside_the_grid_are_not_looked_at(own: Path, runs: Path) -> None:
    def add_stale(table: pd.DataFrame) -> pd.DataFrame:
        stale = table[table["variant"] == "tea"]
        return pd.concat([table, stale.assign(variant="old"), stale.assign(seed=9, value=0.0)])

    for name in ("scores", "drop_ratios", "consistency"):
        edit(own / "demo/evaluation" / f"{name}.csv", add_stale)
    edit(own / "demo/students/cmad/log.csv", lambda t: pd.concat([t, t.assign(seed=9, dev_f1=0.0)]))
    assert report([cells_of(own)], 1) == report([cells_of(runs)], 1)
    assert cells_of(own).logs["cmad"].equals(cells_of(runs).logs["cmad"])


@pytest.mark.parametrize("text", ["", "\n", "seed\n", "epoch,seed\n"])
def test_a_variant_that_trains_nothing_has_an_empty_log(own: Path, text: str) -> None:
    (own / "demo/students/tea/log.csv").write_text(text)
    assert set(cells_of(own).logs) == {"dropout", "cmad"}


# Files


def test_stage_writes_everything(reported: Path) -> None:
    figures = ["accuracy", "f1", "drop_ratios", "drop_gaps", "mar_weights", "training"]
    figures += ["ceiling", "pairs", "projection", "scatter"]
    subjects = ("systems", "combinations", "drop_ratios", "consistency", "differences", "data")
    latex = ("systems", *METRICS["regression"], "mse", "sims", "differences")
    series = ("training", "mar_weights", "drop_ratios")
    assert set(contents(reported / "reports")) == {
        "report.md",
        "report.html",
        "times.md",
        "metrics.json",
        *(f"plots/{name}.csv" for name in series),
        *(f"figures/demo_{name}.{kind}" for name in figures for kind in ("png", "svg")),
        *(f"tables/demo_{name}.csv" for name in subjects),
        *(f"tables/demo_{name}.tex" for name in (*latex, "drop_ratios_accuracy", "drop_ratios_f1")),
    }


def test_another_process_writes_the_same_bytes_and_names_the_report(
    reported: Path, runs: Path, tmp_path: Path
) -> None:
    prepare(tmp_path, runs)
    done = subprocess.run(
        [sys.executable, "-m", "stages.report"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "report: reports/report.md\n", "")
    assert tracked(tmp_path / "reports") == tracked(reported / "reports")


def test_every_picture_of_the_report_exists(reported: Path) -> None:
    text = (reported / "reports/report.md").read_text(encoding="utf-8")
    named = re.findall(r"\]\((figures/\S+\.png)\)", text)
    assert {f"figures/{p.name}" for p in (reported / "reports/figures").glob("*.png")} == set(named)


def test_pictures_do_not_tell_what_wrote_them(reported: Path) -> None:
    for path in (reported / "reports/figures").iterdir():
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG" if path.suffix == ".png" else b"<?xml")
        assert b"Software" not in content
        # Not its name and version; a comment in the definition of a marker may hold the name.
        assert b"Matplotlib v" not in content
        assert b"matplotlib.org" not in content
        assert b"dc:date" not in content


def test_a_missing_cell_leaves_the_old_report(
    reported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(reported, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    Path("data/runs/demo/evaluation/scores.csv").unlink()
    with pytest.raises(UserError, match="evaluate@demo"):
        stage.run()
    assert contents(Path("reports")) == contents(reported / "reports")


def test_the_long_checks_stand_on_the_page_and_change_nothing_that_is_tracked(
    reported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(reported, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    result = soak.report([soak.Check("test_kill: test_kills", 30, "failed", 61.25)], "pytest", "2030-01-01")
    Path("reports/soak.md").write_text(result, encoding="utf-8")
    stage.run()
    page = Path("reports/report.html").read_text(encoding="utf-8")
    assert "test_kill: test_kills" not in (reported / "reports/report.html").read_text(encoding="utf-8")
    for shown in ("test_kill: test_kills", ">failed<", ">61.2<", "2030-01-01", 'href="soak.md"'):
        assert shown in page
    untracked = {"soak.md"}
    assert {n: c for n, c in tracked(Path("reports")).items() if n not in untracked} == tracked(
        reported / "reports"
    )


def test_metrics_are_averages_to_four_digits(reported: Path, runs: Path) -> None:
    text = (reported / "reports/metrics.json").read_text()
    shares = {
        "tea": {"accuracy": 0.63, "f1": 0.631},
        "dropout": {"accuracy": 0.73, "f1": 0.731},
        "cmad": {"accuracy": 0.83, "f1": 0.831},
    }
    assert json.loads(text) == {"demo": shares}
    two = metrics_json([cells_of(runs), cells_of(runs, "demo_classes")])
    assert json.loads(two) == {"demo": shares, "demo_classes": shares}
    one = json.loads(metrics_json([load(runs, "demo", ROWS, (0,))]))
    assert one["demo"]["tea"]["accuracy"] == 0.6286


def test_csv_keeps_all_digits(reported: Path) -> None:
    path = reported / "reports/tables/demo_combinations.csv"
    table = pd.read_csv(path).set_index(["metric", "variant", "combination"])
    values = [value("cmad", s, "A", "mae") for s in SEEDS]
    mean = sum(values) / 2
    assert table.at[("mae", "cmad", "A"), "mean"] == mean
    assert table.at[("mae", "cmad", "A"), "std"] == pytest.approx(0.01 * 2**0.5, rel=1e-12)
    assert table.at[("accuracy", "Bayes ceiling", "A"), "n"] == 91
    assert "accuracy,cmad,Avg.,,0.83" in path.read_text()
    data = (reported / "reports/tables/demo_data.csv").read_text()
    assert "splits,samples,train,100\n" in data
    assert 'splits,"positive among the others, %",train,0.475\n' in data
    differences = (reported / "reports/tables/demo_differences.csv").read_text().splitlines()
    assert differences[0] == "reference,variant,metric,difference,low,high,p,p_holm"
    assert differences[1] == f"cmad,tea,accuracy,{0.8 - 0.6!r},-0.0004,0.25,,"


def test_plots_of_dvc_find_their_columns_and_templates(reported: Path) -> None:
    plots = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
    assert plots
    for plot in plots:
        ((_, settings),) = plot.items()
        template = (ROOT / ".dvc/plots" / f"{settings['template']}.json").read_text(encoding="utf-8")
        json.loads(template)
        fields = set(re.findall(r'"field": "(\w+)"', template)) - {"rev"}
        for file, column in settings["y"].items():
            assert {settings["x"], column, *fields} <= set(pd.read_csv(reported / file))


def test_series_are_means_over_seeds_of_every_data_set(runs: Path, tmp_path: Path) -> None:
    write_series([cells_of(runs), cells_of(runs, "demo_classes")], tmp_path)
    weights = pd.read_csv(tmp_path / "mar_weights.csv")
    assert set(weights["weight"]) == {1.5}
    assert list(dict.fromkeys(weights["combination"])) == list(COMBINATIONS)
    training = pd.read_csv(tmp_path / "training.csv")
    assert list(dict.fromkeys(training["variant"])) == ["dropout", "cmad"]
    drops = pd.read_csv(tmp_path / "drop_ratios.csv")
    assert list(dict.fromkeys(drops["variant"])) == list(VARIANTS)
    for table in (weights, training, drops):
        assert set(table["dataset"]) == {"demo", "demo_classes"}


def test_warm_up_ends_where_no_seed_changes_any_more() -> None:
    rows = []
    for seed, difficulties in enumerate(([0.0, 1.0, 1.0, 1.0], [2.0, 3.0, 4.0, 4.0])):
        rows += [
            {"seed": seed, "epoch": epoch, **{f"w_{c}": 0.0 for c in COMBINATIONS}, "w_AV": w}
            for epoch, w in enumerate(difficulties)
        ]
    assert set(warm_up(pd.DataFrame(rows))["epoch"]) == {0, 1, 2}


def test_the_users_own_plot_settings_change_nothing(runs: Path, tmp_path: Path) -> None:
    cells = cells_of(runs)
    drop_figure(cells, tmp_path / "a.png")
    with mpl.rc_context({"font.size": 20, "lines.linewidth": 9, "savefig.dpi": 30}):
        drop_figure(cells, tmp_path / "b.png")
        assert mpl.rcParams["font.size"] == 20
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


# Parts


@pytest.mark.parametrize(
    ("cell", "shown", "expected"),
    [
        (None, Shown(), ""),
        (Cell(float("nan")), Shown(100, 1), NO_VALUE),
        (Cell(12), Shown(), "12"),
        (Cell(0.8614, 0.0026), Shown(100, 1), "86.1 ± 0.3"),
        (Cell(0.8614, 0.0026), Shown(100, 1, spread=False), "86.1"),
        (Cell(-0.0004), Shown(100, 1), "0.0"),
        (Cell(-0.0004), Shown(100, 1, signed=True), "0.0"),
        (Cell(0.012, low=-0.004, high=0.02), Shown(100, 1, signed=True), "+1.2 [-0.4, +2.0]"),
    ],
)
def test_cells_read_as_values_and_their_spread(cell: Cell | None, shown: Shown, expected: str) -> None:
    assert value_text(cell, shown) + spread_text(cell, shown) == expected


def small_table(*values: float, best: Any) -> Table:
    rows = [Row(str(i), (Cell(v),), Shown(100, 1)) for i, v in enumerate(values)]
    rows.append(Row("reference", (Cell(9.0 if best == "highest" else -9.0),), Shown(100, 1), competes=False))
    return Table("t", ("variant", "x"), ("L",), tuple(rows), best=best)


@pytest.mark.parametrize(
    ("values", "best", "bold"),
    [
        ((0.1, 0.3, 0.2), "highest", ["30.0"]),
        ((0.1, 0.3, 0.2), "lowest", ["10.0"]),
        ((0.30001, 0.30004, 0.2), "highest", ["30.0", "30.0"]),
        ((float("nan"), 0.2), "highest", ["20.0"]),
        ((float("nan"),), "highest", []),
        ((0.1, 0.3), None, []),
    ],
)
def test_best_is_bold_and_references_do_not_compete(
    values: tuple[float, ...], best: str | None, bold: list[str]
) -> None:
    text = written([Printed(side_by_side(small_table(*values, best=best)))])
    assert re.findall(r"\*\*(.*?)\*\*", text) == bold


def test_tidy_leaves_out_empty_cells() -> None:
    rows = (Row("a", (Cell(0.1, 0.2), None), Shown()),)
    table = Table("t", ("variant", "x"), ("L", "A"), rows, counts=(3, None))
    frame = tidy([table], "metric", {"n": "n", "value": "mean"})
    assert frame.to_dict("records") == [{"metric": "t", "variant": "a", "x": "L", "n": 3, "mean": 0.1}]


@pytest.mark.parametrize(
    "variants",
    [VARIANTS, ("a", "b", "c", "d", "e", "f", "g"), ("a", "cmad", "b", "c", "tea", "d", "e")],
)
def test_a_few_variants_all_look_different(variants: tuple[str, ...]) -> None:
    found = variant_looks(variants)
    assert set(found) == set(variants)
    for part in ("colour", "marker", "line"):
        assert len({getattr(look, part) for look in found.values()}) == len(variants)


def test_of_many_variants_three_stand_out_and_always_look_alike() -> None:
    many = variant_looks((*"abcdefgh", *VARIANTS))
    assert many == variant_looks(VARIANTS)
    assert list(variant_looks(tuple("abcdefgh"))) == ["a", "b", "c"]


def test_up_to_twelve_systems_look_different() -> None:
    names = ("mmanet", "mplmm", "umdf", "umdf_full", "corrkd", "cmad_w", "cmad_t", "own", "other", *VARIANTS)
    found = system_looks(names)
    assert set(found) == set(names)
    for part in ("colour", "marker", "line"):
        assert len({getattr(look, part) for look in found.values()}) == len(names)
    assert {v: found[v] for v in VARIANTS} == variant_looks(VARIANTS)
    assert list(system_looks(("umdf", "cmad", "umdf"))) == ["cmad", "umdf"]


def test_figures_of_a_large_grid(tmp_path: Path) -> None:
    make_tree(tmp_path, rows=SYSTEM_ROWS)
    cells = load(tmp_path, "demo", SYSTEM_ROWS, SEEDS)
    assert [row.name for row in drawn_rows(cells)] == [r.name for r in SYSTEM_ROWS if r.name != "no_mar"]
    drop_figure(cells, tmp_path / "drops.png")
    band_figure(cells, tmp_path / "bands.png")
    drawn = (tmp_path / "bands.svg").read_text(encoding="utf-8")
    # A panel for each of them, each with a band for accuracy and one for F1.
    assert drawn.count("FillBetweenPolyCollection") == 2 * len(drawn_rows(cells))
    gap_figure(cells, tmp_path / "gaps.png")
    training_figure(cells, tmp_path / "curves.png")
    combination_figure(cells, "accuracy", tmp_path / "accuracy.png")
    sizes = [(tmp_path / f"{n}.png").stat().st_size for n in ("drops", "gaps", "curves", "accuracy")]
    assert min(sizes) > 10_000


def test_small_grids_are_drawn_whole_and_large_ones_without_systems_too(runs: Path) -> None:
    cells = cells_of(runs)
    assert drawn_rows(cells) == list(ROWS)
    many = tuple(Entry(f"variant_{i}") for i in range(9))
    assert drawn_rows(replace(cells, rows=many)) == list(many)
