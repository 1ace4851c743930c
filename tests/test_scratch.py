"""The scratch: a training that was killed goes on with the same bits; nothing is done twice."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch

from cmad.config.schema import Optimiser
from cmad.errors import UserError
from cmad.files import partial_folder, remove_partial, whole_file
from cmad.students.student import create_method, train_student
from cmad.teachers.teacher import train_teacher
from cmad.training.fit import Fitted
from cmad.training.optimiser import learning_rate
from cmad.training.scratch import Place, Scratch, digest, folder_digest, place, surroundings
from stages.scratch import project, scratch
from tests.project import ROOT
from tests.test_training import CPU, World, same

EPOCHS = 5
UNIFIED = ["dropout", "cmad", "mmanet", "mplmm", "umdf", "umdf_full", "corrkd"]
CUSTOMISED = ["mplmm", "umdf", "umdf_full", "corrkd"]


class Killed(BaseException):
    """As a signal ends a process: caught by nothing."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"), "demo_classes")


def train(
    world: World, method: str, where: Place | None, combination: int | None = None, **changes: Any
) -> Fitted:
    """As ``World.train``, with everything made afresh, as another process would."""
    student = replace(world.preset.student, **({"epochs": EPOCHS, "warmup": 2} | changes))
    options = dict(world.preset.systems.get(method, {}))
    if method == "mmanet":
        options["begin"] = 3
    network, device = world.preset.network, world.device
    created = create_method(
        method, world.store, network, student, options, world.teacher, combination, 0, device
    )
    return train_student(created, world.store, student, world.cache, combination, 0, "test", device, where)


def killed_after(
    folder: Path, epochs: int, monkeypatch: pytest.MonkeyPatch, run: Any, after: str = "save_epoch"
) -> None:
    """Run a training that is killed once so many epochs are kept."""
    write, left = getattr(Place, after), [epochs]

    def dying(self: Place, content: Any) -> None:
        write(self, content)
        left[0] -= 1
        if not left[0]:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Place, after, dying)
        with pytest.raises(Killed):
            run(Place(folder, "test"))


