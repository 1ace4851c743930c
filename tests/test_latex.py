"""Tables in LaTeX: what LaTeX reads as special means itself, and it compiles."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmad.paper import read_published
from cmad.report.latex import latex, latex_pairs
from cmad.report.load import load
from cmad.report.table import Cell, Row, Shown, Table
from cmad.report.write import write_tables
from tests.project import ROOT
from tests.test_report import SEEDS, SYSTEM_ROWS, make_tree

COMPILER = shutil.which("pdflatex") or shutil.which("tectonic")
PERCENT = Shown(scale=100, digits=1, signed=True)


def table(*names: str, columns: tuple[str, ...] = ("L", "A"), counted: bool = True) -> Table:
    """Rows of which each has better cells than the one before, and an empty last cell."""
    rows = tuple(
        Row(name, (Cell(-0.125 + 0.25 * i, 0.01), None), PERCENT, mark="†‡") for i, name in enumerate(names)
    )
    return Table("t", ("variant", "x"), columns, rows, (10, None) if counted else (), "highest")


def test_table_line_by_line() -> None:
    assert latex(table("no_mar", "cmad")).splitlines() == [
        r"% Needs \usepackage{booktabs}; where it is too wide: \resizebox{\textwidth}{!}{\input{...}}",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"variant & L & A \\",
        r"n & 10 &  \\",
        r"\midrule",
        r"no\_mar$\dagger$$\ddagger$ & $-$12.5 $\pm$ 1.0 &  \\",
        r"cmad$\dagger$$\ddagger$ & \textbf{+12.5 $\pm$ 1.0} &  \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_without_counts_there_is_one_head() -> None:
    lines = latex(table("a", counted=False)).splitlines()
    assert lines[3:5] == [r"variant & L & A \\", r"\midrule"]


def test_tables_beside_each_other_and_in_pairs() -> None:
    both = latex(table("a"), table("a", columns=("p", "q")))
    assert r"\begin{tabular}{lrrrr}" in both
    assert r"variant & L & A & p & q \\" in both
    pair = latex_pairs(table("a"), table("a"))
    assert r"variant & L & A \\" in pair
    assert r"n & 10 &  \\" in pair
    assert r"& \textbf{$-$12.5 $\pm$ 1.0} / \textbf{$-$12.5 $\pm$ 1.0} &  \\" in pair


def test_intervals_and_dashes() -> None:
    row = Row("a-1", (Cell(0.01, low=-0.02, high=0.03), Cell(float("nan"))), PERCENT)
    line = latex(Table("t", ("variant", "x"), ("L", "A"), (row,))).splitlines()[5]
    assert line == r"a-1 & +1.0 [$-$2.0, +3.0] & -- \\"


def test_a_row_does_not_become_an_argument_of_the_line_before() -> None:
    text = latex(table("[1em]", "*"))
    assert "\n{}[1em]" in text
    assert "\n{}*" in text


@given(st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=1))
def test_nothing_special_in_a_name_stays_special(name: str) -> None:
    (line,) = (each for each in latex(table(name)).splitlines() if "dagger" in each)
    field = line.split(r"$\dagger$")[0].removeprefix("{}")
    field = field.replace(r"$\$$", r"\$")
    assert not re.search(r"[<>|]|(?<!\\)[&%$#_]", field)
    # Each special sign has become a command; undone, the name is there again.
    undone = re.sub(
        r"\\text(backslash|asciitilde|asciicircum|less|greater|bar)\{\}|\\([&%$#_{}])", _undone, field
    )
    assert undone == name


def _undone(found: re.Match[str]) -> str:
    signs = {
        "backslash": "\\",
        "asciitilde": "~",
        "asciicircum": "^",
        "less": "<",
        "greater": ">",
        "bar": "|",
    }
    return found[2] or signs[found[1]]


@pytest.mark.skipif(COMPILER is None, reason="neither pdflatex nor tectonic is installed")
def test_all_tables_compile(tmp_path: Path) -> None:
    make_tree(tmp_path / "runs", "mosei", data_format="folder", rows=SYSTEM_ROWS)
    tables = tmp_path / "tables"
    tables.mkdir()
    write_tables(
        load(tmp_path / "runs", "mosei", SYSTEM_ROWS, SEEDS), tables, read_published(ROOT / "data/paper")
    )
    special = latex(table("[1em]", "*", r"&%$#_{}~^\ <>|", "[*"))
    (tables / "special.tex").write_text(special, encoding="utf-8")
    inputs = [
        rf"\resizebox{{\textwidth}}{{!}}{{\input{{tables/{path.name}}}}}"
        for path in sorted(tables.glob("*.tex"))
    ]
    assert len(inputs) > 15
    document = [r"\documentclass{article}", r"\usepackage{booktabs,graphicx}", r"\begin{document}"]
    document += [*(f"{each}\n" for each in inputs), r"\end{document}"]
    (tmp_path / "all.tex").write_text("\n".join(document), encoding="utf-8")
    options = [] if "tectonic" in str(COMPILER) else ["-halt-on-error", "-interaction=nonstopmode"]
    done = subprocess.run([str(COMPILER), *options, "all.tex"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "all.pdf").stat().st_size > 10_000
