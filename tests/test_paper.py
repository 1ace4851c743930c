"""The published numbers: typed in whole, their flaws known by name, and put beside ours."""

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmad.combinations import COMBINATIONS
from cmad.config.load import load as load_params
from cmad.entries import Entry
from cmad.errors import UserError
from cmad.paper import AVERAGE, PRINTED, QUOTED, THIRD_PARTY, Published, read_published
from cmad.report.load import Cells, load
from cmad.report.paper import OTHER_FEATURES, SECTIONS, absent, beside, our_metric, paper_frame, paper_table
from cmad.report.table import NO_VALUE, Table, spread_text, value_text
from cmad.report.write import write_tables
from cmad.scores.metrics import from_confusion
from tests.project import ROOT
from tests.test_report import SEEDS, SYSTEM_ROWS, contents, make_tree, report, value

FOLDER = ROOT / "data/paper"
ALL = read_published(FOLDER)
Rows = dict[tuple[object, ...], dict[str, Published]]


def printed_rows() -> Rows:
    """The numbers of each printed row by combination."""
    rows: Rows = {}
    for each in ALL:
        key = (each.table, each.dataset, each.set, each.variant, each.metric, each.standing)
        rows.setdefault(key, {})[each.combination] = each
    return rows


ROWS = printed_rows()


def numbers(text: str) -> list[str]:
    return text.split()


# The files


def test_every_cell_of_the_tables_is_there() -> None:
    wanted: dict[int | None, int] = {6: 2 * 8 * 8 * 2, None: 11 * 8 * 2}
    wanted.update((table, 4 * 8 * 2) for table in (7, 8, 9, 10))
    wanted.update((table, 7 * 7 * 2) for table in (11, 12))
    assert Counter(each.table for each in ALL) == wanted
    for (table, *_), row in ROWS.items():
        assert set(row) == {*COMBINATIONS, *([] if table in (11, 12) else [AVERAGE])}


@pytest.mark.parametrize(
    ("row", "printed"),
    [
        ((6, "mustard", "C", "umdf", "f1"), "72.8 67.5 60.6 72.8 72.8 59.1 72.8 68.3"),
        ((6, "ur_funny", "U", "mmanet", "accuracy"), "71.0 53.1 52.1 70.7 70.9 55.3 70.6 63.4"),
        ((7, "mosei", "", "cafd_direct", "sims"), "2.92 2.52 2.68 2.87 3.05 2.55 2.96 2.79"),
        ((8, "iemocap", "", "cmad", "mse"), "1.36 1.23 1.44 1.23 1.31 1.20 1.21 1.28"),
        ((9, "mosei", "", "cafd_similarity", "f1"), "85.1 59.6 64.1 84.9 86.0 64.2 85.6 75.64"),
        ((10, "iemocap", "", "cafd_mse", "accuracy"), "78.2 78.5 73.5 81.2 77.7 78.6 80.8 78.36"),
        ((11, "mosei", "", "no_auxiliary", "f1"), "84.7 54.5 60.3 85.1 85.3 64.1 85.7"),
        ((12, "iemocap", "", "mar_auxiliary", "accuracy"), "78.8 77.7 74.0 80.5 78.9 77.7 81.1"),
    ],
)
def test_rows_of_each_table(row: tuple[object, ...], printed: str) -> None:
    assert [str(each.value) for each in ROWS[(*row, PRINTED)].values()] == numbers(printed)


def test_names_are_those_of_this_project() -> None:
    config = load_params(ROOT / "params.yaml")
    systems = {system for preset in config.presets.values() for system in preset.systems}
    elsewhere = {"mctn", "mmin", "gcnet", "imder", "dicmor"}
    assert {each.variant for each in ALL} <= set(config.definitions) | systems | elsewhere
    assert not elsewhere & {each.variant for each in ALL if each.table}
    assert {each.set for each in ALL if each.table == 6} == {"C", "U"}
    assert {each.set for each in ALL if each.table != 6} == {""}


