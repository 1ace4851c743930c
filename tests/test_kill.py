"""Real runs of the pipeline, killed: the next ``dvc repro`` ends with the bits of one that never was."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.project import Params, make_project, small_params, write_params

STAGES = ("student@demo-cmad",)
SCRATCH = ".dvc/tmp/cmad"


def params() -> Params:
    """So many epochs that kills meet a training, not only the start of a process."""
    made = small_params() | {
        "variants": ["cmad"],
        "seeds": [0, 1],
        "sweeps": ["sigma"],
    }
    made["presets"]["demo"]["teacher"]["epochs"] = 40
    made["presets"]["demo"]["student"]["epochs"] = 25
    return made


def start(folder: Path) -> subprocess.Popen[str]:
    """``dvc repro`` in a session of its own."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.Popen(
        ["dvc", "repro", *STAGES],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(folder: Path) -> str:
    with start(folder) as running:
        output, _ = running.communicate()
    assert running.returncode == 0, output
    return output


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that the stages leave, the half-written ones of killed processes too."""
    runs = folder / "data/runs"
    files = [path for path in sorted(runs.rglob("*")) if path.is_file()]
    return {str(path.relative_to(runs)): path.read_bytes() for path in files}


def forget(folder: Path) -> None:
    """As if nothing had ever run here."""
    for path in ("data/runs", ".dvc/cache", SCRATCH):
        shutil.rmtree(folder / path, ignore_errors=True)
    for path in ("dvc.lock", ".dvc/tmp/rwlock"):
        (folder / path).unlink(missing_ok=True)


class Whole:
    """A project whose stages ran without a kill.

    Attributes:
        folder: of the project.
        expected: what the stages leave.
        seconds: that they took.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_project(folder, params())
        began = time.monotonic()
        finish(folder)
        self.seconds = time.monotonic() - began
        self.expected = contents(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(tmp_path_factory.mktemp("kill") / "project")


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_thirty_random_moments(whole: Whole) -> None:
    chance = random.Random(0)
    for _ in range(30):
        forget(whole.folder)
        with start(whole.folder) as running:
            time.sleep(chance.uniform(0.3, whole.seconds))
            os.killpg(running.pid, signal.SIGKILL)
        finish(whole.folder)
        assert contents(whole.folder) == whole.expected


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_several_kills_of_one_run(whole: Whole) -> None:
    chance = random.Random(1)
    forget(whole.folder)
    for _ in range(8):
        with start(whole.folder) as running:
            time.sleep(chance.uniform(0.3, whole.seconds / 2))
            os.killpg(running.pid, signal.SIGKILL)
    finish(whole.folder)
    assert contents(whole.folder) == whole.expected


def wait_for_student(folder: Path) -> None:
    """Until both teachers are done and a student has finished an epoch."""
    places, deadline = folder / SCRATCH, time.monotonic() + 200
    while time.monotonic() < deadline:
        if len(list(places.glob("*/done.pt"))) >= 2 and list(places.glob("*/epoch.pt")):
            return
        time.sleep(0.02)
    raise AssertionError("no training began")


def test_a_killed_run_goes_on_with_the_same_bits(whole: Whole) -> None:
    forget(whole.folder)
    with start(whole.folder) as running:
        wait_for_student(whole.folder)
        os.killpg(running.pid, signal.SIGKILL)
    finish(whole.folder)
    assert contents(whole.folder) == whole.expected


@pytest.mark.long
def test_an_interrupt_leaves_nothing_half_written(whole: Whole) -> None:
    forget(whole.folder)
    with start(whole.folder) as running:
        wait_for_student(whole.folder)
        os.killpg(running.pid, signal.SIGINT)
        output, _ = running.communicate()
    assert "Traceback" not in output
    assert not list((whole.folder / "data/runs/demo").rglob(".*partial"))
    finish(whole.folder)
    assert contents(whole.folder) == whole.expected


@pytest.mark.long
def test_an_orphan_is_named_and_nothing_is_trained_twice(whole: Whole) -> None:
    forget(whole.folder)
    slow = params()
    slow["presets"]["demo"]["student"]["epochs"] = 100_000
    write_params(whole.folder, slow)
    try:
        with start(whole.folder) as running:
            wait_for_student(whole.folder)
            # To DVC alone: the stage that it started trains on.
            running.terminate()
            running.wait()
            with start(whole.folder) as second:
                output, _ = second.communicate()
            assert second.returncode != 0
            found = re.search(r"process (\d+) is training this model already; wait for it, or end it", output)
            assert found, output
            orphan = int(found[1])
            assert os.getpgid(orphan) == running.pid
            os.kill(orphan, signal.SIGTERM)
    finally:
        write_params(whole.folder, params())
    finish(whole.folder)
    assert contents(whole.folder) == whole.expected


@pytest.mark.long
def test_a_new_seed_is_the_only_one_trained(whole: Whole, tmp_path: Path) -> None:
    """Told by the scratch: what it held is used as it is, and each new model has a place of its own."""
    folder = tmp_path / "project"
    make_project(folder, params() | {"seeds": [0]})
    finish(folder)
    before = {path: path.stat().st_mtime_ns for path in (folder / SCRATCH).glob("*/done.pt")}
    write_params(folder, params())
    finish(folder)
    after = {path: path.stat().st_mtime_ns for path in (folder / SCRATCH).glob("*/done.pt")}
    assert {path: after[path] for path in before} == before
    # A teacher and a student for each seed.
    assert (len(before), len(after)) == (2, 4)
    assert contents(folder) == whole.expected


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]).returncode:
        pytest.skip("mounting a small disk needs root, and a system that lets it")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.long
def test_a_full_disk_tears_no_artifact(whole: Whole, disk: Path) -> None:
    """A disk that fills while a student trains: no artifact is torn, and it goes on once there is room."""
    folder = disk / "project"
    make_project(folder, params())
    filler = disk / "filler"
    with start(folder) as running:
        wait_for_student(folder)
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(10_000)):
                pass
        output, _ = running.communicate()
    # The scratch is given up first; what the stage itself writes fits or it does not.
    assert "o space left" in output
    assert "Traceback" not in output
    left = contents(folder)
    assert left == {name: whole.expected[name] for name in left}
    filler.unlink()
    finish(folder)
    assert contents(folder) == whole.expected


def test_a_disk_too_small_for_the_store_is_one_line(disk: Path) -> None:
    """Frames are written through memory, where a full disk would end the process by a signal."""
    folder = disk / "project"
    larger = params()
    larger["presets"]["demo"]["preprocess"]["generator"]["train"] = 30_000
    make_project(folder, larger)
    with start(folder) as running:
        output, _ = running.communicate()
    lines = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, output
    assert "no space left on the disk; make room and run again" in lines[0]
    assert "Traceback" not in output
    assert not list(folder.glob("data/runs/demo/*"))


@pytest.mark.soak
def test_a_run_ended_by_a_memory_limit_goes_on(whole: Whole) -> None:
    forget(whole.folder)
    with start(whole.folder) as running:
        wait_for_student(whole.folder)
        # What the kernel does to a process that is out of memory.
        subprocess.run(["pkill", "-KILL", "-g", str(running.pid), "-f", "stages"], check=True)
        output, _ = running.communicate()
    assert running.returncode != 0
    assert "failed to reproduce" in output
    finish(whole.folder)
    assert contents(whole.folder) == whole.expected
