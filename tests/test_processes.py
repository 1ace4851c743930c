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
from tests.generators.tokens import TokenWorld
from tests.project import ROOT, make_project, run, small_params, write_params

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


def torchrun(folder: Path, *command: str, processes: int = 2, status: int = 0) -> str:
    """Run a module as so many processes that talk to each other; what they print."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words += ["--nproc-per-node", str(processes), "-m"]
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


@pytest.mark.long
def test_a_share_without_rows_trains_the_encoder_too(tmp_path: Path) -> None:
    """The last batch is of one sample, so the second process has nothing to encode there."""
    world = TokenWorld(tmp_path / "world")
    runs = tmp_path / "project/data/runs/demo"
    # Made, and with it the teacher, when it is first asked for.
    assert len(world.cache.loss)
    for part in ("store", "teacher"):
        shutil.copytree(world.folder / part, runs / part)
    for part in ("cmad", "stages"):
        (tmp_path / "project" / part).symlink_to(ROOT / part)
    params = small_params()
    # Each process would draw the encoder's dropout anew.
    params["presets"]["demo"]["student"] |= {"batch": 13, "dropout_off": True}
    write_params(tmp_path / "project", params)
    command = ("stages.student", "demo", "cmad")
    run(tmp_path / "project", sys.executable, "-m", *command)
    shutil.move(runs / "students/cmad", tmp_path / "one")
    torchrun(tmp_path / "project", *command)
    assert_same(tmp_path / "one", runs / "students/cmad")


COLLECTIVES = """
import torch
from torch import nn
from cmad.computing.processes import add_gradients, count, gathered, joined, rank, share

with joined(torch.device("cpu")):
    for rows in (0, 1, 2, 3, 5, 8, 9):
        own = torch.arange(2.0 * rows).view(rows, 2)[share(rows)].requires_grad_()
        found = gathered(own, rows)
        assert torch.equal(found, torch.arange(2.0 * rows).view(rows, 2)), (rows, found)
        # Every process has the same loss behind it.
        (found * torch.arange(float(rows))[:, None]).sum().backward()
        expected = count() * torch.arange(float(rows))[share(rows), None].expand_as(own)
        assert torch.equal(own.grad, expected), (rows, own.grad)

    weights = [nn.Parameter(torch.zeros(2, 3)) for _ in range(4)]
    for weight, ranks in zip(weights, (range(4), (), (2,), (0, 3))):
        if rank() in ranks:
            weight.grad = torch.full((2, 3), 1.0 + rank())
    add_gradients(weights)
    sums = [None if weight.grad is None else weight.grad.unique().tolist() for weight in weights]
    assert sums == [[10.0], None, [3.0], [5.0]], sums

    weights = [nn.Parameter(torch.zeros(1))]
    add_gradients(weights)
    assert weights[0].grad is None
"""


def test_processes_with_unlike_shares_agree(tmp_path: Path) -> None:
    (tmp_path / "cmad").symlink_to(ROOT / "cmad")
    (tmp_path / "collectives.py").write_text(COLLECTIVES, encoding="utf-8")
    torchrun(tmp_path, "collectives", processes=4)


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
                part = range(rows)[share(rows)]
                assert len(part) in (rows // processes, -(-rows // processes))
                found += part
            assert found == list(range(rows))