def test_mosei_elsewhere_has_sources_and_standings() -> None:
    found = {(e.variant, e.standing, "anonymous221206/GUARD" in e.source) for e in ALL if e.table is None}
    quoted = ("mctn", "mmin", "gcnet", "imder", "dicmor", "mplmm", "umdf", "corrkd", "mmanet")
    assert found == {
        ("cmad", PRINTED, False),
        ("cmad", THIRD_PARTY, True),
        *((variant, QUOTED, True) for variant in quoted),
    }


# What does not fit


def unit(value: Decimal) -> Decimal:
    """Of the last printed digit."""
    return Decimal(1).scaleb(int(value.as_tuple().exponent))


def averages() -> Iterator[tuple[tuple[object, ...], Decimal, Decimal, Decimal]]:
    """Row, printed average, mean of the printed cells, and half a unit of the cells."""
    for key, row in ROWS.items():
        if AVERAGE in row:
            cells = [row[c].value for c in COMBINATIONS]
            yield key, row[AVERAGE].value, sum(cells, Decimal(0)) / 7, max(map(unit, cells)) / 2


def listed(heading: str) -> list[list[str]]:
    """The rows of the table under a bold heading of the README."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"\*\*{heading}\*\*.*\n\n((?:\|.*\n)+)", text)
    return [[field.strip() for field in line.strip("|").split("|")] for line in block.splitlines()[2:]]


def shown(key: tuple[object, ...], printed: Decimal, mean: Decimal) -> list[str]:
    return [str(part) for part in key[:5]] + [str(printed), f"{mean:.3f}"]


def test_averages_that_rounding_cannot_explain_are_listed() -> None:
    found = [
        shown(key, printed, mean)
        for key, printed, mean, slack in averages()
        if abs(printed - mean) > unit(printed) / 2 + slack
    ]
    assert found == listed("Averages that rounding cannot explain") == []


def test_averages_that_are_not_the_mean_of_the_printed_cells_are_listed() -> None:
    found = [
        shown(key, printed, mean)
        for key, printed, mean, _ in averages()
        if abs(printed - mean) > unit(printed) / 2
    ]
    assert found == listed("Averages that are not the rounded mean of the printed cells")
    assert [row[:5] for row in found] == [
        ["6", "mustard", "C", "corrkd", "accuracy"],
        ["6", "mustard", "U", "cmad", "f1"],
        ["6", "ur_funny", "U", "cmad_t", "f1"],
        ["9", "mosei", "", "cafd_direct", "f1"],
        ["10", "iemocap", "", "cafd_direct", "accuracy"],
    ]


def test_cells_that_two_tables_print_differently_are_listed() -> None:
    cells: dict[tuple[str, ...], list[Published]] = {}
    for each in ALL:
        if each.standing == PRINTED:
            key = (each.dataset, each.variant, each.combination, each.metric)
            cells.setdefault(key, []).append(each)
    assert sum(len(found) > 1 for found in cells.values()) == 2 * 8 + 2 * 7
    different = [
        [*key, ", ".join(f"{each.value} in Table {each.table}" for each in found)]
        for key, found in cells.items()
        if len({each.value for each in found}) > 1
    ]
    assert different == listed("Cells that two tables print differently")
    assert different == [["iemocap", "cmad", "V", "accuracy", "73.6 in Table 10, 73.9 in Table 12"]]


def test_accuracies_of_mustard_are_those_of_68_items() -> None:
    """From the exact shares every printed average follows."""
    for (table, dataset, _, _, metric, _), row in ROWS.items():
        if (table, dataset, metric) == (6, "mustard", "accuracy"):
            shares = [round(row[c].value * 68 / 100) / 68 * 100 for c in COMBINATIONS]
            assert [round(share, 1) for share in shares] == [float(row[c].value) for c in COMBINATIONS]
            assert round(sum(shares) / 7, 1) == float(row[AVERAGE].value)


def test_f1_of_mustard_is_the_swapped_one() -> None:
    hits = np.arange(35)
    first, second = np.meshgrid(hits, hits, indexing="ij")
    counts = np.stack([np.stack([first, 34 - first], -1), np.stack([34 - second, second], -1)], -2)
    found = from_confusion(counts.astype(np.float64))
    scores = {name: np.round(100 * score, 1).ravel() for name, score in found.items()}
    printed = {
        (float(row[c].value), float(ROWS[(6, "mustard", group, variant, "f1", PRINTED)][c].value))
        for (table, dataset, group, variant, metric, _), row in ROWS.items()
        if (table, dataset, metric) == (6, "mustard", "accuracy")
        for c in COMBINATIONS
    }
    possible = {name: set(zip(scores["accuracy"], scores[name], strict=True)) for name in ("f1", "f1_paper")}
    assert len(printed) == 24
    assert printed <= possible["f1_paper"]
    assert len(printed & possible["f1"]) <= 12
    assert our_metric("mustard", "f1") == our_metric("ur_funny", "f1") == "f1_paper"
    assert our_metric("mosei", "f1") == our_metric("iemocap", "f1") == "f1"
    assert our_metric("mustard", "accuracy") == "accuracy"


# Reading


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "paper"))


def line(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


FIRST = "6,mustard,C,mplmm,L,accuracy,67.6\n"


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("supplement.csv", line("variant", "system"), "supplement.csv: the columns are not table, dataset,"),
        (
            "supplement.csv",
            line(FIRST, FIRST * 2),
            "line 3: a second number for 6, mustard, C, mplmm, L, acc",
        ),
        ("supplement.csv", line(FIRST, FIRST[:-5] + "\n"), "line 2: value '' is not a number"),
        ("supplement.csv", line(FIRST, FIRST.replace("67.6", "nan")), "line 2: value 'nan' is not a number"),
        ("supplement.csv", line(FIRST, FIRST.replace(",67.6", "")), "line 2: not 7 fields"),
        ("supplement.csv", line(FIRST, FIRST.replace("67.6", "67.6,1")), "line 2: not 7 fields"),
        ("supplement.csv", line(FIRST, FIRST.replace("6,", "5,", 1)), "line 2: table '5' is not one of 6 to"),
        ("supplement.csv", line(FIRST, FIRST.replace(",C,", ",X,")), "line 2: set 'X' is not one of C, U"),
        ("supplement.csv", line(FIRST, FIRST.replace(",L,", ",AL,")), "combination 'AL' is not one of L, A"),
        ("supplement.csv", line(FIRST, FIRST.replace("accuracy", "acc")), "metric 'acc' is not one of acc"),
        (
            "mosei.csv",
            line("quoted by others", "rumour"),
            "standing 'rumour' is not one of supplement, quoted",
        ),
    ],
)
def test_a_spoilt_file_is_refused(folder: Path, file: str, change: Callable[[str], str], says: str) -> None:
    (folder / file).write_text(change((folder / file).read_text()))
    with pytest.raises(UserError) as error:
        read_published(folder)
    assert says in str(error.value)
    assert str(error.value).endswith("restore the file: git checkout -- data/paper")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file", ["supplement.csv", "mosei.csv"])
def test_a_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(UserError, match=rf"{file}: not readable \(FileNotFoundError\)"):
        read_published(folder)


# Beside ours

KINDS = {"mosei": "regression", "iemocap": "binary", "mustard": "classes", "ur_funny": "classes"}


def cells_of(folder: Path, dataset: str, kind: str = "", **others: int) -> Cells:
    make_tree(
        folder,
        dataset,
        kind or KINDS[dataset],
        data_format="folder",
        rows=SYSTEM_ROWS,
        counts=counts(**others),
    )
    return load(folder, dataset, SYSTEM_ROWS, SEEDS)


def counts(**others: int) -> dict[str, int]:
    return dict.fromkeys(COMBINATIONS, 80) | others


def names(cells: Cells, section: str) -> list[tuple[str, str]]:
    return [(each.row.name, each.our_metric) for each in beside(cells, ALL, section)]


def test_sets_are_matched(tmp_path: Path) -> None:
    """The grid's umdf_unified and own_unified are not in the paper; its umdf_customised is."""
    cells = cells_of(tmp_path, "mustard")
    rows = ("umdf_customised", "corrkd_customised", "tea", "mmanet_unified", "cmad_w", "cmad")
    assert names(cells, "systems") == [(row, m) for row in rows for m in ("accuracy", "f1_paper")]
    assert [names(cells, section) for section in SECTIONS[1:]] == [[], [], []]
    assert absent(cells, ALL, "systems") == ["MPLMM (C)", "CMAD_t (U)"]