@pytest.fixture
def trained_epochs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The epochs that are really trained."""
    seen: list[int] = []

    def noted(settings: Optimiser, epoch: int) -> float:
        seen.append(epoch)
        return learning_rate(settings, epoch)

    monkeypatch.setattr("cmad.training.fit.learning_rate", noted)
    return seen


@pytest.mark.parametrize(
    ("system", "combination"), [*((name, None) for name in UNIFIED), *((name, 4) for name in CUSTOMISED)]
)
def test_every_system_goes_on_with_the_same_bits(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trained_epochs: list[int],
    system: str,
    combination: int | None,
) -> None:
    whole = train(world, system, None, combination)
    for epochs in (1, 3, 4):
        folder = tmp_path / str(epochs)
        folder.mkdir()
        killed_after(folder, epochs, monkeypatch, lambda where: train(world, system, where, combination))
        trained_epochs.clear()
        assert same(train(world, system, Place(folder, "test"), combination), whole)
        assert trained_epochs == list(range(epochs, EPOCHS))


@pytest.mark.parametrize("renew", [False, True])
def test_the_teacher_goes_on_with_the_same_bits(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renew: bool
) -> None:
    teacher = replace(world.preset.teacher, epochs=EPOCHS)
    teacher = replace(teacher, optimiser=replace(teacher.optimiser, renew_each_epoch=renew, milestones=(3,)))

    def run(where: Place | None) -> Fitted:
        return train_teacher(world.store, world.preset.network, teacher, 0, "test", CPU, where)

    whole = run(None)
    killed_after(tmp_path, 2, monkeypatch, run)
    assert same(run(Place(tmp_path, "test")), whole)


def test_what_is_done_is_not_trained_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained_epochs: list[int]
) -> None:
    whole = train(world, "cmad", Place(tmp_path, "test"))
    # Killed between the result and the removal of the last epoch, too.
    other = tmp_path / "other"
    other.mkdir()
    killed_after(other, 1, monkeypatch, lambda where: train(world, "cmad", where), "save_done")
    for folder in (tmp_path, other):
        trained_epochs.clear()
        assert same(train(world, "cmad", Place(folder, "test")), whole)
        assert trained_epochs == []
        assert [path.name for path in folder.glob("*.pt")] == ["done.pt"]


# Of the pickle's protocol, ahead of the refusal that is tested.
@pytest.mark.filterwarnings("ignore:Detected pickle protocol 4")
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x80\x04cos\nsystem\n"])
def test_a_damaged_file_is_told_and_trained_anew(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "epoch.pt").write_bytes(content)
    whole = train(world, "dropout", None)
    assert same(train(world, "dropout", Place(tmp_path, "test")), whole)
    told = capsys.readouterr().err.strip()
    assert told == f"test: {tmp_path / 'epoch.pt'} is not readable; it is trained anew"


def test_a_full_disk_is_told_once_and_the_training_goes_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    whole = train(world, "dropout", None)
    monkeypatch.setattr(torch, "save", full)
    assert same(train(world, "dropout", Place(tmp_path, "test")), whole)
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "No space left on device" in line
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_for_the_result_leaves_the_last_epoch(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained_epochs: list[int]
) -> None:
    whole = train(world, "dropout", None)
    write = torch.save

    def full(content: dict[str, Any], path: Path) -> None:
        if path.name == "done.pt":
            raise OSError(28, "No space left on device")
        write(content, path)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        assert same(train(world, "dropout", Place(tmp_path, "test")), whole)
    trained_epochs.clear()
    assert same(train(world, "dropout", Place(tmp_path, "test")), whole)
    assert trained_epochs == []
    assert [path.name for path in tmp_path.glob("*.pt")] == ["done.pt"]


def test_a_second_process_is_told_who_trains(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from cmad.training.scratch import Scratch, place\n"
        "with place(Scratch(Path(sys.argv[1]), 10**9), {'a': 1}, 'orphan'):\n"
        "    print('locked', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        message = rf"cmad: process {holder.pid} is training this model already; .*kill {holder.pid}"
        with pytest.raises(UserError, match=message), place(Scratch(tmp_path, 10**9), {"a": 1}, "cmad"):
            pass
        with place(Scratch(tmp_path, 10**9), {"a": 2}, "cmad") as other:
            assert other is not None
        holder.kill()
        holder.wait()
    with place(Scratch(tmp_path, 10**9), {"a": 1}, "cmad") as free:
        assert free is not None


def test_the_oldest_goes_first_and_what_is_in_use_stays(tmp_path: Path) -> None:
    kept = Scratch(tmp_path, 25_000)
    for number in range(3):
        with place(kept, {"n": number}, "test") as own:
            assert own is not None
            own.save_done({"weights": torch.zeros(2500)})
        folder = tmp_path / digest({"n": number})
        os.utime(folder, (number, number))
    with place(kept, {"n": 0}, "test"), place(kept, {"n": 3}, "test"):
        left = {path.name for path in tmp_path.iterdir()}
    # 0 was the oldest, but it is in use; 1 had to go.
    assert left == {digest({"n": number}) for number in (0, 2, 3)}


def test_what_is_no_model_neither_counts_nor_goes(tmp_path: Path) -> None:
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter").write_bytes(bytes(50_000))
    kept = Scratch(tmp_path, 25_000)
    for number in range(2):
        with place(kept, {"n": number}, "test") as own:
            assert own is not None
            own.save_done({"weights": torch.zeros(2500)})
    models = {digest({"n": number}) for number in range(2)}
    assert {path.name for path in tmp_path.iterdir()} == {"thesis", *models}
    assert (mine / "chapter").stat().st_size == 50_000


def test_a_file_system_without_locks_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unknown(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", unknown)
    with place(Scratch(tmp_path, 10**9), {"a": 1}, "cmad") as own:
        assert own is None
    assert (
        "cannot be written ([Errno 37] No locks available); the training goes on" in capsys.readouterr().err
    )


def test_what_another_machine_writes_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], stdout=subprocess.PIPE)
    process = dead.stdout.decode().strip()
    monkeypatch.setattr("cmad.files.os.getpid", lambda: int(process))
    for host, left in (("another", ["teacher"]), ("this", [])):
        monkeypatch.setattr("cmad.files._HOST", host)
        with partial_folder(tmp_path / "teacher") as folder:
            folder.joinpath("teacher").write_text("weights")
            monkeypatch.setattr("cmad.files._HOST", "this")
            remove_partial(tmp_path)
            assert [path.name for path in folder.glob("*")] == left
            folder.mkdir(exist_ok=True)


@contextmanager
def churning(work: Callable[[], None]) -> Iterator[None]:
    """As another process works in the same scratch."""
    ended = Event()

    def again() -> None:
        while not ended.is_set():
            work()

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(again)
        try:
            yield
        finally:
            ended.set()
    other.result()


def test_files_that_others_make_and_remove_meanwhile_do_no_harm(tmp_path: Path) -> None:
    beside = tmp_path / "beside" / "epoch.pt"
    beside.parent.mkdir()

    def epoch() -> None:
        with whole_file(beside) as aside:
            aside.write_text("weights")

    with churning(epoch):
        for _ in range(400):
            with place(Scratch(tmp_path, 2**30), {"seed": 0}, "test") as own:
                assert own is not None


def test_a_model_that_others_make_room_of_meanwhile_is_held_all_the_same(tmp_path: Path) -> None:
    def make_room() -> None:
        with place(Scratch(tmp_path, 0), {"seed": 1}, "other"):
            pass

    with churning(make_room):
        for _ in range(200):
            with place(Scratch(tmp_path, 0), {"seed": 0}, "test") as own:
                assert own is not None
                own.save_done({"seed": 0})
                assert own.done() == {"seed": 0}


def test_a_folder_that_goes_while_it_is_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pathlib has it: something was there, and when it looked whether that is a folder, nothing was."""
    make, calls = Path.mkdir, []

    def racing(self: Path, *given: Any, **named: Any) -> None:
        calls.append(self)
        if len(calls) == 1:
            raise FileExistsError(errno.EEXIST, "File exists", str(self))
        make(self, *given, **named)

    monkeypatch.setattr(Path, "mkdir", racing)
    with place(Scratch(tmp_path, 2**30), {"seed": 0}, "test") as own:
        assert own is not None


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / digest({"seed": 0})).write_text("in the way")
    with place(Scratch(tmp_path, 2**30), {"seed": 0}, "test") as own:
        assert own is None
    assert "cannot be written" in capsys.readouterr().err


