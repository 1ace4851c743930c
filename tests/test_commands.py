"""Stages on the command line when something is wrong: one line, status 1, nothing half-written."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.generators.feature_folder import read_rows, write_feature_folder, write_samples
from tests.project import ROOT, Params, make_project, run, small_params, write_params


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a store, a teacher and a student."""
    folder = tmp_path_factory.mktemp("trained")
    make_project(folder, small_params())
    for stage in (["preprocess", "demo"], ["teacher", "demo"], ["student", "demo", "cmad"]):
        run(folder, sys.executable, "-m", f"stages.{stage[0]}", *stage[1:])
    return folder


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return Path(shutil.copytree(trained, tmp_path / "project"))


def fail(folder: Path, *stage: str) -> str:
    """The one line of a stage that fails; asserts that it left nothing behind."""
    before = {p for p in (folder / "data").rglob("*") if p.is_file()}
    output = run(folder, sys.executable, "-m", *stage, status=1)
    assert output.startswith("error: "), output
    assert output.count("\n") == 1, output
    assert {p for p in (folder / "data").rglob("*") if p.is_file()} == before
    return output


def change(folder: Path, alter: Callable[[Params], None]) -> None:
    """Alter the params of a project."""
    params = small_params()
    alter(params)
    write_params(folder, params)


def test_unknown_data_set_names_the_nearest(project: Path) -> None:
    assert "'demo_clases'" in (line := fail(project, "stages.preprocess", "demo_clases"))
    assert "demo_classes" in line


def test_unknown_variant_names_the_nearest(project: Path) -> None:
    line = fail(project, "stages.student", "demo", "cmad_x")
    assert "'cmad_x'" in line
    assert "cmad_" in line.split("'cmad_x'")[1]


def test_missing_raw_folder(project: Path) -> None:
    line = fail(project, "stages.preprocess", "mosi_folder")
    assert "data/raw/mosi_folder" in line


def test_bad_raw_data(project: Path) -> None:
    folder = write_feature_folder(project / "data/raw/mosi_folder", text=True)
    rows = read_rows(folder)
    rows[1]["id"] = rows[0]["id"]
    write_samples(folder, rows)
    line = fail(project, "stages.preprocess", "mosi_folder")
    assert "data/raw/mosi_folder/samples.csv" in line
    assert rows[0]["id"] in line


def test_width_not_divisible_by_heads(project: Path) -> None:
    change(project, lambda p: p["presets"]["demo"]["network"].update(width=9))
    line = fail(project, "stages.teacher", "demo")
    assert "data/presets/demo.yaml: network" in line
    assert "heads" in line


def test_dropout_in_the_perceiver_is_refused(project: Path) -> None:
    change(project, lambda p: p["presets"]["demo"]["network"].update(perceiver_dropout=0.1))
    assert "perceiver_dropout" in fail(project, "stages.teacher", "demo")


def test_params_that_are_no_yaml(project: Path) -> None:
    (project / "params.yaml").write_text("datasets: [demo\n", encoding="utf-8")
    assert "params.yaml" in fail(project, "stages.preprocess", "demo")


def test_teacher_without_a_store(project: Path) -> None:
    shutil.rmtree(project / "data/runs/demo/store")
    line = fail(project, "stages.teacher", "demo")
    assert "data/runs/demo/store" in line
    assert "preprocess" in line


def test_student_without_a_teacher(project: Path) -> None:
    (project / "data/runs/demo/teacher/seed-0.pt").unlink()
    line = fail(project, "stages.student", "demo", "cmad")
    assert "data/runs/demo/teacher/seed-0.pt: no such checkpoint" in line


def test_corrupt_teacher(project: Path) -> None:
    (project / "data/runs/demo/teacher/seed-0.pt").write_bytes(b"\x80\x02garbage")
    assert "seed-0.pt: not a readable checkpoint" in fail(project, "stages.student", "demo", "cmad")


def test_teacher_of_another_width(project: Path) -> None:
    change(project, lambda p: p["presets"]["demo"]["network"].update(width=16))
    line = fail(project, "stages.student", "demo", "cmad")
    assert "trained for another network" in line


def test_evaluation_of_a_missing_student(project: Path) -> None:
    line = fail(project, "stages.evaluate", "demo")
    assert "students/tea/seed-0.pt: no such checkpoint" in line


def test_a_file_where_a_folder_is_to_be(project: Path) -> None:
    (project / "data/times").mkdir(parents=True, exist_ok=True)
    shutil.rmtree(project / "data/runs/demo/students")
    (project / "data/runs/demo/students").write_text("mine")
    line = fail(project, "stages.student", "demo", "cmad")
    assert "data/runs/demo/students: " in line
    assert "; mend that and run again" in line


def test_a_command_that_cannot_write_says_so(tmp_path: Path) -> None:
    write_feature_folder(tmp_path / "raw")
    (tmp_path / "mine").write_text("text")
    given = ("cmad", "inspect", str(tmp_path / "raw"), "--out", str(tmp_path / "mine" / "found"))
    output = run(ROOT, sys.executable, "-m", *given, status=1)
    assert output.splitlines()[-1].startswith(f"error: {tmp_path / 'mine'}")
    assert "Traceback" not in output


_DIGEST = """
import hashlib
import stages
import numpy as np
rows = np.random.default_rng(0).normal(size=(700, 400))
print(hashlib.sha256(np.linalg.svd(rows)[0].tobytes()).hexdigest())
"""


def test_numpy_computes_on_one_thread_whatever_the_machine_has() -> None:
    free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    found = {
        subprocess.run(
            [sys.executable, "-c", _DIGEST], env=free | extra, cwd=ROOT, check=True, capture_output=True
        ).stdout
        for extra in ({}, {"OPENBLAS_NUM_THREADS": "1"}, {"OPENBLAS_NUM_THREADS": "4"})
    }
    assert len(found) == 1


def files(project: Path) -> set[Path]:
    """All but those of the scratch, which are there to be gone on from."""
    scratch = project / ".dvc/tmp/cmad"
    return {p for p in project.rglob("*") if p.is_file() and scratch not in p.parents}


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_stage_leaves_nothing_half_written(
    project: Path, sent: signal.Signals, status: int
) -> None:
    change(project, lambda p: p["presets"]["demo"]["student"].update(epochs=100_000))
    before = files(project)
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.student", "demo", "cmad"],
        cwd=project,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        text=True,
    )
    partial = project / "data/runs/demo/students"
    deadline = time.monotonic() + 60
    while not list(partial.glob("*.partial")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(partial.glob("*.partial"))
    process.send_signal(sent)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in said
    assert files(project) == before
