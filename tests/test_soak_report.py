"""What ``make soak`` leaves: each check with its outcome, and a failure in the exit status."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cmad.report.blocks import Printed
from cmad.report.soak import long_checks
from tests.project import ROOT, run
from tools.soak import Check, report

PASSING = """
import pytest

@pytest.mark.soak
@pytest.mark.parametrize("number", range(3))
def test_kept(number):
    pass

@pytest.mark.soak
def test_left_out():
    pytest.skip("not here")

def test_short():
    raise AssertionError("not asked for")
"""
FAILING = """
import pytest

@pytest.mark.soak
@pytest.mark.parametrize("number", range(3))
def test_some(number):
    assert number != 1

@pytest.fixture
def broken():
    raise OSError

@pytest.mark.soak
def test_never_began(broken):
    pass
"""
Run = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture
def soak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the tool on the text of a file of tests."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = soak\naddopts = -m 'not soak'\n")

    def run_on(tests: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "test_made_up.py").write_text(tests)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        command = [sys.executable, "-m", "tools.soak", "test_made_up.py"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return run_on


def lines(folder: Path) -> list[list[str]]:
    """The table of the report, without the seconds."""
    written = (folder / "reports/soak.md").read_text(encoding="utf-8").splitlines()
    rows = [[field.strip() for field in line.strip("|").split("|")] for line in written if line[:1] == "|"]
    return [row[:3] for row in rows[2:]]


def test_what_passes_is_told(soak: Run, tmp_path: Path) -> None:
    done = soak(PASSING)
    assert done.returncode == 0, done.stderr
    assert lines(tmp_path) == [
        ["`test_made_up: test_kept`", "3", "passed"],
        ["`test_made_up: test_left_out`", "1", "skipped"],
    ]
    text = (tmp_path / "reports/soak.md").read_text(encoding="utf-8")
    for said in ("`pytest --numprocesses 0 -m soak test_made_up.py`", "cores: ", " UTC with "):
        assert said in text
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["soak.md"]


def test_what_fails_is_told_and_ends_with_status_1(soak: Run, tmp_path: Path) -> None:
    done = soak(FAILING)
    assert done.returncode == 1
    assert done.stderr.endswith("error: failed: test_made_up: test_some, test_made_up: test_never_began\n")
    assert lines(tmp_path) == [
        ["`test_made_up: test_some`", "3", "failed"],
        ["`test_made_up: test_never_began`", "1", "failed"],
    ]


@pytest.mark.parametrize("tests", ["def test_short(): pass", "no python", "raise KeyboardInterrupt"])
def test_a_run_that_is_none_leaves_the_last_result(soak: Run, tmp_path: Path, tests: str) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/soak.md").write_text("the last\n")
    done = soak(tests)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: pytest ended with ")
    assert (tmp_path / "reports/soak.md").read_text() == "the last\n"


def test_the_page_shows_what_the_tool_writes(tmp_path: Path) -> None:
    found = [Check("test_a: test_one", 3, "passed", 1.25), Check("test_b: test_two", 1, "failed", 60.0)]
    (tmp_path / "soak.md").write_text(report(found, "pytest -m soak", "2030-01-01 00:00 UTC"))
    _, said, printed, _ = long_checks(tmp_path)
    assert isinstance(said, str)
    assert said.startswith("Run on 2030-01-01 00:00 UTC with `pytest -m soak`")
    assert isinstance(printed, Printed)
    assert printed.grid.heads == (("check", "n", "outcome", "seconds"),)
    shown = [[field[0].text for field in line.fields] for line in printed.grid.lines]
    assert shown == [["test_a: test_one", "3", "passed", "1.2"], ["test_b: test_two", "1", "failed", "60.0"]]


@pytest.mark.parametrize("text", [None, "", "nothing of the kind\n", "| a | b |\n| - | - |\n| 1 |\n"])
def test_without_a_result_the_page_says_nothing(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "soak.md").write_text(text)
    assert long_checks(tmp_path) == ()


def test_make_runs_it() -> None:
    assert run(
        ROOT, "make", "--no-print-directory", "--dry-run", "--old-file", ".venv/test", "soak"
    ).endswith("python -m tools.soak\n")


def test_what_is_long_is_left_out_by_default() -> None:
    listed = run(ROOT, sys.executable, "-m", "pytest", "--collect-only", "-q", "-n0", "tests/test_soak.py")
    assert "two_hundred" not in listed
    assert "1 deselected" in listed