def test_nothing_is_kept_without_a_scratch() -> None:
    with place(None, {}, "test") as own:
        assert own is None


def test_keys_tell_apart_and_do_not_depend_on_order() -> None:
    assert digest({"a": 1, "b": (2, 0.1)}) == digest({"b": [2, 0.1], "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})


def test_versions_of_what_computes_tell_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(encoder: bool = False) -> str:
        return digest(surroundings(1, "float32", CPU, encoder))

    found = {key(), key(encoder=True)}
    monkeypatch.setattr("cmad.training.scratch.version", lambda name: f"another {name}")
    found |= {key(), key(encoder=True)}
    # Without an encoder transformers has no say.
    assert len(found) == 3
    for library in (torch, np):
        monkeypatch.setattr(library, "__version__", "another")
        found.add(key())
    assert len(found) == 5


def test_an_encoder_without_its_library_is_left_to_who_builds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("cmad.training.scratch.version", absent)
    assert "transformers" not in surroundings(1, "float32", CPU, encoder=True)


def test_a_folder_is_told_by_names_and_bytes(tmp_path: Path) -> None:
    found: list[str] = []
    for name, content in (("a", "1"), ("a", "2"), ("b", "2")):
        folder = tmp_path / f"{len(found)}"
        folder.mkdir()
        (folder / name).write_text(content)
        found.append(folder_digest(folder))
    assert len(set(found)) == 3


def test_what_a_dead_process_left_half_written_goes(tmp_path: Path) -> None:
    code = (
        "import os, sys, signal; from pathlib import Path; from cmad.files import whole_folder\n"
        "with whole_folder(Path(sys.argv[1]) / 'out') as folder:\n"
        "    (folder / 'half').write_text('x'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(".partial")
    with whole_file(tmp_path / "out") as aside:
        aside.write_text("y")
        assert not left.exists()
        # Its own, of a process that lives.
        assert len(list(tmp_path.iterdir())) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_scratch_is_the_projects_also_in_an_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / ".dvc/tmp/exps/standalone/tmpabc"
    inside.mkdir(parents=True)
    for folder in (tmp_path, inside):
        monkeypatch.chdir(folder)
        assert project(Path.cwd()) == tmp_path
        assert scratch() == Scratch(tmp_path / ".dvc/tmp/cmad", 2 * 2**30)
    monkeypatch.setenv("CMAD_SCRATCH", "/elsewhere")
    monkeypatch.setenv("CMAD_SCRATCH_GIB", "0.5")
    assert scratch() == Scratch(Path("/elsewhere"), 2**29)
    monkeypatch.setenv("CMAD_SCRATCH_GIB", "much")
    with pytest.raises(UserError, match="CMAD_SCRATCH_GIB is 'much'"):
        scratch()
