"""One training on two processes gives what one process gives."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from cmad.computing.processes import share
from tests.project import make_project, run, small_params

TOLERANCE = 1e-5
SYSTEMS = ("mmanet", "mplmm", "umdf", "corrkd")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with store, teacher and every system trained by one process."""
    folder = tmp_path_factory.mktemp("processes") / "project"
    params = small_params() | {"unified": list(SYSTEMS), "variants": ["cmad"]}
    student = params["presets"]["demo"]["student"]
    # CAFD and MAR at full weight; the second epoch is trained with the weights that the banks gave.
    student |= {"sigma": 1.0, "epochs": 2, "warmup": 1}
    # The last batch has an odd number of samples, and so have most streams.
    student["batch"] = 19
    make_project(folder, params)
    run(folder, "dvc", "repro", "-q", "student@demo-cmad", *(f"unified@demo-{name}" for name in SYSTEMS))
    return folder


def torchrun(folder: Path, *command: str, status: int = 0) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    done = subprocess.run(
        [*words, *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert (done.returncode == 0) == (status == 0), done.stdout
    return done.stdout


def assert_same(one: Path, two: Path) -> None:
    """Weights and every column of the log, MAR's banks and weights among them."""
    assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in two.iterdir())
    first, second = (torch.load(folder / "seed-0.pt", weights_only=True)["state"] for folder in (one, two))
    for name, weight in first.items():
        torch.testing.assert_close(second[name], weight, rtol=0, atol=TOLERANCE, msg=name)
    log, other = (pd.read_csv(folder / "log.csv") for folder in (one, two))
    pd.testing.assert_frame_equal(other, log, rtol=1e-4, atol=TOLERANCE)


@pytest.mark.parametrize("system", ["cmad", *SYSTEMS])
def test_two_processes_train_what_one_trains(project: Path, tmp_path: Path, system: str) -> None:
    row = "cmad" if system == "cmad" else f"{system}_unified"
    students = project / "data/runs/demo/students"
    shutil.copytree(students / row, tmp_path / row)
    before = (students / row / "seed-0.pt").stat().st_mtime_ns
    command = ("student", "demo", "cmad") if system == "cmad" else ("system", "demo", system, "unified")
    torchrun(project, f"stages.{command[0]}", *command[1:])
    assert_same(tmp_path / row, students / row)
    assert (students / row / "seed-0.pt").stat().st_mtime_ns > before


def test_two_processes_train_the_teacher(project: Path, tmp_path: Path) -> None:
    teacher = project / "data/runs/demo/teacher"
    shutil.copytree(teacher, tmp_path / "teacher")
    torchrun(project, "stages.teacher", "demo")
    assert_same(tmp_path / "teacher", teacher)
    shutil.rmtree(teacher)
    shutil.copytree(tmp_path / "teacher", teacher)


def test_an_error_ends_all_processes(project: Path) -> None:
    output = torchrun(project, "stages.student", "demo", "nobody", status=1)
    assert "error: params.yaml: there is no variant 'nobody'" in output


def test_shares_are_all_rows_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    for processes in (1, 2, 3, 5):
        for rows in (0, 1, 2, 7, 12):
            monkeypatch.setenv("WORLD_SIZE", str(processes))
            found: list[int] = []
            for rank in range(processes):
                monkeypatch.setenv("RANK", str(rank))
                found += range(rows)[share(rows)]
            assert found == list(range(rows))