def test_quoted_rows_have_the_set_of_the_paper_and_reruns_by_others_are_left_out(tmp_path: Path) -> None:
    cells = cells_of(tmp_path, "mosei")
    rows = ("cmad", "umdf_customised", "corrkd_customised", "mmanet_unified")
    assert names(cells, "systems") == [(row, m) for row in rows for m in ("accuracy", "f1")]
    assert absent(cells, ALL, "systems") == ["MCTN", "MMIN", "GCNet", "IMDer", "DiCMoR", "MPLMM"]
    assert names(cells, "consistency") == [("cmad", "mse"), ("cmad", "sims")]
    assert names(cells, "loss_components") == [
        (row, m) for row in ("cmad", "no_mar") for m in ("accuracy", "f1")
    ]
    table = paper_table(cells, beside(cells, ALL, "systems"), "accuracy")
    assert [row.name for row in table.rows[:4]] == [
        *("CMAD, paper", "CMAD, ours", "CMAD, difference", "UMDF, quoted")
    ]


def read_off(table: Table) -> dict[str, list[str]]:
    """A table's cells as a reader sees them, by row."""
    return {
        row.name: [value_text(cell, row.shown) + spread_text(cell, row.shown) for cell in row.cells]
        for row in table.rows
    }


def test_paper_ours_difference_cell_by_cell(tmp_path: Path) -> None:
    cells = cells_of(tmp_path, "mosei")
    table = paper_table(cells, beside(cells, ALL, "loss_components"), "f1")
    assert table.counts == (*[76] * 7, None)
    shown = read_off(table)
    assert shown["no_mar, paper"] == [*numbers("85.3 59.5 63.0 85.1 85.5 64.2 85.6"), NO_VALUE]
    assert shown["no_mar, ours"] == [*(f"{85.1 + j:.1f} ± 1.4" for j in range(7)), "88.1 ± 0.2"]
    assert shown["no_mar, difference"] == [*numbers("-0.2 +26.6 +24.1 +3.0 +3.6 +25.9 +5.5"), NO_VALUE]
    mse = paper_table(cells, beside(cells, ALL, "consistency"), "mse")
    shown = read_off(mse)
    assert shown["cmad, paper"] == numbers("0.29 0.33 0.36 0.28 0.30 0.36 0.29 0.32")
    assert shown["cmad, ours"] == ["0.25 ± 0.00"] * 8
    assert shown["cmad, difference"][:2] == ["-0.04", "-0.08"]
    assert mse.counts == (*[80] * 7, None)


