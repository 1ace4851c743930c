"""``make reproduce``: the pipeline in a fresh clone, one stage at a time or several."""

import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.project import ROOT, commit, make_project, run, small_params, stages_run, write_params
from tools.plan import Stage, stage_of, to_run
from tools.progress import Progress
from tools.reproduce import follow, forget_torn


def stage(*needs: str, changed: bool = False) -> Stage:
    return Stage("python -m stages.student demo cmad", frozenset(needs), changed)


def test_stages_run_if_changed_or_after_one_that_runs() -> None:
    stages = {
        "preprocess@demo": stage(),
        "teacher@demo": stage("preprocess@demo"),
        "student@demo-cmad": stage("teacher@demo"),
        "student@demo-tea": stage("preprocess@demo", changed=True),
        "report": stage("student@demo-tea"),
    }
    assert list(to_run(stages)) == ["student@demo-tea", "report"]


def test_stage_of_other_lines() -> None:
    assert stage_of("Running stage 'report':\n") == "report"
    assert stage_of("Stage 'report' didn't change, skipping") is None


def test_other_lines_pass_unchanged() -> None:
    written: list[str] = []
    follow(["Running stage 'report':\n", "> python -m stages.report\n"], Progress({}, {}), written.append)
    assert written[0].startswith("stage 1 of 1: report, about ")
    assert written[1:] == ["> python -m stages.report\n"]


@pytest.mark.parametrize(
    ("content", "stays"),
    [
        (b'{"read": {"data/runs/de', False),
        (b"", False),
        (b'{"\xc3', False),
        (b'{"read": {}, "write": {}}', True),
    ],
)
def test_a_list_that_a_kill_tore_is_deleted(content: bytes, stays: bool, tmp_path: Path) -> None:
    """In the middle of a letter too."""
    file = tmp_path / "rwlock"
    file.write_bytes(content)
    forget_torn(file)
    assert file.exists() == stays
    forget_torn(tmp_path / "none")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that ran, one stage at a time, and committed its lock and reports."""
    folder = tmp_path_factory.mktemp("reproduce") / "project"
    params = small_params() | {"variants": ["tea", "dropout", "cmad"], "seeds": [0, 1]}
    make_project(folder, params)
    shutil.copytree(ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    commit(folder)
    output = run(folder, sys.executable, "-m", "tools.reproduce")
    places = re.findall(r"^stage (\d) of (\d): ", output, re.MULTILINE)
    assert places == [(str(i), "7") for i in range(1, 8)]
    commit(folder)
    return folder


def clone(project: Path, folder: Path) -> Path:
    run(project, "git", "clone", "-q", str(project), str(folder))
    run(folder, "git", "config", "user.name", "Test")
    run(folder, "git", "config", "user.email", "test@example.org")
    return folder


@pytest.mark.parametrize(("jobs", "reports"), [pytest.param("1", False, marks=pytest.mark.long), ("2", True)])
def test_a_fresh_clone_with_a_lock_gives_the_same_bits(
    project: Path, tmp_path: Path, jobs: str, reports: bool
) -> None:
    folder = clone(project, tmp_path / "clone")
    if not reports:
        shutil.rmtree(folder / "reports")
    output = run(folder, sys.executable, "-m", "tools.reproduce", "--jobs", jobs)
    # A report that is committed finds the inputs that it was made of.
    assert re.findall(r"^stage (\d) of 7: ", output, re.MULTILINE) == list("123456" if reports else "1234567")
    assert run(folder, "git", "status", "--porcelain") == ""
    # As a kill can leave it, with which plain ``dvc repro`` fails.
    (folder / ".dvc/tmp/rwlock").write_text('{"read": {"dvc.yaml', encoding="utf-8")
    assert "rwlock" in run(folder, "dvc", "repro", status=255)
    again = run(folder, sys.executable, "-m", "tools.reproduce", "--jobs", jobs)
    assert "stage 1" not in again


@pytest.mark.long
def test_a_failure_stops_those_that_need_it_and_is_named(project: Path, tmp_path: Path) -> None:
    folder = clone(project, tmp_path / "clone")
    params = small_params() | {"variants": ["tea", "dropout", "cmad"], "seeds": [0, 1]}
    # So large a rate that the students diverge; their teacher does not.
    params["definitions"]["cmad"]["student"] = {"optimiser": {"learning_rate": 1e30, "clip": None}}
    write_params(folder, params)
    output = run(folder, sys.executable, "-m", "tools.reproduce", "--jobs", "2", status=1)
    assert "student@demo-cmad: error: cmad, seed 0: the training diverged" in output
    *_, why, last = output.splitlines()
    assert why.startswith("student@demo-cmad: error: cmad, seed 0: the training diverged")
    assert last.startswith("error: failed: student@demo-cmad; ")
    assert (folder / "data/runs/demo/students/dropout/log.csv").exists()
    assert not (folder / "data/runs/demo/evaluation").exists()


def working_in(folder: Path) -> list[str]:
    """Command lines of the processes whose working folder this is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").resolve() == folder.resolve():
                found.append((process / "cmdline").read_text())
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize(("jobs", "sent"), [(1, signal.SIGTERM), (2, signal.SIGINT)])
def test_an_interrupt_ends_all_processes(
    project: Path, tmp_path: Path, jobs: int, sent: signal.Signals
) -> None:
    folder = clone(project, tmp_path / "clone")
    params = small_params() | {"variants": ["dropout", "cmad"]}
    params["presets"]["demo"]["student"]["epochs"] = 100_000
    write_params(folder, params)
    command = [sys.executable, "-m", "tools.reproduce", "--jobs", str(jobs)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=None) as running:
        assert running.stdout is not None
        seen = 0
        for line in running.stdout:
            seen += "student@demo" in line
            if seen == jobs:
                break
        time.sleep(2)
        # This one, DVC and the stage, for each job; with one DVC alone.
        assert len(working_in(folder)) >= 1 + 2 * jobs
        running.send_signal(sent)
        assert running.wait(60) == 130
    assert working_in(folder) == []
    # Nothing half-written is left.
    assert not list((folder / "data/runs/demo/students").glob(".*"))


def test_a_wrong_number_of_jobs_is_one_line() -> None:
    output = run(ROOT, sys.executable, "-m", "tools.reproduce", "--jobs", "0", status=1)
    assert output == "error: --jobs must be at least 1\n"


def test_a_clone_that_pulls_the_runs_trains_nothing(project: Path, tmp_path: Path) -> None:
    run(project, "dvc", "remote", "add", "-d", "shared", str(tmp_path / "remote"))
    commit(project)
    run(project, "dvc", "push", "-q", "-A", "--run-cache")
    folder = clone(project, tmp_path / "clone")
    run(folder, "dvc", "pull", "-q", "--run-cache")
    assert stages_run(run(folder, "dvc", "repro")) == set()
    assert (folder / "data/runs/demo/students/cmad/seed-1.pt").exists()