def test_ours_is_the_mean_over_seeds_with_all_digits(tmp_path: Path) -> None:
    cells = cells_of(tmp_path, "mustard")
    frame = paper_frame(cells, ALL)
    rows = {(r["metric"], r["variant"], r["combination"]): r for r in frame.to_dict("records")}
    ours = sum(value("cmad", seed, "A", "f1_paper") for seed in SEEDS) / 2
    row = rows["f1_paper", "cmad", "A"]
    assert (row["paper"], row["ours"], row["difference"], row["n"]) == (0.681, ours, ours - 0.681, 80)
    assert (row["section"], row["source"], row["standing"]) == ("systems", "supplement, Table 6", PRINTED)
    assert rows["accuracy", "cmad", AVERAGE]["paper"] == 0.689
    assert rows["accuracy", "cmad", AVERAGE]["n"] is None


def test_an_average_over_fewer_combinations_is_not_compared(tmp_path: Path) -> None:
    cells = cells_of(tmp_path, "mustard", LA=0)
    (cmad,) = (
        each for each in beside(cells, ALL, "systems") if (each.row.name, each.metric) == ("cmad", "accuracy")
    )
    differences = dict(zip((*COMBINATIONS, AVERAGE), cmad.difference, strict=True))
    assert [c for c, cell in differences.items() if np.isnan(cell.value)] == ["LA", AVERAGE]
    assert not np.isnan(cmad.ours[-1].value)


def test_without_complete_samples_there_is_no_consistency_to_compare(tmp_path: Path) -> None:
    assert beside(cells_of(tmp_path, "mosei", LAV=0), ALL, "consistency") == []


@pytest.mark.parametrize("dataset", ["demo", "cherma", "mosei_2", "mosi_folder"])
def test_data_that_the_paper_lacks_have_no_block(tmp_path: Path, dataset: str) -> None:
    cells = cells_of(tmp_path / "runs", dataset, "regression")
    assert report([cells], 1, ALL) == report([cells], 1)
    for name, published in (("with", ALL), ("without", ())):
        (tmp_path / name).mkdir()
        write_tables(cells, tmp_path / name, published)
    assert contents(tmp_path / "with") == contents(tmp_path / "without")


def test_report_has_a_block_after_each_table(tmp_path: Path) -> None:
    text = report([cells_of(tmp_path, "mosei")], 1, ALL)
    blocks = {
        part.split("\n", 1)[0]: part.count("**Beside the paper.**")
        for part in re.split("^### ", text, flags=re.M)
    }
    assert {heading for heading, count in blocks.items() if count} == {
        *("Systems", "Loss components", "Consistency with the teacher")
    }
    assert "From CMAD: supplement, Tables 9 and 11; UMDF, CorrKD, MMANet: quoted by others, not che" in text
    assert "From supplement, Table 11. The paper prints no average here. Published, but not in this " in text
    assert "| no_mar, difference" in text


def test_other_features_are_said(tmp_path: Path) -> None:
    assert OTHER_FEATURES == {"mustard_folder": "mustard"}
    cells = cells_of(tmp_path, "mustard_folder", "classes")
    text = report([cells], 1, ALL)
    assert "`mustard_folder` has other features than the paper's mustard, and a split of its own" in text
    assert "F1 is the paper-comparable one" in text
    assert "other features" not in report([cells_of(tmp_path, "mustard")], 1, ALL)


def test_a_grid_without_published_rows_has_no_block(tmp_path: Path) -> None:
    rows = (Entry("dropout"), Entry("own_unified", "own"))
    make_tree(tmp_path, "mosei", data_format="folder", rows=rows)
    cells = load(tmp_path, "mosei", rows, SEEDS)
    assert "Beside the paper" not in report([cells], 1, ALL)
    assert paper_frame(cells, ALL).empty


def test_files_beside_the_paper(tmp_path: Path) -> None:
    cells = cells_of(tmp_path / "runs", "mosei")
    write_tables(cells, tmp_path, ALL)
    found = {path.name for path in tmp_path.glob("mosei_paper*")}
    tables = ("systems", "mse", "sims", "consistency_losses", "loss_components")
    assert found == {"mosei_paper.csv", *(f"mosei_paper_{name}.tex" for name in tables)}
    frame = pd.read_csv(tmp_path / "mosei_paper.csv")
    assert set(frame["section"]) == set(SECTIONS)
    assert list(frame)[:5] == ["section", "metric", "variant", "combination", "n"]
